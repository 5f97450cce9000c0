"""Jobs that are made from strips: from the click through the rendering to the take, and whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import bpy
import pytest
from stand_in_session import set_prompts

COLOR = "Color"


@pytest.fixture
def desk(renderer, pumped, scene, addon, cut, tmp_path):
    """A color strip at 10 to 40 on channel 1, which has to be rendered, with short methods."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    cut.compat.new_color(cut.strips, COLOR, 1, 10, 30)
    cut.compat.new_color(cut.strips, "Next", 1, 60, 30)
    bpy.ops.ed.undo_push(message="A cut")
    return Desk(renderer, pumped, addon, cut)


class Desk:
    """What these tests do."""

    def __init__(self, renderer, pumped, addon, cut):
        self.renderer, self.pumped, self.addon, self.cut = renderer, pumped, addon, cut
        self.session = pumped.session

    @property
    def scene(self):
        return bpy.context.scene

    @property
    def strips(self):
        return self.cut.compat.all_strips(self.scene)

    def ask(self, task="RESTYLE", *names, prompt="fog", **settings):
        """What the operator of the task does; returns the job's id."""
        self.cut.scene = self.scene
        self.cut.select(*(names or (COLOR,)))
        panel = self.scene.wan_vse
        panel.model_id = "embedded"
        set_prompts(panel, prompt)
        for name, value in settings.items():
            setattr(panel, name, value)
        task = self.addon("properties.task").Task[task]
        (take,) = self.addon("jobs.planned_takes").takes_now(self.scene, panel, SimpleNamespace(media_folder=""), task)
        job_id = self.session.generate(self.scene, take)
        bpy.ops.ed.undo_push(message="Ask")
        return job_id

    def job(self, job_id):
        return self.session.jobs.get(job_id)

    def until(self, job_id, state):
        self.pumped.until(lambda: self.job(job_id) and self.job(job_id).state.value == state)

    def takes(self):
        start, end = self.cut.compat.start, self.cut.compat.end_exclusive
        return sorted((start(s), end(s), s.channel) for s in self.strips if s.get("wan_vse_role") == "take")

    def until_landed(self):
        self.pumped.until(self.takes)
        return self.takes()

    def idle(self, seconds=0.3):
        end = time.monotonic() + seconds
        self.pumped.until(lambda: time.monotonic() > end)

    def restart(self):
        """Act as if this Blender was killed and another one started."""
        self.addon("jobs.session").unregister()
        self.addon("jobs.session").register()
        self.pumped.session = self.session = self.addon("jobs.session").current()
        self.pumped.until = lambda condition, seconds=10.0: pump(self.session, condition, seconds)
        self.session.server.want()


def pump(session, condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, [(job.state, job.sentence) for job in session.queue()]
        session.tick()
        time.sleep(0.01)


def test_the_source_is_rendered_then_the_job_goes_out(desk) -> None:
    desk.renderer.manner = "wait"
    job_id = desk.ask()
    desk.idle()
    job = desk.job(job_id)
    assert (job.state.value, job.sentence) == ("queued", "Rendering the source.")
    assert desk.renderer.made.placeholders_at_asking == 0, "the placeholder is no part of what is rendered"
    desk.renderer.made.done = 0.5
    desk.pumped.until(lambda: desk.job(job_id).progress == 0.05)
    desk.renderer.manner = "ready"
    assert desk.until_landed() == [(10, 40, 2)]
    (source,) = desk.session.request_of(job_id).sources
    assert (source.role.value, source.frames, source.rendered) == ("footage", 30, True)
    assert source.folder.endswith(os.path.join("wan", "sources", job_id, "footage"))


def test_what_is_sent_is_what_the_panel_says(desk) -> None:
    request = desk.session.request_of(desk.ask(strength=0.25, guide="FRAMES", conform="REPEAT"))
    assert (request.task, request.strength, request.guide.value, request.conform.value) == (
        "restyle",
        0.25,
        "frames",
        "repeat",
    )
    extend = desk.session.request_of(desk.ask("EXTEND", strength=0.25))
    assert (extend.task, extend.strength, extend.guide.value) == ("extend", 1.0, "none")


def test_a_gap_of_one_frame_is_filled(desk) -> None:
    desk.cut.shot("Left", 200, 220, 3)
    desk.cut.shot("Right", 221, 240, 3)
    desk.ask("FILL_GAP", "Left", "Right")
    assert desk.until_landed() == [(220, 221, 3)]


def test_in_an_open_meta_strip_the_take_lands_in_it(desk) -> None:
    meta = desk.cut.strips.new_meta(name="Meta", channel=8, frame_start=1)
    desk.strips[COLOR].move_to_meta(meta)
    desk.cut.compat.set_handles(meta, 10, 40)
    desk.scene.sequence_editor.display_stack(meta)
    desk.ask()
    assert desk.until_landed() == [(10, 40, 2)]
    meta = desk.strips["Meta"]
    assert [s.get("wan_vse_role") for s in desk.cut.compat.strips(meta)] == [None, "take"]


def test_a_plain_picture_needs_no_rendering(desk) -> None:
    desk.cut.shot("Shot", 100, 130)
    desk.ask("RESTYLE", "Shot")
    assert desk.renderer.made.asked == []
    assert desk.until_landed() == [(100, 130, 2)]


def test_what_a_larger_take_was_made_from_stays_as_it_was(desk, addon, tmp_path) -> None:
    """Its one source is the take: no file of the take's own sources."""
    desk.cut.shot("Shot", 100, 130)
    job_id = desk.ask("RESTYLE", "Shot")
    known = desk.session.sourcing.provenance_text(job_id)
    made_of = desk.session.request_of(job_id)
    pictures = replace(made_of.sources[0], folder=str(tmp_path), files=["film.blend"])
    finish = addon("operators.finish_takes").Finish("any", base=job_id)
    larger = replace(made_of, sources=[pictures], finish=finish)
    planned = addon("jobs.planned_takes").PlannedTake
    send, scene = desk.session.sourcing.send, desk.scene
    assert send("b" * 32, scene, planned(larger, provenance_text=known)) == known
    again = replace(larger, finish=None)
    assert send("c" * 32, scene, planned(again, provenance_text=known)) != known


def test_the_selection_stays_for_another_take(desk) -> None:
    desk.ask()
    assert [strip.name for strip in desk.cut.read().footage] == [COLOR]
    desk.ask()
    channels = sorted(s.channel for s in desk.strips if s.get("wan_vse_role") == "placeholder")
    assert channels == [2, 3]


def test_cancel_while_rendering(desk) -> None:
    desk.renderer.manner = "wait"
    job_id = desk.ask()
    desk.session.cancel(job_id)
    assert desk.job(job_id).state.value == "cancelled"
    assert desk.renderer.made.canceled == [job_id]
    desk.renderer.manner = "ready"
    desk.idle()
    assert desk.takes() == []
    desk.session.retry(job_id)
    assert desk.until_landed() == [(10, 40, 2)]


def test_a_failure_is_a_sentence_and_retry_renders_again(desk) -> None:
    desk.renderer.manner = "The disk is full: make room, then press Retry."
    job_id = desk.ask()
    desk.until(job_id, "failed")
    assert desk.job(job_id).problem.sentence == "The disk is full: make room, then press Retry."
    desk.renderer.manner = "ready"
    desk.session.retry(job_id)
    assert desk.until_landed() == [(10, 40, 2)]


def test_what_can_not_be_rendered_is_refused_before_anything_changes(desk, addon) -> None:
    desk.renderer.made.refuses = addon("jobs.request").Refused("The disk is full: make room.")
    before = desk.cut.places()
    with pytest.raises(addon("jobs.request").Refused, match="disk is full"):
        desk.ask()
    assert desk.cut.places() == before
    assert desk.session.queue() == []


def test_retry_of_a_job_that_the_server_has_renders_what_is_gone(desk) -> None:
    job_id = desk.ask(prompt="fail")
    desk.until(job_id, "failed")
    shutil.rmtree(desk.session.request_of(job_id).sources[0].folder)
    desk.session.retry(job_id)
    desk.pumped.until(lambda: len(desk.renderer.made.asked) == 2)  # what was asked for is the server's to say
    assert desk.until_landed() == [(10, 40, 2)]


@pytest.fixture
def stage(desk, addon, monkeypatch):
    """stage() asks for a take along the camera of a scene strip, at 100 to 124."""
    desk.cut.scene_strip("Stage", 100, 124)
    planned = addon("jobs.planned_takes")
    with_camera = replace(planned.TargetSettings(), follows_camera=True)
    monkeypatch.setattr(planned, "_target_settings", lambda *_: with_camera)
    return lambda: desk.ask("PREVIS", "Stage", camera_scale=0.5)


def test_a_camera_is_looked_at_and_nothing_rendered(desk, stage) -> None:
    desk.renderer.manner = "wait"
    job_id = stage()
    desk.idle()
    assert desk.job(job_id).sentence == "Looking at the scene's camera."


def test_a_camera_is_sent_as_numbers(desk, stage) -> None:
    job_id = stage()
    assert desk.until_landed() == [(100, 124, 2)]
    told: list = []
    desk.session.server.details.want(job_id, told.append)
    desk.pumped.until(lambda: told)
    (sent,) = told
    assert sent.sources == []
    assert (sent.camera.scale, sent.camera.numbers) == (0.5, list(desk.renderer.camera) * 24)


def test_retry_asks_for_a_camera_anew_that_could_not_be_followed(desk, stage, monkeypatch) -> None:
    good = desk.renderer.camera
    monkeypatch.setattr(desk.renderer, "camera", (-1.0, *good[1:]))
    job_id = stage()
    desk.until(job_id, "failed")
    assert "mirrored" in desk.job(job_id).problem.sentence
    monkeypatch.setattr(desk.renderer, "camera", good)  # a person sees to it
    desk.session.retry(job_id)
    assert desk.until_landed() == [(100, 124, 2)]


def test_what_turns_out_to_be_shown_otherwise_is_rendered_unasked(desk) -> None:
    desk.cut.shot("Shot", 100, 130)
    job_id = desk.ask("RESTYLE", "Shot", prompt="the picture grows")
    assert desk.renderer.made.asked == [], "by its head it can be read straight"
    assert desk.until_landed() == [(100, 130, 2)]
    assert [asked_for for asked_for, _ in desk.renderer.made.asked] == [job_id]


def test_and_once_it_was_rendered_its_failure_stays(desk) -> None:
    desk.cut.shot("Shot", 100, 130)
    desk.renderer.manner = "Blender ended: press Retry."
    job_id = desk.ask("RESTYLE", "Shot", prompt="the picture grows")
    desk.pumped.until(lambda: desk.job(job_id).sentence == "Blender ended: press Retry.")
    desk.idle()
    assert len(desk.renderer.made.asked) == 1
    desk.renderer.manner = "ready"
    desk.session.retry(job_id)
    assert desk.until_landed() == [(100, 130, 2)]


def test_retry_renders_the_strip_where_it_is_now(desk) -> None:
    desk.renderer.manner = "Blender ended: press Retry."
    job_id = desk.ask()
    desk.until(job_id, "failed")
    desk.cut.compat.set_handles(desk.strips[COLOR], 15, 45)
    desk.renderer.manner = "ready"
    desk.session.retry(job_id)
    wanted, _ = desk.renderer.made.asked[-1][1][0]
    assert (wanted.start, wanted.end_exclusive) == (15, 45)
    assert desk.until_landed() == [(15, 45, 2)]


def test_retry_without_the_strip_is_a_sentence(desk) -> None:
    desk.renderer.manner = "Blender ended: press Retry."
    job_id = desk.ask()
    desk.until(job_id, "failed")
    desk.cut.strips.remove(desk.strips[COLOR])
    desk.session.retry(job_id)
    problem = desk.job(job_id).problem
    assert problem.kind == "bad_source"
    assert COLOR in problem.sentence


def test_a_blender_that_was_killed_while_rendering_loses_nothing(desk, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(desk.addon("jobs.journal"), "ORPHANED_SECONDS", 0.0)
    desk.renderer.manner = "wait"
    job_id = desk.ask()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))  # neither strips nor placeholder were saved
    desk.restart()
    desk.pumped.until(lambda: desk.job(job_id))
    job = desk.job(job_id)
    assert job.state.value == "interrupted"
    assert "Blender ended while the source was being rendered" in job.sentence
    assert desk.session.belongs_here(job_id)
    desk.cut.compat.new_color(desk.cut.compat.strips(desk.scene.sequence_editor), COLOR, 1, 10, 30)
    desk.renderer.manner = "ready"
    desk.session.retry(job_id)
    assert desk.until_landed() == [(10, 40, 2)]


def test_with_a_saved_placeholder_too(desk, tmp_path, monkeypatch) -> None:
    desk.renderer.manner = "wait"
    job_id = desk.ask()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    shutil.rmtree(desk.addon("jobs.folders").user_folder() / "waiting")
    desk.restart()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    desk.pumped.until(lambda: desk.job(job_id))
    assert desk.job(job_id).state.value == "interrupted"
    desk.renderer.manner = "ready"
    desk.session.retry(job_id)
    assert desk.until_landed() == [(10, 40, 2)]


def test_the_journal_of_a_blender_that_lives_is_left_alone(desk) -> None:
    folder = desk.addon("jobs.folders").user_folder() / "waiting"
    desk.renderer.manner = "wait"
    job_id = desk.ask()
    assert (folder / f"{job_id}.json").is_file()
    others = desk.addon("jobs.journal").Journal(folder)
    assert list(others.orphans()) == []
    desk.renderer.manner = "ready"
    desk.until_landed()
    desk.session.sourcing._open_journal()._next_touch = 0.0
    desk.idle(0.1)
    assert not (folder / f"{job_id}.json").exists(), "the server has it"


def test_another_files_strips_are_not_rendered(desk, tmp_path) -> None:
    desk.renderer.manner = "Blender ended: press Retry."
    job_id = desk.ask()
    desk.until(job_id, "failed")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, load_ui=False)
    bpy.context.scene.sequence_editor_create()
    desk.session.retry(job_id)
    assert "another file" in desk.job(job_id).problem.sentence


def test_asking_for_a_take_is_one_undo_step_with_its_landing_and_the_cut_is_as_it_was(desk) -> None:
    before = desk.cut.places()
    desk.ask()
    desk.until_landed()
    assert [place for place in desk.cut.places() if place in before] == before
    bpy.ops.ed.undo()
    desk.cut.scene = desk.scene
    assert desk.cut.places() == before


class TestWhereTheTakeGoes:
    """Its source was moved, trimmed or deleted while it was made."""

    @pytest.fixture
    def made(self, desk):
        """made(task, change) asks, changes the cut, waits for the take; returns its place and the note on it."""

        def make(change, task="RESTYLE", *names, **settings):
            desk.renderer.manner = "wait"
            job_id = desk.ask(task, *names, **settings)
            change()
            desk.renderer.manner = "ready"
            (place,) = desk.until_landed()
            return place, desk.session.file.notes.get(job_id, "")

        return make

    def move(self, desk, by, *names):
        for name in names:
            strip = desk.strips[name]
            channel, strip.channel = strip.channel, 100  # where it meets nothing on its way
            start, end = desk.cut.compat.start(strip), desk.cut.compat.end_exclusive(strip)
            desk.cut.compat.set_handles(strip, start + by, end + by)
            strip.channel = channel

    def test_it_goes_along_with_a_strip_that_was_moved(self, desk, made) -> None:
        assert made(lambda: self.move(desk, 100, COLOR)) == ((110, 140, 2), "")

    def test_and_up_with_it(self, desk, made) -> None:
        def change():
            desk.strips[COLOR].channel = 6

        assert made(change) == ((10, 40, 7), "")

    def test_not_where_something_lies_already(self, desk, made) -> None:
        desk.cut.compat.new_color(desk.cut.strips, "In the way", 2, 110, 10)
        assert made(lambda: self.move(desk, 100, COLOR)) == ((110, 140, 3), "")

    def test_a_trimmed_strips_take_is_trimmed(self, desk, made) -> None:
        desk.cut.shot("Shot", 200, 240)

        def change():
            desk.cut.compat.set_handles(desk.strips["Shot"], 205, 230)

        desk.renderer.manner = "wait"
        job_id = desk.ask("RESTYLE", "Shot")
        change()
        (place,) = desk.until_landed()
        assert place == (205, 230, 2)
        assert desk.session.file.notes.get(job_id, "") == ""
        (take,) = [s for s in desk.strips if s.get("wan_vse_role") == "take"]
        assert desk.cut.compat.content_start(take) == 200, "frame for frame over its source"

    def test_a_deleted_strip_is_said(self, desk, made) -> None:
        place, note = made(lambda: desk.cut.strips.remove(desk.strips[COLOR]))
        assert place == (10, 40, 2)
        assert f"'{COLOR}' is gone" in note

    @pytest.mark.parametrize("gone", [False, True])
    def test_an_edit_goes_along_with_its_footage_whatever_becomes_of_its_pictures(self, desk, made, gone) -> None:
        desk.cut.shot("Shot", 200, 240)
        desk.cut.still("Hat", 300, 340)

        def change():
            if gone:
                desk.cut.strips.remove(desk.strips["Hat"])
            else:
                self.move(desk, 50, "Hat")
            desk.cut.compat.set_handles(desk.strips["Shot"], 205, 230)
            desk.cut.compat.move_content(desk.strips["Shot"], 100)

        assert made(change, "EDIT", "Shot", "Hat") == ((305, 330, 2), "")

    def test_the_persons_own_place_counts_more(self, desk, made) -> None:
        def change():
            (strip,) = [s for s in desk.strips if s.get("wan_vse_role") == "placeholder"]
            desk.cut.compat.set_handles(strip, 300, 330)
            self.move(desk, 100, COLOR)

        assert made(change) == ((300, 330, 2), "")

    def test_a_gap_that_moved_with_both_sides(self, desk, made) -> None:
        desk.cut.shot("Right", 60, 100, 3)
        change = lambda: self.move(desk, 200, COLOR, "Next")  # noqa: E731
        assert made(change, "FILL_GAP", COLOR, "Next") == ((240, 260, 1), "")

    def test_a_gap_that_changed_is_said(self, desk, made) -> None:
        place, note = made(lambda: self.move(desk, 5, "Next"), "FILL_GAP", COLOR, "Next")
        assert place == (40, 60, 1)
        assert "The gap has 25 frames now, but the take has 20" in note

    def test_a_strip_that_was_trimmed_away_from_its_extension_is_said(self, desk, made) -> None:
        desk.cut.shot("Shot", 200, 240)

        def change():
            desk.cut.compat.set_handles(desk.strips["Shot"], 200, 230)

        desk.ask("EXTEND", "Shot")
        change()
        (place,) = desk.until_landed()
        assert place == (240, 264, 1)
        (job,) = desk.session.queue()
        assert "'Shot' was trimmed" in desk.session.file.notes.get(job.job_id, "")

    def test_a_strip_that_is_in_a_meta_now(self, desk, made) -> None:
        def change():
            meta = desk.cut.strips.new_meta(name="Meta", channel=8, frame_start=1)
            desk.strips[COLOR].move_to_meta(meta)

        place, _ = made(change)
        assert place[:2] == (10, 40)


def test_a_blender_in_the_background_renders_it(pumped, scene, addon, cut, tmp_path) -> None:
    """Without a stand-in: what the server gets is the color strip, and the open file is as it was."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    cut.compat.new_color(cut.strips, COLOR, 1, 10, 3).color = (1.0, 0.0, 0.0)
    desk = Desk(None, pumped, addon, cut)
    job_id = desk.ask()
    pumped.until(desk.takes, 60.0)
    assert desk.takes() == [(10, 13, 2)]
    (source,) = desk.session.request_of(job_id).sources
    picture = bpy.data.images.load(os.path.join(source.folder, source.files[-1]))
    assert tuple(picture.size) == (1920, 1080)
    assert list(picture.pixels[:4]) == pytest.approx([1.0, 0.0, 0.0, 1.0], abs=0.01)


def test_what_a_placeholder_remembers_can_be_read_again(desk, addon) -> None:
    desk.ask()
    (strip,) = [s for s in desk.strips if s.get("wan_vse_role") == "placeholder"]
    asked = addon("timeline.provenance").of(strip)
    assert (asked.task, asked.start, asked.end_exclusive) == ("restyle", 10, 40)
    assert (asked.sources[0].name, asked.wanted[0].strip_names) == (COLOR, (COLOR,))
    assert addon("timeline.provenance").read("{") is None
    assert addon("timeline.provenance").read(json.dumps({"task": 1})) is None
