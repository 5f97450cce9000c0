"""JSON of others that is nested too deeply is refused, and what is let through can be walked through."""

from __future__ import annotations

import json

import pytest

from wan_backend.protocol import bounds, shallow_json
from wan_backend.storage import guarded_files

OPENERS = {"list": ("[", "]"), "object": ('{"a":', "}"), "both": ('[{"a":', "}]")}


def nested(kind: str, depth: int) -> str:
    opening, closing = OPENERS[kind]
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("depth", [101, 400, 990, 100_000])
@pytest.mark.parametrize("read", [shallow_json.parsed, bounds.json_values, guarded_files.parsed])
def test_too_deep_is_a_sentence(kind, depth, read):
    text = nested(kind, depth)
    with pytest.raises(ValueError, match="nested too deeply"):
        read(text.encode() if read is guarded_files.parsed else text)


@pytest.mark.parametrize("kind", ["list", "object"])
def test_a_hundred_levels_are_read(kind):
    text = nested(kind, shallow_json.MAX_DEPTH)
    assert shallow_json.parsed(text) == shallow_json.parsed(text.encode()) == json.loads(text)


def test_many_values_beside_one_another_are_not_deep():
    rows = [{"name": "[[[{{{" * 50, "values": [[number], {"a": number}]} for number in range(300)]
    assert shallow_json.parsed(json.dumps(rows)) == rows
