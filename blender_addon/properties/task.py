"""The task that the panel shows, and the settings of each task. Part of WanSettings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from ...wan_backend.protocol.messages import Task
from ..timeline import free_space, selection

TASK_ITEMS = [
    (
        "TEXT_TO_VIDEO",
        "Text",
        "New footage from a prompt: at the playhead, in a gap, or for text strips",
        "FONT_DATA",
        0,
    ),
    (
        "IMAGE_TO_VIDEO",
        "Image",
        "Footage that begins on the selected picture and may end on another",
        "IMAGE_DATA",
        1,
    ),
    ("RESTYLE", "Restyle", "The selected footage in another look, on the channel above it", "BRUSH_DATA", 2),
    (
        "FILL_GAP",
        "Fill Gap",
        "Footage that fills a gap exactly, leading from one strip into the next",
        "ARROW_LEFTRIGHT",
        3,
    ),
    (
        "EXTEND",
        "Extend",
        "Footage that continues from the strip's end, or leads up to its start",
        "TRACKING_FORWARDS",
        4,
    ),
    ("PREVIS", "Previs", "Footage with the depth and the camera move of a scene strip", "VIEW_CAMERA", 5),
    (
        "EDIT",
        "Edit",
        "The selected footage with what the words change, on the channel above it; pictures that are selected along "
        "with it show what it is to get",
        "MODIFIER",
        6,
    ),
]
"""The items of the enum; .blend files keep their numbers."""
_TASKS = [Task[item[0]] for item in TASK_ITEMS]


@dataclass(frozen=True)
class _Choice:
    """A task that was chosen by hand, and what it was chosen for."""

    situation: str
    task: Task


_choices: dict[str, _Choice] = {}
"""By scene. Kept in memory alone: a choice ends with the selection, and would mean nothing when a file is opened."""
MAX_CHOICES = 32


def task_of(settings: Any) -> Task:
    """The task that the panel shows: the chosen one while the selection stays, else that implied by the selection."""
    return _TASKS[_get_task(settings)]


def chosen(settings: Any, picked: selection.Selection) -> Task | None:
    """The task that was chosen by hand; the choice ends here if the selection is another one, or the playhead's gap."""
    key = _scene_key(settings)
    choice = _choices.get(key)
    if choice is None:
        return None
    if choice.situation != _situation(settings, picked, choice.task):
        del _choices[key]
        return None
    return choice.task


def is_chosen(settings: Any) -> bool:
    """Whether a task was chosen by hand for what is selected."""
    return chosen(settings, selection.read(settings.id_data)) is not None


def choose(settings: Any, task: Task | None) -> None:
    """Show `task` until the selection changes, for an edit that of its footage; None: the implied one again."""
    _choices.pop(_scene_key(settings), None)
    if task is not None:
        while len(_choices) >= MAX_CHOICES:
            _choices.pop(next(iter(_choices)))
        picked = selection.read(settings.id_data)
        _choices[_scene_key(settings)] = _Choice(_situation(settings, picked, task), task)


def forget() -> None:
    """End all choices: another file is open."""
    _choices.clear()


def choices() -> tuple[object, ...]:
    """All choices that hold; another value whenever one was made or ended."""
    return tuple(_choices.items())


def _scene_key(settings: Any) -> str:
    return f"{bpy.data.filepath}\n{settings.id_data.name_full}"


def _situation(settings: Any, picked: selection.Selection, task: Task) -> str:
    """What a choice of `task` holds for: the selected strips, or the gap that the playhead is in.

    Stills that are selected along with the footage of an edit are its reference pictures, and may come and go.
    """
    if picked.count:
        footage = [strip.name for strip in picked.footage if not strip.is_still]
        if task is Task.EDIT and footage:
            return "\n".join(footage)
        return f"{picked.count}\n{picked.key}"
    gap = free_space.gap_at(settings.id_data, picked.frame)
    return "" if gap is None else f"{gap.start}..{gap.end_exclusive}"


def _get_task(settings: Any) -> int:
    picked = selection.read(settings.id_data)
    return _TASKS.index(chosen(settings, picked) or selection.implied(settings.id_data, picked))


def _set_task(settings: Any, value: int) -> None:
    choose(settings, _TASKS[value])


class TaskSettings:
    """Settings of the tasks; the panel shows those of its task."""

    task: EnumProperty(
        name="Task",
        description="What to make. It follows the selection; another choice holds until the selection changes",
        items=TASK_ITEMS,
        get=_get_task,
        set=_set_task,
    )
    as_long_as_strip: BoolProperty(
        name="As Long as the Strip",
        description="End the take where the picture's strip ends. Otherwise, it has the length that you set",
        default=True,
    )
    strength: FloatProperty(
        name="Strength",
        description="How much the take may differ from its footage: 0 changes little, 1 makes everything new",
        default=0.7,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    guide: EnumProperty(
        name="Keep",
        description="What the take keeps of the footage",
        items=[
            ("NONE", "Nothing", "Keep only what the strength leaves of the footage"),
            ("DEPTH", "Depth", "How far away things are, estimated from the footage"),
            ("EDGES", "Edges", "The outlines of the footage"),
            ("FRAMES", "Frames", "The frames of the footage themselves"),
        ],
        default="EDGES",
    )
    extend_direction: EnumProperty(
        name="Direction",
        description="Which end of the strip to extend",
        items=[
            ("FORWARD", "Forward", "Continue from the strip's end"),
            ("BACKWARD", "Backward", "Lead up to the strip's start"),
        ],
    )
    extend_frames: IntProperty(
        name="Frames",
        description="How many frames of the scene the take adds to the strip",
        default=24,
        min=1,
        soft_max=250,
        max=100_000,
    )
    freedom: FloatProperty(
        name="Freedom",
        description="How much the take may differ from the scene: 0 keeps its shapes, 1 is free",
        default=0.3,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    blocking: EnumProperty(
        name="Keep",
        description="What the take keeps of the scene",
        items=[
            ("DEPTH", "Depth", "How far away things are: their shapes and positions"),
            ("EDGES", "Outlines", "Only the outlines of things: their surfaces are free"),
        ],
    )
    camera_scale: FloatProperty(
        name="Move Scale",
        description="How much of the camera's travel the model sees. It was taught without a unit: the moves that its "
        "makers show go forward by 3 units, or sideways by 1.5, in 5 seconds, and at 1, a meter is a unit. If the take "
        "moves too little, raise it. Turns and zooms are as they are",
        default=1.0,
        min=0.0001,
        soft_min=0.01,
        soft_max=10.0,
        max=10_000.0,
        precision=3,
    )
    conform: EnumProperty(
        name="Missing Frames",
        description="What to show where the scene has more frames than the model makes",
        items=[
            ("FLOW", "Interpolate", "Interpolated frames that follow the motion"),
            ("REPEAT", "Repeat", "Repeat the nearest frame: exact, but less smooth"),
        ],
    )
