"""A plan is shown for what it was made for, and for nothing else."""

from __future__ import annotations

import dataclasses

import pytest


class Client:
    """Remembers what it is asked; answers when told."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params, answered, failed) -> None:
        assert method == "plan"
        self.calls.append((params.request, answered, failed))


@pytest.fixture
def planner(addon, monkeypatch):
    module = addon("jobs.planner")
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    return module.Planner(lambda: None)


@pytest.fixture
def plan(messages):
    return messages.Plan("embedded", 1, 1, 5, messages.FrameRate(16), 9, 4, 1.0, 1.0, messages.Sampler.EULER)


def test_a_plan_is_that_of_its_request(planner, plan, messages, make_request) -> None:
    request, client = make_request(), Client()
    planner.want(request)
    assert planner.plan_of(request) is None
    planner.tick(client)
    client.calls[0][1](plan)
    assert planner.plan_of(dataclasses.replace(request, seed=8)) is plan
    other = dataclasses.replace(request, task=messages.Task.RESTYLE)
    assert planner.plan_of(other) is None
    planner.want(other)
    assert planner.plan is plan, "the last one stays in sight until the next is there"
    assert planner.plan_of(other) is None


def test_a_late_answer_is_not_taken_for_what_is_wanted_now(planner, plan, make_request) -> None:
    client = Client()
    for prompt in ("fog", "rain"):
        planner.want(make_request(prompt))
        planner.tick(client)
    client.calls[0][1](plan)
    assert planner.plan is None
    client.calls[1][1](plan)
    assert planner.plan_of(make_request("rain")) is plan


def test_slow_plans_do_not_pile_up(planner, plan, make_request) -> None:
    client = Client()
    for n in range(20):
        planner.want(make_request(f"fog {n}"))
        planner.tick(client)
    assert len(client.calls) == 3
    for _, answered, _ in client.calls[:3]:
        answered(plan)
    planner.tick(client)
    assert client.calls[3][0].prompt == "fog 19"


def test_a_refusal_is_its_sentence_and_a_lost_server_is_none(planner, errors, make_request) -> None:
    client = Client()
    planner.want(make_request())
    planner.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.GONE, "The backend ended."))
    assert planner.sentence == ""
    planner.tick(client)
    assert len(client.calls) == 2, "the next server is asked"
    client.calls[1][2](errors.ProtocolError(errors.LINE_TOO_LONG, "This is too much for one message."))
    assert planner.sentence == "This is too much for one message."
    planner.tick(client)
    assert len(client.calls) == 2
