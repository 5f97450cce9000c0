"""Jobs from the client's line to the worker's and back, with the whole server in this process."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.wan_backend.server.in_process import InProcess, inside
from tests.wan_backend.server.served import request
from wan_backend.protocol import ProtocolError
from wan_backend.protocol.errors import INTERNAL_ERROR, LINE_TOO_LONG
from wan_backend.protocol.messages import JobState, Problem, ProblemKind

__all__ = ["inside"]


@pytest.fixture
def server(inside) -> InProcess:
    return inside()


def states(server: InProcess, job_id: str) -> list[str]:
    return list(dict.fromkeys(job["state"] for job in server.told(job_id)))


def test_a_job_goes_to_the_worker_and_its_take_comes_back(server, media):
    job = server.submit(request(media, length_frames=7))
    worker = server.runs(job)
    assert worker.job.request.length_frames == 7 and worker.job.plan.take_frames == 7
    for state in (JobState.LOADING, JobState.ENCODING, JobState.DENOISING, JobState.DECODING):
        worker.goes_on(state)
    worker.finishes()
    done = server.ended(job)
    assert states(server, job) == ["queued", "loading", "encoding", "denoising", "decoding", "done"]
    assert done["take"]["frames"] == 7 and done["progress"] == 1.0
    (listed,) = server.call("list")["jobs"]
    assert listed["job_id"] == job and listed["take"] == done["take"]


def test_a_search_finds_what_stands_after_the_title(server, media):
    long = server.submit(request(media, "a fox runs " * 60 + "into the Far\nwoods"))
    short = server.submit(request(media, "far woods"))
    blanks = server.submit(request(media, "fog" + " " * 1000 + "in far woods"))
    statuses = {job["job_id"]: job["summary"]["title"] for job in server.call("list")["jobs"]}
    assert statuses[blanks] == "fog in far woods", "a title that is short is the whole prompt"
    assert server.call("search", text=" the far  WOODS")["job_ids"] == [long]
    assert server.call("search", text="far woods")["job_ids"] == [long], "a client finds the others by their titles"
    assert server.call("search", text="nowhere")["job_ids"] == []
    (server.server._queue._store.folder(long) / "request.json").write_bytes(b"{")
    assert server.call("search", text="far woods")["job_ids"] == []
    assert short in statuses


def test_jobs_are_made_one_after_another_in_the_order_they_came(server, media):
    jobs = [server.submit(request(media, f"fog {number}")) for number in range(4)]
    for job in jobs:
        server.runs(job).finishes()
        server.ended(job)
    assert [server.ended(job)["state"] for job in jobs] == ["done"] * 4


def test_progress_is_small_and_of_the_state_that_changed_the_job_is_told(server, media):
    job = server.submit(request(media, "a fox " * 500))
    worker = server.runs(job)
    worker.goes_on(JobState.DENOISING, 0.1)
    for step in range(40):
        worker.goes_on(JobState.DENOISING, 0.1 + step / 100, step)
    server.until(lambda: [m for m in server.messages if m.get("method") == "progress"])
    told = [m for m in server.messages if m.get("method") == "progress"]
    assert all(len(json.dumps(message)) < 600 for message in told) and len(told) < 40
    assert len(server.told(job)) <= 3
    assert server.call("details", job_id=job)["request"]["prompt"].startswith("a fox a fox")


def test_one_that_waits_is_canceled_without_the_worker(server, media):
    first, second = (server.submit(request(media, word)) for word in ("fog", "rain"))
    worker = server.runs(first)
    server.call("cancel", job_id=second)
    assert server.ended(second)["state"] == "cancelled"
    worker.finishes()
    server.ended(first)
    assert worker.job is None and server.worker is worker


def test_one_that_runs_is_canceled_by_the_worker_and_the_next_goes_on(server, media):
    first, second = (server.submit(request(media, word)) for word in ("fog", "rain"))
    server.runs(first).goes_on(JobState.DENOISING)
    server.call("cancel", job_id=first)
    assert server.ended(first)["state"] == "cancelled"
    server.runs(second).finishes()
    assert server.ended(second)["state"] == "done"


def test_a_worker_that_dies_costs_its_job_alone(server, media):
    first, second = (server.submit(request(media, word)) for word in ("fog", "rain"))
    worker = server.runs(first)
    worker.goes_on(JobState.DENOISING)
    worker.die(-11)
    lost = server.ended(first)
    assert lost["state"] == "failed" and lost["problem"]["kind"] == "worker_died", lost
    other = server.runs(second)
    assert other is not worker
    other.finishes()
    assert server.ended(second)["state"] == "done"
    server.call("retry", job_id=first)
    server.runs(first).finishes()
    server.until(lambda: server.told(first)[-1]["state"] == "done")


@pytest.mark.parametrize(
    "answer",
    [
        lambda worker: worker.refuses(Problem(ProblemKind.OUT_OF_MEMORY, "Choose a smaller size.")),
        lambda worker: worker.fails(ProtocolError(INTERNAL_ERROR, "something odd")),
    ],
    ids=["refuses", "fails"],
)
def test_what_the_worker_can_not_make_is_a_sentence(server, media, answer):
    job, next_one = server.submit(request(media)), server.submit(request(media, "rain"))
    answer(server.runs(job))
    failed = server.ended(job)
    assert failed["state"] == "failed" and failed["sentence"] and failed["problem"]["sentence"]
    server.runs(next_one).finishes()
    assert server.ended(next_one)["state"] == "done"


def test_what_can_not_be_planned_is_refused_when_it_is_asked_for(server, media):
    refused = server.ask("submit", job_id="b" * 32, request=request(media, model="no such model"))["error"]
    assert refused["data"]["kind"] == "model_missing" and refused["data"]["sentence"]
    assert server.call("list")["jobs"] == []


def test_the_same_job_sent_twice_is_one_job(server, media):
    job = server.submit(request(media), "c" * 32)
    assert server.submit(request(media), "c" * 32) == job
    server.runs(job).finishes()
    server.ended(job)
    assert [each["job_id"] for each in server.call("list")["jobs"]] == [job]


def test_an_ended_job_is_forgotten_when_it_is_asked_and_no_other(server, media):
    done, waits = server.submit(request(media)), server.submit(request(media, "rain"))
    server.runs(done).finishes()
    server.ended(done)
    assert server.call("settle", job_ids=[done, waits])["job_ids"] == [done]
    assert server.call("clear", job_ids=[done, waits])["job_ids"] == [done]
    assert [each["job_id"] for each in server.call("list")["jobs"]] == [waits]


def test_the_next_server_goes_on_with_what_waits_and_offers_what_ran(inside, media):
    first = inside()
    runs, waits = (first.submit(request(media, word)) for word in ("fog", "rain"))
    first.runs(runs).goes_on(JobState.DENOISING)
    first.until(lambda: "denoising" in states(first, runs))
    first.leave()
    second = inside()
    listed = {job["job_id"]: job["state"] for job in second.call("list")["jobs"]}
    assert listed[runs] == "interrupted" and waits in listed
    second.runs(waits).finishes()
    second.until(lambda: second.call("list")["jobs"][0]["state"] != "queued")
    second.call("retry", job_id=runs)
    second.runs(runs)


def test_an_answer_of_the_worker_that_is_too_long_says_so(server, media):
    job = server.submit(request(media))
    server.runs(job).fails(ProtocolError(LINE_TOO_LONG, "This is too much for one message."))
    failed = server.ended(job)
    assert failed["problem"]["kind"] == "internal" and "The worker's answer was longer" in failed["sentence"]
    assert "file names" not in failed["sentence"]
    assert server.call("retry", job_id=job)["state"] == "queued"


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b'{"jsonrpc": "2.0", "id": 1}', b"\xff\xfe", b"{}"])
def test_nonsense_harms_nobody(server, media, line):
    from wan_backend.server.inbox import ClientLine

    server.server._inbox.put(ClientLine(line))
    job = server.submit(request(media))
    server.runs(job).finishes()
    assert server.ended(job)["state"] == "done"


WHAT_COMES = some.lists(
    some.tuples(
        some.sampled_from(["submit", "cancel", "retry", "finish", "die", "refuse", "turn"]), some.integers(0, 3)
    ),
    max_size=25,
)


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WHAT_COMES)
def test_whatever_comes_every_job_ends_once_and_the_list_says_so(inside, tmp_path_factory, media, happenings):
    server = inside(tmp_path_factory.mktemp("state"))
    jobs: list[str] = []
    for what, which in happenings:
        job = jobs[which % len(jobs)] if jobs else ""
        busy = server.worker is not None and server.worker.job is not None
        if what == "submit":
            jobs.append(server.submit(request(media)))
        elif what in ("cancel", "retry") and job:
            server.ask(what, job_id=job)
        elif what == "finish" and busy:
            server.worker.finishes()
        elif what == "refuse" and busy:
            server.worker.refuses(Problem(ProblemKind.OUT_OF_MEMORY, "Choose a smaller size."))
        elif what == "die" and server.worker is not None:
            server.worker.die(-9)
        else:
            server.call("models")
    server.call("release")  # forgives the workers that died
    for job in jobs:
        if not JobState(server.told(job)[-1]["state"]).ended:
            server.until(lambda job=job: busy_with(server) == job or JobState(server.told(job)[-1]["state"]).ended)
            if busy_with(server) == job:
                server.worker.finishes()
                server.until(lambda job=job: JobState(server.told(job)[-1]["state"]).ended)
    listed = {job["job_id"]: job["state"] for job in server.call("list")["jobs"]}
    assert listed == {job: server.told(job)[-1]["state"] for job in jobs}
    server.leave()


def busy_with(server: InProcess) -> str:
    worker = server.worker
    return worker.job.job_id if worker is not None and worker.job is not None else ""
