"""Which of the model's frames a kept picture is, what is said of it, and why it can't be kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.frames.schedule import Schedule
from wan_backend.planning import looks, plan_steps, skipped_work
from wan_backend.protocol.bounds import is_sane_request
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.messages import CameraMove, FrameRate, KeptPicture, Plan, Role, Source, TakeRequest, Task


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    return tmp_path


def source(folder, at: int, role: Role = Role.KEPT, **values) -> Source:
    return Source(role, str(folder), ["a.png"], at_frame=at, **values)


def asked(folder, *sources: Source, **values) -> TakeRequest:
    given = {"length_frames": 49, "frame_rate": FrameRate(24), "model": "embedded", "media_folder": str(folder)}
    return replace(take_request(), **{**given, **values}, sources=list(sources))


def planned(request: TakeRequest) -> Plan:
    return plan_steps.plan(request, entries.entry(request.model))


def problem(request: TakeRequest) -> str:
    found = planned(request).problem
    return "" if found is None else str(found.sentence)


def test_the_nearest_frame_of_the_model_is_the_picture_and_what_is_not_exact_is_said(folder):
    made = planned(asked(folder, source(folder, 24), source(folder, 10), source(folder, 0)))
    assert made.problem is None
    assert made.kept_pictures == [KeptPicture(0, 0), KeptPicture(10, 7), KeptPicture(24, 16)]
    assert [note for note in made.notes if "no frame at" in note] == [
        "The model has no frame at 10: its nearest one is the kept picture, and is shown there."
    ]


def test_it_is_shown_at_its_own_frame_whatever_the_rates(folder):
    for rate in (8, 12, 16, 24, 25, 30, 60):
        request = asked(folder, source(folder, 10), source(folder, 31), frame_rate=FrameRate(rate))
        schedule = Schedule.of(planned(request), request)
        for each in schedule.pictures:
            assert schedule.times()[each.model_frame] == each.at_frame
        assert schedule.times() == sorted(schedule.times())


@given(
    rate=st.sampled_from([FrameRate(8), FrameRate(24), FrameRate(24, 1.001), FrameRate(25), FrameRate(60)]),
    length=st.integers(2, 400),
    share=st.floats(0, 1),
    task=st.sampled_from([Task.TEXT_TO_VIDEO, Task.FILL_GAP, Task.EXTEND]),
)
def test_the_plan_and_the_schedule_mean_the_same_frame(tmp_path_factory, rate, length, share, task):
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.png").write_bytes(b"\x89PNG")
    at = min(int(share * length), length - 1)
    ends = [replace(source(folder, 0, role), files=["a.png"] * 20, frames=20) for role in (Role.BEFORE, Role.AFTER)]
    beside = {Task.FILL_GAP: ends, Task.EXTEND: ends[1:]}.get(task, [])
    request = asked(folder, *beside, source(folder, at), task=task, length_frames=length, frame_rate=rate)
    made = planned(request)
    schedule = Schedule.of(made, request)
    if made.problem is None:
        frame = made.kept_pictures[0].model_frame
        assert made.kept_before <= frame < made.model_frames - made.kept_after
        free = range(made.kept_before, made.model_frames - made.kept_after)
        assert frame == min(max(schedule.nearest(at), free[0]), free[-1])
        assert schedule.frames_of(request.kept_pictures[0]) == {frame: 0}


def test_two_at_one_place_are_refused(folder):
    assert problem(asked(folder, source(folder, 9), source(folder, 9))) == (
        "Two pictures are to be kept at frame 9; move one of them."
    )
    assert problem(asked(folder, source(folder, 22), source(folder, 23), frame_rate=FrameRate(60))) == (
        "The pictures at frames 22 and 23 fall on one frame of the model; move one of them."
    )


def test_one_where_the_take_begins_or_ends_on_another_is_refused(folder):
    first, last = source(folder, 0, Role.FIRST), source(folder, 0, Role.LAST)
    task = Task.IMAGE_TO_VIDEO
    assert "begins on another picture" in problem(asked(folder, first, source(folder, 0), task=task))
    assert "ends on another picture" in problem(asked(folder, first, last, source(folder, 48), task=task))
    assert not problem(asked(folder, first, last, source(folder, 24), task=task))


def test_one_outside_of_the_take_or_of_many_frames_is_refused(folder):
    assert "frames 0 to 48" in problem(asked(folder, source(folder, 49)))
    assert "frames 0 to 48" in problem(asked(folder, source(folder, -1)))
    film = replace(source(folder, 5), files=["a.png", "b.png"], frames=2)
    assert "has 2 frames; choose one picture" in problem(asked(folder, film))
    assert "at most 8" in problem(asked(folder, *(source(folder, 5 * at) for at in range(9))))


def test_a_missing_picture_is_refused_as_any_other_source(folder):
    assert "is no longer there" in problem(asked(folder, replace(source(folder, 5), files=["gone.png"])))
    assert "not the name of a file" in problem(asked(folder, replace(source(folder, 5), files=["../a.png"])))


@pytest.mark.parametrize("model", sorted(each for each, entry in entries.load().models.items() if not entry.is_control))
def test_models_that_keep_none_say_so(folder, model):
    entry = entries.entry(model)
    first = [source(folder, 0, Role.FIRST)] if Task.IMAGE_TO_VIDEO in entry.tasks else []
    task = Task.IMAGE_TO_VIDEO if first else entry.tasks[0]
    request = asked(folder, *first, source(folder, 10), model=model, task=task)
    if entry.follows_camera:
        request = replace(request, task=Task.PREVIS, camera=CameraMove())
    said = problem(request)
    assert said.startswith("This model keeps no pictures at chosen times; turn Keep Pictures off")


def test_a_prompt_may_be_empty_where_a_picture_says_enough(folder):
    assert not problem(asked(folder, source(folder, 10), prompt=""))


def test_a_request_with_pictures_travels_and_hostile_places_are_refused(folder):
    request = asked(folder, source(folder, 9), source(folder, 20))
    assert from_json(TakeRequest, json.loads(json.dumps(to_json(request)))) == request
    assert is_sane_request(request) and [each.at_frame for each in request.kept_pictures] == [9, 20]
    assert not is_sane_request(asked(folder, source(folder, 1 << 60)))
    older = to_json(request)
    for each in older["sources"]:
        del each["at_frame"]
    assert from_json(TakeRequest, older).sources[0].at_frame == 0
    made = planned(request)
    assert from_json(Plan, to_json(made)) == made


def test_a_look_at_the_beginning_keeps_what_lies_in_it(folder):
    request = asked(folder, source(folder, 9), source(folder, 40))
    whole, *beginnings = looks.requests(request, entries.entry("embedded"))
    assert len(whole.kept_pictures) == 2 and beginnings
    for each in beginnings:
        assert all(kept.at_frame < each.length_frames for kept in each.kept_pictures)
        assert planned(each).problem is None


def test_what_the_model_is_trained_to_skip_without_a_control_isnt_skipped(folder):
    entry = next(each for each in entries.load().models.values() if each.trunk_makes_text)
    assert skipped_work.is_controlled(asked(folder, source(folder, 9), model=entry.id), entry)
    assert not skipped_work.is_controlled(asked(folder, model=entry.id), entry)
