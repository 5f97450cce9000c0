"""The training that the panel's settings ask for, all that stands against it, and the job from the click to its end."""

from __future__ import annotations

import os

import bpy
import pytest

NAMES = ("Shot", "Picture")


@pytest.fixture
def desk(renderer, pumped, scene, addon, cut, tmp_path):
    """A saved film with a shot, a picture and a color strip, which has to be rendered, and a described training."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    cut.shot("Shot", 1, 50, 1)
    cut.still("Picture", 100, 120, 1)
    cut.compat.new_color(cut.strips, "Color", 1, 200, 30)
    bpy.ops.ed.undo_push(message="A cut")
    return Desk(renderer, pumped, addon, cut)


class Desk:
    """What these tests do."""

    def __init__(self, renderer, pumped, addon, cut):
        self.renderer, self.pumped, self.addon, self.cut = renderer, pumped, addon, cut
        self.session = pumped.session
        self.describe(*NAMES)

    @property
    def settings(self):
        return bpy.context.scene.wan_vse

    def describe(self, *names, **values):
        """The panel's settings, with these strips on the list."""
        settings = self.settings
        settings.model_id, settings.seed, settings.seed_locked = "embedded", 7, True
        for name, value in {"name": "ink", "trigger": "inkwsh", "caption": "a dog", **values}.items():
            setattr(settings.training, name, value)
        self.addon("properties.training").choose(settings.training, list(names), False)

    def plan(self):
        preferences = self.addon("jobs.folders").preferences()
        scene, plan = bpy.context.scene, self.addon("jobs.planned_training").plan
        return plan(scene, self.settings, preferences, self.session.server.model("embedded"), "/tmp/clips")

    def train(self):
        job_id = self.session.train(bpy.context.scene, self.plan().take)
        bpy.ops.ed.undo_push(message="Train")
        return job_id

    def job(self, job_id):
        return self.session.jobs.get(job_id)

    def until(self, job_id, state):
        self.pumped.until(lambda: self.job(job_id) and self.job(job_id).state.value == state)

    def restart(self):
        """Act as if this Blender ended and another one started."""
        self.addon("jobs.session").unregister()
        self.addon("jobs.session").register()
        self.session = self.addon("jobs.session").current()
        self.pumped.until = lambda condition: pump(self.session, condition)
        self.session.server.want()


def pump(session, condition):
    import time

    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, [(job.state, job.sentence) for job in session.queue()]
        session.tick()
        time.sleep(0.01)


def test_what_is_asked_for_is_what_the_panel_says(desk) -> None:
    desk.cut.text("a cat", 1, 60, 3)
    desk.describe("Shot", "Picture", kind="SUBJECT", length="LONG", sample_prompt="inkwsh, a horse")
    planned = desk.plan()
    assert not planned.refusals
    request, training = planned.request, planned.request.training
    assert (training.name, training.trigger, training.kind, training.length) == ("ink", "inkwsh", "subject", "long")
    assert (training.caption, training.captions, training.sample_prompt) == ("a dog", ["a cat", ""], "inkwsh, a horse")
    assert training.names == ["Shot", "Picture"]
    assert [(source.role, source.frames, source.rendered) for source in request.sources] == [
        ("clip", 49, False),
        ("clip", 1, False),
    ]
    assert (request.model, request.seed, request.prompt) == ("embedded", 7, "ink")
    assert request.media_folder.endswith(os.path.join("wan", "loras"))
    assert not training.only_with_trigger and training.noisy_share is None
    desk.settings.training.only_with_trigger, desk.settings.training.noisy_share = True, 0.25
    training = desk.plan().request.training
    assert training.only_with_trigger and training.noisy_share == 0.25


def test_all_that_stands_against_it_is_said_at_once(desk) -> None:
    desk.cut.strips["Shot"].mute = True
    (desk.cut.folder / "0000.png").unlink()
    desk.describe("Shot", "Picture", "Gone", name=" ", trigger="two words")
    planned = desk.plan()
    assert planned.take is None or planned.refusals
    for words in ("a name", "single word", "muted", "0000.png", "no strip 'Gone'"):
        assert words in planned.refusal, words


@pytest.mark.parametrize("name", ["a/b", "..", "CON", "a" * 61, "🚢" * 51, "a\tb"])
def test_a_name_that_no_file_can_have_is_refused(desk, name: str) -> None:
    desk.describe(*NAMES, name=name)
    assert desk.plan().refusals


def test_strips_that_are_switched_off_are_left_out(desk) -> None:
    desk.settings.training.clips[0].use = False
    assert len(desk.plan().sources) == 1
    desk.settings.training.clips[1].use = False
    assert "switched off" in desk.plan().refusal


def test_strips_that_show_the_same_pictures_are_named(desk) -> None:
    desk.cut.shot("Copy", 1, 50, 2)
    desk.describe("Shot", "Copy", "Picture")
    assert "'Shot' and 'Copy' show the same pictures." in desk.plan().notes


def test_missing_captions_are_said(desk) -> None:
    desk.describe(*NAMES, caption="")
    assert any("Nothing has a caption" in note for note in desk.plan().notes)
    desk.settings.training.clips[0].caption = "a dog"
    assert "1 clip has no caption." in desk.plan().notes


def test_a_training_goes_its_way_without_a_strip(desk) -> None:
    before = len(desk.cut.strips)
    job_id = desk.train()
    desk.until(job_id, "done")
    job = desk.job(job_id)
    assert (job.summary.title, job.summary.training, job.take) == ("ink", "look", None)
    assert [lora.step for lora in job.training.kept] == [2, 3, 4] and len(job.training.curve) == 4
    assert desk.session.belongs_here(job_id)
    assert len(desk.cut.strips) == before, "nothing of it comes onto the timeline"
    assert not desk.session.file.problems


def test_an_undo_leaves_a_training_at_its_work(desk) -> None:
    desk.describe(*NAMES, name="slow ink")
    job_id = desk.train()
    desk.until(job_id, "denoising")
    bpy.ops.ed.undo()
    desk.until(job_id, "done")
    assert desk.job(job_id).hold.value == "none"


def test_it_waits_for_what_blender_renders_and_survives_blenders_end_meanwhile(desk) -> None:
    desk.describe("Shot", "Color")
    desk.renderer.manner = "wait"
    job_id = desk.train()
    assert desk.job(job_id).sentence == "Rendering the source."
    request = desk.session.request_of(job_id)
    assert [source.rendered for source in request.sources] == [False, True]
    assert request.sources[1].folder.endswith(os.path.join("wan", "sources", job_id, "clip-1"))
    desk.restart()
    desk.pumped.until(lambda: desk.job(job_id) and desk.job(job_id).state.value == "interrupted")
    desk.renderer.manner = "ready"
    desk.session.retry(job_id)
    desk.until(job_id, "done")


def test_it_is_canceled_held_resumed_and_cleared_as_any_job(desk) -> None:
    desk.describe(*NAMES, name="hang")
    job_id = desk.train()
    desk.until(job_id, "denoising")
    desk.session.hold(job_id)
    desk.pumped.until(lambda: desk.job(job_id).hold.value == "person")
    desk.session.resume(job_id)
    desk.until(job_id, "denoising")
    desk.session.cancel(job_id)
    desk.until(job_id, "cancelled")
    desk.session.clear()
    desk.pumped.until(lambda: desk.job(job_id) is None)


def test_what_was_rendered_for_it_goes_when_it_is_cleared(desk, addon) -> None:
    job_id = desk.train()
    desk.until(job_id, "done")
    folder = addon("jobs.planned_takes").clips_folder(job_id)
    made_folder = addon("background.made_folder")
    made_folder.make(os.path.join(folder, "clip-0"), job_id)
    os.makedirs(os.path.join(folder, "of somebody else"))
    desk.session.clear()
    assert os.listdir(folder) == ["of somebody else"]


def test_it_goes_also_where_the_film_was_before_it_was_saved_elsewhere(desk, addon, tmp_path) -> None:
    desk.describe("Shot", "Color")
    job_id = desk.train()
    folder = os.path.dirname(desk.session.request_of(job_id).sources[1].folder)
    desk.until(job_id, "done")
    (tmp_path / "elsewhere").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere" / "film.blend"))
    addon("background.made_folder").make(os.path.join(folder, "clip-9"), job_id)
    desk.session.clear()
    assert not os.path.exists(os.path.join(folder, "clip-9"))


def test_of_a_film_that_had_no_place_yet_it_is_in_our_own_folder(desk, addon, user_folder) -> None:
    origin = addon("jobs.planned_takes").Origin(project_id="b" * 32)
    found = addon("jobs.planned_takes").clips_folders("a" * 32, origin)
    assert str(user_folder / "media" / ("b" * 32) / "sources" / ("a" * 32)) in found


def test_a_number_of_a_strangers_file_that_is_none_is_left_out(desk) -> None:
    desk.settings.training.learning_rate = float("nan")
    assert desk.plan().request.training.learning_rate is None
    desk.settings.training.noisy_share = float("nan")
    assert desk.plan().request.training.noisy_share is None


def test_a_saved_film_knows_how_its_trainings_ended(desk) -> None:
    job_id = desk.train()
    desk.until(job_id, "done")
    bpy.ops.wm.save_mainfile()
    desk.pumped.until(lambda: desk.job(job_id).settled)
