"""Strategies for hypothesis: any message of a kind, any JSON value."""

from __future__ import annotations

import dataclasses
import typing
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from wan_backend.protocol import methods
from wan_backend.protocol.sentences import Sentence

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
"""Any Unicode, lone surrogates too."""
WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)
NUMBER = st.floats(-1e300, 1e300, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SENTENCES = st.recursive(
    TEXT.map(Sentence),
    lambda inner: st.builds(
        lambda template, values: Sentence(template, **values),
        st.lists(TEXT | st.sampled_from(["{a}", "{b}", "{file}"]), max_size=4).map("".join),
        st.dictionaries(st.sampled_from(["a", "b", "file"]), TEXT | inner, max_size=3),
    ),
    max_leaves=4,
)
TABLES = [
    methods.SERVER_METHODS,
    methods.SERVER_EVENTS,
    methods.WORKER_METHODS,
    methods.WORKER_EVENTS,
    methods.FETCH_EVENTS,
    methods.SETUP_EVENTS,
]
KINDS = sorted(
    {kind for table in TABLES for row in table.values() for kind in (row.params, row.result) if kind},
    key=lambda kind: kind.__name__,
)
"""Every message that is the params or the result of a method."""


def messages(kind: type) -> st.SearchStrategy[Any]:
    """Any message of that kind."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: _value(hints[field.name]) for field in dataclasses.fields(kind)})


def _value(kind: Any) -> st.SearchStrategy[Any]:
    members = typing.get_args(kind)
    if typing.get_origin(kind) is list:
        return st.lists(_value(members[0]), max_size=2)
    if members:
        (only,) = [member for member in members if member is not type(None)]
        return st.none() | _value(only)
    if dataclasses.is_dataclass(kind):
        return messages(kind)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if kind is Sentence:
        return SENTENCES
    return {str: TEXT, int: WHOLE, float: NUMBER, bool: st.booleans()}[kind]
