"""Jobs of dead servers: one server takes each over; nobody waits for that, and nothing is written for it."""

from __future__ import annotations

import json
import os
import queue as queues
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.job_queue.written_jobs import answered, every, take_plan, take_request, write_job, write_jobs
from wan_backend.job_queue import queue, reading, take_files
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import JobQueue
from wan_backend.job_queue.store import STATE_FILE, JobStore
from wan_backend.protocol import Refusal
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import PARTIAL_SUFFIX, STEPS_FILE, WORK_FOLDER
from wan_backend.protocol.messages import (
    FrameRate,
    JobState,
    JobStatus,
    ListParams,
    MediaFormat,
    Problem,
    ProblemKind,
    Take,
)

A, B, C = "a" * 32, "b" * 32, "c" * 32


class Server:
    """A queue and the thread that has its state, which does what other threads hand in."""

    def __init__(self, folder: Path) -> None:
        self.owner = Owner(folder)
        self._inbox: queues.SimpleQueue[Callable[[], None]] = queues.SimpleQueue()
        self.told: list[str] = []
        self.queue = JobQueue(folder, self.owner, lambda status, _: self.told.append(status.job_id), self._inbox.put)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Do what is handed in until it is so."""
        end = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < end, "it never was so"
            try:
                self._inbox.get(timeout=0.05)()
            except queues.Empty:
                continue

    def adopt(self) -> None:
        """Look, and wait for it."""
        through: list[bool] = []
        self.queue.adopt(lambda: through.append(True))
        self.until(lambda: bool(through))

    def answer(self, later):
        """What is answered, waited for."""
        answers = []
        later.start(answers.append)
        self.until(lambda: bool(answers))
        return answers[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """server() is another one on the test's state folder."""
    started: list[Server] = []

    def start() -> Server:
        started.append(Server(tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.owner.release()


def states(queue: JobQueue) -> dict[str, str]:
    return {status.job_id: status.state.value for status in every(queue)}


def test_no_file_of_a_job_is_written_for_taking_it_over(tmp_path, server):
    ids = write_jobs(tmp_path, ["queued"] * 30 + ["failed"] * 10 + ["done"] * 10)
    before = {job_id: (tmp_path / "jobs" / job_id / "state.json").stat().st_mtime_ns for job_id in ids}
    first = server()
    first.adopt()
    assert len(every(first.queue)) == 50
    first.until(lambda: first.queue.next_queued() is not None)
    assert before == {job_id: (tmp_path / "jobs" / job_id / "state.json").stat().st_mtime_ns for job_id in ids}


def marked(queue: JobQueue) -> dict[str, str]:
    """The states of the jobs that another server holds."""
    return {status.job_id: status.state.value for status in every(queue) if status.held_elsewhere}


def test_what_one_server_took_over_the_next_leaves_alone_until_that_one_is_dead(tmp_path, server):
    write_jobs(tmp_path, ["queued", "failed", "interrupted", "done", "cancelled"])
    first, second, third = server(), server(), server()
    first.adopt()
    second.adopt()
    assert len(every(first.queue)) == 5 and marked(first.queue) == {}
    assert sorted(states(second.queue).values()) == ["cancelled", "done"]  # nothing will be done for these
    assert marked(second.queue) == states(second.queue)
    assert second.queue.page(ListParams()).held_elsewhere == 3 and first.queue.page(ListParams()).held_elsewhere == 0
    first.owner.release()
    second.adopt()
    third.adopt()
    assert len(every(second.queue)) == 5 and sorted(states(third.queue).values()) == ["cancelled", "done"]
    assert marked(second.queue) == {} and marked(third.queue) == states(third.queue)
    heirs = list((tmp_path / "servers").glob("*.heir"))
    assert [heir.read_text() for heir in heirs] == [second.owner.id]


@pytest.mark.parametrize("state", ["done", "cancelled", "failed", "interrupted", "queued", "broken", "damaged"])
def test_in_every_state_one_server_alone_can_change_a_job(tmp_path, server, state):
    """One retried and the other cleared: the folder of the running job was deleted."""
    write_job(tmp_path, A, state="failed" if state in ("broken", "damaged") else state)
    if state == "broken":
        (tmp_path / "jobs" / A / "request.json").unlink()
        (tmp_path / "jobs" / A / "state.json").write_bytes(b"{}")
    if state == "damaged":
        (tmp_path / "jobs" / A / "state.json").write_bytes(bytes(100))
    holder, other = server(), server()
    holder.adopt()
    other.adopt()
    refused = other.answer(other.queue.retry(A))
    assert isinstance(refused, Refusal) and "Another Blender window has this job" in str(refused)
    if A in states(other.queue):
        assert isinstance(other.answer(other.queue.clear([A])), Refusal)
    else:
        assert other.answer(other.queue.clear([A])).job_ids == []
    assert isinstance(other.answer(other.queue.submit(A, take_request(), take_plan())), Refusal | JobStatus)
    assert (tmp_path / "jobs" / A / "state.json").exists()
    if state not in ("broken",):
        assert holder.answer(holder.queue.retry(A)).state is JobState.QUEUED
    else:
        assert holder.answer(holder.queue.clear([A])).job_ids == [A]
    other.adopt()
    assert states(other.queue) == {}, "its holder goes on with it"
    holder.owner.release()
    other.adopt()
    assert states(other.queue) == ({} if state == "broken" else {A: "queued"})


def test_what_its_holder_cleared_goes_from_the_other_list(tmp_path, server):
    write_job(tmp_path, A, state="done")
    holder, other = server(), server()
    holder.adopt()
    other.adopt()
    assert states(other.queue) == {A: "done"}
    assert holder.answer(holder.queue.clear([A])).job_ids == [A]
    other.adopt()
    assert states(other.queue) == {}


def test_a_take_that_landed_in_the_other_window_is_settled_without_touching_its_state(tmp_path, server):
    write_job(tmp_path, A, state="done")
    holder, other = server(), server()
    holder.adopt()
    other.adopt()
    before = (tmp_path / "jobs" / A / "state.json").read_bytes()
    assert other.answer(other.queue.settle([A])).job_ids == [A] and other.queue.status(A).settled
    assert (tmp_path / "jobs" / A / "state.json").read_bytes() == before
    holder.owner.release()
    other.owner.release()
    third = server()
    third.adopt()
    assert third.queue.status(A).settled and not third.queue.status(A).held_elsewhere


def test_jobs_of_a_server_that_dies_later_come_by_themselves_and_are_told(tmp_path, server):
    """A hung server, or Restart on a slow disk: its jobs were gone until the next Restart."""
    ids = write_jobs(tmp_path, ["queued", "failed", "denoising", "done"])
    hung, fresh = server(), server()
    hung.adopt()
    fresh.adopt()
    fresh.queue.adopt_freed()
    fresh.until(lambda: not fresh.queue._adopter._watching)
    assert set(states(fresh.queue).values()) == {"done"}
    hung.owner.release()
    fresh.told.clear()
    fresh.queue.adopt_freed()
    fresh.until(lambda: len(states(fresh.queue)) == 4)
    assert set(fresh.told) == set(ids) and marked(fresh.queue) == {}
    assert fresh.queue.page(ListParams()).held_elsewhere == 0


def test_a_look_that_failed_is_tried_again(tmp_path, server, monkeypatch):
    write_jobs(tmp_path, ["failed"])
    first = server()
    with monkeypatch.context() as failing:
        failing.setattr(first.queue._store, "ids", lambda: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        first.adopt()
    assert states(first.queue) == {}
    first.queue.adopt_freed()
    first.until(lambda: len(states(first.queue)) == 1)
    assert first.told == [f"{0:032x}"]


def test_who_took_over_is_forgotten_with_the_last_job(tmp_path, server):
    ids = write_jobs(tmp_path, ["failed"] * 3)
    first = server()
    first.adopt()
    assert list((tmp_path / "servers").glob("*.heir"))
    first.answer(first.queue.clear(ids))
    first.owner.release()
    second = server()
    second.adopt()
    assert not list((tmp_path / "servers").glob("*.heir"))


def test_a_running_job_is_interrupted_and_says_whether_it_goes_on(tmp_path, server):
    write_jobs(tmp_path, ["denoising", "loading", "decoding"])
    ids = [f"{number:032x}" for number in range(3)]
    (tmp_path / "jobs" / ids[0] / WORK_FOLDER).mkdir()
    (tmp_path / "jobs" / ids[0] / WORK_FOLDER / STEPS_FILE).write_bytes(b"steps")
    first = server()
    first.adopt()
    assert set(states(first.queue).values()) == {"interrupted"}
    assert "resume from its last step" in first.queue.status(ids[0]).sentence
    assert first.queue.status(ids[1]).sentence == "The backend ended while this job ran; retry it."
    kept = tmp_path / "jobs" / ids[2] / "state.json"
    first.until(lambda: json.loads(kept.read_bytes())["status"]["state"] == "interrupted")


def write_take(media: Path, job_id: str) -> None:
    (media / job_id).mkdir(parents=True)
    (media / job_id / "0001.png").write_bytes(b"png")
    take = Take(str(media / job_id), "0001.png", MediaFormat.PNG, 1, 8, 8, FrameRate(24))
    (media / job_id / "take.json").write_text(json.dumps({"take": to_json(take)}))


@pytest.mark.parametrize("state", ["queued", "decoding", "failed", "interrupted"])
def test_a_take_finished_unheard_is_found_and_half_of_one_removed(tmp_path, server, state):
    media = tmp_path / "media"
    for job_id in (A, B):
        write_job(tmp_path, job_id, state=state, media=media)
        (media / (job_id + PARTIAL_SUFFIX)).mkdir(parents=True)
    write_take(media, A)
    first = server()
    first.adopt()
    first.until(lambda: first.queue.status(A).state is JobState.DONE)
    assert first.queue.status(A).take.frames == 1
    assert first.queue.status(B).state.value == ("interrupted" if state == "decoding" else state)
    first.until(lambda: not list(media.glob("*" + PARTIAL_SUFFIX)))


def test_a_take_is_found_under_the_name_that_it_has_for_people(tmp_path):
    write_take(tmp_path, A)
    settings = json.loads((tmp_path / A / "take.json").read_text())
    for number, whose in enumerate((B, A, B), 7):
        folder = tmp_path / f"{number:04d} Fog, seed 1"
        shutil.copytree(tmp_path / A, folder)
        (folder / "take.json").write_text(json.dumps({**settings, "job_id": whose}))
    shutil.rmtree(tmp_path / A)
    assert take_files.find_take(str(tmp_path), A).folder == str(tmp_path / "0008 Fog, seed 1")
    assert take_files.find_take(str(tmp_path), "c" * 32) is None


def test_a_take_whose_frame_is_empty_or_gone_is_not_whole(tmp_path):
    write_take(tmp_path, A)
    assert take_files.find_take(str(tmp_path), A).frames == 1
    (tmp_path / A / "0001.png").write_bytes(b"")
    assert take_files.find_take(str(tmp_path), A) is None
    (tmp_path / A / "0001.png").unlink()
    assert take_files.find_take(str(tmp_path), A) is None


def test_a_take_of_more_frames_than_any_is_none(tmp_path):
    write_take(tmp_path, A)
    file = tmp_path / A / "take.json"
    for number in (str(1 << 62), "1e400", "NaN", "-1", "0"):
        file.write_text(
            json.dumps({"take": {**json.loads(file.read_bytes())["take"], "frames": "@"}}).replace('"@"', number)
        )
        assert take_files.find_take(str(tmp_path), A) is None
        file.write_text(
            json.dumps({"take": {**to_json(Take(str(tmp_path), "", MediaFormat.PNG, 1, 8, 8, FrameRate(24)))}})
        )


def test_a_media_folder_that_does_not_answer_holds_only_its_jobs(tmp_path, server, monkeypatch):
    """The list is whole, new jobs get their turns."""
    write_jobs(tmp_path, ["queued", "failed", "decoding"])
    answers = threading.Event()
    find_take = take_files.find_take
    monkeypatch.setattr(take_files, "find_take", lambda *given: (answers.wait(60), find_take(*given))[1])
    first = server()
    first.adopt()
    assert len(every(first.queue)) == 3 and first.queue.next_queued() is None
    assert first.answer(first.queue.submit(C, take_request(), take_plan())).state is JobState.QUEUED
    answers.set()
    first.until(lambda: first.queue.next_queued() is not None)


def test_jobs_elsewhere_go_on_past_those_whose_media_folder_does_not_answer(tmp_path, server, monkeypatch):
    for number in range(3):
        write_job(tmp_path, f"{number:032x}", media=tmp_path / f"dead{number}")
    alive = f"{3:032x}"
    write_job(tmp_path, alive, media=tmp_path / "alive")
    answers = threading.Event()
    find_take = take_files.find_take

    def look(media, job_id):
        assert "dead" not in media or answers.wait(60)
        return find_take(media, job_id)

    monkeypatch.setattr(take_files, "find_take", look)
    first = server()
    first.adopt()
    assert first.queue.next_queued() is None, "nothing is passed over that may only be slow"
    monkeypatch.setattr(queue, "MEDIA_PATIENCE_SECONDS", 0.1)
    first.until(lambda: first.queue.next_queued() is not None)
    assert first.queue.next_queued().job_id == alive
    said = {status.job_id: status.sentence for status in every(first.queue)}
    assert said[f"{0:032x}"] == f"{tmp_path / 'dead0'} does not answer; this job continues as soon as it does."
    answers.set()
    first.until(lambda: first.queue.next_queued() is not None and first.queue.next_queued().job_id == f"{0:032x}")
    first.until(lambda: not any("does not answer" in status.sentence for status in every(first.queue)))


@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_a_media_folder_that_breaks_the_look_costs_its_own_job(tmp_path, server, monkeypatch, breaks):
    ids = write_jobs(tmp_path, ["queued"] * 3)
    find_take = take_files.find_take

    def look(media, job_id):
        if job_id == ids[breaks]:
            raise RecursionError
        return find_take(media, job_id)

    monkeypatch.setattr(take_files, "find_take", look)
    monkeypatch.setattr("wan_backend.job_queue.adoption.GROUP_SECONDS", 0.0)
    first = server()
    first.adopt()
    first.until(lambda: first.queue.next_queued() is not None)
    turns = []
    for _ in ids:
        first.until(lambda: first.queue.next_queued() is not None)
        turns.append(first.queue.next_queued().job_id)
        first.queue.end(turns[-1], JobState.CANCELED, Problem(ProblemKind.CANCELED, "Canceled."))
    assert turns == ids


def test_what_is_asked_before_the_jobs_are_there_waits_for_them(tmp_path, server, monkeypatch):
    """A job that was sent before the server died counts once; one that ended is settled, cleared, retried."""
    ids = write_jobs(tmp_path, ["queued", "failed", "failed", "cancelled"])
    go_on = threading.Event()
    job_of = reading.job_of
    monkeypatch.setattr(reading, "job_of", lambda *given: (go_on.wait(60), job_of(*given))[1])
    first = server()
    first.queue.adopt()
    queue, answers = first.queue, {}
    asked = {
        "submit": queue.submit(ids[0], take_request(), take_plan()),
        "settle": queue.settle([ids[1]]),
        "retry": queue.retry(ids[2]),
        "clear": queue.clear([ids[3]]),
        "details": queue.details(ids[1]),
    }
    for name, later in asked.items():
        later.start(lambda answer, name=name: answers.update({name: answer}))
    assert answers == {}
    go_on.set()
    first.until(lambda: len(answers) == len(asked))
    assert answers["submit"].created == 0.0 and answers["retry"].state is JobState.QUEUED
    assert answers["settle"].job_ids == [ids[1]] and answers["clear"].job_ids == [ids[3]]
    assert answers["details"].request == take_request()
    assert set(states(queue)) == set(ids[:3])


def test_a_job_cleared_while_others_are_looked_for_does_not_come_back(tmp_path, server, monkeypatch):
    write_jobs(tmp_path, ["failed", "failed"])
    first = server()
    first.adopt()
    read = reading.job_of(f"{0:032x}", tmp_path / "jobs" / f"{0:032x}")
    first.answer(first.queue.clear([f"{0:032x}"]))
    monkeypatch.setattr(first.queue._adopter._search._store, "ids", lambda: [f"{0:032x}"])
    monkeypatch.setattr(reading, "job_of", lambda *_: read)
    first.adopt()
    assert list(states(first.queue)) == [f"{1:032x}"]


def test_what_a_cleared_job_still_had_to_write_is_left_out(tmp_path, server, monkeypatch):
    """Else it would be tried for ever, or be written over the job that has its id next."""
    save = JobStore.save
    monkeypatch.setattr(JobStore, "save", lambda *given: (time.sleep(0.01), save(*given)))
    ids = write_jobs(tmp_path, ["cancelled"] * 30)
    here = server()
    here.adopt()
    answers = []
    here.queue.settle(ids).start(answers.append)
    here.queue.clear(ids).start(answers.append)
    here.queue.submit(ids[-1], take_request(tmp_path), take_plan()).start(answers.append)
    here.until(lambda: len(answers) == 3)
    here.queue.close(30.0)
    here.queue.save_unsaved()
    assert os.listdir(tmp_path / "jobs") == [ids[-1]]
    assert not here.queue._saving.is_unsaved(ids[0])
    written = json.loads((tmp_path / "jobs" / ids[-1] / STATE_FILE).read_text())
    assert written["status"]["state"] == "queued"


def test_a_cancel_does_not_wait_for_a_thousand_jobs_to_be_cleared(tmp_path, server, monkeypatch):
    remove, gone = JobStore.remove, []
    monkeypatch.setattr(JobStore, "remove", lambda *given: (time.sleep(0.01), gone.append(given[1]), remove(*given)))
    ids = write_jobs(tmp_path, ["failed"] * 100 + ["queued"])
    here = server()
    here.adopt()
    cleared = []
    here.queue.clear(ids[:100]).start(cleared.append)
    here.queue.end(ids[100], JobState.CANCELED, Problem(ProblemKind.CANCELED, "Canceled."))
    written = []
    here.queue.when_written(ids[100], lambda: written.append(len(gone)))
    here.until(lambda: bool(written) and bool(cleared))
    assert written[0] < 50 and len(cleared[0].job_ids) == 100


def test_one_job_that_breaks_the_reader_is_a_broken_row(tmp_path, server, monkeypatch):
    ids = write_jobs(tmp_path, ["done"] * 3)
    real = reading._read

    def break_one(job_id, folder):
        if job_id == ids[1]:
            raise MemoryError("too much")
        return real(job_id, folder)

    monkeypatch.setattr(reading, "_read", break_one)
    first = server()
    first.adopt()
    assert states(first.queue)[ids[1]] == "failed" and "clear it from the list" in first.queue.status(ids[1]).sentence
    assert len(states(first.queue)) == 3


def test_a_damaged_job_found_at_its_turn_fails_for_good(tmp_path):
    owner = Owner(tmp_path)
    queue = JobQueue(tmp_path, owner, lambda *_: None)
    write_job(tmp_path, A)
    (tmp_path / "jobs" / A / "request.json").unlink()
    queue.adopt()
    answers = []
    queue.request(A, answers.append)
    queue.damaged(A, answers[0].problem)
    assert queue.status(A).state is JobState.FAILED and queue.next_queued() is None
    with pytest.raises(Exception, match="damaged"):
        answered(queue.retry(A))
    owner.release()


def test_a_retry_waits_for_what_the_try_before_left(tmp_path, server, monkeypatch):
    media = tmp_path / "media"
    first = server()
    first.answer(first.queue.submit(A, take_request(media), take_plan()))
    first.until(lambda: first.queue.next_queued() is not None)
    first.queue.start(A, take_plan())
    go_on = threading.Event()
    monkeypatch.setattr(take_files, "remove_partial", lambda *_: go_on.wait(60))
    first.queue.end(A, JobState.FAILED, Problem(ProblemKind.WORKER_DIED, "It died."))
    assert first.answer(first.queue.retry(A)).state is JobState.QUEUED
    assert first.queue.next_queued() is None
    go_on.set()
    first.until(lambda: first.queue.next_queued() is not None)
