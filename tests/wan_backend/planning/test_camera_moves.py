"""A request whose take follows a camera: what a plan makes of it, and what of a stranger's numbers is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from wan_backend.catalogue import entries
from wan_backend.planning import camera_moves, plan_steps
from wan_backend.protocol import bounds
from wan_backend.protocol.messages import (
    MAX_CAMERA_FRAMES,
    CameraMove,
    FixSetting,
    FrameRate,
    Plan,
    Problem,
    Role,
    Source,
    TakeRequest,
    Task,
)

CAMERA = [1.0, 0, 0, 3, 0, 1, 0, 4, 0, 0, 1, 5, 0.8, 1.4, 0.5, 0.5]
IDS = [entry.id for entry in entries.load().models.values() if entry.follows_camera]


def asked(tmp_path, model: str = IDS[0], frames: int = 24, **more) -> TakeRequest:
    values = {"camera": CameraMove(CAMERA * frames), "task": Task.PREVIS, **more}
    return TakeRequest("fog", model, 832, 480, frames, FrameRate(24), 1, str(tmp_path), **values)


def planned(request: TakeRequest) -> Plan:
    return plan_steps.plan(request, entries.entry(request.model))


def problem(request: TakeRequest) -> Problem:
    found = planned(request).problem
    assert found is not None
    return found


def test_there_are_three() -> None:
    assert IDS == ["wan2.1-fun-camera-1.3b", "wan2.1-fun-camera-14b", "wan2.2-fun-camera-a14b"]


@pytest.mark.parametrize("model", IDS)
def test_a_camera_is_followed(tmp_path, model) -> None:
    plan = planned(asked(tmp_path, model))
    assert plan.problem is None and (plan.model_frames, plan.window_frames) == (17, 0)


def test_a_camera_that_is_still_to_come_is_planned_for(tmp_path) -> None:
    to_come = [Source(Role.CAMERA, str(tmp_path), ["camera.json"], rendered=True)]
    assert planned(asked(tmp_path, camera=CameraMove(), sources=to_come)).problem is None


def test_a_longer_take_than_the_model_follows_is_refused(tmp_path) -> None:
    assert planned(asked(tmp_path, frames=121)).problem is None
    longer = planned(asked(tmp_path, frames=122))
    assert longer.problem is not None and longer.notes == []
    assert "for at most 5 s, 121 frames here; cut the scene strip" in longer.problem.sentence


def test_only_a_previs_needs_nothing_else(tmp_path) -> None:
    restyle = asked(tmp_path, "wan2.1-vace-1.3b", task=Task.RESTYLE)
    assert "nothing to restyle" in problem(restyle).sentence
    assert "the take has none" in problem(asked(tmp_path, camera=CameraMove())).sentence


def test_models_and_takes_that_do_not_go_together(tmp_path) -> None:
    assert "follows no camera's move" in problem(asked(tmp_path, "wan2.1-vace-1.3b")).sentence
    assert "the take has none" in problem(asked(tmp_path, camera=None)).sentence
    assert "can't do text to video, only previs" in problem(asked(tmp_path, task=Task.TEXT_TO_VIDEO)).sentence


def changed(place: int, value: float) -> list[float]:
    numbers = list(CAMERA)
    numbers[place] = value
    return numbers


WRONG = {
    "not a number": changed(3, math.nan),
    "infinite": changed(12, math.inf),
    "far away": changed(7, 1e9),
    "no focal length": changed(13, 0.0),
    "squeezed": changed(0, 0.2),
    "mirrored": changed(0, -1.0),
    "off the picture": changed(14, 1e4),
}


@pytest.mark.parametrize("numbers", WRONG.values(), ids=WRONG)
def test_what_is_no_camera_is_refused_with_its_frame(tmp_path, numbers) -> None:
    move = CameraMove([*CAMERA * 6, *numbers, *CAMERA * 17])
    assert "The camera at frame 7 of the take can't be followed" in problem(asked(tmp_path, camera=move)).sentence


@pytest.mark.parametrize("numbers", [CAMERA * 23, CAMERA * 24 + [1.0], CAMERA * (MAX_CAMERA_FRAMES + 1)])
def test_another_number_of_cameras_is_refused(tmp_path, numbers) -> None:
    assert problem(asked(tmp_path, camera=CameraMove(numbers))).kind == "bad_source"


@pytest.mark.parametrize(("scale", "value"), [(0.0, "0.0001"), (1e9, "10000"), (-1.0, "0.0001"), (math.nan, "1")])
def test_a_scale_out_of_range_is_offered_the_nearest(tmp_path, scale, value) -> None:
    found = camera_moves.problem_of(asked(tmp_path, camera=CameraMove(CAMERA * 24, scale)))
    assert found is not None and [(fix.setting, fix.value) for fix in found.fixes] == [(FixSetting.CAMERA_SCALE, value)]


def test_a_strangers_file_can_not_hold_more(tmp_path) -> None:
    sane = asked(tmp_path)
    assert bounds.is_sane_request(sane)
    assert not bounds.is_sane_request(replace(sane, camera=CameraMove(CAMERA * (MAX_CAMERA_FRAMES + 1))))
    assert not bounds.is_sane_request(replace(sane, camera=CameraMove([1e10])))
    assert not bounds.is_sane_request(replace(sane, camera=CameraMove(CAMERA, 1e10)))
