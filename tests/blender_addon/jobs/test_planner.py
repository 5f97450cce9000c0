"""A plan is shown for what it was made for, and for nothing else."""

from __future__ import annotations

import dataclasses
import importlib

import pytest


@pytest.fixture
def messages(extension):
    return importlib.import_module(f"{extension}.wan_backend.protocol.messages")


def test_a_plan_is_that_of_its_request(addon, messages) -> None:
    planner = addon("jobs.planner").Planner(lambda: None)
    plan = messages.Plan("embedded", 1, 1, 5, messages.FrameRate(16), 9, 4, 1.0, 1.0, "none")

    class Client:
        def call(self, method, params, answered, failed) -> None:
            answered(plan)

    request = messages.TakeRequest("fog", "embedded", 64, 36, 9, messages.FrameRate(24), 7, "/tmp/wan")
    planner.want(request)
    planner._wanted_since = 0.0
    assert planner.plan_of(request) is None
    planner.tick(Client())
    assert planner.plan_of(dataclasses.replace(request, seed=8)) is plan
    other = dataclasses.replace(request, task="restyle")
    assert planner.plan_of(other) is None
    planner.want(other)
    assert planner.plan is plan, "the last one stays in sight until the next is there"
    assert planner.plan_of(other) is None
