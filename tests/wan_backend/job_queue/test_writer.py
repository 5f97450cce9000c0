"""What goes to the disk beside the main thread: the newest state, in turn, and told when it is there."""

from __future__ import annotations

import threading

import pytest

from tests.wan_backend.job_queue.test_adoption import Server
from tests.wan_backend.job_queue.written_jobs import every, take_plan, take_request, write_jobs
from wan_backend.job_queue import store
from wan_backend.job_queue.writer import WriterThread
from wan_backend.protocol import Refusal
from wan_backend.protocol.messages import JobState
from wan_backend.storage import whole_file

A, B = "a" * 32, "b" * 32


@pytest.fixture
def server(tmp_path):
    """A queue that has 120 ended jobs, and whose disk takes each file only when it is let."""
    ids = write_jobs(tmp_path, ["done"] * 120)
    made = Server(tmp_path)
    made.adopt()
    made.ids = ids
    yield made
    made.owner.release()


class Disk:
    """Holds every file that is to be flushed."""

    def __init__(self, monkeypatch) -> None:
        self.may = threading.Semaphore(0)
        self.files = []
        write = whole_file.write_json

        def wait_and_write(file, value, flushed=True):
            if flushed:
                assert self.may.acquire(timeout=60)
            self.files.append(file)
            write(file, value, flushed)

        monkeypatch.setattr(store, "write_json", wait_and_write)


def test_of_states_that_wait_the_newest_is_written_once():
    may, written, done = threading.Event(), [], threading.Semaphore(0)

    def save(job_id, state):
        may.wait(60)
        written.append((job_id, state["n"]))

    told = []

    def tell(do):
        do()
        done.release()

    writer = WriterThread(save, tell)
    writer.do(lambda: None, lambda error: told.append("first"))
    assert done.acquire(timeout=60)
    for n in range(5):
        writer.save("slow", {"n": n}, lambda error, n=n: told.append(n), urgent=False)
    writer.save("held", {"n": 0}, lambda error: told.append("held"))
    writer.save("urgent", {"n": 7}, lambda error: told.append("urgent"))
    may.set()
    writer.close(60)
    assert len(written) <= 4  # the first may have been begun before the others were there
    assert written.index(("held", 0)) < written.index(("urgent", 7))
    assert [n for job_id, n in written if job_id == "slow"][-1] == 4
    assert sorted(map(str, told)) == sorted(["first", "0", "1", "2", "3", "4", "held", "urgent"])


def test_whatever_goes_wrong_is_told():
    told = []
    writer = WriterThread(lambda *_: 1 / 0, lambda do: do())
    writer.save("a", {}, told.append)
    writer.do(lambda: [][0], told.append)
    writer.close(60)
    assert [type(error) for error in told] == [OSError, OSError] and "ZeroDivisionError" in str(told[0])


def test_a_slow_disk_holds_what_is_asked_of_it_and_nothing_else(server, monkeypatch):
    disk = Disk(monkeypatch)
    answers = []
    server.queue.settle(server.ids).start(answers.append)
    server.queue.submit(A, take_request(), take_plan()).start(answers.append)
    assert answers == [] and len(every(server.queue)) == 120
    assert all(server.queue.status(job_id).settled for job_id in server.ids)
    disk.may.release(5)  # the new one waits for at most two of the settled, one of which was begun before
    server.until(lambda: answers != [])
    assert answers[0].state is JobState.QUEUED and server.queue.next_queued().job_id == A
    disk.may.release(200)
    server.until(lambda: len(answers) == 2)
    assert answers[1].job_ids == server.ids
    assert len([file for file in disk.files if file.name == "state.json"]) == 121


def test_what_could_not_be_settled_is_not_said_to_be(server, monkeypatch):
    write = whole_file.write_json

    def full_for_one(file, value, flushed=True):
        if server.ids[5] in str(file):
            raise OSError(28, "full", str(file))
        write(file, value, flushed)

    monkeypatch.setattr(store, "write_json", full_for_one)
    assert server.answer(server.queue.settle(server.ids)).job_ids == [i for i in server.ids if i != server.ids[5]]
    monkeypatch.setattr(store, "write_json", write)
    server.queue.save_unsaved()
    assert server.answer(server.queue.settle(server.ids[5:6])).job_ids == server.ids[5:6]


def test_sent_twice_while_it_is_written_counts_once(server, monkeypatch):
    disk = Disk(monkeypatch)
    answers = []
    for _ in range(3):
        server.queue.submit(A, take_request(), take_plan()).start(answers.append)
    disk.may.release(2)
    server.until(lambda: len(answers) == 3)
    assert answers[0] == answers[1] == answers[2]
    assert server.told.count(A) == 1


def test_a_job_that_can_not_be_cleared_stays(server, monkeypatch):
    real = store.JobStore.remove

    def remove(self, job_id, owner):
        if job_id == server.ids[3]:
            raise PermissionError(13, "held", "jobs")
        real(self, job_id, owner)

    monkeypatch.setattr(store.JobStore, "remove", remove)
    assert server.answer(server.queue.clear(server.ids[3:6])).job_ids == server.ids[4:6]
    assert server.queue.has(server.ids[3]) and not server.queue.has(server.ids[4])
    refusal = server.answer(server.queue.clear(server.ids[3:4]))
    assert isinstance(refusal, Refusal) and "could not be cleared" in refusal.message


def test_a_job_does_not_begin_before_it_is_on_the_disk(server, monkeypatch):
    disk = Disk(monkeypatch)
    answers = []
    server.queue.retry(server.ids[0]).start(answers.append)
    server.until(lambda: server.queue.status(server.ids[0]).state is JobState.QUEUED)
    assert answers == [] and server.queue.next_queued() is None
    disk.may.release(1)
    server.until(lambda: answers != [])
    assert server.queue.next_queued().job_id == server.ids[0]
