"""Saving, loading and reloading while jobs run: each take is placed where it is expected, and in no other file."""

from __future__ import annotations

import importlib
import itertools
import json
import shutil
import time
from types import SimpleNamespace

import bpy
import pytest


@pytest.fixture
def desk(pumped, addon):
    return Desk(pumped, addon)


class Desk:
    """Files and the open one's strips, with short methods."""

    def __init__(self, pumped, addon):
        self.pumped, self.session, self.compat = pumped, pumped.session, addon("timeline.compat")

    def save(self, path, **options):
        bpy.ops.wm.save_as_mainfile(filepath=str(path), **options)

    def load(self, path):
        bpy.ops.wm.open_mainfile(filepath=str(path))

    def new(self):
        bpy.ops.wm.read_homefile(use_empty=True, load_ui=False)
        bpy.context.scene.sequence_editor_create()

    def places(self):
        strips = self.compat.all_strips(bpy.context.scene)
        return sorted((s.type, self.compat.start(s), self.compat.end_exclusive(s), s.channel) for s in strips)

    def until_done(self, job_id):
        self.pumped.until(lambda: (job := self.session.jobs.get(job_id)) and job.state.value == "done")

    def until_settled(self, job_id, settled=True):
        self.pumped.until(lambda: (job := self.session.jobs.get(job_id)) and job.settled == settled)

    def idle(self):
        for _ in range(40):
            self.session.tick()

    def ask(self, prompt="fog", **where):
        return self.pumped.ask(bpy.context.scene, prompt, **where)


COLOR, IMAGE = ("COLOR", 10, 18, 1), ("IMAGE", 10, 18, 1)


def test_media_goes_beside_the_blend_once_it_is_saved(desk, tmp_path, user_folder):
    first = desk.ask()
    desk.until_done(first)
    assert desk.session.jobs.get(first).take.folder.startswith(str(user_folder / "media"))
    desk.save(tmp_path / "film.blend")
    second = desk.ask(channel=2)
    desk.pumped.until(lambda: desk.places().count(IMAGE) == 1 and len(desk.places()) == 2)
    desk.until_done(second)
    desk.idle()
    assert desk.session.jobs.get(second).take.folder == str(tmp_path / "wan" / second)
    directories = [strip.directory for strip in desk.compat.all_strips(bpy.context.scene)]
    assert f"//wan/{second}/" in directories


def test_saved_takes_settle_their_jobs(desk, tmp_path):
    job_id = desk.ask()
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    assert not desk.session.jobs.get(job_id).settled
    desk.save(tmp_path / "copy.blend", copy=True)
    desk.idle()
    assert not desk.session.jobs.get(job_id).settled
    desk.save(tmp_path / "film.blend")
    desk.until_settled(job_id)


def test_a_result_waits_for_its_file(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask()
    desk.save(tmp_path / "a.blend")
    desk.new()
    desk.until_done(job_id)
    desk.idle()
    assert desk.places() == []
    assert not desk.session.belongs_here(job_id)
    desk.load(tmp_path / "a.blend")
    assert desk.places() == [COLOR]
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    assert desk.session.belongs_here(job_id)


def test_it_waits_in_another_saved_file_too(desk, tmp_path):
    desk.new()
    desk.save(tmp_path / "b.blend")
    desk.new()
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask()
    desk.load(tmp_path / "b.blend")
    desk.until_done(job_id)
    desk.idle()
    assert desk.places() == []
    desk.load(tmp_path / "a.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE])


def test_save_as_takes_the_job_along(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    desk.ask()
    desk.save(tmp_path / "b.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    desk.load(tmp_path / "a.blend")
    desk.idle()
    assert desk.places() == []
    desk.load(tmp_path / "b.blend")
    assert desk.places() == [COLOR]
    desk.pumped.until(lambda: desk.places() == [IMAGE])  # had landed, but was not saved


def test_save_as_of_a_removed_placeholder_keeps_the_job_with_the_open_file(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask("slow fog")
    desk.compat.strips(bpy.context.scene.sequence_editor).remove(desk.compat.all_strips(bpy.context.scene)[0])
    desk.save(tmp_path / "b.blend")
    desk.pumped.until(lambda: desk.session.jobs.get(job_id).hold != "none" or desk.session.jobs.get(job_id).take)
    desk.idle()
    assert desk.places() == []
    assert desk.session.belongs_here(job_id)


def test_a_variant_of_the_file_does_not_get_the_others_jobs(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    first = desk.ask()
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    desk.save(tmp_path / "a.blend")
    desk.until_settled(first)
    shutil.copy(tmp_path / "a.blend", tmp_path / "b.blend")
    desk.load(tmp_path / "b.blend")
    job_id = desk.ask(channel=2, start=30)
    desk.load(tmp_path / "a.blend")
    desk.until_done(job_id)
    desk.idle()
    assert desk.places() == [IMAGE]
    desk.load(tmp_path / "b.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE, ("IMAGE", 30, 38, 1)])


def test_reloading_without_the_placeholder_lands_at_the_recorded_place(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask()
    desk.load(tmp_path / "a.blend")
    assert desk.places() == []
    desk.until_done(job_id)
    desk.pumped.until(lambda: desk.places() == [IMAGE])


def test_reloading_a_landed_but_unsaved_take_lands_it_again(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    desk.ask()
    desk.save(tmp_path / "a.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    desk.load(tmp_path / "a.blend")
    assert desk.places() == [COLOR]
    desk.pumped.until(lambda: desk.places() == [IMAGE])


def test_a_renamed_file_is_known_by_its_id(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    desk.ask(start=50)
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask(channel=2)
    desk.new()
    (tmp_path / "a.blend").rename(tmp_path / "renamed.blend")
    desk.until_done(job_id)
    desk.load(tmp_path / "renamed.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE, ("IMAGE", 50, 58, 1)])


def test_an_undone_take_that_was_saved_is_not_placed_by_itself(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask()
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    assert desk.places() == [COLOR]
    desk.session.file.history.placed.add(job_id)  # as if a person had placed it, and had undone that
    desk.save(tmp_path / "a.blend")
    desk.until_settled(job_id)
    desk.load(tmp_path / "a.blend")
    desk.idle()
    assert desk.places() == [COLOR]
    assert desk.session.place(job_id, bpy.context.scene)
    assert desk.places() == [IMAGE]


def open_in_another_blender(desk, module, film):
    """As if this Blender had ended: a new session, which knows of the jobs only what the film and the server say."""
    module.unregister()
    module.register()
    desk.session = module.current()
    desk.new()
    desk.load(film)
    desk.session.server.want()


@pytest.mark.parametrize("told", [True, False], ids=["the backend is told", "Blender ends at once"])
def test_a_deleted_take_stays_deleted_after_save_and_quit(desk, addon, tmp_path, told):
    module = addon("jobs.session")
    desk.save(tmp_path / "film.blend")
    job_id = desk.ask()
    desk.save(tmp_path / "film.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    desk.compat.strips(bpy.context.scene.sequence_editor).remove(desk.compat.all_strips(bpy.context.scene)[0])
    bpy.ops.ed.undo_push(message="Delete")
    bpy.ops.wm.save_mainfile()
    if told:
        desk.until_settled(job_id)
    open_in_another_blender(desk, module, tmp_path / "film.blend")
    pump(desk, lambda: desk.session.server.listed and desk.session.jobs.get(job_id).settled)
    desk.idle()
    assert desk.places() == []
    bpy.ops.wm.save_mainfile()
    assert all(addon("jobs.project").ENDS_KEY not in scene for scene in bpy.data.scenes), "the server has it now"


def test_a_placeholder_that_was_deleted_and_saved_while_its_job_ran_stays_deleted(desk, addon, tmp_path):
    module = addon("jobs.session")
    desk.save(tmp_path / "film.blend")
    job_id = desk.ask("slow fog")
    desk.save(tmp_path / "film.blend")
    desk.compat.strips(bpy.context.scene.sequence_editor).remove(desk.compat.all_strips(bpy.context.scene)[0])
    bpy.ops.ed.undo_push(message="Delete")
    bpy.ops.wm.save_mainfile()
    assert not desk.session.jobs.get(job_id).state.ended
    desk.new()
    desk.until_done(job_id)
    open_in_another_blender(desk, module, tmp_path / "film.blend")
    pump(desk, lambda: desk.session.server.listed and desk.session.jobs.get(job_id).settled)
    desk.idle()
    assert desk.places() == []


def test_what_a_file_says_of_ends_is_checked(addon, scene):
    ends = addon("jobs.project")
    good = "a" * 32
    for hostile in (
        "[" * 5000,
        "7",
        '{"a": 1}',
        json.dumps([good.upper(), 7, None, good[:-1], f"{good}\n"]),
        "x" * 10**6,
    ):
        scene[ends.ENDS_KEY] = hostile
        assert ends.read_ends() == []
    scene[ends.ENDS_KEY] = 7
    assert ends.read_ends() == []
    scene[ends.ENDS_KEY] = json.dumps([good, good, "../../etc/passwd"])
    assert ends.read_ends() == [good]
    ends.write_ends([f"{n:032x}" for n in range(5000)])
    assert len(ends.read_ends()) == ends.MAX_ENDS
    ends.write_ends([])
    assert ends.ENDS_KEY not in scene


def test_what_a_strip_remembers_is_checked(addon, scene):
    """A .blend may come from anywhere, and the panel reads this at every redraw."""
    strip = {}
    request_of, provenance = addon("timeline.identity").request_of, addon("timeline.provenance")
    for hostile in ("[" * 100_000, "7", '{"sources": [], "wanted": [], "task": "", "start": 1e999}', '{"sources": {}}'):
        strip[addon("timeline.identity").REQUEST] = strip[provenance.PROPERTY] = hostile
        assert request_of(strip) is None and provenance.of(strip) is None


def test_a_take_without_a_placeholder_has_its_request_asked_for(desk, addon, tmp_path):
    module = addon("jobs.session")
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask()
    desk.until_done(job_id)
    module.unregister()
    module.register()
    desk.session = module.current()
    desk.load(tmp_path / "a.blend")
    assert desk.places() == []
    desk.session.server.want()
    pump(desk, lambda: desk.places() == [IMAGE])
    (strip,) = desk.compat.all_strips(bpy.context.scene)
    assert json.loads(strip["wan_vse_request"])["prompt"] == "fog"


def test_an_unsaved_files_job_stays_in_the_list_when_the_file_is_gone(desk):
    job_id = desk.ask()
    desk.new()
    desk.until_done(job_id)
    desk.idle()
    assert desk.places() == []
    bpy.context.scene.frame_set(77)
    assert desk.session.place(job_id, bpy.context.scene)
    assert desk.places() == [("IMAGE", 77, 85, 1)]


def test_a_take_lands_in_the_scene_of_its_placeholder(desk):
    first = bpy.context.scene
    second = bpy.data.scenes.new("Second")
    second.sequence_editor_create()
    job_id = desk.pumped.ask(second, "fog", 10, 8, 1)
    desk.until_done(job_id)
    desk.pumped.until(lambda: [s.type for s in desk.compat.all_strips(second)] == ["IMAGE"])
    assert list(desk.compat.all_strips(first)) == []


def test_a_file_from_elsewhere_offers_its_placeholders(desk, tmp_path, user_folder, addon):
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask("hang")
    desk.save(tmp_path / "a.blend")
    desk.session.server.stop()
    shutil.rmtree(user_folder / "state", ignore_errors=True)  # as on another machine
    addon("jobs.session").unregister()
    addon("jobs.session").register()
    desk.pumped.session = desk.session = addon("jobs.session").current()
    desk.load(tmp_path / "a.blend")
    desk.session.server.want()
    pump(desk, lambda: desk.session.jobs.get(job_id))
    job = desk.session.jobs.get(job_id)
    assert (job.state.value, desk.session.request_of(job_id).prompt) == ("interrupted", "hang")
    assert "Retry" in job.sentence
    desk.session.retry(job_id)
    pump(desk, lambda: desk.session.jobs.get(job_id).state.value == "denoising")


def test_a_take_whose_job_nobody_knows_lands_from_its_own_folder(desk, tmp_path, user_folder, addon):
    desk.save(tmp_path / "a.blend")
    job_id = desk.ask()
    desk.save(tmp_path / "a.blend")
    desk.new()
    desk.until_done(job_id)
    addon("jobs.session").unregister()  # which waits until the server is gone, and with it what writes there
    shutil.rmtree(user_folder / "state")
    (tmp_path / "moved").mkdir()
    (tmp_path / "a.blend").rename(tmp_path / "moved" / "a.blend")
    (tmp_path / "wan").rename(tmp_path / "moved" / "wan")
    addon("jobs.session").register()
    desk.session = addon("jobs.session").current()
    desk.load(tmp_path / "moved" / "a.blend")
    desk.session.server.want()
    pump(desk, lambda: desk.places() == [IMAGE])


def test_clear_keeps_results_that_no_file_has_yet(desk, tmp_path):
    desk.save(tmp_path / "a.blend")
    waiting = desk.ask()
    desk.new()
    landed = desk.ask()
    desk.until_done(waiting)
    desk.until_done(landed)
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    desk.session.clear()
    desk.idle()
    assert [job.job_id for job in desk.session.queue()] == [waiting]
    desk.load(tmp_path / "a.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE])


def test_a_thousand_done_jobs_of_other_files_are_judged_in_slices(scene, addon, extension, monkeypatch):
    """Each look at the clock takes a second here, so that a slice of ten seconds has time for about ten jobs."""
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    module, file, jobs = addon("jobs.open_file"), addon("jobs.open_file").OpenFile(), addon("jobs.job_list").JobList()
    elsewhere = messages.Origin("/films/other.blend", "f" * 32, "Scene", 1, 1)
    size = {"width": 64, "height": 36, "length_frames": 9, "frame_rate": messages.FrameRate(24)}
    request = messages.TakeRequest("fog", "embedded", seed=7, media_folder="/tmp/wan", origin=elsewhere, **size)
    summary = messages.JobSummary.of(request)
    for number in range(1000):
        jobs.receive(messages.JobStatus(f"{number:032x}", messages.JobState.DONE, summary))
    seconds = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(seconds)), monotonic=time.monotonic)
    monkeypatch.setattr(module, "time", clock)
    looked_at, get = [], jobs.get
    monkeypatch.setattr(jobs, "get", lambda job_id: looked_at.append(job_id) or get(job_id))
    judged = []
    while len(file.history.decided) < 1000:
        before = len(file.history.decided)
        assert not file.place_one(jobs, lambda status: None, clock.perf_counter() + 10)
        judged.append(len(file.history.decided) - before)
    assert max(judged) <= 10 and len(looked_at) == 1000
    began = clock.perf_counter()
    assert not file.place_one(jobs, lambda status: None, began + 10)
    assert clock.perf_counter() == began + 1, "nothing is left, and nothing is looked at"


def test_takes_are_collected_beside_the_blend(desk, tmp_path, addon):
    refused = addon("jobs.request").Refused
    job_id = desk.ask()
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    with pytest.raises(refused, match="Save"):
        desk.session.collect()
    desk.save(tmp_path / "film.blend")
    desk.pumped.until(lambda: not desk.session.collector.busy)
    (strip,) = desk.compat.all_strips(bpy.context.scene)
    assert strip.directory.rstrip("/") == f"//wan/{job_id}", "nobody had to press anything"
    assert len(list((tmp_path / "wan" / job_id).glob("*.png"))) == 8
    assert json.loads((tmp_path / "wan" / job_id / "take.json").read_text())["job_id"] == job_id
    with pytest.raises(refused, match="already"):
        desk.session.collect()
    bpy.ops.ed.undo()
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    (strip,) = desk.compat.all_strips(bpy.context.scene)
    assert not strip.directory.startswith("//")


def test_a_take_that_was_asked_for_before_the_first_save_joins_the_film_too(desk, tmp_path, user_folder):
    job_id = desk.ask()
    desk.save(tmp_path / "film.blend")
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    desk.pumped.until(lambda: not desk.session.collector.busy)
    (strip,) = desk.compat.all_strips(bpy.context.scene)
    assert strip.directory.rstrip("/") == f"//wan/{job_id}" and (tmp_path / "wan" / job_id).is_dir()


def test_a_collection_that_cannot_be_written_says_so(desk, tmp_path):
    desk.ask()
    desk.pumped.until(lambda: desk.places() == [IMAGE])
    (tmp_path / "wan").write_text("in the way")
    desk.save(tmp_path / "film.blend")
    desk.pumped.until(lambda: not desk.session.collector.busy)
    assert "could not be copied" in desk.session.collector.sentence


def pump(desk, condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, desk.session.queue()
        desk.session.tick()
        time.sleep(0.01)
