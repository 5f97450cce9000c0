"""Converts dataclasses to JSON values and back, checked by their type hints.

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

from . import sentences
from .errors import INVALID_PARAMS, ProtocolError
from .sentences import Sentence

T = TypeVar("T")
CODEC = "codec"


@dataclasses.dataclass(frozen=True)
class Codec:
    """Converts a field's value to another form for the wire."""

    pack: Callable[[Any], Any]
    """The value as JSON values."""
    unpack: Callable[[Any, str], Any]
    """The value of JSON values, given where they stand; raises ProtocolError."""
    words: str
    """The form on the wire, for docs/protocol.md."""


def to_json(value: Any) -> Any:
    """A dataclass, enum, list or plain value as JSON values; a sentence as `sentences.pack` has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _field_to_json(field, getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Sentence):
        return sentences.pack(value)
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
    read = _reader(typing.cast(Any, kind))
    try:
        return typing.cast(T, read(value))
    except _InvalidValue as wrong:
        raise ProtocolError(INVALID_PARAMS, where + wrong.text) from None


Reader = Callable[[Any], Any]
"""Returns the value in its form in memory, or raises _InvalidValue."""


class _InvalidValue(Exception):
    """A value is invalid; each reader above puts its own step of the path before the text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@functools.cache
def _reader(kind: Any) -> Reader:
    """The reader of a `kind`, built once: building it for each value would cost a redraw milliseconds."""
    if kind is Any:
        return lambda value: value
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (only,) = [member for member in members if member is not type(None)]
        return _optional_reader(only)
    if origin is list:
        return _list_reader(members[0])
    if origin is dict:
        return _dict_reader(members[1])
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(typing.cast(type, kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    if kind is Sentence:
        return _read_sentence
    return {float: _read_float, int: _read_int, str: _plain_reader(str), bool: _plain_reader(bool)}[kind]


def _optional_reader(kind: Any) -> Reader:
    read = _reader(kind)
    # Version 0.1.0 wrote an empty string if no word was chosen.
    nothing = (None, "") if isinstance(kind, type) and issubclass(kind, Enum) else (None,)
    return lambda value: None if value is None or (value == "" and "" in nothing) else read(value)


def _list_reader(kind: Any) -> Reader:
    read = _reader(kind)

    def take(value: Any) -> list[Any]:
        _expect(isinstance(value, list), "a list", value)
        items: list[Any] = []
        try:
            for item in value:
                items.append(read(item))
        except _InvalidValue as wrong:
            raise _InvalidValue(f"[{len(items)}]{wrong.text}") from None
        return items

    return take


def _dict_reader(kind: Any) -> Reader:
    read = _reader(kind)

    def take(value: Any) -> dict[str, Any]:
        _expect(isinstance(value, dict), "an object", value)
        items: dict[str, Any] = {}
        key = ""
        try:
            for key, item in value.items():
                items[key] = read(item)
        except _InvalidValue as wrong:
            raise _InvalidValue(f".{key}{wrong.text}") from None
        return items

    return take


def _dataclass_reader(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    readers: list[tuple[str, Reader, bool]] = []
    for field in dataclasses.fields(kind):
        codec: Codec | None = field.metadata.get(CODEC)
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        readers.append((field.name, _codec_reader(codec) if codec else _reader(hints[field.name]), required))

    def take(value: Any) -> Any:
        _expect(isinstance(value, dict), "an object", value)
        arguments: dict[str, Any] = {}
        name = ""
        try:
            for name, read, required in readers:
                if name in value:
                    arguments[name] = read(value[name])
                elif required:
                    raise _InvalidValue(" is missing.")
        except _InvalidValue as wrong:
            raise _InvalidValue(f".{name}{wrong.text}") from None
        return kind(**arguments)

    return take


def _codec_reader(codec: Codec) -> Reader:
    def take(value: Any) -> Any:
        try:
            return codec.unpack(value, "")
        except ProtocolError as error:
            raise _InvalidValue(error.message) from None

    return take


def _enum_reader(kind: type[Enum]) -> Reader:
    members = {member.value: member for member in kind}
    choices = ", ".join(map(str, members))

    def take(value: Any) -> Enum:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise _InvalidValue(f" must be one of {choices}.")
        return member

    return take


def _read_sentence(value: Any) -> Sentence:
    sentence = sentences.unpack(value)
    if sentence is None:
        _expect(False, "a string, or an object of a template and values", value)
    return typing.cast(Sentence, sentence)


def _read_float(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    _expect(good and abs(value) <= 1e300 and math.isfinite(value), "a finite number", value)
    return float(value)


def _read_int(value: Any) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    _expect(good, "a whole number of at most 63 bits", value)
    return typing.cast(int, value)


def _plain_reader(kind: type) -> Reader:
    words = {str: "a string", bool: "true or false"}[kind]

    def take(value: Any) -> Any:
        _expect(isinstance(value, kind), words, value)
        return value

    return take


def _expect(good: bool, wanted: str, value: Any) -> None:
    if not good:
        raise _InvalidValue(f" must be {wanted}, not {type(value).__name__}.")
