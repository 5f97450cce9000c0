"""A look is made as a take is, makes way at once, and leaves a job for the same request what it finished."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.wan_backend.worker.executors import RecordingExecutor, asked
from tests.wan_backend.worker.worker_process import pictures
from wan_backend.pipelines import denoise
from wan_backend.protocol import Refusal
from wan_backend.protocol.looks import MakeLookParams, MakeLookResult
from wan_backend.protocol.media import STEPS_FILE
from wan_backend.protocol.messages import (
    FrameRate,
    JobState,
    Plan,
    ProblemKind,
    ProgressParams,
    RunParams,
    RunResult,
    TakeRequest,
)
from wan_backend.worker import look
from wan_backend.worker.server_connection import Look

RATE = FrameRate(16)


@pytest.fixture
def looks(t2v_folder, tmp_path):
    """A look of a small take, as a worker gets it."""

    def make(most_seconds: float = 0.0) -> Look:
        request = TakeRequest("fog", "any", 32, 32, 5, RATE, 1, str(tmp_path / "media"))
        plan = Plan("any", 32, 32, 5, RATE, 5, 2, 3.0, 3.0, "unipc")
        state, work = str(tmp_path / "state"), str(tmp_path / "looks" / "work")
        job = RunParams("", request, plan, str(t2v_folder), "cpu", work_folder=work, state_folder=state)
        return Look(MakeLookParams(job, str(tmp_path / "looks" / "1"), most_seconds), lambda _answer: None)

    return make


def seen(files: list[str]) -> list[np.ndarray]:
    """The pictures of a look, (H, W, 3), the highest row first."""
    found = []
    for file in files:
        content = Path(file).read_bytes()
        width, height = struct.unpack_from("<II", content)
        found.append(np.frombuffer(content, np.uint8, offset=8).reshape(height, width, 4)[::-1, :, :3])
    return found


def test_what_was_seen_is_what_its_job_makes_and_no_step_is_made_twice(looks, tmp_path, monkeypatch):
    executor = RecordingExecutor()
    made = executor.look(looks())
    assert isinstance(made, MakeLookResult) and len(made.pictures) == 5 and made.seconds.denoise > 0
    assert executor.progress == [], "it is no job, so nothing is reported of it"
    assert not (tmp_path / "media").exists(), "and no take"
    monkeypatch.setattr(denoise, "denoise_in_turn", None)
    monkeypatch.setattr("wan_backend.worker.take_job.denoise_in_turn", None)
    job = replace(looks().params.job, job_id="a" * 32)
    take = executor.run(asked(job))
    assert isinstance(take, RunResult), take
    for picture, of_take in zip(seen(made.pictures), pictures(take.take.folder), strict=True):
        assert np.array_equal(picture, of_take)
    assert not Path(job.work_folder).exists()


def test_a_look_makes_way_before_its_next_step_and_its_job_goes_on_from_there(looks, monkeypatch):
    executor, wanted = RecordingExecutor(), looks()
    keep = look.KeptSteps.keep

    def keep_and_end(steps, made):
        keep(steps, made)
        wanted.ended.set()

    monkeypatch.setattr(look.KeptSteps, "keep", keep_and_end)
    ended = executor.look(wanted)
    assert isinstance(ended, Refusal) and ended.problem.kind is ProblemKind.CANCELED
    assert (Path(wanted.params.job.work_folder) / STEPS_FILE).exists()
    monkeypatch.undo()
    assert isinstance(executor.run(asked(replace(looks().params.job, job_id="a" * 32))), RunResult)


def test_one_that_was_ended_before_its_turn_loads_nothing(looks):
    executor, wanted = RecordingExecutor(), looks()
    wanted.ended.set()
    assert isinstance(executor.look(wanted), Refusal) and executor._warm is None


def test_one_that_takes_too_long_ends_without_pictures_and_without_an_error(looks, monkeypatch):
    times = iter(range(0, 100_000, 100))
    monkeypatch.setattr(look.Limit.__init__, "__defaults__", (lambda: float(next(times)),))
    made = RecordingExecutor().look(looks(most_seconds=50.0))
    assert isinstance(made, MakeLookResult) and made.pictures == []


def test_what_is_counted_begins_with_the_first_step():
    now = [0.0]
    limit = look.Limit(lambda: False, 10.0, lambda: now[0])
    limit.follow(ProgressParams("", JobState.LOADING))
    now[0] = 500.0
    assert not limit(), "a model is loaded once"
    limit.follow(ProgressParams("", JobState.DENOISING))
    now[0] = 509.0
    assert not limit()
    now[0] = 511.0
    assert limit() and limit.is_passed


def test_what_goes_wrong_is_answered_and_the_next_job_is_well(looks, monkeypatch):
    executor = RecordingExecutor()

    def fails(*_):
        raise ValueError("no such tensor")

    monkeypatch.setattr("wan_backend.worker.look.make_pictures", fails)
    assert isinstance(executor.look(looks()), Refusal)
    monkeypatch.undo()
    assert isinstance(executor.run(asked(replace(looks().params.job, job_id="a" * 32))), RunResult)


@pytest.mark.parametrize("frames", [1, 2, 5, 12, 13, 81, 500])
def test_the_first_and_the_last_frame_are_among_those_that_are_shown(frames):
    chosen = look.chosen(frames)
    assert {0, frames - 1} <= chosen <= set(range(frames)) and len(chosen) == min(frames, look.MOST_PICTURES)


def test_a_picture_is_no_larger_than_a_panel_shows_it():
    assert look.small(np.zeros((720, 1280, 3), np.uint8)).shape == (144, 256, 3)
    assert look.small(np.zeros((96, 176, 3), np.uint8)).shape == (96, 176, 3)
