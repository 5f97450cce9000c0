"""Dataclasses to JSON values and back, checked by their own type hints. Standard library only.

Reading is strict about types, lenient about unknown keys (a newer peer may send more). A field whose metadata hold a
`Codec` under `CODEC` travels in another form than it has in memory.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from .errors import INVALID_PARAMS, ProtocolError

T = TypeVar("T")
CODEC = "codec"


@dataclasses.dataclass(frozen=True)
class Codec:
    """How a field's value travels."""

    pack: Callable[[Any], Any]
    """The value as JSON values."""
    unpack: Callable[[Any, str], Any]
    """The value of JSON values, given where they stand; raises ProtocolError."""
    words: str
    """What travels, for docs/protocol.md."""


def to_json(value: Any) -> Any:
    """A dataclass, enum, list or plain value as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _field_to_json(field, getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def _field_to_json(field: dataclasses.Field[Any], value: Any) -> Any:
    codec: Codec | None = field.metadata.get(CODEC)
    return to_json(value) if codec is None else codec.pack(value)


def from_json(kind: type[T], value: Any, where: str = "params") -> T:
    """`value` as a `kind`; raises ProtocolError (INVALID_PARAMS) that names the field in the wrong."""
    return typing.cast(T, _read(kind, value, where))


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _read_union(kind, value, where)
    if origin is list:
        (item_kind,) = typing.get_args(kind)
        _expect(isinstance(value, list), where, "a list", value)
        return [_read(item_kind, item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        _expect(isinstance(value, dict), where, "an object", value)
        return {key: _read(typing.get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    return _read_plain(kind, value, where)


def _read_union(kind: Any, value: Any, where: str) -> Any:
    members = typing.get_args(kind)
    if value is None and type(None) in members:
        return None
    (only,) = [member for member in members if member is not type(None)]
    if value == "" and isinstance(only, type) and issubclass(only, Enum):
        return None  # as version 0.1.0 said that there is none
    return _read(only, value, where)


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "an object", value)
    hints = _hints(kind)
    arguments = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            place = f"{where}.{field.name}"
            codec: Codec | None = field.metadata.get(CODEC)
            read = (
                codec.unpack(value[field.name], place) if codec else _read(hints[field.name], value[field.name], place)
            )
            arguments[field.name] = read
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ProtocolError(INVALID_PARAMS, f"{where}.{field.name} is missing.")
    return kind(**arguments)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The resolved type hints of a class: compiling them anew for each message costs a window milliseconds."""
    return typing.get_type_hints(kind)


def _read_plain(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            choices = ", ".join(str(member.value) for member in kind)
            raise ProtocolError(INVALID_PARAMS, f"{where} must be one of {choices}.") from None
    if kind is float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        good = good and abs(value) <= 1e300 and math.isfinite(value)
        _expect(good, where, "a finite number", value)
        return float(value)
    if kind is int:
        good = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
        _expect(good, where, "a whole number of at most 63 bits", value)
        return value
    names = {str: "a string", bool: "true or false"}
    _expect(isinstance(value, kind), where, names.get(kind, str(kind)), value)
    return value


def _expect(good: bool, where: str, wanted: str, value: Any) -> None:
    if not good:
        raise ProtocolError(INVALID_PARAMS, f"{where} must be {wanted}, not {type(value).__name__}.")
