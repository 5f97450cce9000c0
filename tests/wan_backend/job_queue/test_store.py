"""Job folders: whole after any kill, damage costs only its own job, newer versions are borne."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil

import pytest

from tests.wan_backend.job_queue.written_jobs import answered, every, take_request, write_job, write_old_job
from wan_backend.catalogue import entries
from wan_backend.job_queue import reading
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import JobQueue
from wan_backend.planning import plan_steps
from wan_backend.protocol import Refusal
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.messages import JobState, JobStatus, JobSummary, Problem, ProblemKind
from wan_backend.storage import whole_file

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def open_queue(tmp_path):
    """open_queue() is the queue of a new server, with all jobs of dead ones; owners are released at the end."""
    owners = []

    def start() -> JobQueue:
        owners.append(Owner(tmp_path))
        queue = JobQueue(tmp_path, owners[-1], lambda *_: None)
        queue.adopt()
        return queue

    yield start
    for owner in owners:
        owner.release()


def plan(request):
    return plan_steps.plan(request, entries.entry("embedded"))


def submit(queue, job_id, request):
    return answered(queue.submit(job_id, request, plan(request)))


def test_what_was_submitted_is_there_for_the_next_server(tmp_path):
    request = take_request(tmp_path / "\udcff odd", prompt="🌲 \n\t")
    owner = Owner(tmp_path)
    told = []
    queue = JobQueue(tmp_path, owner, lambda status, urgent: told.append(status.state))
    submit(queue, A, request)
    queue.start(A, plan(request))
    owner.release()
    again = Owner(tmp_path)
    later = JobQueue(tmp_path, again, lambda *_: None)
    later.adopt()
    status, details = later.status(A), answered(later.details(A))
    assert details.request == request and details.plan == plan(request)
    assert status.summary == JobSummary.of(request)
    assert status.state is JobState.INTERRUPTED and status.problem.kind == "interrupted"
    assert told == [JobState.QUEUED, JobState.LOADING]
    again.release()


def test_starting_reads_no_request(tmp_path, open_queue, monkeypatch):
    write_job(tmp_path, A)
    write_job(tmp_path, B, state="done")
    read = []
    monkeypatch.setattr(reading, "request_of", read.append)
    assert len(every(open_queue())) == 2 and read == []


def test_jobs_of_version_0_1_0_are_read_and_kept_as_this_one_does(tmp_path, open_queue, monkeypatch):
    write_old_job(tmp_path, A)
    write_old_job(tmp_path, B, state="done")
    queue = open_queue()
    assert {status.job_id: status.state.value for status in every(queue)} == {A: "queued", B: "done"}
    assert queue.status(A).summary == JobSummary.of(take_request("/nowhere"))
    assert answered(queue.details(B)).plan.model == "embedded"
    for job_id in (A, B):
        kept = json.loads((tmp_path / "jobs" / job_id / "state.json").read_bytes())
        assert kept["format"] == 2 and kept["status"]["summary"]["title"] == "fog" and "plan" not in kept["status"]


DAMAGED_REQUESTS = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"request": 3}', b'{"request": []}', b"[" * 100_000, b"9" * 5000,
    b'{"request": {"prompt": "x", "width": 1e400}}',
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED_REQUESTS)
def test_a_damaged_request_costs_only_its_job(tmp_path, open_queue, content):
    """Found where it is needed: at once of a job of version 0.1.0, else at the job's turn, or at a retry."""
    write_job(tmp_path, A)
    (write_old_job(tmp_path, B) / "request.json").write_bytes(content)
    (write_job(tmp_path, C, state="failed") / "request.json").write_bytes(content)
    queue = open_queue()
    assert queue.status(A).state is JobState.QUEUED
    broken = queue.status(B)
    assert broken.state is JobState.FAILED and "damaged" in broken.problem.sentence
    for job_id in (B, C):
        with pytest.raises(Refusal, match="damaged"):
            answered(queue.retry(job_id))
        with pytest.raises(Refusal, match="damaged"):
            answered(queue.details(job_id))
    assert answered(queue.clear([B])).job_ids == [B]
    assert not (tmp_path / "jobs" / B).exists()


NOT_STATES = [
    b"", b"{", b"[]", b"7", b'{"format": 1, "status": 3, "owner": [], "order": "x"}', b'{"status": {"summary": []}}',
    b'{"format": 2, "status": {"summary": {}, "state": []}, "media_folder": {}}', b"[" * 100_000, b"1" * 5000,
    b'{"format": 2, "media_folder": "/x", "status": {"summary": {"title": 1}}}', b'{"x": "' + b"y" * 200_000 + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("content", NOT_STATES)
def test_a_damaged_state_leaves_the_job_to_be_retried(tmp_path, open_queue, content):
    (write_job(tmp_path, A) / "state.json").write_bytes(content)
    queue = open_queue()
    assert queue.status(A).state is JobState.INTERRUPTED and "retry it" in queue.status(A).problem.sentence
    assert answered(queue.retry(A)).state is JobState.QUEUED


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "1" + "0" * 5000, "-1", "[]", '"7"']
PLACES = ["created", "progress", "eta_seconds", "step", "order", "queued_at", "format", "seconds"]


def test_a_number_that_is_none_costs_at_most_its_job(tmp_path, open_queue):
    """One job for each such number in each place, in both formats, and one more that is whole."""
    write_job(tmp_path, A)
    for at, (number, place, write) in enumerate(itertools.product(NUMBERS, PLACES, (write_job, write_old_job))):
        file = write(tmp_path, f"{at:032x}") / "state.json"
        state = json.loads(file.read_bytes())
        (state if place in state else state["status"])[place] = "@"
        file.write_text(json.dumps(state).replace('"@"', number))
    queue = open_queue()
    listed = every(queue)
    assert len(listed) == at + 2
    for status in listed:
        assert from_json(JobStatus, json.loads(json.dumps(to_json(status), allow_nan=False))) == status
        assert status.state is JobState.QUEUED or "retry it" in status.sentence
        assert status.state is JobState.INTERRUPTED or status.job_id == A or answered(queue.details(status.job_id))
    assert submit(queue, "d" * 32, take_request()).state is JobState.QUEUED
    assert _turns(queue)[-1] == "d" * 32


def _turns(queue):
    """The queued jobs in the order in which they get their turns, all started and ended."""
    ids = []
    while (job := queue.next_queued()) is not None:
        ids.append(job.job_id)
        queue.start(job.job_id, plan(take_request()))
        queue.end(job.job_id, JobState.CANCELED, Problem(ProblemKind.CANCELED, "Canceled."))
    return ids


@pytest.mark.parametrize("number", ["NaN", "1e400", "1" + "0" * 400])
def test_a_broken_job_with_a_number_that_is_none_stops_nothing(tmp_path, open_queue, number):
    folder = write_old_job(tmp_path, A)
    (folder / "request.json").write_bytes(b"{")
    (folder / "state.json").write_text(f'{{"format": 1, "order": {number}, "status": {{"created": {number}}}}}')
    write_job(tmp_path, B)
    queue = open_queue()
    assert queue.status(A).state is JobState.FAILED and queue.status(B).state is JobState.QUEUED


def _is_a_folder(file):
    file.mkdir()


def _is_a_loop(file):
    file.symlink_to(file)


def _is_a_pipe(file):
    os.mkfifo(file)


def _leads_nowhere(file):
    file.symlink_to(file.parent / "nothing")


def _is_forbidden(file):
    file.write_text("{}")
    file.chmod(0)


def test_what_is_no_file_costs_only_its_job(tmp_path, open_queue):
    write_job(tmp_path, A)
    kinds = (_is_a_folder, _is_a_loop, _is_a_pipe, _leads_nowhere, _is_forbidden)
    names = ("state.json", "request.json", "plan.json", "")
    for at, (make, name, write) in enumerate(itertools.product(kinds, names, (write_job, write_old_job))):
        folder = write(tmp_path, f"{at:032x}")
        if name:
            (folder / name).unlink(missing_ok=True)
            make(folder / name)
        else:
            shutil.rmtree(folder)
            make(folder)
    queue = open_queue()
    assert queue.status(A).state is JobState.QUEUED
    listed = every(queue)
    assert len(listed) == at + 2
    ended = [status for status in listed if status.state.ended]
    assert len(ended) >= 3 * at // 8 and all(status.sentence.endswith(".") for status in ended)
    ids = [status.job_id for status in ended]
    assert set(answered(queue.clear(ids)).job_ids) == set(ids)
    assert not any(job_id in name for job_id in ids for name in os.listdir(tmp_path / "jobs"))


def test_a_state_of_a_newer_version_is_borne(tmp_path, open_queue):
    file = write_job(tmp_path, A, state="done") / "state.json"
    state = json.loads(file.read_bytes())
    file.write_text(json.dumps({**state, "format": 3, "new": 1, "status": {**state["status"], "state": "upscaling"}}))
    file = write_job(tmp_path, B, state="done") / "state.json"
    state = json.loads(file.read_bytes())
    file.write_text(json.dumps({**state, "format": 3, "new": 1, "status": {**state["status"], "new": {}}}))
    queue = open_queue()
    assert "another version" in queue.status(A).problem.sentence
    assert queue.status(B).state is JobState.DONE


def test_a_folder_without_files_and_a_stray_file_are_borne(tmp_path, open_queue):
    (tmp_path / "jobs" / A).mkdir(parents=True)
    (tmp_path / "jobs" / "readme.txt").write_text("")
    (tmp_path / "jobs" / B).write_text("a file with a job's name")
    queue = open_queue()
    assert {status.job_id for status in every(queue)} == {A, B}
    assert all(status.state is JobState.FAILED for status in every(queue))


def test_half_made_folders_of_dead_servers_are_removed(tmp_path, open_queue):
    (tmp_path / "jobs" / f".{A}.deadbeef.new").mkdir(parents=True)
    (tmp_path / "jobs" / f".{B}.deadbeef.gone").mkdir()
    assert every(open_queue()) == []
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize("state", ["queued", "decoding", "done"])
def test_a_file_half_written_by_a_killed_server_is_removed(tmp_path, open_queue, state):
    folder = write_job(tmp_path, A, state=state)
    (folder / "state.json.abc.tmp").write_text('{"form')
    open_queue()
    assert {file.name for file in folder.iterdir()} == {"request.json", "plan.json", "state.json"}


def test_the_jobs_of_a_server_that_lives_are_left_alone(tmp_path, open_queue):
    first = open_queue()
    request = take_request()
    submit(first, A, request)
    second = open_queue()
    assert every(second) == []


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, "disk_full", "is full; make room"), (errno.EDQUOT, "disk_full", "your quota on the disk of"),
        (errno.EROFS, "folder", "make it writable"), (errno.EACCES, "folder", "make it writable"),
        (errno.EIO, "folder", "check that disk"),
    ],
)  # fmt: skip
def test_a_submit_that_can_not_be_written_is_refused_and_leaves_nothing(
    tmp_path, open_queue, monkeypatch, number, kind, words
):
    queue = open_queue()

    def full(*_, **__):
        raise OSError(number, os.strerror(number), "state.json")

    monkeypatch.setattr("wan_backend.job_queue.store.write_json", full)
    request = take_request()
    with pytest.raises(Refusal) as refusal:
        submit(queue, A, request)
    assert refusal.value.problem.kind == kind and words in refusal.value.problem.sentence
    assert every(queue) == [] and list((tmp_path / "jobs").iterdir()) == []


def test_a_state_that_can_not_be_written_is_kept_and_written_later(tmp_path, open_queue, monkeypatch):
    queue = open_queue()
    request = take_request()
    submit(queue, A, request)
    with monkeypatch.context() as patch:
        patch.setattr(
            "wan_backend.job_queue.store.write_json", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full"))
        )
        assert queue.start(A, plan(request)).state is JobState.LOADING
        queue.save_unsaved()
    kept = tmp_path / "jobs" / A / "state.json"
    assert '"queued"' in kept.read_text()
    queue.save_unsaved()
    assert '"loading"' in kept.read_text()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "f.json"
    whole_file.write_json(file, {"a": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError("held")))
    with pytest.raises(PermissionError):
        whole_file.write_json(file, {"a": 2})
    assert whole_file.read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_the_queue_goes_on_in_the_order_in_which_jobs_came(tmp_path, open_queue):
    queue = open_queue()
    request = take_request()
    for job_id in (C, A, B):
        submit(queue, job_id, request)
    assert queue.next_queued().job_id == C
    queue.start(C, plan(request))
    assert queue.next_queued().job_id == A


def test_a_request_that_the_disk_does_not_give_is_no_damaged_one(tmp_path, monkeypatch):
    """It may be read by the next try, so the job is not to be cleared."""

    def fail(*_given: object) -> object:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(reading, "read_json", fail)
    with pytest.raises(Refusal, match=r"can't be read \(Input/output error\)") as caught:
        reading.request_of(tmp_path)
    assert caught.value.problem.kind is ProblemKind.FOLDER and "retry" in caught.value.problem.sentence
