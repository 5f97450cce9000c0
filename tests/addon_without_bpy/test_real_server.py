"""The add-on's own client against a real server with long lists and slow folders: neither may block the other."""

from __future__ import annotations

import json
import os
import shlex
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request, write_jobs
from wan_backend.protocol.messages import Role, Source

pytestmark = pytest.mark.ci

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 240
SLOW = """
import os, runpy, sys, time
from wan_backend.library import survey
real = survey._inspect
def inspect(*given):
    while not os.path.exists("{go}"):
        time.sleep(0.02)
    return real(*given)
survey._inspect = inspect
sys.argv = ["wan_backend", *sys.argv[3:]]
runpy.run_module("wan_backend", run_name="__main__")
"""
"""A server to which no file of a models folder comes before the file `go` is there, as from a share."""


class Desk:
    """The jobs' side of one server after another."""

    def __init__(self, addon, folder: Path, command: str, models_folder: str) -> None:
        settings = addon("backend.launch_command").BackendSettings(ROOT, folder, command, models_folder)
        self.jobs = addon("jobs.job_list").JobList()
        self.server = addon("jobs.server_proxy").ServerProxy(self.jobs, lambda: settings, lambda: None)
        self.pids: list[int] = []

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Tick until `condition()` holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.server.status
            self.server.tick(time.perf_counter() + 0.008)
            child = self.server.connection._child
            if child is not None and child.pid not in self.pids:
                self.pids.append(child.pid)
            time.sleep(0.01)

    def start(self) -> None:
        self.server.start()
        self.until(lambda: self.server.status.state == "ready")

    def ask(self, method: str, params: object = None) -> object:
        """The answer to one call, a result or an error."""
        answers: list[object] = []
        self.server.connection.client.call(method, params, answers.append, answers.append)
        self.until(lambda: answers)
        return answers[0]


@pytest.fixture
def desk(addon, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """desk() has a server of its own; all are gone after the test."""
    made: list[Desk] = []

    def make(command: str = shlex.quote(sys.executable), models_folder: str = "") -> Desk:
        made.append(Desk(addon, tmp_path, command, models_folder))
        return made[-1]

    yield make
    for each in made:
        each.server.connection.close(10.0)


def many_pictures() -> list[str]:
    """Names that don't follow one another, so that they travel one by one."""
    return [f"the_lake_sq010_sh040_v003.{n * n:08d}.png" for n in range(PICTURES)]


def test_many_ended_jobs_are_there_from_one_server_and_can_be_cleared(desk, tmp_path: Path) -> None:
    shot = [Source(Role.FOOTAGE, "/films/the_lake/010", many_pictures(), frames=PICTURES, rendered=True)]
    request = take_request("/films/the_lake/wan", sources=shot)
    wanted = write_jobs(tmp_path / "state", ["cancelled"] * 700, request)
    size = sum(file.stat().st_size for file in (tmp_path / "state").rglob("request.json"))
    assert size > 4 << 20, "or it would fit in few lines"
    one = desk()
    one.start()
    one.until(lambda: one.server.listed and len(one.jobs.all()) == 700)
    newest = one.jobs.in_order(lambda status: True)[0]
    assert newest.job_id == wanted[-1]
    one.server.want_details(newest.job_id)
    one.until(lambda: one.server.details.request_of(newest.job_id))
    assert one.server.details.request_of(newest.job_id).sources[0].files == many_pictures()
    one.server.outbox.settle(wanted)
    one.until(lambda: not one.jobs.ended_unsettled())
    one.server.outbox.clear(wanted)
    one.until(lambda: not one.jobs.all())
    one.server.stop()
    one.start()
    one.until(lambda: one.server.listed)
    assert one.jobs.all() == []
    assert len(one.pids) == 2, "the second was asked for"


def test_a_models_folder_that_is_slow_to_look_through_stops_nobody(desk, tmp_path: Path) -> None:
    folder, script = tmp_path / "models", tmp_path / "slow.py"
    folder.mkdir()
    script.write_text(SLOW.format(go=tmp_path / "go"))
    head = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    for n in range(20):
        (folder / f"{n}.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\0" * 4)
    one = desk(f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}", str(folder))
    one.start()
    one.until(lambda: one.server.models)
    assert one.server.looking, "it was answered before all was looked at"
    assert type(one.ask("release")).__name__ == "WorkersResult", "and so is any other call"
    assert one.server.looking
    (tmp_path / "go").touch()
    one.until(lambda: not one.server.looking)
    assert one.server.models and len(one.pids) == 1


def test_what_is_too_large_for_a_line_is_a_sentence_and_ends_nobody(desk, messages, make_request) -> None:
    one = desk()
    one.start()
    names = [f"{n * n:0200d}.png" for n in range(9000)]
    request = make_request(sources=[messages.Source(messages.Role.FOOTAGE, "/a", names, frames=9000)])
    one.server.plan_query.want(request)
    one.until(lambda: one.server.plan_query.sentence)
    assert "too much for one message" in one.server.plan_query.sentence
    one.server.outbox.submit("a" * 32, request)
    one.until(lambda: one.jobs.get("a" * 32).state.ended)
    assert "too much for one message" in one.jobs.get("a" * 32).problem.sentence
    assert type(one.ask("release")).__name__ == "WorkersResult"
    assert len(one.pids) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process")
def test_a_server_that_hangs_is_ended_and_what_it_was_told_is_told_to_the_next(
    desk, addon, monkeypatch, tmp_path: Path
) -> None:
    wanted = write_jobs(tmp_path / "state", ["cancelled"] * 5)
    one = desk()
    one.start()
    one.until(lambda: one.server.listed)
    os.kill(one.pids[0], signal.SIGSTOP)
    one.server.outbox.clear(wanted[:3])
    with monkeypatch.context() as impatient:  # with the first alone: the next may take longer to start
        impatient.setattr(addon("backend.connection"), "HUNG_SECONDS", 2.0)
        one.until(lambda: len(one.pids) == 2)
    one.until(lambda: one.server.listed)
    one.until(lambda: len(one.jobs.all()) == 2)
    assert {status.job_id for status in one.jobs.all()} == set(wanted[3:])


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process")
def test_a_restart_in_place_of_a_server_that_hangs_loses_no_job_from_sight(desk, addon, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(addon("backend.child_process"), "KILL_AFTER_SECONDS", 1.0)
    write_jobs(tmp_path / "state", ["failed"] * 5)
    one = desk()
    one.start()
    one.until(lambda: one.server.listed)
    os.kill(one.pids[0], signal.SIGSTOP)
    one.server.stop()
    one.start()
    one.until(lambda: one.server.listed)
    assert len(one.jobs.all()) == 5 and len(one.pids) == 2
