"""`calibrate`: a take for each number of steps that a model's qualities have, and what was measured is kept."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import FAKE_WORKER
from wan_backend.catalogue import entries
from wan_backend.command_line import arguments, calibrate
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.locate import LocatedModel
from wan_backend.planning import machine_steps
from wan_backend.planning.calibrations import Branch, Calibration, CalibrationKey, Calibrations
from wan_backend.planning.draft import Inventory
from wan_backend.planning.measured_ways import MIN_TAKES, MeasuredWays
from wan_backend.protocol.errors import GONE, ProtocolError
from wan_backend.protocol.media import CALIBRATIONS_FILE, MEASURED_WAYS_FILE
from wan_backend.protocol.messages import FrameRate, Plan, Sampler, SteadySteps, StepCache, TakeRequest, Task


def requests(room: Path, *flags: str) -> list[TakeRequest]:
    options = arguments.parser().parse_args(["calibrate", *flags, "--state", str(room)])
    return list(calibrate.build_requests(options, entries.entry(options.model), room))


def steps_of(made: list[TakeRequest]) -> Counter:
    return Counter((request.task, request.steps) for request in made)


def test_a_take_for_each_number_of_steps(tmp_path):
    made = requests(tmp_path, "embedded")
    assert steps_of(made) == {(Task.TEXT_TO_VIDEO, 8): 1, (Task.TEXT_TO_VIDEO, 16): 1}, "a draft of 4 skips nothing"
    assert all(request.step_cache is StepCache.CALIBRATE and request.length_frames == 33 for request in made)
    made = requests(tmp_path, "embedded", "--steps", "12", "--frames", "999", "--size", "128x96")
    assert steps_of(made) == {(Task.TEXT_TO_VIDEO, 12): 1}
    assert (made[0].length_frames, made[0].width, made[0].height) == (65, 128, 96)


def test_with_and_without_a_control_where_the_trunk_makes_text(tmp_path):
    made = requests(tmp_path, "wan2.1-vace-1.3b", "--quality", "standard", "--quality", "best")
    assert steps_of(made) == {(task, steps): 1 for task in list(Task)[:2] for steps in (30, 50)}


@pytest.mark.parametrize(("model", "roles"), [("wan2.1-i2v-14b-480p", 1), ("wan2.1-flf2v-14b-720p", 2)])
def test_a_model_of_pictures_gets_a_picture(tmp_path, model, roles):
    made = requests(tmp_path, model, "--quality", "best")
    assert [request.task for request in made] == [Task.IMAGE_TO_VIDEO] and len(made[0].sources) == roles
    picture = cv2.imread(str(tmp_path / made[0].sources[0].files[0]))
    assert picture.shape == (made[0].height, made[0].width, 3) and picture.std() > 20


def test_every_take_can_be_planned_as_the_worker_wants_it(tmp_path):
    for entry in entries.load().models.values():
        try:
            made = requests(tmp_path, entry.id)
        except ValueError as error:
            if entry.follows_camera:
                assert "scene strips alone" in str(error)
            else:
                assert "nothing to skip" in str(error) and (entry.standard.timesteps or entry.tasks == [Task.EDIT])
            continue
        folder = tmp_path / entry.id
        tiny_folder.write(folder)
        inventory = Inventory(lambda _, folder=folder: LocatedModel(folder))
        (tmp_path / "takes").mkdir(exist_ok=True)
        for request in made:
            plan = machine_steps.plan_on_machine(request, inventory)
            assert plan.problem is None and plan.calibrates, (entry.id, plan)
            assert plan.steps == request.steps and not plan.lora


def test_a_model_that_is_not_known_or_skips_nothing_is_refused(tmp_path, capsys):
    for model, words in (("nobody's", "nobody's"), ("fastwan2.1-t2v-1.3b", "nothing to skip")):
        assert arguments.run(["calibrate", model, "--state", str(tmp_path)]) == calibrate.REFUSED
        assert words in capsys.readouterr().err


def test_a_worker_that_measures_nothing_is_said(tmp_path, capsys):
    tiny_folder.write(tmp_path / "models" / "embedded")
    flags = ["--models-folder", str(tmp_path / "models"), "--state", str(tmp_path / "state"), "--steps", "6"]
    worker = ["--worker-command", json.dumps([sys.executable, str(FAKE_WORKER)])]
    assert arguments.run(["calibrate", "embedded", *flags, *worker]) == calibrate.FAILED
    assert "Nothing was measured" in capsys.readouterr().err
    assert not (tmp_path / "state" / CALIBRATIONS_FILE).exists()


@pytest.mark.parametrize("code", [calibrate.CANCELED, calibrate.FAILED, 0])
def test_what_was_measured_before_an_end_is_kept(tmp_path, capsys, monkeypatch, code):
    key, found = CalibrationKey("model", 2, Sampler.UNIPC, 3.0), Calibration({Branch.PROMPT: [1.0, 0.9]}, [0])

    def ends_after_one_take(options, _room, _requests, _what):
        Calibrations(options.state / CALIBRATIONS_FILE).record(key, found)
        return code

    monkeypatch.setattr(calibrate, "_measure", ends_after_one_take)
    assert arguments.run(["calibrate", "embedded", "--state", str(tmp_path / "state")]) == code
    assert capsys.readouterr().out.strip() == str(tmp_path / "state" / CALIBRATIONS_FILE)
    assert Calibrations(tmp_path / "state" / CALIBRATIONS_FILE).find(key) == found


def test_the_takes_use_what_the_server_has_found_out(tmp_path, monkeypatch):
    """Else kernels are tried anew, and 16-bit copies made anew, in a folder that is thrown away."""
    given = []

    def started(_state, _options, findings=None):
        given.append(findings)
        raise ProtocolError(GONE, "enough")

    monkeypatch.setattr(calibrate, "ServeChild", started)
    assert arguments.run(["calibrate", "embedded", "--state", str(tmp_path / "state")]) == calibrate.NOT_STARTED
    assert given == [tmp_path / "state"]


def test_a_folder_that_can_not_be_written_is_said_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(calibrate, "_measure", lambda *_: pytest.fail("measured"))
    assert arguments.run(["calibrate", "embedded", "--state", str(tmp_path / "file")]) == calibrate.REFUSED
    assert f"--state {tmp_path / 'file'} can't be used" in capsys.readouterr().err


def test_what_can_not_be_kept_is_left_where_it_was_measured(tmp_path, capsys, monkeypatch):
    """It may have taken an hour of cards."""
    measured = []

    def measures(_options, room, _requests, _what):
        measured.append(room / calibrate.STATE / MEASURED_WAYS_FILE)
        plan = Plan("embedded", 64, 64, 5, FrameRate(16), 5, 4, 1.0, 3.0, Sampler.UNIPC)
        for _ in range(MIN_TAKES):
            MeasuredWays(measured[0]).record(plan, "a card", SteadySteps(1.0, 4.0))
        return 0

    monkeypatch.setattr(calibrate, "_measure", measures)
    (tmp_path / MEASURED_WAYS_FILE).mkdir()
    flags = ["--cards-per-take", "2", "--state", str(tmp_path)]
    assert arguments.run(["calibrate", "embedded", *flags]) == calibrate.REFUSED
    assert f"what was measured lies in {measured[0]}." in capsys.readouterr().err and measured[0].exists()


def test_numbers_that_make_no_take_are_not_taken_for_none(tmp_path):
    assert requests(tmp_path, "embedded", "--frames", "0")[0].length_frames == 0, "which the plan refuses"


@pytest.mark.long
def test_what_the_embedded_model_does_is_kept_for_its_next_plan(tmp_path, capsys):
    state, flags = tmp_path / "state", ["--steps", "6", "--frames", "5", "--size", "128x96"]
    assert arguments.run(["calibrate", "embedded", "--state", str(state), *flags]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.strip() == str(state / CALIBRATIONS_FILE)
    known = Calibrations(state / CALIBRATIONS_FILE)
    assert known.count() == 1
    folder = entries.PACKAGE / "embedded_model" / "weights"
    assert ComponentFiles(folder).has("transformer")
    request = requests(tmp_path, "embedded", *flags)[0]
    plan = machine_steps.plan_on_machine(request, Inventory(lambda _: LocatedModel(folder), calibrations=known))
    assert plan.no_step_cache == "" or "none is near enough" in plan.no_step_cache


@pytest.mark.parametrize("size", [(16, 16), (832, 480)])
def test_the_picture_is_a_whole_png(size):
    read = cv2.imdecode(np.frombuffer(calibrate.picture(*size), np.uint8), cv2.IMREAD_COLOR)
    assert read.shape == (size[1], size[0], 3)
