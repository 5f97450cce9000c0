"""Thousands of strips and takes are gone through in slices: nothing is missed, and nothing is decided before the end.

All deadlines here have passed, so that each call makes one step.
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import bpy
import pytest

PASSED = 0.0
"""A deadline that has always passed (of time.perf_counter)."""


@pytest.fixture
def lanes(cut, addon, monkeypatch):
    """Seven placeholders on a timeline that is looked at two strips at a time, and short methods for them."""
    monkeypatch.setattr(addon("timeline.identity"), "SWEPT_AT_ONCE", 2)
    return Lanes(cut, addon)


class Lanes:
    def __init__(self, cut, addon):
        self.cut, self.identity = cut, addon("timeline.identity")
        self.file, self.jobs = addon("jobs.open_file").OpenFile(), addon("jobs.job_list").JobList()
        self.strips = [self.placeholder(number) for number in range(7)]

    def placeholder(self, number: int):
        strip = self.cut.compat.new_color(self.cut.strips, f"P{number}", 2, 1 + 30 * number, 20)
        self.identity.mark_placeholder(strip, f"{number:032x}", "{}")
        return strip

    def slices(self) -> int:
        """How many ticks it takes until all strips are looked at."""
        count = 1
        while self.file.sweep_if_changed(self.jobs, PASSED):
            count += 1
        return count

    def waits_for(self) -> list[int]:
        return [number for number in range(20) if self.file.waits_for(f"{number:032x}")]


def test_a_sweep_is_split_and_misses_no_strip(lanes) -> None:
    assert lanes.slices() > 3
    assert lanes.waits_for() == list(range(7)) and lanes.file.waits and not lanes.file.looking


def test_what_is_in_metas_belongs_to_it(lanes) -> None:
    meta = lanes.cut.strips.new_meta(name="Meta", channel=5, frame_start=1)
    for strip in lanes.strips[:5]:
        strip.move_to_meta(meta)
    lanes.slices()
    assert lanes.waits_for() == list(range(7))


def test_copies_in_different_slices_get_ids_of_their_own(lanes) -> None:
    first, last = lanes.strips[0], lanes.strips[-1]
    kept = last[lanes.identity.STRIP] = first[lanes.identity.STRIP]
    lanes.slices()
    assert first[lanes.identity.STRIP] == kept != last[lanes.identity.STRIP]


def test_it_begins_anew_where_a_strip_came_between(lanes) -> None:
    assert lanes.file.sweep_if_changed(lanes.jobs, PASSED)
    lanes.placeholder(7)
    lanes.cut.strips.remove(lanes.strips[0])
    lanes.slices()
    assert lanes.waits_for() == list(range(1, 8)), "the first, which was seen, is gone; the last is there"


def test_a_job_that_is_asked_for_between_is_waited_for(lanes, extension) -> None:
    assert lanes.file.sweep_if_changed(lanes.jobs, PASSED)
    strip_id = lanes.strips[0][lanes.identity.STRIP]  # which was looked at already
    m = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    request = m.TakeRequest("fog", "embedded", 64, 36, 4, m.FrameRate(24), 7, "/nowhere")
    assert lanes.file.add_pending(strip_id, f"{9:032x}", request)
    lanes.slices()
    assert 9 in lanes.waits_for()


def test_nothing_is_placed_or_adopted_before_its_end(lanes, monkeypatch, addon) -> None:
    looked: Counter[str] = Counter()
    monkeypatch.setattr(lanes.file, "_concerning_strips", lambda *_: looked.update(["placing"]) or [])
    lanes.file._due.add("0" * 32)
    assert lanes.file.sweep_if_changed(lanes.jobs, PASSED)
    lanes.file.place_one(lanes.jobs, lambda status: None, float("inf"))
    lanes.file.adopt_unknown(lanes.jobs, float("inf"))
    assert not looked and not lanes.jobs.all()
    lanes.slices()
    lanes.file.place_one(lanes.jobs, lambda status: None, float("inf"))
    lanes.file.adopt_unknown(lanes.jobs, float("inf"))
    assert looked["placing"] == 1 and len(lanes.jobs.all()) == 7


def test_a_take_is_also_for_a_copy_that_no_look_has_seen(lanes, monkeypatch, extension) -> None:
    """What the last look has found is used only while no strip was added, removed or moved since then."""
    m = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    summary = m.JobSummary("fog", m.Task.TEXT_TO_VIDEO, "embedded", 7, 4)
    take = m.Take("/nowhere", "0001.png", m.MediaFormat.PNG, 4, 64, 36, m.FrameRate(24))
    lanes.jobs.receive(m.JobStatus(f"{0:032x}", m.JobState.DONE, summary, take=take))
    found: list[int] = []
    monkeypatch.setattr(lanes.file, "_decide", lambda status, mine, request_of: found.append(len(mine)) or False)

    def place() -> int:
        lanes.file._due.add(f"{0:032x}")
        lanes.file.place_one(lanes.jobs, lambda status: None, float("inf"))
        return found[-1]

    lanes.slices()
    walked: list[bool] = []
    sweep = lanes.identity.sweep
    monkeypatch.setattr(lanes.identity, "sweep", lambda *values: walked.append(True) or sweep(*values))
    assert place() == 1 and not walked, "found again by its id"
    copy = lanes.placeholder(8)
    copy[lanes.identity.JOB] = f"{0:032x}"
    assert [place(), place()] == [2, 2]


def test_an_undo_looks_at_as_much_as_it_has_time_for(lanes) -> None:
    lanes.file.strips_changed(PASSED)
    assert lanes.file.looking and lanes.waits_for() == []
    lanes.slices()
    assert lanes.waits_for() == list(range(7)) and not lanes.file.looking


def test_an_undo_sorts_no_jobs_anew_while_the_file_is_the_same(lanes, addon) -> None:
    lanes.file.strips_changed()
    before = lanes.file.ownership_version
    lanes.file.strips_changed()
    assert lanes.file.ownership_version == before
    addon("jobs.project").ensure()
    lanes.file.strips_changed()
    assert lanes.file.ownership_version > before, "it has an id now"


def test_a_save_walks_over_the_strips_once(lanes, addon, monkeypatch, tmp_path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    lanes.slices()
    read, walked = lanes.identity._read, Counter()
    monkeypatch.setattr(lanes.identity, "_read", lambda *strip: walked.update(["read"]) or read(*strip))
    lanes.file.before_save(lanes.jobs, True)
    lanes.file.settled(lanes.jobs)
    assert walked["read"] == 7


def test_used_jobs_are_found_in_slices(lanes, addon, monkeypatch) -> None:
    film_takes = addon("jobs.film_takes")
    monkeypatch.setattr(film_takes, "STRIPS_AT_ONCE", 3)
    other = bpy.data.scenes.new("Other")
    other.sequence_editor_create()
    strip = lanes.cut.compat.new_color(lanes.cut.compat.strips(other.sequence_editor), "P", 2, 1, 20)
    lanes.identity.mark_placeholder(strip, f"{19:032x}", "{}")
    walk, steps, before = film_takes.UsedJobs(), 0, 0
    while not walk.done:
        walk.step()
        steps += 1
        assert len(walk.found) - before <= 3 or walk.done
        before = len(walk.found)
    assert steps > 3 and walk.found == film_takes.used_jobs() == {f"{number:032x}" for number in (*range(7), 19)}


def test_cleaning_makes_one_step_where_time_is_up(addon, scene, monkeypatch) -> None:
    """Time is asked before each step, so that a tick with no time left makes none, and one step never waits for all."""
    cleaner, steps = addon("jobs.cleaning").Cleaner(), Counter()
    cleaner.begin(lambda job_id: False)
    for name in ("_look_step", "_remove_step"):
        step = getattr(cleaner, name)
        monkeypatch.setattr(cleaner, name, lambda *values, name=name, step=step: steps.update([name]) or step(*values))
    assert cleaner.tick(PASSED) and not steps and cleaner.busy
    while cleaner.busy:
        cleaner.tick(float("inf"))
    assert steps["_look_step"] > 2 and not steps["_remove_step"]
    assert not cleaner.tick(float("inf")), "nothing is left to do"


def test_removing_goes_folder_by_folder(addon, scene, put_take, monkeypatch, user_folder) -> None:
    cleaner, at_a_time = addon("jobs.cleaning").Cleaner(), []
    folders = addon("jobs.take_folders")
    takes = [put_take(number) for number in range(3)]
    trashed = [folders.move_to_trash(Path(take.folder)) for take in takes]
    cleaner._removing = cleaner._remove(trashed)
    while cleaner.removing:
        cleaner._remove_step()
        at_a_time.append(sum(folder.exists() for folder in trashed))
    assert sorted(at_a_time, reverse=True) == at_a_time and set(at_a_time) >= {2, 1, 0}
