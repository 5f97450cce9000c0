"""What a job was asked for is asked of the server once, a few at a time, and as much of it is kept as is looked at."""

from __future__ import annotations

import pytest


class Client:
    """Remembers what it is asked; answers when told."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params, answered, failed) -> None:
        assert method == "details"
        self.calls.append((params.job_id, answered, failed))


@pytest.fixture
def details(addon):
    return addon("jobs.details").Details(lambda: None)


@pytest.fixture
def plan(messages):
    return messages.Plan("embedded", 1, 1, 5, messages.FrameRate(16), 9, 4, 1.0, 1.0, messages.Sampler.EULER)


def test_asked_once_and_known_then(details, messages, make_request, plan) -> None:
    client, told = Client(), []
    for _ in range(3):
        details.want("a")
        details.tick(client)
    details.want("a", told.append)
    details.tick(client)
    ((job_id, answered, _),) = client.calls
    request = make_request()
    answered(messages.JobDetails(job_id, request, plan))
    assert details.request_of("a") is request and details.plan_of("a") is plan and told == [request]
    details.want("a")
    details.tick(client)
    assert len(client.calls) == 1


def test_a_few_at_a_time_and_few_are_kept(details, messages, make_request) -> None:
    client = Client()
    for n in range(500):
        details.want(str(n))
    seen = 0
    while seen < 500:
        details.tick(client)
        assert 0 < len(client.calls) <= 4
        calls, client.calls = client.calls, []
        for job_id, answered, _ in calls:
            answered(messages.JobDetails(job_id, make_request()))
        seen += len(calls)
    assert [details.request_of(str(n)) is None for n in (0, 299, 300, 499)] == [True, True, False, False]


def test_nobody_knows(details, errors) -> None:
    client, told = Client(), []
    details.want("a", told.append)
    details.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.NO_SUCH_JOB, "No."))
    assert told == [None]
    details.want("a")
    details.tick(client)
    assert len(client.calls) == 1, "a draw asks again and again"
    details.want("b", told.append)
    details.give_up()
    assert told == [None, None]


def test_the_next_server_is_asked(details, errors, messages, make_request) -> None:
    client, told = Client(), []
    details.want("a", told.append)
    details.tick(client)
    client.calls[0][2](errors.ProtocolError(errors.GONE, "It ended."))
    details.server_gone()
    details.tick(client)
    client.calls[1][1](messages.JobDetails("a", make_request("rain")))
    assert [request.prompt for request in told] == ["rain"]


def test_what_was_not_planned_yet_is_asked_for_again_once_the_job_changed(
    details, messages, make_request, plan
) -> None:
    client = Client()
    details.want("a")
    details.tick(client)
    client.calls[0][1](messages.JobDetails("a", make_request()))
    details.changed("a")
    assert details.request_of("a") is not None
    details.want("a")
    details.tick(client)
    client.calls[1][1](messages.JobDetails("a", make_request(), plan))
    details.changed("a")
    assert details.plan_of("a") is plan
