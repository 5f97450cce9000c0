"""Messages are kept until they are answered, are sent again to the next server, and never flood one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


class Client:
    """Remembers what it is asked; answers when the test says so."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params, answered, failed) -> None:
        self.calls.append((method, params, answered, failed))

    @property
    def asked(self) -> list[tuple[str, object]]:
        return [(method, getattr(params, "job_id", None) or params.job_ids) for method, params, _, _ in self.calls]


@pytest.fixture
def jobs(addon):
    return addon("jobs.job_list").JobList()


@pytest.fixture
def outbox(addon, jobs):
    return addon("jobs.outbox").Outbox(jobs, lambda: None)


def test_two_thousand_submits_are_told_a_few_at_a_time_and_in_order(outbox, make_request, make_status) -> None:
    wanted = [f"{n:032x}" for n in range(2000)]
    for job_id in wanted:
        outbox.submit(job_id, make_request())
    client, told = Client(), []
    while len(told) < 2000:
        outbox.tick(client)
        assert 0 < len(client.calls) <= 8
        calls, client.calls = client.calls, []
        for _, params, answered, _ in calls:
            told.append(params.job_id)
            answered(make_status(params.job_id))
    assert told == wanted


@pytest.mark.parametrize("method", ["submit", "retry"])
def test_messages_that_are_not_answered_hold_no_further_ones_for_ever(outbox, addon, make_request, monkeypatch, method):
    module, client = addon("jobs.outbox"), Client()
    for number in range(20):
        getattr(outbox, method)(f"{number:032x}", make_request())
    outbox.tick(client)
    outbox.tick(client)
    assert len(client.calls) == module.MAX_UNDER_WAY
    now = module.time.monotonic() + module.HELD_SECONDS + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    outbox.tick(client)
    assert len(client.calls) == 2 * module.MAX_UNDER_WAY
    outbox.server_gone()
    again = Client()
    outbox.tick(again)
    assert again.asked == client.asked[: module.MAX_UNDER_WAY], "the next server is told all of them, in order"


def test_retries_that_wait_for_a_share_hold_neither_new_jobs_nor_cancels(
    outbox, jobs, make_request, make_status
) -> None:
    for n in range(20):
        jobs.receive(make_status(f"old {n}", "failed"))
        outbox.retry(f"old {n}", None)
    client = Client()
    outbox.tick(client)
    jobs.receive(make_status("runs", "denoising"))
    outbox.cancel("runs")
    outbox.submit("new", make_request())
    outbox.tick(client)
    assert client.asked[:8] == [("retry", f"old {n}") for n in range(8)]
    assert client.asked[8:] == [("cancel", "runs"), ("submit", "new")]


@pytest.mark.parametrize("verb", ["submit", "cancel", "retry", "settle", "clear"])
def test_what_was_not_answered_is_told_to_the_next_server(
    outbox, jobs, errors, messages, make_request, make_status, verb
) -> None:
    if verb == "submit":
        outbox.submit("a", make_request())
    else:
        jobs.receive(make_status("a", "queued" if verb == "cancel" else "failed"))
        {"cancel": outbox.cancel, "settle": lambda a: outbox.settle([a]), "clear": lambda a: outbox.clear([a])}.get(
            verb, lambda a: outbox.retry(a, None)
        )("a")
    for _ in range(3):
        client = Client()
        outbox.tick(client)
        outbox.tick(client)
        assert [method for method, _ in client.asked] == [verb]
        client.calls[0][3](errors.ProtocolError(errors.GONE, "It ended."))
        outbox.server_gone()
    client = Client()
    outbox.tick(client)
    result = messages.JobIdsParams(["a"]) if verb in ("settle", "clear") else make_status("a", "queued")
    client.calls[0][2](result)
    outbox.tick(client)
    outbox.server_gone()
    outbox.tick(client)
    assert len(client.calls) == 1, "it was answered"


def test_of_one_job_one_thing_at_a_time(outbox, jobs, make_request, make_status) -> None:
    client = Client()
    outbox.submit("a", make_request())
    outbox.tick(client)
    outbox.cancel("a")
    outbox.tick(client)
    assert client.asked == [("submit", "a")], "it may not have arrived"
    client.calls[0][2](make_status("a"))
    outbox.tick(client)
    assert client.asked[1:] == [("cancel", "a")]


def test_a_job_that_was_not_told_yet_is_simply_not_told(outbox, jobs, make_request) -> None:
    client = Client()
    outbox.submit("a", make_request())
    outbox.cancel("a")
    outbox.tick(client)
    assert client.calls == [] and jobs.get("a").state == "cancelled"


def test_ids_go_a_thousand_at_a_time_and_those_given_back_are_settled(outbox, jobs, messages, make_status) -> None:
    wanted = [f"{n:032x}" for n in range(2500)]
    for job_id in wanted:
        jobs.receive(make_status(job_id, "done"))
    outbox.settle(wanted)
    client, told = Client(), []
    for _ in range(3):
        outbox.tick(client)
        outbox.tick(client)
        ((_, params, answered, _),) = client.calls
        told.append(len(params.job_ids))
        answered(messages.JobIdsParams(params.job_ids[1:]))
        client.calls.clear()
    outbox.tick(client)
    assert told == [1000, 1000, 500] and client.calls == []
    assert len(jobs.done_unsettled()) == 3


def test_a_settle_waits_for_its_own_jobs_submit_alone(outbox, jobs, make_request, make_status) -> None:
    outbox.submit("a", make_request())
    outbox.settle(["a", "b"])
    client = Client()
    outbox.tick(client)
    assert client.asked == [("submit", "a"), ("settle", ["b"])]


def test_a_retry_ends_what_was_to_be_told_of_the_jobs_end(outbox, jobs, make_status) -> None:
    jobs.receive(make_status("a", "failed"))
    outbox.settle(["a"])
    outbox.retry("a", None)
    client = Client()
    outbox.tick(client)
    assert client.asked == [("retry", "a")]


def test_refusals(outbox, jobs, errors, messages, make_request, make_status) -> None:
    client = Client()
    outbox.submit("new", make_request())
    jobs.receive(make_status("old", "failed"))
    jobs.receive(make_status("lost", "failed"))
    jobs.receive(make_status("forgotten", "failed"))
    outbox.retry("old", None)
    outbox.retry("lost", make_request("rain"))
    outbox.retry("forgotten", None)
    outbox.tick(client)
    problem = messages.Problem(messages.ProblemKind.DISK_FULL, "The disk is full: make room.")
    for method, params, _, failed in list(client.calls):
        gone = method == "retry" and params.job_id != "old"
        failed(errors.ProtocolError(errors.NO_SUCH_JOB, "No.") if gone else errors.Refusal(problem))
    assert jobs.get("new").problem == jobs.get("old").problem == problem
    assert "no longer has this job" in jobs.get("forgotten").problem.sentence
    assert jobs.get("lost").state == "queued"
    client.calls.clear()
    outbox.tick(client)
    assert [(params.job_id, params.request.prompt) for _, params, _, _ in client.calls] == [("lost", "rain")]


def test_a_retry_that_had_arrived_the_first_time_is_no_failure(outbox, jobs, errors, make_status) -> None:
    jobs.receive(make_status("a", "failed"))
    outbox.retry("a", None)
    client = Client()
    outbox.tick(client)
    outbox.server_gone()
    jobs.receive(make_status("a", "denoising"))
    outbox.tick(client)
    client.calls[1][3](errors.ProtocolError(errors.REFUSED, "The job has not ended."))
    assert jobs.get("a").state == "denoising"


def test_without_a_server_the_waiting_jobs_say_why(outbox, jobs, make_request, make_status) -> None:
    outbox.submit("a", make_request())
    jobs.receive(make_status("b", "failed"))
    outbox.retry("b", None)
    outbox.give_up("There is no backend.")
    assert jobs.get("a").problem.sentence == "There is no backend."
    client = Client()
    outbox.tick(client)
    assert client.asked == [("retry", "b")], "the server's own jobs wait for the next one"


class Server:
    """Receives messages, and may end before or after it acted on them."""

    def __init__(self, messages, make_status) -> None:
        self.jobs: dict[str, str] = {}
        self.settled: set[str] = set()
        self._messages, self._make_status = messages, make_status

    def do(self, method, params):
        if method == "settle":
            self.settled.update(params.job_ids)
            return self._messages.JobIdsParams(params.job_ids)
        if method == "submit":
            self.jobs.setdefault(params.job_id, "queued")
        else:
            self.jobs[params.job_id] = "cancelled"
        return self._make_status(params.job_id, self.jobs[params.job_id])


FATES = st.lists(st.sampled_from(["well", "well", "dies before", "dies after"]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from("abcde"), unique=True, min_size=1), st.sets(st.sampled_from("abcde")), FATES)
def test_whatever_dies_between_every_message_arrives(
    addon, errors, messages, make_request, make_status, wanted, canceled, fates
) -> None:
    jobs = addon("jobs.job_list").JobList()
    outbox = addon("jobs.outbox").Outbox(jobs, lambda: None)
    server, client = Server(messages, make_status), Client()
    canceled &= set(wanted)
    for job_id in wanted:
        outbox.submit(job_id, make_request())
    for turn in range(60):
        if turn == 1:
            for job_id in canceled:
                outbox.cancel(job_id)
            outbox.settle(canceled)
        outbox.tick(client)
        calls, client.calls = client.calls, []
        died = False
        for method, params, answered, failed in calls:
            fate = fates.pop() if fates and not died else "dies before" if died else "well"
            result = server.do(method, params) if fate != "dies before" else None
            died = fate != "well"
            if died:
                failed(errors.ProtocolError(errors.GONE, "It ended."))
            else:
                answered(result)
        if died:
            outbox.server_gone()
        assert all(jobs.get(job_id) is not None for job_id in wanted)
    expected = {job_id: "cancelled" if job_id in canceled else "queued" for job_id in wanted}
    never_told = dict.fromkeys(canceled - server.jobs.keys(), "cancelled")
    assert {**server.jobs, **never_told} == expected
    assert server.settled >= canceled


def test_the_last_word_on_a_hold_counts_and_is_sent_again_to_the_next_server(outbox, messages, make_status) -> None:
    job, client = "a" * 32, Client()
    outbox.hold(job, messages.Hold.NO_PLACEHOLDER)
    outbox.tick(client)
    outbox.resume(job)
    outbox.hold(job, messages.Hold.NO_PLACEHOLDER)
    outbox.resume(job)
    outbox.tick(client)
    assert client.asked == [("hold", job)] and client.calls[0][1].hold == "no_placeholder"
    outbox.server_gone()
    outbox.tick(client)
    client.calls[-1][2](make_status(job))
    outbox.tick(client)
    client.calls[-1][2](make_status(job))
    outbox.tick(client)
    assert [method for method, _ in client.asked] == ["hold", "hold", "resume"]


def test_a_move_is_refused_without_harm_to_the_job(outbox, jobs, messages, make_status, addon) -> None:
    job, other, client = "a" * 32, "b" * 32, Client()
    jobs.receive(make_status(job))
    outbox.move(job, other)
    outbox.tick(client)
    ((method, params, _, failed),) = client.calls
    assert method == "move" and (params.job_id, params.before) == (job, other)
    failed(addon("jobs.outbox").ProtocolError(-1, "no"))
    outbox.tick(client)
    assert jobs.get(job).state == "queued" and len(client.calls) == 1


def test_a_job_that_the_server_has_yet_to_get_is_held_after_it_has_it(outbox, messages, make_request, make_status):
    job, client = "a" * 32, Client()
    outbox.submit(job, make_request())
    outbox.hold(job, messages.Hold.PERSON)
    outbox.tick(client)
    assert client.asked == [("submit", job)]
    client.calls[0][2](make_status(job))
    outbox.tick(client)
    assert client.asked[1] == ("hold", job)
