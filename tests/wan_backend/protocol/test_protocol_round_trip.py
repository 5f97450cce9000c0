"""Every message goes through a line and comes back equal."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wan_backend.protocol.values import KINDS, TABLES, TEXT, messages
from wan_backend.protocol import LineSplitter, ProtocolError, Refusal
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.envelope import Notification, Request, Response, parse_line
from wan_backend.protocol.errors import INVALID_PARAMS, REFUSED
from wan_backend.protocol.messages import FrameRate, Problem, ProblemKind, StepCache, TakeRequest

BOUNDED = settings(
    derandomize=True, max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@BOUNDED
@given(data=st.data())
def test_a_message_comes_back_equal(kind, data):
    message = data.draw(messages(kind))
    (line,) = LineSplitter().feed(Notification("job", to_json(message)).line())
    back = parse_line(line)
    assert isinstance(back, Notification)
    assert from_json(kind, back.params) == message
    unknown_keys_are_passed_over_and_missing_ones_named(kind, message)


def unknown_keys_are_passed_over_and_missing_ones_named(kind, message):
    """Of the same message: to draw one takes longer than all else."""
    value = to_json(message)
    assert from_json(kind, {**value, "of a newer version": [1]}) == message
    for name in value:
        without = {key: item for key, item in value.items() if key != name}
        try:
            from_json(kind, without)
        except ProtocolError as error:
            assert error.code == INVALID_PARAMS and name in error.message


def test_a_request_of_before_there_was_skipped_work_skips_none():
    request = from_json(TakeRequest, {
        "prompt": "fog", "model": "embedded", "width": 64, "height": 36, "length_frames": 9, "frame_rate": {"fps": 24},
        "seed": 7, "media_folder": "/film/wan",
    })  # fmt: skip
    assert request.guidance_interval is None and request.step_cache is StepCache.OFF


@BOUNDED
@given(st.integers() | TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_envelopes_come_back_equal(number, method, params):
    for message in (Request(number, method, params), Notification(method, params), Response(number, params)):
        (line,) = LineSplitter().feed(message.line())
        assert parse_line(line) == message


@BOUNDED
@given(st.lists(st.binary(max_size=30).filter(lambda line: line.strip() and b"\n" not in line)), st.data())
def test_lines_do_not_depend_on_how_they_are_cut(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    splitter, found = LineSplitter(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert found == lines


def test_every_method_has_its_messages_and_a_purpose():
    for table in TABLES:
        for name, method in table.items():
            assert name == method.name and method.purpose.endswith(".")


def test_a_rate_is_exact():
    assert FrameRate(24, 1.001).exact() == FrameRate(24, 1.00100004673).exact()  # as Blender's float has it
    assert FrameRate(24, 1.001).exact().denominator == 1001
    assert FrameRate(30, 1.001).exact().numerator == 30000


def test_a_refusal_of_a_sentence_travels_as_its_problem():
    refusal = Refusal.of(ProblemKind.BAD_SIZE, "It is too large; make it smaller.")
    (line,) = LineSplitter().feed(Response.failure(7, refusal).line())
    error = parse_line(line).error
    assert error["code"] == REFUSED and error["message"] == "It is too large; make it smaller."
    assert from_json(Problem, error["data"]) == refusal.problem == Problem(ProblemKind.BAD_SIZE, error["message"])


def test_the_defaults_of_a_request_are_enough():
    value = json.loads(
        '{"prompt": "fog", "model": "embedded", "width": 1, "height": 1, "length_frames": 1,'
        ' "frame_rate": {"fps": 24}, "seed": 0, "media_folder": "/"}'
    )
    assert from_json(TakeRequest, value).task == "text_to_video"
