"""Requests to the worker in any order, at any time, also nonsense; and its heartbeat, by a clock of the test's own."""

from __future__ import annotations

import json
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.envelope import Notification, Request, Response
from wan_backend.protocol.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LINE_TOO_LONG,
    METHOD_NOT_FOUND,
    NO_SUCH_JOB,
    PARSE_ERROR,
)
from wan_backend.protocol.framing import MAX_LINE_BYTES
from wan_backend.protocol.messages import AliveParams, FrameRate, Nothing, Plan, RunParams, TakeRequest
from wan_backend.protocol.sentences import in_english
from wan_backend.worker.server_connection import Channel, RequestListener, WorkerHeartbeat

RATE = FrameRate(16)
PLAN = Plan("m", 64, 64, 5, RATE, 5, 1, 1.0, 3.0, "unipc")
RUN = to_json(RunParams("job", TakeRequest("p", "m", 64, 64, 5, RATE, 1, "/x"), PLAN, "/model"))


def hear(lines: bytes) -> tuple[RequestListener, list[dict]]:
    """A listener that has heard `lines` to their end, and what it answered."""
    source, feed = os.pipe()
    answers, sink = os.pipe()
    codes = []
    listener = RequestListener(source, Channel(sink).send, codes.append)
    with os.fdopen(feed, "wb") as stream, os.fdopen(answers, "rb") as out:
        thread = threading.Thread(target=listener.listen)
        thread.start()
        stream.write(lines)
        stream.close()
        thread.join(60)
        os.close(sink)
        os.close(source)
        said = [in_english(json.loads(line)) for line in out.read().splitlines()]
    assert codes and set(codes) == {0}, "the listener did not leave at the end of stdin"
    return listener, said


def codes_of(said: list[dict]) -> list[int]:
    return [answer["error"]["code"] for answer in said]


def test_a_run_is_handed_over_and_a_second_one_refused():
    listener, said = hear(Request(1, "run", RUN).line() + Request(2, "run", RUN).line())
    run = listener.tasks.get_nowait()
    assert run.params.job_id == "job" and not run.canceled.is_set()
    assert codes_of(said) == [INVALID_REQUEST] and said[0]["id"] == 2
    listener.done(run)


def test_a_run_is_answered_when_it_is_through():
    source, feed = os.pipe()
    lines = []
    listener = RequestListener(source, lines.append, lambda _code: None)
    with os.fdopen(feed, "wb") as stream:
        listener.start()
        stream.write(Request(7, "run", RUN).line())
        stream.flush()
        run = listener.tasks.get(timeout=60)
        assert lines == []
        listener.notify("alive", AliveParams(1.0, 2.0))
        listener.done(run)
        run.answer(Nothing())
        stream.write(Request(8, "run", RUN).line())
        stream.flush()
        assert listener.tasks.get(timeout=60).params.job_id == "job"
    told = Notification("alive", {"busy_seconds": 1.0, "cpu_seconds": 2.0}).line()
    assert lines == [told, Response(7, {}).line()]


def test_cancel_reaches_the_run_that_waits_or_works():
    listener, said = hear(Request(1, "run", RUN).line() + Request(2, "cancel", {"job_id": "job"}).line())
    assert listener.tasks.get_nowait().canceled.is_set()
    assert said == [{"jsonrpc": "2.0", "id": 2, "result": {}}]


def test_cancel_of_another_job_is_refused():
    listener, said = hear(Request(1, "run", RUN).line() + Request(2, "cancel", {"job_id": "other"}).line())
    assert codes_of(said) == [NO_SUCH_JOB]
    assert not listener.tasks.get_nowait().canceled.is_set()


def test_shutdown_is_answered():
    assert hear(Request(1, "shutdown").line())[1] == [{"jsonrpc": "2.0", "id": 1, "result": {}}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{nonsense\n", PARSE_ERROR),
        (b"[1]\n", INVALID_REQUEST),
        (Request(1, "dance").line(), METHOD_NOT_FOUND),
        (Request(1, "cancel", {"job_id": 5}).line(), INVALID_PARAMS),
        (Request(1, "run", {**RUN, "plan": {}}).line(), INVALID_PARAMS),
        (b"x" * (MAX_LINE_BYTES + 1) + b"\n", LINE_TOO_LONG),
    ],
)
def test_what_is_wrong_is_answered_and_the_next_line_heard(line, code):
    _listener, said = hear(line + Request(9, "cancel", {"job_id": "none"}).line())
    assert codes_of(said) == [code, NO_SUCH_JOB]
    assert all(answer["error"]["message"].endswith(".") for answer in said)


@pytest.mark.parametrize("line", [b'{"jsonrpc":"2.0","id":1,"result":{}}\n', Notification("dance", {}).line()])
def test_what_wants_no_answer_gets_none(line):
    _listener, said = hear(line + Request(9, "cancel", {"job_id": "none"}).line())
    assert codes_of(said) == [NO_SUCH_JOB]


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_end_the_listening(garbage):
    _listener, said = hear(garbage + b"\n" + Request(9, "cancel", {"job_id": "none"}).line())
    assert codes_of(said)[-1] == NO_SUCH_JOB


def test_it_says_how_long_the_job_was_silent():
    now, told = [100.0], []
    heartbeat = WorkerHeartbeat(lambda method, message: told.append((method, message)), lambda: now[0])

    def silent() -> float:
        heartbeat.beat()
        method, message = told[-1]
        assert method == "alive" and isinstance(message, AliveParams)
        return message.busy_seconds

    assert silent() == 0.0
    heartbeat.job_spoke()
    now[0] += 5
    assert silent() == 5.0
    heartbeat.job_spoke()
    now[0] += 2
    assert silent() == 2.0
    heartbeat.job_ended()
    now[0] += 60
    assert silent() == 0.0


def test_it_says_what_was_used_of_the_processor():
    told = []
    heartbeat = WorkerHeartbeat(lambda _method, message: told.append(message.cpu_seconds))
    heartbeat.beat()
    while len(told) < 2 or told[-1] == told[0]:
        sum(range(100_000))
        heartbeat.beat()
    assert told[-1] > told[0] > 0
