"""One end of a hop: each request answered once, each call ended once, whatever comes in and however long it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_backend.protocol.values import JSON
from wan_backend.protocol import MAX_LINE_BYTES, ProtocolError
from wan_backend.protocol.endpoint import Endpoint, Later
from wan_backend.protocol.envelope import Request, Response
from wan_backend.protocol.errors import (
    GONE,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LINE_TOO_LONG,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
)
from wan_backend.protocol.messages import (
    JobIdsParams,
    JobParams,
    Nothing,
    PingResult,
    ProgressParams,
    WorkerState,
    WorkerStatus,
)
from wan_backend.protocol.methods import SERVER_EVENTS, SERVER_METHODS

TOO_MANY = JobIdsParams(["x" * 32] * 40_000)


class Pair:
    """A client and a server, joined by lists of lines."""

    def __init__(self) -> None:
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.events: list[Any] = []
        self.ended: list[Any] = []
        self.handler: Any = lambda name, params: PingResult(1.0, name)
        self.server = Endpoint(
            self.to_client.append,
            serves=SERVER_METHODS,
            handler=lambda name, params: self.handler(name, params),
            sends=SERVER_EVENTS,
        )
        self.client = Endpoint(
            self.to_server.append,
            calls=SERVER_METHODS,
            receives=SERVER_EVENTS,
            on_event=lambda name, message: self.events.append((name, message)),
        )

    def call(self, method: str = "ping", params: Any = None) -> None:
        self.client.call(method, params, self.ended.append, self.ended.append)

    def deliver(self) -> None:
        while self.to_server or self.to_client:
            lines, self.to_server[:] = list(self.to_server), []
            for line in lines:
                self.server.feed(line)
            lines, self.to_client[:] = list(self.to_client), []
            for line in lines:
                self.client.feed(line)

    @property
    def code(self) -> int:
        (error,) = self.ended
        assert isinstance(error, ProtocolError), error
        return error.code


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_call_is_answered(pair):
    pair.call()
    assert pair.client.waits_for == ["ping"]
    pair.deliver()
    assert pair.ended == [PingResult(1.0, "ping")] and pair.client.waits_for == []


def test_a_refusal_reaches_the_caller_with_its_details(pair):
    def handler(name, params):
        raise ProtocolError(-32001, "No.", {"kind": "busy"})

    pair.handler = handler
    pair.call()
    pair.deliver()
    assert pair.code == -32001 and pair.ended[0].details == {"kind": "busy"}


def test_a_handler_that_fails_is_answered_and_the_next_one_works(pair):
    def handler(name, params):
        raise ZeroDivisionError

    pair.handler = handler
    pair.call()
    pair.deliver()
    assert pair.code == INTERNAL_ERROR
    pair.handler = lambda name, params: PingResult()
    pair.call()
    pair.deliver()
    assert pair.ended[1] == PingResult()


def test_an_answer_may_come_later(pair):
    hands = []
    pair.handler = lambda name, params: Later(hands.append)
    pair.call()
    pair.deliver()
    assert pair.ended == []
    hands[0](PingResult(2.0))
    pair.deliver()
    assert pair.ended == [PingResult(2.0)]
    with pytest.raises(AssertionError, match="twice"):
        hands[0](PingResult())


def test_a_later_that_fails_to_begin_is_answered(pair):
    pair.handler = lambda name, params: Later(lambda hand_in: 1 / 0)
    pair.call()
    pair.deliver()
    assert pair.code == INTERNAL_ERROR


def test_what_is_too_long_to_ask_fails_at_once_and_is_not_sent(pair):
    pair.call("clear", TOO_MANY)
    assert pair.code == LINE_TOO_LONG and pair.to_server == [] and pair.client.waits_for == []


def test_an_answer_that_is_too_long_becomes_an_error_of_its_call(pair):
    pair.handler = lambda name, params: TOO_MANY
    pair.call("clear", JobIdsParams([]))
    pair.deliver()
    assert pair.code == LINE_TOO_LONG


def test_an_event_that_is_too_long_is_left_out(pair):
    pair.server.notify("worker", WorkerStatus(WorkerState.READY, sentence="x" * MAX_LINE_BYTES))
    pair.server.notify("worker", WorkerStatus(WorkerState.BUSY))
    pair.deliver()
    assert pair.events == [("worker", WorkerStatus(WorkerState.BUSY))]


def test_an_overlong_answer_of_a_careless_peer_fails_its_own_call_alone(pair):
    pair.call("clear", JobIdsParams([]))
    pair.call()
    lines, pair.to_server[:] = list(pair.to_server), []
    pair.client.feed(Response(1, {"job_ids": ["x" * MAX_LINE_BYTES]}).line())
    assert pair.code == LINE_TOO_LONG and pair.client.waits_for == ["ping"]
    pair.server.feed(lines[1])
    pair.deliver()
    assert pair.ended[1] == PingResult(1.0, "ping")


def test_an_overlong_request_of_a_careless_peer_is_answered(pair):
    line = Request(7, "clear", {"job_ids": ["x" * MAX_LINE_BYTES]}).line()
    for at in range(0, len(line), 65536):
        pair.server.feed(line[at : at + 65536])
    (answer,) = map(json.loads, pair.to_client)
    assert answer["id"] == 7 and answer["error"]["code"] == LINE_TOO_LONG


def test_an_answer_that_cannot_be_read_fails_its_own_call(pair):
    pair.call()
    pair.client.feed(Response(1, {"busy_seconds": "long"}).line())
    assert pair.code == INVALID_PARAMS


@pytest.mark.parametrize(
    "rest",
    [b"}", b',"error":"boom"}', b',"result":[' + b"9" * 5000 + b"]}", b',"result":{"busy', b',"result":"\xff"}'],
    ids=["no result", "no code", "too many digits", "cut off", "no UTF-8"],
)
def test_an_answer_that_is_no_message_fails_its_own_call(pair, rest):
    pair.call()
    pair.call()
    pair.client.feed(b'{"jsonrpc":"2.0","id":1' + rest + b"\n")
    assert pair.code in (PARSE_ERROR, INVALID_REQUEST) and pair.client.waits_for == ["ping"]
    pair.deliver()
    assert pair.ended[1] == PingResult(1.0, "ping")


@pytest.mark.parametrize("rest", [b"7}", b'"ping","params":[1]}', b'"ping","params":{"x":' + b"9" * 5000 + b"}}"])
def test_a_request_that_is_no_message_is_answered_under_its_id(pair, rest):
    pair.server.feed(b'{"jsonrpc": "2.0", "id": 7, "method": ' + rest + b"\n")
    (answer,) = map(json.loads, pair.to_client)
    assert answer["id"] == 7 and answer["error"]["code"] in (PARSE_ERROR, INVALID_REQUEST)


def test_an_id_that_no_answer_could_repeat_is_refused(pair):
    pair.server.feed(Request("x" * 500_000, "ping").line())
    (line,) = pair.to_client
    assert len(line) < 1000 and json.loads(line)["error"]["code"] == INVALID_REQUEST


def test_calls_fail_when_the_other_side_is_gone_and_its_late_answers_are_passed_over(pair):
    pair.call()
    pair.call()
    pair.client.lost("It ended.")
    assert [error.code for error in pair.ended] == [GONE, GONE]
    pair.deliver()
    assert len(pair.ended) == 2


def test_a_callback_that_fails_does_not_cost_the_lines_after_it(pair):
    pair.client.call("ping", None, lambda result: 1 / 0)
    pair.call()
    pair.deliver()
    assert len(pair.ended) == 1


def test_a_callback_may_call_again(pair):
    pair.client.call("ping", None, lambda result: pair.call())
    pair.deliver()
    assert pair.ended == [PingResult(1.0, "ping")]


def test_unknown_methods_and_wrong_params_are_answered(pair):
    pair.server.feed(Request(1, "dance").line() + Request(2, "cancel", {"job_id": 7}).line() + b"{]\n")
    assert [json.loads(line)["error"]["code"] for line in pair.to_client] == [
        METHOD_NOT_FOUND,
        INVALID_PARAMS,
        PARSE_ERROR,
    ]


def test_events_that_cannot_be_read_are_passed_over(pair):
    pair.client.feed(
        b'{"jsonrpc":"2.0","method":"progress","params":{"job_id":1}}\n{"jsonrpc":"2.0","method":"x"}\n[]\n'
    )
    pair.server.notify("worker", WorkerStatus(WorkerState.READY))
    pair.deliver()
    assert pair.events == [("worker", WorkerStatus(WorkerState.READY))]


def test_who_serves_nothing_answers_nothing(pair):
    pair.client.feed(b"nonsense\n")
    assert pair.to_server == []


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), max_size=6))
def test_nothing_in_a_line_makes_it_raise(lines):
    pair = Pair()
    pair.handler = lambda name, params: Nothing()
    pair.call("cancel", JobParams("1"))
    pair.to_server.clear()
    for line in lines:
        pair.server.feed(line + b"\n")
        pair.client.feed(line + b"\n")
    pair.client.feed(Response(1, None).line())
    assert len(pair.ended) == 1 or not pair.client.waits_for


def test_the_size_of_a_progress_event_does_not_depend_on_the_job(pair):
    from wan_backend.protocol.messages import JobState

    pair.server.notify("progress", ProgressParams("a" * 32, JobState.DECODING, 8, 8, 0.5, 3.0, "Frame 1 of 2000"))
    assert len(pair.to_client[0]) < 1000
