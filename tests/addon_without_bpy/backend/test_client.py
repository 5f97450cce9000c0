"""Requests, answers and events over a child that is only a queue of lines."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


class Child:
    """Stands in for ChildProcess."""

    def __init__(self):
        self.sent, self.incoming = [], []

    def send(self, line):
        self.sent.append(json.loads(line))

    def flush(self):
        pass

    def read(self):
        lines, self.incoming = self.incoming, []
        return b"".join(line + b"\n" for line in lines)

    def says(self, **message):
        self.incoming.append(json.dumps({"jsonrpc": "2.0", **message}).encode())


@pytest.fixture
def talk(addon):
    return Talk(addon)


class Talk:
    def __init__(self, addon):
        self.child, self.events, self.answers, self.failures = Child(), [], [], []
        self.client = addon("backend.client").ChildClient(self.child, lambda *event: self.events.append(event))

    def call(self, method):
        self.client.call(method, None, self.answers.append, self.failures.append)

    def tick(self):
        return self.client.tick(time.perf_counter() + 30)


def test_answers_find_their_questions_in_any_order(talk):
    talk.call("list")
    talk.call("release")
    assert [message["method"] for message in talk.child.sent] == ["list", "release"]
    talk.child.says(id=2, result={"workers": [{"state": "none"}]})
    talk.child.says(id=1, result={"jobs": []})
    assert talk.tick()
    assert [type(answer).__name__ for answer in talk.answers] == ["WorkersResult", "ListResult"]
    assert not talk.tick()


def test_errors_go_to_the_one_who_asked(talk):
    talk.call("list")
    talk.child.says(id=1, error={"code": -32603, "message": "It failed.", "data": {"more": 1}})
    talk.tick()
    assert [(error.code, error.message, error.details) for error in talk.failures] == [
        (-32603, "It failed.", {"more": 1})
    ]


def test_an_answer_of_the_wrong_shape_is_a_failure(talk):
    talk.call("list")
    talk.child.says(id=1, result={"jobs": 7})
    talk.tick()
    assert "list.jobs" in talk.failures[0].message


def test_events_are_typed(talk):
    talk.child.says(method="worker", params={"state": "busy", "device": "cpu"})
    talk.child.says(method="unheard_of", params={})
    talk.tick()
    assert [(name, event.state) for name, event in talk.events] == [("worker", "busy")]


def test_a_server_that_is_gone_answers_nothing_more(talk, errors):
    talk.call("list")
    talk.call("doctor")
    talk.client.lost("It ended.")
    assert [(error.code, error.message) for error in talk.failures] == [(errors.GONE, "It ended.")] * 2
    talk.child.says(id=1, result={"jobs": []})
    talk.tick()
    assert talk.answers == []


def test_an_answer_longer_than_a_line_fails_its_own_call_alone(talk, errors):
    talk.call("list")
    talk.call("release")
    talk.child.incoming.append(b'{"jsonrpc":"2.0","id":1,"result":{"jobs":["' + b"x" * (1 << 20) + b'"]}}')
    talk.child.says(id=2, result={"workers": [{"state": "none"}]})
    talk.tick()
    assert [error.code for error in talk.failures] == [errors.LINE_TOO_LONG]
    assert [type(answer).__name__ for answer in talk.answers] == ["WorkersResult"]


def test_what_is_too_long_to_be_sent_is_a_failure_with_a_sentence(talk, errors, messages, make_request):
    names = [f"{n * n}{chr(233) * 200}" for n in range(3000)]
    request = make_request(sources=[messages.Source(messages.Role.FOOTAGE, "/a", names, frames=3000)])
    talk.client.call("plan", messages.PlanParams(request), talk.answers.append, talk.failures.append)
    assert talk.child.sent == []
    assert talk.failures[0].code == errors.LINE_TOO_LONG
    assert "too much for one message" in talk.failures[0].message


def test_what_can_not_be_read_within_the_deadline_is_read_later(talk):
    for n in range(50):
        talk.child.says(method="worker", params={"state": "busy", "device": str(n)})
    talk.client.tick(time.perf_counter() + 30)
    talk.child.says(method="worker", params={"state": "ready"})
    talk.client.tick(time.perf_counter() - 1)
    assert talk.client.behind and len(talk.events) == 50
    talk.tick()
    assert not talk.client.behind
    assert [event.device for _, event in talk.events] == [str(n) for n in range(50)] + [""]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"[]", b"{}", b'{"jsonrpc":"2.0","id":1,"result":{}}'])))
def test_no_line_does_harm(addon, lines):
    talk = Talk(addon)
    talk.call("doctor")
    talk.child.incoming = lines
    talk.tick()
    talk.child.says(method="worker", params={"state": "busy"})
    talk.tick()
    assert talk.events[-1][0] == "worker"
