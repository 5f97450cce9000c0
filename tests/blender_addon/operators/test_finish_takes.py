"""Making the shown take of a strip larger, as one more take of the strip."""

from __future__ import annotations

import dataclasses
import json
import shutil

import bpy
import pytest
from shot_with_takes import CANCELLED, FINISHED, A, Shot, why_not

UPSCALER = "realesrgan-x4plus"


@pytest.fixture
def shot(stand_in, settings, scene, addon, tmp_path):
    shot = Shot(stand_in, scene, addon, tmp_path)
    shot.wide = addon("timeline.scene_format").square_size(scene)
    know(shot, A)
    return shot


def know(shot, job_id: str, **of_take) -> None:
    """Have the strip know the take of a job as the worker wrote it."""
    m = shot.stand_in.messages
    take = m.Take(str(shot.folder / job_id), "0001.png", m.MediaFormat.PNG, 24, 96, 64, m.FrameRate(24))
    shot.strip[shot.identity.TAKE] = json.dumps(shot.conversion.to_json(dataclasses.replace(take, **of_take)))


def here(shot, *names: str) -> None:
    """Have upscaling models on the machine."""
    row = shot.stand_in.messages.ExtraRow
    rows = [row(name, name.title(), [], True, "In /models.", "BSD-3-Clause", 1, upscales=True) for name in names]
    shot.stand_in.server.extras = rows


def asked(shot):
    return shot.stand_in.planned[-1].request


@pytest.mark.parametrize(("factor", "number"), [("TWO", 2), ("FOUR", 4), ("SCENE", 0)])
def test_the_shown_take_is_the_only_source_and_the_larger_one_comes_onto_the_strip(shot, factor, number):
    here(shot, UPSCALER)
    before = len(list(shot.compat.shown_strips(shot.scene)))
    assert bpy.ops.wan_vse.finish_take(factor=factor) == FINISHED
    request = asked(shot)
    assert (request.finish.upscaler, request.finish.factor, request.finish.base) == (UPSCALER, number, A)
    (pictures,) = request.sources
    assert pictures.folder == str(shot.folder / A) and pictures.files[0] == "0001.png" and pictures.frames == 24
    assert (pictures.pictures.width, pictures.pictures.height) == (96, 64)
    assert (request.width, request.height) == shot.wide and request.length_frames == 24
    assert shot.stand_in.onto == [shot.strip[shot.identity.STRIP]]
    assert len(list(shot.compat.shown_strips(shot.scene))) == before


def test_handles_stay_handles(shot):
    here(shot, UPSCALER)
    kept = dataclasses.replace(shot.takes.takes_of(shot.strip)[-1], handle_before=3, handle_after=2)
    shot.takes.forget(shot.strip, A)
    shot.takes.remember(shot.strip, kept, shot.takes.Made(shot.text(A)))
    assert shot.takes.show(shot.scene, shot.strip, A) == ""
    know(shot, A, handle_before=3, handle_after=2)
    assert bpy.ops.wan_vse.finish_take() == FINISHED
    request = asked(shot)
    assert (request.finish.handle_before, request.finish.handle_after) == (3, 2)
    assert request.length_frames == 19 and request.sources[0].frames == 24


def test_without_an_upscaling_model_it_says_where_one_comes_from(shot):
    here(shot)
    assert "download one in the preferences" in why_not("finish_take")


def test_files_that_are_gone_are_said(shot):
    here(shot, UPSCALER)
    shutil.rmtree(shot.folder / A)
    assert bpy.ops.wan_vse.finish_take() == CANCELLED


def test_a_take_that_is_larger_already_goes_back_to_the_one_that_it_was_made_from(shot, addon):
    here(shot, UPSCALER)
    m = shot.stand_in.messages
    job_id, finish = "d" * 32, m.Finish(UPSCALER, 2, A)
    shot.on_disk(job_id)
    larger = shot.takes.KeptTake(job_id, str(shot.folder / job_id), "0001.png", 24, False)
    shot.takes.remember(shot.strip, larger, shot.takes.Made(shot.text(job_id, finish=finish, seed=10)))
    assert bpy.ops.wan_vse.show_kept_take(job_id=job_id) == FINISHED
    assert "larger already" in why_not("finish_take")
    again = addon("jobs.takes_again").again_of(shot.strip, job_id)
    assert again.made.finish is None and again.made.seed == 10
    assert bpy.ops.wan_vse.new_take(same_seed=True) == FINISHED
    assert asked(shot).finish is None


def test_a_larger_take_whose_own_isnt_known_is_not_made_again(shot, addon):
    m = shot.stand_in.messages
    job_id = "d" * 32
    shot.on_disk(job_id)
    larger = shot.takes.KeptTake(job_id, str(shot.folder / job_id), "0001.png", 24, False)
    for base in ("e" * 32, job_id):  # gone, or none of ours
        text = shot.text(job_id, finish=m.Finish(UPSCALER, 2, base))
        shot.takes.forget(shot.strip, job_id)
        shot.takes.remember(shot.strip, larger, shot.takes.Made(text))
        assert bpy.ops.wan_vse.show_kept_take(job_id=job_id) == FINISHED
        assert addon("jobs.takes_again").again_of(shot.strip, job_id) is None
        assert "can't be read" in why_not("new_take")
        assert bpy.ops.wan_vse.show_kept_take(job_id=A) == FINISHED


def test_the_panel_and_the_queue_say_that_it_is_larger(shot, addon):
    m = shot.stand_in.messages
    request = dataclasses.replace(shot.stand_in.requests[A], finish=m.Finish(UPSCALER, 2, A))
    assert addon("ui.take_box").facts(request).startswith("Larger: ")
    pictures = m.Source(m.Role.FOOTAGE, "/takes/one", ["0001.png", "0012.png"], pictures=m.Pictures(256, 144))
    larger = dataclasses.replace(request, sources=[pictures])
    assert addon("ui.take_words").shortly(larger, None, 0.0) == "From a take of 256 x 144"
    assert addon("ui.wording").job_title(m.JobSummary.of(request)).startswith("Larger: ")


def test_a_larger_take_is_marked_as_the_one_that_it_was_made_from(shot, addon):
    here(shot, UPSCALER)
    assert bpy.ops.wan_vse.finish_take(factor="TWO") == FINISHED
    asked_for, made = asked(shot), shot.stand_in.requests[A]
    assert asked_for.sources and asked_for.is_composite is bool(made.pictured)
    for from_footage, kind in ((False, "GENERATED"), (True, "COMPOSITE")):
        finish = dataclasses.replace(asked_for.finish, from_footage=from_footage)
        mark = addon("timeline.strip_mark")
        mark.write(shot.strip, shot.text("d" * 32, finish=finish, sources=asked_for.sources), "")
        assert mark.of(shot.strip).kind == getattr(mark, kind)


def test_a_take_that_came_a_moment_ago_is_made_larger(shot, addon, monkeypatch):
    """What strips play is kept for a moment, and a take that came for a placeholder changes nothing in their number."""
    here(shot, UPSCALER)
    media = addon("timeline.strip_media")
    media.is_played("/nowhere", ["0001.png"], False)
    monkeypatch.setattr(media, "_last_players", (media._last_players[0], float("inf"), {}))
    assert bpy.ops.wan_vse.finish_take(factor="TWO") == FINISHED
