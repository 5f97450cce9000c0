"""Stale takes are made anew: which, in which order, behind what, with what report, and what an undo does to it."""

from __future__ import annotations

import dataclasses
import importlib
import os
import time
from types import SimpleNamespace

import bpy
import pytest


@pytest.fixture
def desk(renderer, pumped, addon, cut, tmp_path, monkeypatch):
    """A saved film with two shots, each with a take made by a fake backend."""
    monkeypatch.setattr(addon("jobs.stale_takes"), "SURE_SECONDS", 0.02)  # nearly every test waits for that
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    cut.shot("One", 10, 34)
    cut.shot("Two", 110, 134)
    bpy.ops.ed.undo_push(message="A cut")
    return Desk(pumped, addon, cut)


class Desk:
    """What these tests do."""

    def __init__(self, pumped, addon, cut) -> None:
        self.pumped, self.addon, self.cut, self.session = pumped, addon, cut, pumped.session
        self.records, self.strip_takes = addon("jobs.source_records"), addon("timeline.strip_takes")
        for path in cut.folder.iterdir():
            os.utime(path, (time.time() - 1000,) * 2)

    @property
    def scene(self):
        return bpy.context.scene

    def take(self, name: str, task: str = "RESTYLE"):
        """Have a take made of the strip; returns its strip's name."""
        self.cut.scene = self.scene
        self.cut.select(name)
        panel = self.scene.wan_vse
        panel.model_id, panel.restyle_prompt = "embedded", "fog"
        tasks = self.addon("properties.task").Task
        planned = self.addon("jobs.planned_takes")
        (take,) = planned.takes_now(self.scene, panel, SimpleNamespace(media_folder=""), tasks[task])
        job_id = self.session.generate(self.scene, take)
        bpy.ops.ed.undo_push(message="Ask")
        self.pumped.until(lambda: self.showing(job_id))
        return self.showing(job_id).name

    def showing(self, job_id: str):
        strips = self.cut.compat.all_strips(self.scene)
        return next((s for s in strips if s.get("wan_vse_job") == job_id and s.get("wan_vse_role") == "take"), None)

    def change(self, name: str, **values) -> None:
        strip = self.cut.compat.strip_named(self.scene, name)
        for key, value in (values or {"use_flip_x": True}).items():
            setattr(strip, key, value)

    def stale(self, count: int):
        """The stale takes, once as many were found."""
        self.session.stale.look_again()
        self.pumped.until(lambda: len(self.session.stale.found) == count)
        return list(self.session.stale.found.values())

    def rebuilt(self):
        self.pumped.until(lambda: self.session.rebuilding.report)
        self.pumped.until(lambda: not self.session.file.looking)
        return [(entry.stale.strip, entry.state.value) for entry in self.session.rebuilding.entries]

    def jobs_on(self, name: str):
        return self.strip_takes.jobs_on(self.cut.compat.strip_named(self.scene, name))


def test_a_rebuild_adds_a_take_with_the_settings_and_the_seed(desk) -> None:
    name = desk.take("One")
    strip = desk.cut.compat.strip_named(desk.scene, name)
    before = desk.addon("timeline.identity").request_of(strip)
    old_job = strip["wan_vse_job"]
    desk.change("One")
    (stale,) = desk.stale(1)
    assert stale.reason == "The framing or the colors of 'One' were changed."
    desk.session.rebuild([stale])
    assert desk.rebuilt() == [(name, "rebuilt")]
    desk.pumped.until(lambda: len(desk.strip_takes.takes_of(desk.cut.compat.strip_named(desk.scene, name))) == 2)
    strip = desk.cut.compat.strip_named(desk.scene, name)
    assert strip["wan_vse_job"] != old_job, "the new one is shown"
    assert old_job in [take.job_id for take in desk.strip_takes.takes_of(strip)], "the one before stays"
    after = desk.addon("timeline.identity").request_of(strip)
    same = ("prompt", "seed", "model", "quality", "length_frames", "strength", "task")
    assert [getattr(after, each) for each in same] == [getattr(before, each) for each in same]
    assert after.sources[0].framing != before.sources[0].framing, "from its sources as they are now"
    desk.stale(0)
    assert desk.strip_takes.show(desk.scene, strip, old_job) == ""
    assert desk.stale(1)[0].job_id == old_job, "it is as stale as it was"


def test_the_report_says_what_was_rebuilt_failed_and_skipped(desk) -> None:
    one, two = desk.take("One"), desk.take("Two")
    desk.change("One")
    desk.change("Two")
    stale = desk.stale(2)
    desk.cut.strips.remove(desk.cut.compat.strip_named(desk.scene, "Two"))
    desk.session.rebuild(stale)
    assert desk.rebuilt() == [(one, "rebuilt"), (two, "skipped")]
    report = bpy.data.texts["Rebuilt Takes"].as_string()
    assert report == desk.session.rebuilding.report
    assert report.startswith("1 of 2 stale takes were rebuilt, 1 skipped.")
    for part in ("Rebuilt: 1", f"'{one}' in scene '{desk.scene.name}', frame 10", "Skipped: 1", "no strip 'Two'"):
        assert part in report
    assert "Was stale: The framing or the colors of 'Two' were changed." in report


def test_they_go_behind_what_a_person_asks_for(desk) -> None:
    desk.take("One")
    desk.change("One")
    stale = desk.stale(1)
    own = desk.pumped.ask(desk.scene, start=300)
    desk.session.hold(own)
    other = desk.pumped.ask(desk.scene, start=400)
    desk.session.rebuild(stale)
    states = desk.addon("jobs.rebuild_run").State
    for _ in range(3):
        desk.session.rebuilding.tick(False)
    state = desk.session.rebuilding.entries[0].state
    assert state is states.WAITS or desk.session.jobs.get(other).state.ended
    assert desk.rebuilt()[0][1] == "rebuilt", "what is held bars no way"
    assert not desk.session.jobs.get(own).state.ended


@pytest.fixture
def run_of(desk, addon, messages, tmp_path):
    """run_of(jobs, letters) is a run of strips "a", "b", ..., the first of which are asked for as these jobs."""
    rebuilding, states = addon("jobs.rebuilding"), addon("jobs.rebuild_run").State
    stale, made = addon("jobs.stale_takes").StaleTake, []

    def make(jobs, asked: str, waiting: str = ""):
        run = rebuilding.Rebuilding(
            rebuilding.Desk(
                generate=lambda *_: pytest.fail("others wait"),
                going_on=lambda: [job for job in jobs if not job.state.ended],
                get=lambda job_id: next(job for job in jobs if job.job_id == job_id),
                move=lambda *pair: run.moved.append(pair),
                wait_again=lambda *_: None,
                problem=lambda job_id: "",
                may_ask=lambda: True,
                film=messages.Origin,
                is_wanted=lambda job: True,
                knows_all=lambda: True,
                retry=lambda job_id: None,
                want=lambda: None,
            ),
            addon("jobs.kept_runs").KeptRuns(lambda: tmp_path, lambda film: False),
        )
        made.append(run)
        run.moved = []
        run.begin([stale(letter, "Scene", letter, letter, 1, "x") for letter in asked + waiting])
        for entry, letter in zip(run.entries, asked, strict=False):
            entry.state, entry.job_id = states.ASKED, letter
        return run

    yield make
    for run in made:
        run.close()


def test_what_comes_later_passes_those_that_wait(run_of, make_job) -> None:
    jobs = [make_job("a", "denoising"), make_job("b", "queued"), make_job("c", "queued"), make_job("d", "queued")]
    run = run_of(jobs, "ab", "z")
    for _ in range(3):
        run.tick(False)
    assert run.moved == [("c", "b"), ("d", "b")]


def test_a_strip_that_was_deleted_meanwhile_ends_it_in_a_sentence(run_of, make_job, messages) -> None:
    run = run_of([dataclasses.replace(make_job("a", "queued"), hold=messages.Hold.NO_PLACEHOLDER)], "a")
    run.tick(False)
    assert "Its strip is no longer there." in run.report


def test_what_a_person_holds_keeps_none_waiting(run_of, make_job, messages) -> None:
    held = [dataclasses.replace(make_job(letter, "queued"), hold=messages.Hold.PERSON) for letter in "ab"]
    run = run_of(held, "ab", "c")
    run.tick(False)
    assert run.entries[2].why == "Its strip is no longer there.", "its turn has come"
    assert run.busy


@pytest.fixture
def messages(extension):
    return importlib.import_module(f"{extension}.wan_backend.protocol.messages")


@pytest.fixture
def make_job(messages):
    rate = messages.FrameRate(24)
    summary = messages.JobSummary.of(messages.TakeRequest("fog", "embedded", 64, 36, 4, rate, 7, "/tmp/wan"))
    return lambda job_id, state: messages.JobStatus(job_id, messages.JobState(state), summary)


def test_a_take_of_a_take_is_made_after_that_one(desk, addon) -> None:
    first = desk.take("One")
    second = desk.take(first)
    desk.change("One")
    desk.change(first, use_flip_y=True)
    stale = desk.stale(2)
    asked = []
    generate = desk.session.rebuilding._desk.generate
    shown_then = {}

    def noted(scene, take, name, onto):
        asked.append(name)
        shown_then[name] = desk.cut.compat.strip_named(desk.scene, first)["wan_vse_job"]
        return generate(scene, take, name, onto)

    desk.session.rebuilding._desk = dataclasses.replace(desk.session.rebuilding._desk, generate=noted)
    desk.session.rebuild(sorted(stale, key=lambda each: each.strip == first))
    assert {state for _, state in desk.rebuilt()} == {"rebuilt"}
    assert asked == [first, second]
    assert shown_then[first] != shown_then[second], "it is made from the new take"


def test_many_takes_of_one_that_is_made_are_looked_at_once(desk, addon, monkeypatch) -> None:
    """Two hundred that wait for one another, at every tick, would hold the window up."""
    rebuilding, entry = addon("jobs.rebuilding"), addon("jobs.rebuild_run").Entry
    states, stale = addon("jobs.rebuild_run").State, addon("jobs.stale_takes").StaleTake
    looked = []
    monkeypatch.setattr(rebuilding, "_sources", lambda entry: looked.append(entry) or {"First"})
    run = desk.session.rebuilding
    names = ["First", *(f"Take {number}" for number in range(200))]
    run.entries = [entry(stale("a" * 32, desk.scene.name, name, "b" * 32, 1, "x")) for name in names]
    run.entries[0].state, run.entries[0].job_id = states.ASKED, "c" * 32
    monkeypatch.setattr(run, "_has_ended", lambda entry: False)
    for _ in range(5):
        run.tick(False)
    assert len(looked) == 200
    run.opened()


def test_an_error_at_asking_costs_that_take_alone(desk, monkeypatch) -> None:
    name, run = desk.take("One"), desk.session.rebuilding
    desk.change("One")

    def breaks(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "_desk", dataclasses.replace(run._desk, generate=breaks))
    desk.session.rebuild(desk.stale(1))
    with pytest.raises(ZeroDivisionError):
        desk.pumped.until(lambda: False)
    assert desk.rebuilt() == [(name, "failed")]


def test_an_undo_takes_no_rebuilt_take_away(desk) -> None:
    name = desk.take("One")
    desk.change("One")
    bpy.ops.ed.undo_push(message="Flip")
    (stale,) = desk.stale(1)
    desk.session.rebuild([stale])
    desk.rebuilt()
    desk.pumped.until(lambda: len(desk.jobs_on(name)) == 3)  # its own, and both as kept ones
    new = desk.session.rebuilding.entries[0].job_id
    desk.cut.compat.strip_named(desk.scene, "Two").mute = True
    bpy.ops.ed.undo_push(message="Mute")
    bpy.ops.ed.undo()
    desk.pumped.until(lambda: desk.cut.compat.strip_named(desk.scene, name)["wan_vse_job"] == new)


def test_it_waits_for_its_hour_and_no_longer_wherever_the_clock_is_set(desk, monkeypatch) -> None:
    desk.take("One")
    desk.change("One")
    stale = desk.stale(1)
    module = desk.addon("jobs.rebuilding")
    clock = SimpleNamespace(wall=1000.0, since=50.0)
    fake = SimpleNamespace(time=lambda: clock.wall, monotonic=lambda: clock.since, strftime=time.strftime)
    monkeypatch.setattr(module, "time", fake)
    run = desk.session.rebuilding
    run.begin(stale, 3600.0)
    assert run.waits
    clock.wall -= 5_000_000
    clock.since += 3599.0
    assert run.waits
    clock.since += 2.0
    assert not run.waits, "a clock that was set back keeps nobody waiting"
    run.begin(stale, 3600.0)
    run.opened()
    run.begin(stale, 3600.0)
    clock.wall += 9_999_999
    assert not run.waits


def test_stopped_and_paused(desk) -> None:
    desk.take("One")
    desk.change("One")
    stale = desk.stale(1)
    desk.session.server.pause(True)
    desk.session.rebuild(stale)
    desk.pumped.session.tick()
    desk.pumped.session.tick()
    assert desk.session.rebuilding.busy
    desk.session.stop_rebuilding()
    desk.session.server.pause(False)
    assert desk.rebuilt()[0][1] == "skipped"
    assert "You stopped before its turn." in desk.session.rebuilding.report


def test_a_take_of_a_range_is_skipped_with_a_sentence(desk, addon) -> None:
    provenance, name = addon("timeline.provenance"), desk.take("One")
    strip = desk.cut.compat.strip_named(desk.scene, name)
    made_from = provenance.of(strip)
    wanted = tuple(dataclasses.replace(each, strip_names=()) for each in made_from.wanted)
    strip[provenance.PROPERTY] = provenance.write(dataclasses.replace(made_from, wanted=wanted))
    stale = addon("jobs.stale_takes").StaleTake
    desk.session.rebuild([stale(strip["wan_vse_job"], desk.scene.name, name, strip["wan_vse_strip"], 10, "x")])
    assert desk.rebuilt() == [(name, "skipped")]
    assert "restyle the range again" in desk.session.rebuilding.report


def test_another_file_ends_it(desk) -> None:
    desk.take("One")
    desk.change("One")
    desk.session.rebuild(desk.stale(1), 3600.0)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    desk.session.file_loaded()
    assert not desk.session.rebuilding.entries
    assert not desk.session.stale.found
