"""A share that hangs for ever holds the jobs that need it, which say so, and nothing else."""

from __future__ import annotations

import threading
import time

import pytest

from tests.wan_backend.dead_mount import mount
from tests.wan_backend.library import heads_only
from tests.wan_backend.server.in_process import inside
from tests.wan_backend.server.served import request
from tests.wan_backend.server.test_planning_queue import SMALL, Main, row, wish
from wan_backend.planning import needed_sources
from wan_backend.protocol import Refusal
from wan_backend.protocol.choices import Role, Task
from wan_backend.protocol.messages import JobParams, Plan, Source
from wan_backend.server import planning_queue
from wan_backend.server.planning_queue import MAX_THREADS, Prepared

__all__ = ["inside", "mount"]


@pytest.fixture(autouse=True)
def impatient(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(planning_queue, "HANGS_SECONDS", 0.3)
    monkeypatch.setattr(planning_queue, "SILENT_SECONDS", 0.1)


class Ticking(Main):
    """A main thread that looks whether something hangs, as a server's does."""

    def __init__(self, *folders):
        super().__init__(folders[0])
        self.planner._models_folders[:] = list(map(str, folders))
        self.planner.library._folders[:] = list(folders)
        self.planning.begin()

    def until(self, done):
        def ticked():
            self.planning.tick()
            return done()

        return super().until(ticked)

    def job(self, wished):
        """(what came of it, what was said of it), both filled in later."""
        came, said = [], []
        self.planning.start(wished, came.append, said.append)
        return came, said


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def from_picture(tmp_path, folder, **changes):
    first = Source(Role.FIRST, str(folder), ["a.png"])
    return wish(tmp_path, task=Task.IMAGE_TO_VIDEO, sources=[first], **changes)


def planning_threads():
    return sum(thread.name == "planning" for thread in threading.enumerate())


def test_a_job_at_a_dead_share_is_set_aside_until_that_answers_and_others_go_on(mount, models, tmp_path):
    (mount.folder / "a.png").write_bytes(b"a picture")
    main = Ticking(models)
    main.looked()
    mount.die()
    held, said = main.job(from_picture(tmp_path, mount.folder))
    other, nothing = main.job(wish(tmp_path))
    main.until(lambda: other and said)
    assert isinstance(other[0], Prepared) and not held and not nothing
    assert said[0] == f"{mount.folder} does not answer; planning continues as soon as it does."
    mount.come_back()
    main.until(lambda: held)
    assert isinstance(held[0], Prepared | Refusal)
    main.until(lambda: main.planning._threads == 1)
    assert len(held) == 1


def test_any_number_of_jobs_at_one_dead_share_takes_one_thread(mount, models, tmp_path):
    main = Ticking(models)
    main.looked()
    before = planning_threads()
    mount.die()
    jobs = [main.job(wish(mount.folder / str(number))) for number in range(12)]
    main.until(lambda: all(said for _, said in jobs))
    assert isinstance(main.ask(main.planning.start, wish(tmp_path)), Prepared)
    assert planning_threads() == before + 1 and not any(came for came, _ in jobs)
    mount.come_back()
    main.until(lambda: all(came for came, _ in jobs))
    assert all(isinstance(came[0], Prepared) and len(came) == 1 for came, _ in jobs)


def test_the_panel_is_told_and_a_submit_waits(mount, models, tmp_path):
    main = Ticking(models)
    main.looked()
    mount.die()
    refused = main.ask(main.planning.plan, wish(mount.folder))
    assert isinstance(refused, Refusal) and f"{mount.folder} does not answer; check" in refused.problem.sentence
    submitted = []
    main.planning.plan(wish(mount.folder), submitted.append, True)
    assert isinstance(main.ask(main.planning.plan, wish(tmp_path)), Plan) and not submitted
    mount.come_back()
    main.until(lambda: submitted)
    assert isinstance(submitted[0], Plan)


@pytest.mark.parametrize("dies", ["before the first look", "after it"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_dead_models_folder_holds_only_what_may_be_in_it(mount, models, tmp_path, dies, linked):
    heads_only.write(mount.folder / "t2v.safetensors", heads_only.transformer())
    heads_only.write(mount.folder / "umt5.safetensors", heads_only.text_encoder())
    heads_only.write(mount.folder / "vae.safetensors", heads_only.vae())
    if linked:
        mount.also_at(models / "nas")
    if dies == "before the first look":
        mount.die()
    main = Ticking(models, *([] if linked else [mount.folder]))
    if dies == "after it":
        assert row(main.looked(), SMALL).here
        mount.die()
    here, _ = main.job(wish(tmp_path))
    there, said = main.job(wish(tmp_path, model=SMALL, width=832, height=480))
    main.until(lambda: here and (there or said))
    assert isinstance(here[0], Prepared)
    if not there:
        assert "does not answer; planning continues as soon as it does." in said[0]
    mount.come_back()
    main.until(lambda: there)
    assert isinstance(there[0], Prepared)
    main.until(lambda: not main.planning.known.looking and row(main.planning.known, SMALL).here)


def test_a_file_that_hangs_where_its_folder_answers_holds_its_own_job(models, tmp_path, monkeypatch):
    go_on, real = threading.Event(), needed_sources.check

    def check(asked, *more):
        if asked.seed == 7:
            assert go_on.wait(60)
        return real(asked, *more)

    monkeypatch.setattr(needed_sources, "check", check)
    main = Ticking(models)
    main.looked()
    held, said = main.job(wish(tmp_path, seed=7))
    main.until(lambda: said)
    assert said == ["A disk that it needs does not answer; planning continues as soon as it does."]
    assert isinstance(main.ask(main.planning.start, wish(tmp_path)), Prepared) and not held
    hanging = [main.job(wish(tmp_path, seed=7)) for _ in range(MAX_THREADS + 2)]
    main.until(lambda: sum(turn.hangs for turn in main.planning._turns) == MAX_THREADS)
    until = time.monotonic() + 1.0
    main.until(lambda: time.monotonic() > until)
    assert main.planning._threads == MAX_THREADS
    go_on.set()
    main.until(lambda: held and all(came for came, _ in hanging))
    assert isinstance(main.ask(main.planning.start, wish(tmp_path)), Prepared)
    assert main.planning._threads >= 1


def test_the_queue_goes_on_past_a_job_whose_footage_is_on_a_dead_share(inside, mount, media):
    (mount.folder / "a.png").write_bytes(b"a picture")
    server = inside()
    first = server.submit(request(media))
    server.runs(first)
    source = {"role": "first", "folder": str(mount.folder), "files": ["a.png"]}
    held = [server.submit(request(media, task="image_to_video", sources=[source])) for _ in range(2)]
    other = server.submit(request(media, "rain"))
    mount.die()
    server.worker.finishes()
    server.runs(other)
    sentence = f"{mount.folder} does not answer; planning continues as soon as it does."
    assert server.told(held[0])[-1]["sentence"] == server.told(held[1])[-1]["sentence"] == sentence
    assert server.call("cancel", job_id=held[1])["state"] == "cancelled"
    mount.come_back()
    server.until(lambda: server.told(held[0])[-1]["sentence"] == "Waiting for its turn.")
    server.worker.finishes()
    server.runs(held[0]).finishes()
    assert server.ended(held[0])["state"] == "done" and server.told(held[1])[-1]["state"] == "cancelled"


def test_eight_retries_at_a_dead_share_hold_no_other(inside, mount, media):
    server = inside()
    lost = [server.submit(request(mount.folder)) for _ in range(9)]
    other = server.submit(request(media))
    for job in (*lost, other):
        server.call("cancel", job_id=job)
    mount.die()
    for job in lost:
        server.server._handlers.retry(JobParams(job)).start(lambda _: None)
    assert server.call("retry", job_id=other)["state"] == "queued"
    server.runs(other).finishes()
    assert server.ended(other)
    assert all(server.told(job)[-1]["state"] == "cancelled" for job in lost)
