"""The choice of the task, the strips that it uses, and the settings that only this task has."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Role, Task
from ..operators.snapshot import ShownTakes, Snapshot
from ..properties import WanSettings
from ..properties.task import TASK_ITEMS
from ..timeline import scene_format, selection, targets
from ..timeline.targets import Target
from . import paragraph, wording

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
    """The name of a request's task; its own word if a newer version has made the request."""
    return next((name for one, name in _NAMES.items() if one.value == asked), asked)


def draw_choice(layout: bpy.types.UILayout, seen: Snapshot) -> None:
    """The shown task, implied by the selection or chosen, as a button with its name; the others as icons beside it."""
    row = layout.row(align=True)
    row.scale_y = 1.2
    _draw_one(row, seen, seen.task, _NAMES[seen.task])
    others = row.row(align=True)
    others.alignment = "RIGHT"
    for other in Task:
        if other is not seen.task:
            _draw_one(others, seen, other, "")


def _draw_one(row: bpy.types.UILayout, seen: Snapshot, one: Task, text: str) -> None:
    button = row.operator("wan_vse.choose_task", text=text, icon=_ICONS[one], depress=one is seen.task)
    button.task = one.name


def draw_made_from(layout: bpy.types.UILayout, context: bpy.types.Context, seen: Snapshot) -> None:
    """The strips that the task is about, in at most two lines; nothing if there are none, or it can't be done."""
    made = [take.target for take in seen.takes.planned if take.target is not None]
    if made and seen.task is not Task.TEXT_TO_VIDEO:
        paragraph.draw(layout, context, made_from(made), _ICONS[seen.task], max_lines=2)


def made_from(made: list[Target]) -> str:
    """Which strips the takes are made from."""
    names = [f"'{strip.name}'" for strip in made[0].sources]
    if len(made) > 1:
        return iface_("{} and {} more, a take for each").format(names[0], len(made) - 1)
    if not names:
        return "The preview range, as the preview shows it"
    words = _BETWEEN.get(made[0].task, "{} and {}")
    if len(names) == 2:
        return iface_(words).format(*names)
    if made[0].task is Task.EXTEND:
        backward = made[0].wanted[0].role is Role.AFTER
        words = "Up to the start of {}" if backward else "Continues from the end of {}"
        return iface_(words).format(names[0])
    if len(names) == 1:
        return names[0]
    return iface_("{} and {} more, as the preview shows them").format(names[0], len(names) - 1)


def draw_settings(layout: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, seen: Snapshot) -> None:
    """The settings that only the shown task has."""
    task, selected = seen.task, seen.selected
    column = layout.column(align=True)
    if task is Task.TEXT_TO_VIDEO:
        _draw_text(column, scene, settings, seen)
    elif task is Task.IMAGE_TO_VIDEO:
        if len(selected.footage) < 2:
            column.prop(settings, "as_long_as_strip")
        if not settings.as_long_as_strip and len(selected.footage) < 2:
            draw_length(column, scene, settings)
    elif task is Task.RESTYLE:
        column.prop(settings, "strength", slider=True)
        column.label(text="Keep from the Footage")
        column.row(align=True).prop(settings, "guide", expand=True)
    elif task is Task.EXTEND:
        _draw_extend(column, scene, settings, selected)
    elif task is Task.PREVIS:
        column.row(align=True).prop(settings, "blocking", expand=True)
        column.prop(settings, "freedom", slider=True)
        row = column.row()
        row.label(text="As Blocked Out")
        right = row.row()
        right.alignment = "RIGHT"
        right.label(text="Free")


def draw_length(
    layout: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, in_gap: ShownTakes | None = None
) -> None:
    """The length in the unit that is given, with the other beside it; that of the gap if `in_gap` has the take."""
    row = layout.row(align=True)
    for mode in ("FRAMES", "SECONDS") if in_gap is None else ("FRAMES", "SECONDS", "GAP"):
        row.prop_enum(settings, "length_mode", mode)
    rate = scene_format.rate_of(scene)
    row = layout.row(align=True)
    if settings.length_mode == "SECONDS":
        row.prop(settings, "length_seconds", text="Seconds")
        other = wording.frames(scene_format.frames_of(settings.length_seconds, rate))
    elif settings.length_mode == "FRAMES" or in_gap is None:
        row.prop(settings, "length_frames", text="Frames")
        other = wording.seconds(scene_format.seconds_of(settings.length_frames, rate))
    else:
        if not in_gap.targets:  # the outcome says why
            return
        gap = in_gap.targets[0]
        row.label(text=iface_("Frames {} to {}").format(gap.start, gap.end_exclusive - 1), icon="SNAP_MIDPOINT")
        other = ", ".join(
            (wording.frames(gap.length_frames), wording.seconds(scene_format.seconds_of(gap.length_frames, rate)))
        )
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=other)


def draw_button(layout: bpy.types.UILayout, settings: WanSettings, seen: Snapshot) -> None:
    """The button that asks for the takes."""
    task, selected = seen.task, seen.selected
    operator, text = BUTTONS[task]
    if task is Task.TEXT_TO_VIDEO and settings.prompt_source == "TEXT_STRIP" and len(selected.texts) > 1:
        text = iface_("Generate {} Takes").format(len(selected.texts))
    elif task is Task.TEXT_TO_VIDEO and settings.length_mode == "GAP":
        text = "Generate into Gap"
    row = layout.row()
    row.scale_y = 1.8
    row.operator(f"wan_vse.{operator}", text=text, icon="RENDER_ANIMATION")


def _draw_text(column: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, seen: Snapshot) -> None:
    texts = len(seen.selected.texts)
    if settings.prompt_source != "TEXT_STRIP":
        draw_length(column, scene, settings, in_gap=seen.takes)
        if texts:
            column.label(text="To make a take for each text strip, choose Strip.", icon="INFO")
    elif texts:
        many = iface_("{} takes, as long as their strips").format(texts)
        text = "A take as long as the text strip" if texts == 1 else many
        column.label(text=text)


def _draw_extend(
    column: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, selected: selection.Selection
) -> None:
    strip = selected.footage[0] if len(selected.footage) == 1 else None
    held_sides = 0 if strip is None else (strip.held_before > 0) + (strip.held_after > 0)
    if held_sides != 1:
        column.row(align=True).prop(settings, "extend_direction", expand=True)
    rate = scene_format.rate_of(scene)
    row = column.row(align=True)
    if strip is not None and held_sides:
        backward = targets.goes_backward(strip, settings.extend_direction == "BACKWARD")
        frames = strip.held_before if backward else strip.held_after
        row.label(text=iface_("Extends the held part: {}").format(wording.frames(frames)), icon="SNAP_MIDPOINT")
    else:
        frames = settings.extend_frames
        row.prop(settings, "extend_frames")
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=wording.seconds(scene_format.seconds_of(frames, rate)))
