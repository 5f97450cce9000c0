"""A look is made while there is no job, makes way for one, and is as long as is quick on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.wan_backend.server.in_process import InProcess, Worker, inside
from tests.wan_backend.server.served import request
from wan_backend.planning.looks import LIVE_SECONDS
from wan_backend.protocol.errors import REFUSED
from wan_backend.protocol.media import STEPS_FILE
from wan_backend.protocol.messages import CANCELED
from wan_backend.server import looks

__all__ = ["inside"]
LONG = 48
"""Frames of the scene: two seconds."""


@pytest.fixture
def server(inside) -> InProcess:
    return inside()


def look(server: InProcess, media: Path, prompt: str = "fog", anew: bool = False, **changes: Any) -> int:
    """Ask for it, and turn the loop until the worker has it; the call's number."""
    count = len(server.worker.looks) if server.worker else 0
    call = server.send("look", request=request(media, prompt, **changes), anew=anew)
    server.until(lambda: server.answered(call) or (server.worker and len(server.worker.looks) > count))
    return call


def refused(answer: dict[str, Any]) -> str:
    assert answer["error"]["code"] == REFUSED, answer
    return answer["error"]["data"]["kind"]


def test_a_look_is_no_job_and_as_small_as_the_model_makes_it(server, media):
    call = look(server, media, quality="best", resolution="208p")
    (asked,) = server.worker.looks
    assert asked.job.job_id == "" and (asked.job.plan.width, asked.job.plan.height) == (144, 96)
    assert asked.job.request.quality == "draft" and asked.job.request.least_size
    server.worker.sees()
    seen = server.answer(call)["result"]
    assert seen["whole"] and seen["pictures"] == [str(Path(asked.pictures_folder) / "0001.rgba")]
    assert seen["request"]["prompt"] == "fog" and seen["request"]["seed"] == 1
    assert server.call("list")["jobs"] == []
    assert not [m for m in server.messages if m.get("method") in ("job", "progress")]


def test_a_job_that_comes_is_the_workers_at_once_and_the_look_says_so(server, media):
    call = look(server, media)
    worker = server.worker
    job = server.submit(request(media))
    assert server.runs(job) is worker and worker.made_way == 1, "it is ended before the job is even planned"
    assert refused(server.answer(call)) == "busy"
    worker.sees_nothing(CANCELED)
    worker.finishes()
    assert server.ended(job)["state"] == "done"


def test_beside_a_job_nothing_is_looked_at(server, media):
    job = server.submit(request(media))
    worker = server.runs(job)
    assert refused(server.ask("look", request=request(media))) == "busy"
    worker.finishes()
    server.ended(job)
    assert not worker.looks, "what was looked at is asked for again, if it still is"


def test_a_newer_look_ends_the_one_before_it(server, media):
    first = look(server, media, "fog")
    second = look(server, media, "rain")
    assert refused(server.answer(first)) == "cancelled"
    server.worker.sees()
    assert server.answer(second)["result"]["request"]["prompt"] == "rain"


def test_nobody_looks_any_more(server, media):
    call = look(server, media)
    assert refused(server.ask("look", request=None)) == "cancelled"
    assert refused(server.answer(call)) == "cancelled" and server.worker.made_way == 1


def test_while_somebody_looks_nothing_else_is_got_ready(server, media):
    call = look(server, media)
    server.worker.sees()
    server.answer(call)
    server.call("warm", request=request(media))
    for _ in range(5):
        server.call("ping")
    assert not server.worker.warm_ups, "the look's own model would have to go for it"
    server.ask("look", request=None)
    server.call("warm", request=request(media))
    server.until(lambda: server.worker.warm_ups)


def test_the_first_look_on_a_machine_is_short_and_then_as_long_as_is_quick(server, media):
    call = look(server, media, length_frames=LONG)
    worker = server.worker
    assert worker.looks[0].job.plan.model_frames == 5
    worker.sees(seconds=0.2)
    server.until(lambda: len(worker.looks) == 2)
    assert worker.looks[1].job.request.length_frames == LONG
    worker.sees()
    assert server.answer(call)["result"]["whole"]
    look(server, media, "rain", length_frames=LONG)
    assert worker.looks[2].job.request.length_frames == LONG, "from now on it is known"


def test_where_the_whole_is_too_slow_its_beginning_is_shown_and_says_so(server, media):
    call = look(server, media, length_frames=LONG)
    server.worker.sees(seconds=LIVE_SECONDS / 5)
    server.until(lambda: len(server.worker.looks) == 2)
    assert server.worker.looks[1].job.plan.model_frames == 17
    server.worker.sees()
    seen = server.answer(call)["result"]
    assert not seen["whole"] and seen["request"]["length_frames"] < LONG


def test_the_shortest_is_not_made_twice_where_it_is_all_that_is_quick(server, media):
    call = look(server, media, length_frames=LONG)
    server.worker.sees(seconds=LIVE_SECONDS / 2)
    seen = server.answer(call)["result"]
    assert not seen["whole"] and len(server.worker.looks) == 1


def test_a_machine_that_is_too_slow_is_told_so_and_is_tried_again_when_asked(server, media):
    call = look(server, media, length_frames=LONG)
    server.worker.sees(pictures=False)
    answer = server.answer(call)
    assert refused(answer) == "too_large" and "too slow to be live" in answer["error"]["message"]
    again = look(server, media, "rain", length_frames=LONG)
    assert refused(server.answer(again)) == "too_large" and len(server.worker.looks) == 1
    look(server, media, "rain", anew=True, length_frames=LONG)
    assert len(server.worker.looks) == 2


def test_a_slow_machine_is_known_by_the_time_it_took(server, media):
    call = look(server, media, length_frames=LONG)
    server.worker.sees(seconds=3 * LIVE_SECONDS)
    assert refused(server.answer(call)) == "too_large"


def test_a_job_for_what_was_seen_gets_what_the_look_has_finished(server, media):
    call = look(server, media)
    work = Path(server.worker.looks[0].job.work_folder)
    work.mkdir(parents=True)
    (work / STEPS_FILE).write_bytes(b"latents")
    server.worker.sees()
    seen = server.answer(call)["result"]["request"]
    worker = server.runs(server.submit({**seen, "origin": {"channel": 3}}))
    assert (Path(worker.job.work_folder) / STEPS_FILE).read_bytes() == b"latents" and not work.exists()


def test_a_job_for_something_else_gets_nothing_of_it(server, media):
    call = look(server, media)
    work = Path(server.worker.looks[0].job.work_folder)
    work.mkdir(parents=True)
    server.worker.sees()
    seen = server.answer(call)["result"]["request"]
    worker = server.runs(server.submit({**seen, "seed": 2}))
    assert work.exists() and not Path(worker.job.work_folder).exists()


def test_a_paused_queue_is_left_alone(server, media):
    call = look(server, media)
    server.call("pause", paused=True)
    assert refused(server.answer(call)) == "busy"
    server.worker.sees_nothing(CANCELED)
    assert refused(server.ask("look", request=request(media))) == "busy"


def test_a_worker_that_dies_of_it_costs_no_job_and_is_not_tried_again_before_one_ran(server, media):
    call = look(server, media)
    server.worker.die(-9)
    assert refused(server.answer(call)) == "worker_died"
    assert refused(server.ask("look", request=request(media))) == "worker_died"
    job = server.submit(request(media))
    server.runs(job).finishes()
    server.ended(job)
    look(server, media)
    assert server.worker.looks


def test_what_can_not_be_made_says_why_and_costs_no_worker(server, media):
    assert refused(server.ask("look", request=request(media, ""))) == "bad_prompt"
    assert refused(server.ask("look", request=request(media, model="unheard-of"))) == "model_missing"


def test_the_pictures_of_the_last_looks_stay_and_older_ones_go(server, media):
    folders = []
    for prompt in ("fog", "rain", "snow"):
        call = look(server, media, prompt)
        folders.append(Path(server.worker.looks[-1].pictures_folder))
        folders[-1].mkdir(parents=True)
        server.worker.sees()
        server.answer(call)
    assert [folder.exists() for folder in folders] == [False, True, True]
    server.leave()
    assert not folders[-1].parent.exists()


def test_what_a_dead_server_has_left_goes_in_time(tmp_path):
    old, new = tmp_path / looks.FOLDER / "old", tmp_path / looks.FOLDER / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    looks.prune(tmp_path)
    assert not old.exists() and new.exists()
    looks.prune(tmp_path / "nowhere")


def test_the_same_look_is_not_made_twice(server, media):
    for _ in range(2):
        call = look(server, media)
        if server.answered(call) is None:
            server.worker.sees()
        assert server.answer(call)["result"]["pictures"]
    assert len(Worker.living[-1].looks) == 1
