"""The prompt that a text block or a text strip holds."""

from __future__ import annotations

import bpy

from . import compat


def from_text_block(text: bpy.types.Text) -> str:
    """The whole text, lines joined by spaces."""
    return " ".join(line.body.strip() for line in text.lines if line.body.strip())


def text_strip(scene: bpy.types.Scene) -> compat.Strip | None:
    """The text strip that is meant: the active one if it is selected, else the first selected, else None."""
    selected = [strip for strip in compat.selected_strips(scene) if strip.type == "TEXT"]
    active = compat.active_strip(scene)
    return active if active in selected else next(iter(selected), None)


def from_text_strip(scene: bpy.types.Scene) -> str | None:
    """The text of the selected text strip, lines joined by spaces; None where none is selected."""
    strip = text_strip(scene)
    return None if strip is None else " ".join(strip.text.split())
