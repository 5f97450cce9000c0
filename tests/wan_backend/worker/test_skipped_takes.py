"""Takes that leave work out say so in take.json; one that calibrates is exact, and later plans use what it measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.wan_backend.worker.executors import asked, silent_executor
from tests.wan_backend.worker.worker_process import pictures
from wan_backend.library.locate import LocatedModel
from wan_backend.planning import machine_steps
from wan_backend.planning.calibrations import Calibrations
from wan_backend.planning.draft import Inventory
from wan_backend.protocol.media import CALIBRATIONS_FILE, SETTINGS_FILE
from wan_backend.protocol.messages import FrameRate, GuidanceInterval, RunParams, RunResult, StepCache, TakeRequest
from wan_backend.worker import skipped_work
from wan_backend.worker.skipped_work import CALIBRATED, NOT_KEPT, NOT_WHOLE

STEPS = 10


@pytest.fixture
def make(vace_folder, tmp_path):
    """make(**request) plans a take as the server does, with what was calibrated so far, and makes it."""
    executor, state = silent_executor(), tmp_path / "state"
    (tmp_path / "media").mkdir()

    def take(job="job", **wishes) -> tuple[RunResult, dict]:
        rate = FrameRate(16)
        request = TakeRequest("fog", "embedded", 96, 96, 9, rate, 1, str(tmp_path / "media"), steps=STEPS, **wishes)
        known = Calibrations(state / CALIBRATIONS_FILE)
        plan = machine_steps.plan_on_machine(
            request, Inventory(lambda _: LocatedModel(vace_folder), calibrations=known)
        )
        assert plan.problem is None, plan.problem
        params = RunParams(job, request, plan, str(vace_folder), "cpu", state_folder=str(state))
        result = executor.run(asked(params))
        assert isinstance(result, RunResult), result
        return result, json.loads(Path(result.take.folder, SETTINGS_FILE).read_bytes())

    take.state = state
    return take


def test_from_the_calibration_to_the_take(make):
    exact, settings = make("a")
    assert settings["plan"]["reused_steps"] is None and settings["plan"]["guided_steps"] is None
    measured, settings = make("b", step_cache=StepCache.CALIBRATE)
    assert settings["plan"]["calibrates"] and CALIBRATED in measured.notes
    assert np.array_equal(pictures(measured.take.folder), pictures(exact.take.folder))
    interval = GuidanceInterval(0, 0.5)
    skipped, settings = make("c", step_cache=StepCache.ON, guidance_interval=interval)
    assert settings["request"]["step_cache"] == "on"
    assert settings["plan"]["reused_steps"]["prompt"] and settings["plan"]["guided_steps"]["end_exclusive"] == 5
    assert settings["plan"]["forwards"] < settings["plan"]["all_forwards"] == 2 * STEPS
    assert not np.array_equal(pictures(skipped.take.folder), pictures(exact.take.folder))


def test_what_can_not_be_kept_costs_no_take(make, monkeypatch):
    def full(*_arguments, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Calibrations, "record", full)
    result, _ = make(step_cache=StepCache.CALIBRATE)
    assert NOT_KEPT in result.notes


def test_steps_of_an_earlier_try_are_not_measured(make, monkeypatch):
    before = skipped_work.keep_calibration

    def after_resuming(params, model, controlled, measured):
        part = {branch: {n: r for n, r in row.items() if n > 3} for branch, row in measured.ratios.items()}
        return before(params, model, controlled, dataclasses.replace(measured, ratios=part))

    monkeypatch.setattr("wan_backend.worker.take_job.keep_calibration", after_resuming)
    result, _ = make(step_cache=StepCache.CALIBRATE)
    assert NOT_WHOLE in result.notes and not (make.state / CALIBRATIONS_FILE).exists()
