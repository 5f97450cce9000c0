"""The task that the panel shows, and the settings of each task. Part of WanSettings."""

from __future__ import annotations

from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...wan_backend.protocol.messages import Task
from ..timeline import selection

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
]
"""The items of the enum; .blend files keep their numbers."""
_TASKS = [Task[item[0]] for item in TASK_ITEMS]


def task_of(settings: Any) -> Task:
    """The task that the panel shows: the chosen one while the selection stays, else that implied by the selection."""
    return _TASKS[_get_task(settings)]


def chosen_or(settings: Any, picked: selection.Selection, implied: Task) -> Task:
    """The task that was chosen for this selection; `implied` if none was."""
    return _chosen(settings, picked) or implied


def _chosen(settings: Any, picked: selection.Selection) -> Task | None:
    if settings.task_chosen in Task.__members__ and settings.task_chosen_for == picked.key:
        return Task[settings.task_chosen]
    return None


def _get_task(settings: Any) -> int:
    picked = selection.read(settings.id_data)
    return _TASKS.index(_chosen(settings, picked) or selection.implied(settings.id_data, picked))


def _set_task(settings: Any, value: int) -> None:
    settings.task_chosen = TASK_ITEMS[value][0]
    settings.task_chosen_for = selection.read(settings.id_data).key


class TaskSettings:
    """Settings of the tasks; the panel shows those of its task."""

    task: EnumProperty(
        name="Task",
        description="What to make. It follows the selection; another choice holds until the selection changes",
        items=TASK_ITEMS,
        get=_get_task,
        set=_set_task,
    )
    task_chosen: StringProperty(options={"HIDDEN"})
    task_chosen_for: StringProperty(options={"HIDDEN"})
    """The selection that `task_chosen` was chosen for."""
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
    conform: EnumProperty(
        name="Between Frames",
        description="What to show where the scene has more frames than the model makes",
        items=[
            ("FLOW", "In Between", "Interpolated frames that follow the motion"),
            ("REPEAT", "Repeat", "Repeat the nearest frame: exact, but less smooth"),
        ],
    )
