"""Job folders: whole after any kill, damage costs only its own job, newer versions are borne."""

from __future__ import annotations

import json
import os

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request, write_job
from wan_backend.job_queue import durable_file
from wan_backend.job_queue.jobs import JobQueue
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.store import JobStore
from wan_backend.models import catalogue, planning
from wan_backend.protocol import Refusal
from wan_backend.protocol.messages import JobState

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
    return planning.plan(request, catalogue.entry("embedded"))


def test_what_was_submitted_is_there_for_the_next_server(tmp_path):
    request = take_request(tmp_path / "\udcff odd", prompt="🌲 \n\t")
    owner = Owner(tmp_path)
    told = []
    queue = JobQueue(tmp_path, owner, lambda status, urgent: told.append(status.state))
    queue.submit(A, request, plan(request))
    queue.start(A)
    owner.release()
    again = Owner(tmp_path)
    later = JobQueue(tmp_path, again, lambda *_: None)
    later.adopt()
    status = later.status(A)
    assert status.request == request and status.plan == plan(request)
    assert status.state is JobState.INTERRUPTED and status.problem.kind == "interrupted"
    assert told == [JobState.QUEUED, JobState.LOADING]
    again.release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"request": 3}', b"[" * 100_000])
def test_a_damaged_request_costs_only_its_job(tmp_path, open_queue, content):
    write_job(tmp_path, A)
    (write_job(tmp_path, B) / "request.json").write_bytes(content)
    queue = open_queue()
    assert queue.status(A).state is JobState.QUEUED
    broken = queue.status(B)
    assert broken.state is JobState.FAILED and "damaged" in broken.problem.sentence
    with pytest.raises(Refusal, match="damaged"):
        queue.retry(B)
    queue.clear([B])
    assert not (tmp_path / "jobs" / B).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1, "status": 3, "owner": [], "order": "x"}'])
def test_a_damaged_state_leaves_the_job_to_be_retried(tmp_path, open_queue, content):
    (write_job(tmp_path, A) / "state.json").write_bytes(content)
    queue = open_queue()
    assert queue.status(A).state is JobState.INTERRUPTED and "retry it" in queue.status(A).problem.sentence
    assert queue.retry(A).state is JobState.QUEUED


def test_a_state_of_a_newer_version_is_borne(tmp_path, open_queue):
    file = write_job(tmp_path, A, state="done") / "state.json"
    state = json.loads(file.read_bytes())
    file.write_text(json.dumps({**state, "format": 2, "new": 1, "status": {**state["status"], "state": "upscaling"}}))
    file = write_job(tmp_path, B, state="done") / "state.json"
    state = json.loads(file.read_bytes())
    file.write_text(json.dumps({**state, "format": 2, "new": 1, "status": {**state["status"], "new": {}}}))
    queue = open_queue()
    assert "another version" in queue.status(A).problem.sentence
    assert queue.status(B).state is JobState.DONE


def test_a_folder_without_files_and_a_stray_file_are_borne(tmp_path, open_queue):
    (tmp_path / "jobs" / A).mkdir(parents=True)
    (tmp_path / "jobs" / "readme.txt").write_text("")
    (tmp_path / "jobs" / B).write_text("a file with a job's name")
    queue = open_queue()
    assert {status.job_id for status in queue.statuses()} == {A, B}
    assert all(status.state is JobState.FAILED for status in queue.statuses())


def test_half_made_folders_of_dead_servers_are_removed(tmp_path, open_queue):
    (tmp_path / "jobs" / f".{A}.deadbeef.new").mkdir(parents=True)
    (tmp_path / "jobs" / f".{B}.deadbeef.gone").mkdir()
    assert open_queue().statuses() == []
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize("state", ["queued", "decoding", "done"])
def test_a_file_half_written_by_a_killed_server_is_removed(tmp_path, open_queue, state):
    folder = write_job(tmp_path, A, state=state)
    (folder / "state.json.abc.tmp").write_text('{"form')
    open_queue()
    assert {file.name for file in folder.iterdir()} == {"request.json", "state.json"}


def test_the_jobs_of_a_server_that_lives_are_left_alone(tmp_path, open_queue):
    first = open_queue()
    request = take_request()
    first.submit(A, request, plan(request))
    second = open_queue()
    assert second.statuses() == []


def test_a_submit_that_can_not_be_written_is_refused_and_leaves_nothing(tmp_path, open_queue, monkeypatch):
    queue = open_queue()

    def full(*_):
        raise OSError(28, "No space left on device", "state.json")

    monkeypatch.setattr("wan_backend.job_queue.store.write_json", full)
    request = take_request()
    with pytest.raises(Refusal) as refusal:
        queue.submit(A, request, plan(request))
    assert refusal.value.problem.kind == "disk_full"
    assert queue.statuses() == [] and list((tmp_path / "jobs").iterdir()) == []


def test_a_state_that_can_not_be_written_is_kept_and_written_later(tmp_path, open_queue, monkeypatch):
    queue = open_queue()
    request = take_request()
    queue.submit(A, request, plan(request))
    with monkeypatch.context() as patch:
        patch.setattr(JobStore, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        assert queue.start(A).state is JobState.LOADING
        queue.save_unsaved()
    kept = tmp_path / "jobs" / A / "state.json"
    assert '"queued"' in kept.read_text()
    queue.save_unsaved()
    assert '"loading"' in kept.read_text()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "f.json"
    durable_file.write_json(file, {"a": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError("held")))
    with pytest.raises(PermissionError):
        durable_file.write_json(file, {"a": 2})
    assert durable_file.read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_the_queue_goes_on_in_the_order_in_which_jobs_came(tmp_path, open_queue):
    queue = open_queue()
    request = take_request()
    for job_id in (C, A, B):
        queue.submit(job_id, request, plan(request))
    assert queue.next_queued().job_id == C
    queue.start(C)
    assert queue.next_queued().job_id == A
