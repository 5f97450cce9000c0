"""Whatever comes in is a message or a ProtocolError with a sentence; memory stays bounded."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wan_backend.protocol.values import JSON, KINDS, TEXT
from wan_backend.protocol import MAX_LINE_BYTES, LineSplitter, OverlongLine, ProtocolError
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.envelope import parse_line
from wan_backend.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR

BOUNDED = settings(
    derandomize=True, max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def parse(line: bytes) -> None:
    try:
        parse_line(line)
    except ProtocolError as error:
        assert error.code in (PARSE_ERROR, INVALID_REQUEST)
        assert error.message.endswith(".") and len(error.message) < 300


@BOUNDED
@given(st.binary(max_size=200))
def test_any_bytes(line):
    parse(line)


@BOUNDED
@given(JSON)
def test_any_json(value):
    parse(json.dumps(value).encode())


@BOUNDED
@given(
    st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "error", "result"]), JSON | st.just("2.0"))
)
def test_any_envelope(value):
    parse(json.dumps({"jsonrpc": "2.0", **value}).encode())


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b"9" * 100_000, b'{"jsonrpc":"2.0","id":NaN,"method":"x"}', b"\xff\xfe{\0}\0", b"\0" * 9, b"null"],
)
def test_known_traps(line):
    with pytest.raises(ProtocolError):
        parse_line(line)


@pytest.mark.parametrize(
    ("kind", "value"), [(int, True), (int, 1 << 63), (int, 1.0), (float, False), (float, 1e400), (bool, 1), (str, None)]
)
def test_what_is_nearly_of_a_kind_is_not(kind, value):
    with pytest.raises(ProtocolError) as refused:
        from_json(kind, value, "params.seed")
    assert refused.value.code == INVALID_PARAMS and "params.seed" in refused.value.message
    assert from_json(int, (1 << 63) - 1) == (1 << 63) - 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(BOUNDED, max_examples=40)
@given(value=JSON, data=st.data())
def test_any_params(kind, value, data):
    if isinstance(value, dict):  # come nearer: the right names with wrong values
        names = [name for name in getattr(kind, "__dataclass_fields__", {})]
        value = {**value, **{name: data.draw(JSON) for name in names}}
    try:
        message = from_json(kind, value)
    except ProtocolError as error:
        assert error.code == INVALID_PARAMS and error.message.startswith("params") and error.message.endswith(".")
    else:
        json.dumps(to_json(message), allow_nan=False)  # what was let in can be sent on


@given(TEXT)
@BOUNDED
def test_any_text_is_one_line_of_ascii(text):
    from wan_backend.protocol import encode_line

    line = encode_line({"text": text})
    assert line.isascii() and line.count(b"\n") == 1
    assert json.loads(line)["text"] == text


def test_a_line_of_100_megabytes_takes_no_memory_and_the_next_one_is_read():
    splitter = LineSplitter()
    chunk = b"x" * (1 << 20)
    tracemalloc.start()
    found = [line for _ in range(100) for line in splitter.feed(chunk)]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [] and peak_bytes < 8 * MAX_LINE_BYTES
    after = list(splitter.feed(b"x\n{}\n"))
    assert isinstance(after[0], OverlongLine) and after[1:] == [b"{}"]


def test_a_line_of_the_limit_is_read_and_one_byte_more_is_not():
    assert list(LineSplitter().feed(b"x" * MAX_LINE_BYTES + b"\n")) == [b"x" * MAX_LINE_BYTES]
    (line,) = LineSplitter().feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n")
    assert isinstance(line, OverlongLine)
