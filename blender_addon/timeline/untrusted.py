"""Reads custom properties and settings of a .blend as untrusted input: the file may come from anybody.

A value that is not of the kind that this add-on writes is ignored, and nothing else reads the add-on's properties. The
limits of requests and takes are in the protocol's `bounds` and `plain_names`. It needs no Blender.
"""

from __future__ import annotations

import math
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar

from ...wan_backend.protocol import ProtocolError, bounds
from ...wan_backend.protocol.conversion import from_json
from ...wan_backend.protocol.messages import Take, TakeRequest
from ...wan_backend.protocol.plain_names import is_id

E = TypeVar("E", bound=Enum)
ID_CHARACTERS = 32
Owner = Any
"""A strip or a scene: anything that has `get`."""


def id_in(owner: Owner, key: str) -> str:
    """The id under that key; empty if there is none."""
    value = owner.get(key)
    return value if isinstance(value, str) and len(value) == ID_CHARACTERS and _is_id(value) else ""


@lru_cache(maxsize=1 << 14)
def _is_id(text: str) -> bool:
    """Thousands of strips are asked for theirs at a time, and again and again."""
    return is_id(text)


def text_in(owner: Owner, key: str) -> str:
    """The text under that key; empty if there is none, or if it is longer than any text that is written."""
    value = owner.get(key)
    return value if isinstance(value, str) and len(value) <= bounds.MAX_JSON_CHARACTERS else ""


def frame_in(owner: Owner, key: str, default: int) -> int:
    """The frame (or number of frames) under that key; `default` if there is none."""
    value = owner.get(key)
    return value if is_frame(value) else default


def flag_in(owner: Owner, key: str) -> bool:
    """Whether the value under that key is true."""
    value = owner.get(key)
    return isinstance(value, bool | int) and value == 1


def is_frame(value: object) -> bool:
    """Whether `value` is a whole number in the range of Blender's frames."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < bounds.LAST_FRAME


def choice(kind: type[E], word: str, otherwise: E) -> E:
    """The item that a scene's setting names; `otherwise` where the file's number stands for no item."""
    try:
        return kind(word.lower())
    except ValueError:
        return otherwise


def share(number: float) -> float:
    """Clamp a setting to 0 to 1: Blender enforces the limits for what is typed, but not for what a file holds."""
    return min(max(number, 0.0), 1.0) if math.isfinite(number) else 1.0


def drop_unreadable(settings: Any) -> None:
    """Reset the texts of a property group that are not UTF-8: reading one in Python raises an error."""
    for each in settings.bl_rna.properties:
        if each.type == "STRING" and not each.is_readonly:
            try:
                getattr(settings, each.identifier)
            except UnicodeDecodeError:
                settings.property_unset(each.identifier)


@lru_cache(maxsize=16)
def request(text: str) -> TakeRequest | None:
    """Parse the request that a strip keeps; None if it is not valid, or asks for a training, of which no strip comes.

    The results are cached, since the panel asks for the active strip's request at every redraw.
    """
    try:
        read = from_json(TakeRequest, bounds.parsed(text), "request")
    except (ValueError, TypeError, OverflowError, ProtocolError):
        return None
    return read if bounds.is_sane_request(read) and read.training is None else None


@lru_cache(maxsize=1 << 13)
def take(text: str) -> Take | None:
    """Parse the finished take that a strip keeps; None if it is not valid. Thousands are asked for again and again."""
    try:
        read = from_json(Take, bounds.parsed(text), "take") if text else None
    except (ValueError, TypeError, OverflowError, ProtocolError):
        return None
    return read if read is not None and bounds.is_sane_take(read) else None
