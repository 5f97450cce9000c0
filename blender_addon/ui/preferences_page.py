"""The page of the extension's preferences."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import ExtraRow
from ..jobs import card_choice, session
from ..preferences import WanPreferences
from ..stopwatch import timed
from ..translation import translated
from . import backend_box, download_box, machine_list, model_rows, paragraph, shortcuts, wording

LOOKING = "not found so far; the models folders are still being searched."


@timed("draw: preferences")
def draw(preferences: WanPreferences, context: bpy.types.Context) -> None:
    """The whole page."""
    layout = preferences.layout
    session.current().server.want()
    draw_backend(layout, context, preferences)
    draw_models(layout, context, preferences)
    draw_takes(layout, context, preferences)
    shortcuts.draw(layout, context)


def draw_backend(layout: bpy.types.UILayout, context: bpy.types.Context, preferences: WanPreferences) -> None:
    """The backend's state, the machines, and this one's setup and field for another backend."""
    box = layout.box()
    box.label(text="Backend")
    current = session.current()
    if current.setup.state not in ("idle", "done"):
        backend_box.draw_setup(box, context)
    elif current.server.status.state == "missing":
        backend_box.draw_missing(box, context)
    else:
        backend_box.draw_state(box, context)
    machine_list.draw(box, context, preferences)
    used = preferences.used_machine
    if 1 <= used <= len(preferences.machines):
        machine_list.draw_shared_folders(box, preferences.machines[used - 1], used)
        return
    fields = _fields(box)
    fields.prop(preferences, "backend_command", placeholder="The one that was set up")
    if current.server.status.state != "missing" and current.setup.state in ("idle", "done"):
        fields.operator("wan_vse.setup_backend", text="Set Up Again", icon="IMPORT")


def draw_models(layout: bpy.types.UILayout, context: bpy.types.Context, preferences: WanPreferences) -> None:
    """The folders and the device, then each model, with its download if it isn't here."""
    box = layout.box()
    box.label(text="Models")
    fields = _fields(box)
    fields.prop(preferences, "models_folder", placeholder="The Hugging Face cache")
    fields.prop(preferences, "loras_folder", placeholder="For example ComfyUI's models/loras")
    fields.prop(preferences, "device")
    if preferences.device in ("auto", "cuda"):
        draw_cards(fields, preferences)
    fields.prop(preferences, "memory_budget_gib", text="Memory Budget (GiB)")
    fields.prop(preferences, "warm_up")
    fields.prop(preferences, "idle_minutes", text="Unload After (Minutes)")
    model_rows.draw(box, context)
    draw_extras(layout, context)


def draw_cards(fields: bpy.types.UILayout, preferences: WanPreferences) -> None:
    """A checkbox for each graphics card, where there are several; the text where it names what isn't listed."""
    cards = session.current().server.cards
    chosen = card_choice.parsed(preferences.cards)
    listed = [row.card for row in cards]
    if any(card not in listed for card in chosen):
        fields.prop(preferences, "cards")
    if not cards:
        return
    column = fields.column(align=True, heading="Graphics Cards")
    for row in cards:
        used = row.card in chosen or not chosen
        words = f"{row.name}, {wording.size(row.memory_bytes)}"
        icon: Any = "CHECKBOX_HLT" if used else "CHECKBOX_DEHLT"
        column.operator("wan_vse.use_card", text=words, icon=icon, depress=used, translate=False).card = row.card
    if len(cards) > 1:
        fields.prop(preferences, "cards_per_take")


def draw_extras(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What makes drafts quicker or takes larger, and the download of those that are not here."""
    fetched = [extra for extra in session.current().server.extras if extra.download_bytes]
    for words, upscales in (("For Faster Drafts", False), ("For Larger Takes", True)):
        _draw_extras(layout, context, words, [extra for extra in fetched if extra.upscales is upscales])


def _draw_extras(layout: bpy.types.UILayout, context: bpy.types.Context, words: str, extras: list[ExtraRow]) -> None:
    if not extras:
        return
    box = layout.box()
    box.label(text=words)
    for extra in extras:
        line = box.column(align=True)
        line.active = extra.here
        paragraph.draw(line, context, *_extra_line(extra))
        download_box.draw_fetchable(box, context, extra)


def _extra_line(extra: ExtraRow) -> tuple[str, str]:
    """What is known of a LoRA or a tiny autoencoder, and its icon."""
    if not extra.here and session.current().server.looking:
        return f"{extra.label}: {iface_(LOOKING)}", "SORTTIME"
    if not extra.here:
        return f"{extra.label}: {translated(extra.notes)}", "IMPORT"
    return f"{extra.label} ({extra.licence}): {translated(extra.sentence)}", "CHECKMARK"


def draw_takes(layout: bpy.types.UILayout, context: bpy.types.Context, preferences: WanPreferences) -> None:
    """The folder that takes are kept in, and how one hears of a take."""
    box = layout.box()
    box.label(text="Takes")
    fields = _fields(box)
    fields.prop(preferences, "media_folder", placeholder="wan/ beside the .blend file")
    fields.prop(preferences, "certificate", placeholder="None: movies aren't signed")
    if preferences.certificate:
        fields.prop(preferences, "private_key")
    fields.prop(preferences, "announce")
    if preferences.announce != "NEVER":
        fields.prop(preferences, "announce_by_sound")
        fields.prop(preferences, "announce_by_notice")


def _fields(box: bpy.types.UILayout) -> bpy.types.UILayout:
    column = box.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column
