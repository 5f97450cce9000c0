"""What a take's strip says of itself in Blender: that an AI model made its pictures, which one, and from what.

It is one custom property, a line that a person can read and another add-on can search. It goes with copies and splits,
and stays on a strip that Wan VSE no longer knows: its pictures are generated all the same. Prompts and paths aren't in
it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.conversion import from_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.messages import Take
from . import compat, untrusted

MARK = "AI"
"""The property, as Blender lists it among the strip's own."""
GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
"""IPTC's terms (cv.iptc.org/newscodes/digitalsourcetype), as in the take's files."""
MAX_CHARACTERS = 300
_FORM = re.compile(f"({GENERATED}|{COMPOSITE})(?:; ([^;]+))?(?:; ([^;]+))?")


def write(strip: compat.Strip, request_text: str, take_text: str) -> None:
    """Mark the strip by what its take was asked for and what the take's files say, both as JSON."""
    asked = untrusted.request(request_text) if request_text else None
    kind = COMPOSITE if asked is not None and asked.is_composite else GENERATED
    parts = [kind, asked.model if asked is not None else "", _program(take_text)]
    strip[MARK] = "; ".join(part.replace(";", ",") for part in parts if part)[:MAX_CHARACTERS]


class Mark(NamedTuple):
    """What a strip says."""

    kind: str
    """IPTC's term."""
    model: str
    """The id of the catalogue; "" if it isn't known."""
    program: str


def of(strip: compat.Strip) -> Mark | None:
    """What the strip says; None if it has no mark that was written here."""
    value = untrusted.text_in(strip, MARK)
    found = _FORM.fullmatch(value) if len(value) <= MAX_CHARACTERS else None
    return Mark(found[1], found[2] or "", found[3] or "") if found is not None else None


def _program(take_text: str) -> str:
    try:
        return from_json(Take, bounds.parsed(take_text), "take").program if take_text else ""
    except (ValueError, TypeError, OverflowError, ProtocolError):
        return ""
