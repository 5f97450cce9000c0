"""Text strips over footage: where a take is made from what the preview shows, their words are in it."""

from __future__ import annotations

import bpy

from . import compat, free_space, strip_columns
from .targets import Target


def burnt_into(scene: bpy.types.Scene, target: Target | None) -> list[str]:
    """The names of the text strips whose words are in what `target` is made from. Safe in a draw.

    A strip that is named as the source is rendered alone; the preview is rendered with all that it shows.
    """
    found: list[str] = []
    shown = [wanted for wanted in (target.wanted if target is not None else ()) if not wanted.strip_names]
    if not shown:
        return found
    collection = compat.shown_strips(scene)
    strips = strip_columns.columns(collection)
    muted = free_space.muted_channels(scene)
    for wanted in shown:
        for index in strips.overlapping(wanted.start, wanted.end_exclusive):
            if strips.overlays[index] and not strips.mutes[index] and strips.channels[index] not in muted:
                strip = collection[index]
                if strip.type == "TEXT" and strip.text.strip() and strip.name not in found:
                    found.append(strip.name)
    return found
