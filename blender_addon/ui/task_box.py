"""Which task is shown, the five others, and the settings of the shown one alone. Draws only."""

from __future__ import annotations

from typing import Any

import bpy

from ...wan_backend.protocol.messages import Role, Task
from ..jobs import request
from ..properties import WanSettings
from ..properties.task import TASK_ITEMS
from ..timeline import scene_format, selection, targets
from ..timeline.targets import Target
from . import paragraph, wording
from .shown import Shown

BUTTONS = {
    Task.TEXT_TO_VIDEO: ("generate", "Generate"),
    Task.IMAGE_TO_VIDEO: ("animate_picture", "Animate Picture"),
    Task.RESTYLE: ("restyle", "Restyle"),
    Task.FILL_GAP: ("fill_gap", "Fill Gap"),
    Task.EXTEND: ("extend", "Extend"),
    Task.PREVIS: ("dress_previs", "Dress Previs"),
}
"""The operator of each task, and what its button says."""
_BETWEEN = {
    Task.FILL_GAP: "From {} into {}",
    Task.IMAGE_TO_VIDEO: "From {} to {}",
    Task.PREVIS: "{} in the look of {}",
    Task.RESTYLE: "{} and {}, as the preview shows them",
}
_NAMES = {Task[item[0]]: item[1] for item in TASK_ITEMS}
_ICONS: dict[Task, Any] = {Task[item[0]]: item[3] for item in TASK_ITEMS}


def name_of(asked: str) -> str:
    """What a request's task is called; a newer version's by its own word."""
    return next((name for one, name in _NAMES.items() if one.value == asked), asked)


def draw_choice(layout: bpy.types.UILayout, seen: Shown) -> None:
    """The shown task in words, which the selection implies or somebody chose; the others as icons beside it."""
    row = layout.row(align=True)
    row.scale_y = 1.2
    _draw_one(row, seen, seen.task, _NAMES[seen.task])
    others = row.row(align=True)
    others.alignment = "RIGHT"
    for other in Task:
        if other is not seen.task:
            _draw_one(others, seen, other, "")


def _draw_one(row: bpy.types.UILayout, seen: Shown, one: Task, text: str) -> None:
    button = row.operator("wan_vse.choose_task", text=text, icon=_ICONS[one], depress=one is seen.task)
    button.task = one.name


def draw_made_from(layout: bpy.types.UILayout, context: bpy.types.Context, seen: Shown) -> None:
    """Which strips the task is about, in a line or two; nothing where it's about none, or can't be done."""
    made = [order.target for order in seen.made if order.target is not None]
    if made and seen.task is not Task.TEXT_TO_VIDEO:
        paragraph.draw(layout, context, made_from(made), _ICONS[seen.task], most_lines=2)


def made_from(made: list[Target]) -> str:
    """Which strips the takes are made from."""
    names = [f"'{strip.name}'" for strip in made[0].sources]
    if len(made) > 1:
        return f"{names[0]} and {len(made) - 1} more, a take for each"
    if not names:
        return "What the preview shows in its range"
    words = _BETWEEN.get(made[0].task, "{} and {}")
    if len(names) == 2:
        return words.format(*names)
    if made[0].task is Task.EXTEND:
        backward = made[0].wanted[0].role is Role.AFTER
        return f"Up to the start of {names[0]}" if backward else f"On from the end of {names[0]}"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more, as the preview shows them"


def draw_settings(layout: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, seen: Shown) -> None:
    """What only the shown task has to set."""
    shown, picked = seen.task, seen.picked
    column = layout.column(align=True)
    if shown is Task.TEXT_TO_VIDEO:
        _draw_text(column, scene, settings, len(picked.texts))
    elif shown is Task.IMAGE_TO_VIDEO:
        if len(picked.footage) < 2:
            column.prop(settings, "as_long_as_strip")
        if not settings.as_long_as_strip and len(picked.footage) < 2:
            draw_length(column, scene, settings, with_hole=False)
    elif shown is Task.RESTYLE:
        column.prop(settings, "strength", slider=True)
        column.label(text="Keep of the Footage")
        column.row(align=True).prop(settings, "guide", expand=True)
    elif shown is Task.EXTEND:
        _draw_extend(column, scene, settings, picked)
    elif shown is Task.PREVIS:
        column.row(align=True).prop(settings, "blocking", expand=True)
        column.prop(settings, "freedom", slider=True)
        row = column.row()
        row.label(text="As Blocked Out")
        right = row.row()
        right.alignment = "RIGHT"
        right.label(text="Free")


def draw_length(
    layout: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, with_hole: bool = True
) -> None:
    """How long, in the unit that is given, with the other beside it."""
    row = layout.row(align=True)
    for mode in ("FRAMES", "SECONDS", "HOLE") if with_hole else ("FRAMES", "SECONDS"):
        row.prop_enum(settings, "length_mode", mode)
    rate = scene_format.rate_of(scene)
    row = layout.row(align=True)
    if settings.length_mode == "SECONDS":
        row.prop(settings, "length_seconds", text="Seconds")
        other = wording.frames(scene_format.frames_of(settings.length_seconds, rate))
    elif settings.length_mode == "FRAMES" or not with_hole:
        row.prop(settings, "length_frames", text="Frames")
        other = f"{scene_format.seconds_of(settings.length_frames, rate):.2f} s"
    else:
        try:
            place = request.length_of(scene, settings)
        except request.Refused:  # the outcome says why
            return
        row.label(text=f"Frames {place.start} to {place.end_exclusive - 1}", icon="SNAP_MIDPOINT")
        other = f"{wording.frames(place.length_frames)}, {scene_format.seconds_of(place.length_frames, rate):.2f} s"
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=other)


def draw_button(layout: bpy.types.UILayout, settings: WanSettings, seen: Shown) -> None:
    """The button that all of this is for."""
    shown, picked = seen.task, seen.picked
    operator, text = BUTTONS[shown]
    if shown is Task.TEXT_TO_VIDEO and settings.prompt_source == "TEXT_STRIP" and len(picked.texts) > 1:
        text = f"Generate {len(picked.texts)} Takes"
    elif shown is Task.TEXT_TO_VIDEO and settings.length_mode == "HOLE":
        text = "Generate into Hole"
    row = layout.row()
    row.scale_y = 1.8
    row.operator(f"wan_vse.{operator}", text=text, icon="RENDER_ANIMATION")


def _draw_text(column: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, texts: int) -> None:
    if settings.prompt_source != "TEXT_STRIP":
        draw_length(column, scene, settings)
        if texts:
            column.label(text="For a take of each text strip, choose Strip.", icon="INFO")
    elif texts:
        text = "A take as long as the text strip" if texts == 1 else f"{texts} takes, as long as their strips"
        column.label(text=text)


def _draw_extend(
    column: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, picked: selection.Selection
) -> None:
    strip = picked.footage[0] if len(picked.footage) == 1 else None
    held_sides = 0 if strip is None else (strip.held_before > 0) + (strip.held_after > 0)
    if held_sides != 1:
        column.row(align=True).prop(settings, "extend_direction", expand=True)
    rate = scene_format.rate_of(scene)
    row = column.row(align=True)
    if strip is not None and held_sides:
        backward = targets.goes_backward(strip, settings.extend_direction == "BACKWARD")
        frames = strip.held_before if backward else strip.held_after
        row.label(text=f"The held part: {wording.frames(frames)}", icon="SNAP_MIDPOINT")
    else:
        frames = settings.extend_frames
        row.prop(settings, "extend_frames")
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=f"{scene_format.seconds_of(frames, rate):.2f} s")
