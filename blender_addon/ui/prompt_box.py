"""The prompt of the shown task, in one row: where it comes from, its field, more room, and earlier ones."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Task
from .. import preferences
from ..jobs import planned_takes, request
from ..operators.snapshot import Snapshot
from ..properties import WanSettings
from ..timeline import selection
from . import paragraph, wording

OPTIONAL = (Task.FILL_GAP, Task.EXTEND)
"""Tasks whose strips say enough."""


def draw(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    scene: bpy.types.Scene,
    settings: WanSettings,
    seen: Snapshot,
) -> None:
    """One row, as high for every source of the prompt."""
    row = layout.row(align=True)
    row.prop(settings, "prompt_source", text="", icon_only=True)
    if settings.prompt_source == "FIELD":
        row.prop(settings, request.PROMPT_FIELDS[seen.task], text="", placeholder=placeholder(scene, seen))
    elif settings.prompt_source == "TEXT_BLOCK":
        row.prop(settings, "prompt_text", text="")
        row.operator("wan_vse.write_prompt_text", text="", icon="GREASEPENCIL" if settings.prompt_text else "ADD")
    else:
        text = selection.prompt_of_text_strip(scene) or ""
        if text.strip():
            paragraph.draw_line(row, context, text, translate=False)
        else:
            row.label(text="Select a text strip in the timeline.")
    if settings.prompt_source != "TEXT_STRIP":
        row.prop(settings, "words_over_time", text="", icon="TIME")
    row.prop(settings, "keep_pictures", text="", icon="PINNED")
    draw_more(row)


def draw_words(layout: bpy.types.UILayout, context: bpy.types.Context, settings: WanSettings, seen: Snapshot) -> None:
    """What the text strips over the first take say when, or that there are none; nothing where that isn't asked for."""
    if not settings.words_over_time or settings.prompt_source == "TEXT_STRIP":
        return
    column = layout.column(align=True)
    take = next((take for take in seen.takes.planned if take.target is not None), None)
    column.prop(settings, "words_of_markers")
    if take is None or take.target is None or not take.request.words:
        nothing = "No text strip lies over these frames"
        if settings.words_of_markers:
            nothing = "No text strip and no marker speaks for these frames"
        paragraph.draw_line(column, context, nothing, "INFO")
        return
    for line in wording.words(take.request.words, take.target.start):
        paragraph.draw_line(column, context, line, "TIME", translate=False)
    if take.words.covered is not None:
        words = iface_("'{}' lies over '{}': there, the upper one's words hold")
        paragraph.draw(column, context, words.format(*take.words.covered), "INFO", translate=False)
    if take.words.over_markers:
        paragraph.draw_line(column, context, "Where text strips lie, markers say nothing", "INFO")
    if any(each.strip_name for each in take.words.words):
        column.prop(settings, "mute_text_strips")


def draw_pictures(
    layout: bpy.types.UILayout, context: bpy.types.Context, settings: WanSettings, seen: Snapshot
) -> None:
    """Which pictures the first take keeps where, or that there are none; nothing where that isn't asked for."""
    if not settings.keep_pictures:
        return
    column = layout.column(align=True)
    take = next((take for take in seen.takes.planned if take.target is not None), None)
    pictures = () if take is None else take.pictures.kept
    for line in wording.pictures([(strip.start, strip.name) for strip in pictures]):
        paragraph.draw_line(column, context, line, "PINNED", translate=False)
    if not pictures:
        paragraph.draw_line(column, context, "No image strip begins over these frames", "INFO")
    if take is not None and take.pictures.early:
        words = iface_("'{}' begins before the take, so its picture is not kept")
        paragraph.draw(column, context, words.format(take.pictures.early), "INFO", translate=False)
    if pictures:
        column.prop(settings, "mute_kept_pictures")


def draw_of_take(layout: bpy.types.UILayout, settings: WanSettings) -> None:
    """The prompt of the selected take, and whether Enter makes a take of it. Presets are not for takes."""
    row = layout.row(align=True)
    row.prop(settings, "take_prompt", text="", placeholder="Without a prompt")
    row.prop(preferences.get(), "enter_makes_take", text="", icon="EVENT_RETURN", toggle=True)
    _draw_room(row)


def draw_more(row: bpy.types.UILayout) -> None:
    """The dialog with room, and the menus of prompts and of presets."""
    _draw_room(row)
    row.menu("WAN_VSE_MT_presets", text="", icon="PRESET")


def _draw_room(row: bpy.types.UILayout) -> None:
    row.operator("wan_vse.prompt_dialog", text="", icon="FULLSCREEN_ENTER")
    row.menu("WAN_VSE_MT_prompts", text="", icon="RECOVER_LAST")


def placeholder(scene: bpy.types.Scene, seen: Snapshot) -> str:
    """What an empty field says: that it may stay empty, and which prompt is used then."""
    if seen.task is Task.EDIT:
        return iface_("Describe what is to change")
    if seen.task not in OPTIONAL:
        return iface_("Describe what the take shows")
    targets = [take.target for take in seen.takes.planned if take.target is not None]
    own = planned_takes.prompt_of_sources(scene, targets[0]) if targets else ""
    return iface_("Optional: {}").format(own[:200]) if own else iface_("Optional")
