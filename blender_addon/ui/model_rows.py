"""The models, a row each: what it does, how large it is, whether it fits this card, and its download."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import ModelRow
from ..jobs import session
from ..properties import EMBEDDED
from . import download_box, paragraph, task_box, wording

WIDE = 480
"""A region that has room for all columns, in pixels at 100 %; the sidebar has not."""
FITS, STREAMS, TOO_LARGE, UNKNOWN = "fits", "streams", "too large", ""
_FIT_WORDS: dict[str, tuple[str, Any]] = {
    FITS: ("Fits", "CHECKMARK"),
    STREAMS: ("Streams", "UV_SYNC_SELECT"),
    TOO_LARGE: ("Too Large", "CANCEL"),
    UNKNOWN: ("", "NONE"),
}


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """All models, those that are here first, with a legend where a card is known."""
    server = session.current().server
    recommended = recommended_of(server.models, server.worker.device_bytes)
    if server.looking:
        paragraph.draw(layout, context, server.looking, "SORTTIME")
    column = layout.column(align=True)
    for model in in_order(server.models, recommended):
        draw_row(column, context, model, model.model == recommended)
    if recommended:
        paragraph.draw(layout, context, "Recommended for this machine.", "SOLO_ON")
    if server.worker.device_bytes:
        words = iface_("Of {} memory: a model that streams is slower, as its weights come from the machine's.")
        paragraph.draw(layout, context, words.format(wording.size(server.worker.device_bytes)), "MEMORY")


def draw_row(layout: bpy.types.UILayout, context: bpy.types.Context, model: ModelRow, is_recommended: bool) -> None:
    """One model; below it what is wrong with its download, or how far that is."""
    downloads = session.current().server.downloads
    is_wide = context.region is None or context.region.width > WIDE * context.preferences.system.ui_scale
    name, facts, fits, end = _columns(layout, bool(session.current().server.worker.device_bytes), is_wide)
    name.active = model.here
    icon: Any = "SOLO_ON" if is_recommended else "CHECKMARK" if model.here else "BLANK1"
    name.label(text=model.label, icon="ERROR" if model.broken else icon, translate=False)
    if facts is not None:
        facts.active = model.here
        facts.label(text=does(model))
    if fits is not None:
        word, fit_icon = _FIT_WORDS[fit(model, session.current().server.worker.device_bytes)]
        fits.label(text=word if is_wide else "", icon=fit_icon)
    begun = downloads.is_begun(model.model)
    if not model.here and model.download_bytes and not begun and not session.current().server.looking:
        text = wording.size(model.download_bytes)
        icon = "IMPORT" if is_wide else "NONE"
        end.operator("wan_vse.download_model", text=text, icon=icon).model = model.model
    else:
        end.label(text="")
    if model.broken:
        paragraph.draw(layout, context, model.sentence, "ERROR")
    elif begun:
        download_box.draw_fetchable(layout, context, model)


def _columns(
    layout: bpy.types.UILayout, has_card: bool, is_wide: bool
) -> tuple[bpy.types.UILayout, bpy.types.UILayout | None, bpy.types.UILayout | None, bpy.types.UILayout]:
    """The columns of a row, each a share of the width whatever stands in them, so that rows are aligned.

    Name, tasks, how it fits the card, and the button. A sidebar has no room for the tasks, which most names say;
    without a card that is known, nothing is said of how the model fits.
    """
    shares = ([0.4, 0.22] if is_wide else [0.66]) + ([0.18 if is_wide else 0.08] if has_card else [])
    columns, left = [], 1.0
    for share in shares:
        layout = layout.split(factor=share / left)
        columns.append(layout.row())
        left -= share
    facts = columns[1] if is_wide else None
    return columns[0], facts, columns[-1] if has_card else None, layout.row()


def in_order(models: list[ModelRow], recommended: str) -> list[ModelRow]:
    """Those that are here first, then the recommended one; else as in the catalogue."""
    return sorted(models, key=lambda model: (not model.here, model.model != recommended))


def does(model: ModelRow) -> str:
    """The names of the tasks that a model does: "All Tasks", "Text, Image"."""
    names = [iface_(task_box.name_of(task)) for task in model.tasks]
    return iface_("All Tasks") if len(names) == len(task_box.BUTTONS) else ", ".join(names)


def fit(model: ModelRow, device_bytes: int) -> str:
    """Whether the model fits a card with so much memory."""
    if not device_bytes or not model.memory_bytes:
        return UNKNOWN
    if model.memory_bytes <= device_bytes:
        return FITS
    return STREAMS if model.least_memory_bytes and model.least_memory_bytes <= device_bytes else TOO_LARGE


def recommended_of(models: list[ModelRow], device_bytes: int) -> str:
    """The model for somebody who has none: of those that fit the card, the one with most tasks, then the largest.

    Without a card that is known, the smallest to download; empty if there is none.
    """
    offered = [model for model in models if model.model != EMBEDDED and model.download_bytes]
    fitting = [model for model in offered if fit(model, device_bytes) == FITS]
    if fitting:
        return max(fitting, key=lambda model: (len(model.tasks), model.download_bytes)).model
    streaming = [model for model in offered if fit(model, device_bytes) == STREAMS]
    most = max((len(model.tasks) for model in streaming or offered), default=0)
    able = [model for model in streaming or offered if len(model.tasks) == most]
    return min(able, key=lambda model: model.download_bytes).model if able else ""
