"""What custom properties say, read as from an enemy: a .blend may come from anybody. No bpy.

Whatever is not of the kind that this add-on writes counts for nothing; nothing else reads the add-on's properties.
What requests and takes may hold is said by the protocol's `bounds` and `plain_names`.
"""

from __future__ import annotations

import math
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar

from ...wan_backend.protocol import ProtocolError, bounds
from ...wan_backend.protocol.conversion import from_json
from ...wan_backend.protocol.messages import TakeRequest
from ...wan_backend.protocol.plain_names import is_id

E = TypeVar("E", bound=Enum)
Owner = Any
"""A strip or a scene: what has `get`."""


def id_in(owner: Owner, key: str) -> str:
    """The id under that key; empty where there is none."""
    value = owner.get(key)
    return value if isinstance(value, str) and is_id(value) else ""


def text_in(owner: Owner, key: str) -> str:
    """The text under that key; empty where there is none, or one that is longer than any that was written here."""
    value = owner.get(key)
    return value if isinstance(value, str) and len(value) <= bounds.MAX_JSON_CHARACTERS else ""


def frame_in(owner: Owner, key: str, default: int) -> int:
    """The frame (or number of frames) under that key; `default` where there is none."""
    value = owner.get(key)
    return value if is_frame(value) else default


def flag_in(owner: Owner, key: str) -> bool:
    """Whether that key says yes."""
    value = owner.get(key)
    return isinstance(value, bool | int) and value == 1


def is_frame(value: object) -> bool:
    """Whether it is a whole number that Blender can have for a frame."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < bounds.LAST_FRAME


def choice(kind: type[E], word: str, otherwise: E) -> E:
    """What a setting of a scene says; `otherwise` where the file has a number there that stands for no item."""
    try:
        return kind(word.lower())
    except ValueError:
        return otherwise


def share(number: float) -> float:
    """A setting from 0 to 1; Blender keeps to the limits where it is typed, and not where it is read from a file."""
    return min(max(number, 0.0), 1.0) if math.isfinite(number) else 1.0


def drop_unreadable(settings: Any) -> None:
    """Put texts of a property group back that are no UTF-8: whoever reads one in Python is raised an error."""
    for each in settings.bl_rna.properties:
        if each.type == "STRING" and not each.is_readonly:
            try:
                getattr(settings, each.identifier)
            except UnicodeDecodeError:
                settings.property_unset(each.identifier)


@lru_cache(maxsize=16)
def request(text: str) -> TakeRequest | None:
    """What a strip says that was asked for; None where nobody asked for anything like it.

    Kept, as the panel asks for the active strip's at every redraw.
    """
    try:
        read = from_json(TakeRequest, bounds.parsed(text), "request")
    except (ValueError, TypeError, OverflowError, ProtocolError):
        return None
    return read if bounds.is_sane_request(read) else None
