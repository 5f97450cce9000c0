"""The choice of the task, the strips that it uses, and the settings that only this task has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Role, Task
from ..jobs import session
from ..operators.snapshot import Snapshot
from ..properties import WanSettings
from ..properties.task import TASK_ITEMS
from ..timeline import scene_format, selection, targets
from ..timeline.targets import Target
from . import fields, paragraph, wording

BUTTONS = {
    Task.TEXT_TO_VIDEO: ("generate", "Generate"),
    Task.IMAGE_TO_VIDEO: ("animate_picture", "Animate Picture"),
    Task.RESTYLE: ("restyle", "Restyle"),
    Task.FILL_GAP: ("fill_gap", "Fill Gap"),
    Task.EXTEND: ("extend", "Extend"),
    Task.PREVIS: ("dress_previs", "Dress Previs"),
    Task.EDIT: ("edit_footage", "Edit Footage"),
}
"""The operator of each task, and what its button says."""
_BETWEEN = {
    Task.FILL_GAP: "{} to {}",
    Task.IMAGE_TO_VIDEO: "{} to {}",
    Task.PREVIS: "{} in the look of {}",
    Task.RESTYLE: "{} and {}",
}
TAKE_ICON: Any = "RENDER_RESULT"
_NAMES = {Task[item[0]]: item[1] for item in TASK_ITEMS}
_ICONS: dict[Task, Any] = {Task[item[0]]: item[3] for item in TASK_ITEMS}


def name_of(asked: str) -> str:
    """The name of a request's task; its own word if a newer version has made the request."""
    return next((name for one, name in _NAMES.items() if one.value == asked), asked)


def draw_choice(layout: bpy.types.UILayout, seen: Snapshot, take: object) -> None:
    """The seven tasks in seven fixed places, the shown one pressed; before them the selected take's own place."""
    row = layout.row(align=True)
    row.scale_y = 1.1
    own = row.row(align=True)
    own.enabled = take is not None or seen.has_take
    own.operator("wan_vse.choose_task", text="", icon=TAKE_ICON, depress=take is not None).implied = True
    row.separator()
    for one in Task:
        button = row.operator(
            "wan_vse.choose_task", text="", icon=_ICONS[one], depress=take is None and one is seen.task
        )
        button.task = one.name


def draw_heading(layout: bpy.types.UILayout, context: bpy.types.Context, seen: Snapshot) -> None:
    """The task's name and the strips that it is about, in one line."""
    made = [take.target for take in seen.takes.planned if take.target is not None]
    words = iface_(_NAMES[seen.task])
    if made and seen.task is not Task.TEXT_TO_VIDEO:
        words = iface_("{}: {}").format(words, iface_(made_from(made)))
    paragraph.draw_line(layout, context, words, _ICONS[seen.task])


def made_from(made: list[Target]) -> str:
    """Which strips the takes are made from."""
    pictures = sum(each.role is Role.REFERENCE for each in made[0].wanted)
    if pictures:
        footage = replace(made[0], wanted=made[0].wanted[:1], sources=made[0].sources[:-pictures])
        words = "{} with 1 picture" if pictures == 1 else "{} with {} pictures"
        return iface_(words).format(made_from([footage, *made[1:]]), pictures)
    names = [f"'{strip.name}'" for strip in made[0].sources]
    if len(made) > 1:
        return iface_("{} and {} more, each").format(names[0], len(made) - 1)
    if not names:
        return "The preview range, as the preview shows it"
    words = _BETWEEN.get(made[0].task, "{} and {}")
    if len(names) == 2:
        return iface_(words).format(*names)
    if made[0].task is Task.EXTEND:
        backward = made[0].wanted[0].role is Role.AFTER
        words = "Before {}" if backward else "After {}"
        return iface_(words).format(names[0])
    if len(names) == 1:
        return names[0]
    return iface_("{} and {} more, as the preview shows them").format(names[0], len(names) - 1)


def draw_settings(layout: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, seen: Snapshot) -> None:
    """The settings that only the shown task has."""
    task, selected = seen.task, seen.selected
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    if task is Task.TEXT_TO_VIDEO:
        _draw_text(column, scene, settings, seen)
    elif task is Task.IMAGE_TO_VIDEO:
        if len(selected.footage) < 2:
            column.prop(settings, "as_long_as_strip")
        if not settings.as_long_as_strip and len(selected.footage) < 2:
            draw_length(column, scene, settings)
    elif task is Task.RESTYLE:
        column.prop(settings, "strength", slider=True)
        column.row(align=True).prop(settings, "guide", expand=True)
    elif task is Task.EXTEND:
        _draw_extend(column, scene, settings, selected)
    elif task is Task.EDIT and not any(each.is_still for each in selected.footage):
        paragraph.draw_line(column, bpy.context, "Select stills along with it as reference pictures", "INFO")
    elif task is Task.PREVIS and _follows_camera(settings):
        column.label(text="Follows the scene's camera alone", icon="VIEW_CAMERA")
        column.prop(settings, "camera_scale")
    elif task is Task.PREVIS:
        column.row(align=True).prop(settings, "blocking", expand=True)
        column.prop(settings, "freedom", slider=True)


def _follows_camera(settings: WanSettings) -> bool:
    model = session.current().server.model(settings.model)
    return model is not None and model.follows_camera


def draw_length(
    layout: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, in_gap: Snapshot | None = None
) -> None:
    """The length in the unit that is given, with the other beside it; that of the gap if `in_gap` has the take."""
    row = fields.row(layout, "Length")
    if in_gap is None:
        for mode in ("FRAMES", "SECONDS"):
            row.prop_enum(settings, "length_mode", mode)
    else:
        row.prop(settings, "length_mode", text="")
    rate = scene_format.rate_of(scene)
    row = fields.row(layout, "")
    gap = None
    if in_gap is not None and (in_gap.fits_gap or settings.length_mode == targets.PREVIEW_RANGE):
        gap = in_gap.takes.targets[0] if in_gap.takes.targets else None
    if settings.length_mode == "SECONDS":
        row.prop(settings, "length_seconds", text="Seconds")
        other = wording.frames(scene_format.frames_of(settings.length_seconds, rate))
    elif gap is None:
        row.prop(settings, "length_frames", text="Frames")
        other = wording.seconds(scene_format.seconds_of(settings.length_frames, rate))
    else:
        row.label(text=iface_("Frames {} to {}").format(gap.start, gap.end_exclusive - 1), icon="SNAP_MIDPOINT")
        other = wording.seconds(scene_format.seconds_of(gap.length_frames, rate))
    right = row.row()
    right.alignment = "RIGHT"
    right.label(text=other)


def button_words(settings: WanSettings, seen: Snapshot) -> str:
    """What the button does."""
    if seen.task is Task.TEXT_TO_VIDEO and settings.prompt_source == "TEXT_STRIP" and len(seen.selected.texts) > 1:
        return iface_("Generate {} Takes").format(len(seen.selected.texts))
    if seen.task is Task.TEXT_TO_VIDEO and seen.fits_gap:
        return iface_("Generate into Gap")
    return iface_(BUTTONS[seen.task][1])


def draw_button(layout: bpy.types.UILayout, settings: WanSettings, seen: Snapshot) -> None:
    """The button that asks for the takes: what it does, and how long that will take as far as it is known."""
    plan = session.current().server.plan_query.plan
    text = wording.with_time(button_words(settings, seen), plan)
    row = layout.row(align=True)
    row.scale_y = 1.5
    row.operator(f"wan_vse.{BUTTONS[seen.task][0]}", text=text, icon="RENDER_ANIMATION", translate=False)
    draw_count(row, settings)


def draw_count(row: bpy.types.UILayout, settings: WanSettings) -> None:
    """How many takes a click asks for, beside the button."""
    count = row.row(align=True)
    count.ui_units_x = 3
    count.prop(settings, "take_count", text="")


def _draw_text(column: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, seen: Snapshot) -> None:
    texts = len(seen.selected.texts)
    if settings.prompt_source != "TEXT_STRIP":
        draw_length(column, scene, settings, in_gap=seen)
        if texts:
            column.label(text="To make a take for each text strip, choose Text Strips.", icon="INFO")
    elif texts:
        many = iface_("{} takes, as long as their strips").format(texts)
        text = "A take as long as the text strip" if texts == 1 else many
        column.label(text=text)
        column.prop(settings, "mute_text_strips")


def _draw_extend(
    column: bpy.types.UILayout, scene: bpy.types.Scene, settings: WanSettings, selected: selection.Selection
) -> None:
    strip = selected.footage[0] if len(selected.footage) == 1 else None
    held_sides = 0 if strip is None else (strip.held_before > 0) + (strip.held_after > 0)
    if held_sides != 1:
        column.row(align=True).prop(settings, "extend_direction", expand=True)
    rate = scene_format.rate_of(scene)
    row = fields.row(column, "Length")
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
