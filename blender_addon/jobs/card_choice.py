"""Which graphics cards may be used, as the preferences keep it: their UUIDs in one text. It needs no Blender."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...wan_backend.protocol.workers import is_card_id


def parsed(text: str) -> list[str]:
    """The cards of the text, each once, without what else a person typed; empty: all."""
    return [word for word in dict.fromkeys(re.split(r"[\s,;]+", text)) if is_card_id(word)]


def written(cards: Iterable[str]) -> str:
    """The text of these cards."""
    return " ".join(cards)


def toggled(text: str, card: str, here: Sequence[str]) -> str:
    """The text with the card used if it wasn't, and not if it was; `here` are all cards of the machine.

    The last one stays, as the processor is another choice. All of them are an empty text, which holds for cards that
    come later.
    """
    used = parsed(text) or list(here)
    changed = [each for each in used if each != card] if card in used else [*used, card]
    if not any(each in here for each in changed):
        return text
    return "" if set(here) <= set(changed) else written(changed)
