"""The prompt that a text block or a text strip holds."""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import MAX_PROMPT_CHARACTERS
from . import compat

MOST_CHARACTERS = 2 * MAX_PROMPT_CHARACTERS
"""More than any prompt may have."""


def from_text_block(text: bpy.types.Text) -> str:
    """The whole text, lines joined by spaces; of one that is far too long for a prompt, the beginning."""
    lines: list[str] = []
    room = MOST_CHARACTERS
    for line in text.lines:  # a panel asks at every redraw, and the text may be a book
        body = line.body.strip()
        if body:
            lines.append(body)
            room -= len(body) + 1
            if room < 0:
                break
    return " ".join(lines)


def text_strip(scene: bpy.types.Scene) -> compat.Strip | None:
    """The text strip that is meant: the active one if it is selected, else the first selected, else None."""
    selected = [strip for strip in compat.selected_strips(scene) if strip.type == "TEXT"]
    active = compat.active_strip(scene)
    return active if active in selected else next(iter(selected), None)


def from_text_strip(scene: bpy.types.Scene) -> str | None:
    """The text of the selected text strip, lines joined by spaces; None where none is selected."""
    strip = text_strip(scene)
    return None if strip is None else " ".join(strip.text.split())
