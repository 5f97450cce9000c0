"""Takes that are asked for a strip land on it: several at one place, one more of a take, copies, undo, files."""

from __future__ import annotations

import dataclasses
import importlib
import json

import bpy
import pytest


class Place:
    """One place of the timeline, what is asked for it, and what lands there."""

    def __init__(self, pumped, scene, addon):
        self.pumped, self.session, self.addon = pumped, pumped.session, addon
        self.compat, self.identity = addon("timeline.compat"), addon("timeline.identity")
        self.takes, self.planned_takes = addon("timeline.strip_takes"), addon("jobs.planned_takes")

    @property
    def scene(self):
        return bpy.context.scene

    @property
    def strips(self):
        return [found.strip for found in self.identity.marked(self.scene)]

    @property
    def strip(self):
        (only,) = self.strips
        return only

    def ask(self, *prompts: str) -> list[str]:
        """Ask for takes at one new place, the first with a placeholder."""
        jobs = [self.pumped.ask(self.scene, prompts[0])]
        return jobs + [self.ask_onto(prompt, jobs[0]) for prompt in prompts[1:]]

    def ask_onto(self, prompt: str, job_id: str) -> str:
        request = dataclasses.replace(self.session.request_of(job_id), prompt=prompt, seed=9)
        onto = next(f.strip_id for f in self.identity.all_marked() if job_id in self.takes.jobs_on(f.strip))
        asked = self.session.generate(self.scene, self.planned_takes.PlannedTake(request), onto=onto)
        bpy.ops.ed.undo_push(message="New Take")
        return asked

    def states(self, jobs) -> list[str]:
        found = [self.session.jobs.get(job) for job in jobs]
        return ["" if status is None else status.state.value for status in found]

    def kept(self, strip=None) -> list[str]:
        return [take.job_id for take in self.takes.takes_of(strip or self.strip)]

    def shown(self, strip=None) -> str:
        return (strip or self.strip)[self.identity.JOB]

    def idle(self):
        for _ in range(30):
            self.session.file._due.update(status.job_id for status in self.session.jobs.all())
            self.session.tick()


@pytest.fixture
def place(pumped, scene, addon):
    return Place(pumped, scene, addon)


def test_three_takes_of_one_place_are_one_strip(place):
    jobs = place.ask("fog", "fog", "fog")
    assert len(place.strips) == 1 and set(place.takes.jobs_on(place.strip)) == set(jobs)
    place.pumped.until(lambda: len(place.kept()) == 3)
    assert set(place.kept()) == set(jobs) and place.shown() == jobs[0]
    assert place.takes.pending(place.strip) == () and place.strip.type == "IMAGE"
    assert place.takes.show(place.scene, place.strip, jobs[2]) == ""
    assert '"seed": 9' in place.strip[place.identity.REQUEST]


def test_one_more_take_is_shown_when_it_comes(place):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    before = place.compat.start(place.strip), place.compat.end_exclusive(place.strip), place.strip.name
    second = place.ask_onto("rain", first)
    assert place.takes.pending(place.strip) == (second,) and place.shown() == first
    place.pumped.until(lambda: place.kept() == [second, first])
    assert place.shown() == second
    assert (place.compat.start(place.strip), place.compat.end_exclusive(place.strip), place.strip.name) == before


def test_a_strip_that_was_flipped_meanwhile_keeps_what_it_shows(place):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    second, third = place.ask_onto("fog", first), place.ask_onto("fog slow", first)
    place.pumped.until(lambda: len(place.kept()) == 3)
    assert place.kept() == [third, second, first] and place.shown() == second


def test_one_that_fails_of_three_blocks_none_and_can_be_tried_again(place):
    jobs = place.ask("fail", "fog slow", "fog")
    place.pumped.until(lambda: place.states(jobs)[0] == "failed")
    place.pumped.until(lambda: set(jobs[1:]) <= {*place.kept()})
    assert place.takes.pending(place.strip) == (jobs[0],)
    assert place.session.jobs.get(jobs[0]).problem.sentence
    place.session.retry(jobs[0])
    place.pumped.until(lambda: set(place.kept()) == set(jobs))
    assert place.shown() == jobs[1]


def test_a_placeholder_stands_for_a_job_that_goes_on(place):
    jobs = place.ask("fail", "hang")
    place.pumped.until(lambda: place.states(jobs)[0] == "failed")
    place.pumped.until(lambda: place.shown() == jobs[1])
    assert place.strip.type == "COLOR" and place.takes.pending(place.strip) == (jobs[0],)


def test_clearing_ended_jobs_lets_the_strip_wait_no_more(place):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    bad = place.ask_onto("fail", first)
    place.pumped.until(lambda: place.states([bad]) == ["failed"])
    place.session.clear()
    assert place.takes.pending(place.strip) == ()


def test_one_of_three_is_canceled(place):
    jobs = place.ask("slow", "hang", "fog")
    place.pumped.until(lambda: place.kept() == [jobs[0]])
    place.session.cancel(jobs[1])
    place.pumped.until(lambda: place.kept() == [jobs[2], jobs[0]])
    assert place.states(jobs)[1] == "cancelled"
    place.pumped.until(lambda: place.takes.pending(place.strip) == ())


def test_a_strip_that_was_copied_meanwhile_gets_it_twice(place):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    second = place.ask_onto("slow", first)
    copy = place.scene.copy()
    place.pumped.until(lambda: place.kept() == [second, first])
    (other,) = [found.strip for found in place.identity.marked(copy)]
    assert place.kept(other) == [second, first] and place.shown(other) == second


def test_undo_after_a_landing_takes_back_what_was_done_last_and_not_the_landing(place):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    second = place.ask_onto("fog", first)
    place.pumped.until(lambda: place.shown() == second)
    place.strip.mute = True
    bpy.ops.ed.undo_push(message="Mute")
    bpy.ops.ed.undo()
    place.pumped.until(lambda: place.shown() == second)
    assert place.kept() == [second, first] and place.takes.pending(place.strip) == () and not place.strip.mute
    bpy.ops.ed.undo()
    place.pumped.until(lambda: place.kept() == [first])
    place.idle()
    assert place.shown() == first, "the step before is that the second was asked for"
    bpy.ops.ed.redo()
    place.pumped.until(lambda: place.shown() == second)
    assert place.kept() == [second, first]


def test_a_landing_on_a_placeholder_leaves_its_other_jobs_waiting_after_undo_and_redo(place):
    jobs = place.ask("fog", "hang")
    place.pumped.until(lambda: place.kept() == [jobs[0]])
    place.strip.mute = True
    bpy.ops.ed.undo_push(message="Mute")
    for step in (bpy.ops.ed.undo, bpy.ops.ed.redo):
        step()
        place.pumped.until(lambda: place.kept() == [jobs[0]])
        assert place.takes.pending(place.strip) == (jobs[1],)


def test_what_a_strip_waits_for_is_there_when_the_file_is_opened_again(place, tmp_path, addon):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    second = place.ask_onto("slow", first)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, load_ui=False)
    place.pumped.until(lambda: place.states([second]) == ["done"])
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    place.pumped.until(lambda: place.kept() == [second, first])
    assert place.shown() == second
    bpy.ops.wm.save_mainfile()
    place.pumped.until(lambda: all(place.session.jobs.get(job).settled for job in (first, second)))


def test_a_kept_take_does_not_come_again_when_the_file_is_opened(place, tmp_path):
    jobs = place.ask("fog", "fog")
    place.pumped.until(lambda: len(place.kept()) == 2)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"), copy=True)  # which settles nothing
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    place.idle()
    assert len(place.strips) == 1 and set(place.kept()) == set(jobs)


def test_jobs_that_no_server_knows_are_offered_again(place, tmp_path, addon):
    (first,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [first])
    request = place.session.file.request_on_strip(first)
    package = addon("jobs.placing").__name__.partition(".blender_addon")[0]
    conversion = importlib.import_module(f"{package}.wan_backend.protocol.conversion")
    asked = place.takes.Asked("e" * 32, first, json.dumps(conversion.to_json(request)))
    place.takes.set_asked(place.strip, [asked])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    place.pumped.until(lambda: place.states(["e" * 32]) == ["interrupted"])
    place.session.retry("e" * 32)
    place.pumped.until(lambda: "e" * 32 in place.kept())
    assert place.shown() == "e" * 32


def test_a_strip_that_waits_for_as_many_as_it_can_says_so(place, monkeypatch, addon):
    monkeypatch.setattr(place.takes, "MAX_PENDING", 2)
    (first,) = place.ask("fog")
    place.ask_onto("rain", first), place.ask_onto("snow", first)
    with pytest.raises(addon("jobs.request").Refused, match="waits for 2 takes"):
        place.ask_onto("hail", first)
    assert len(place.takes.pending(place.strip)) == 2


class Halves:
    """A draft that was cut in two: the first 3 of its 8 frames, and the others."""

    def __init__(self, place) -> None:
        self.place = place
        (self.draft,) = place.ask("fog")
        place.pumped.until(lambda: place.kept() == [self.draft])
        strip, name = place.strip, place.identity.REQUEST
        strip[name] = strip[name].replace('"standard"', '"draft"')
        other = place.addon("timeline.take_strips").put_on_timeline(
            place.scene, "Half", place.takes.takes_of(strip)[0].files(), 2, place.compat.start(strip), 8
        )
        for key in strip.keys():  # noqa: SIM118, a strip is no dict
            other[key] = strip[key]  # as Blender's own split copies them
        start = place.compat.start(strip)
        place.compat.set_handles(strip, start, start + 3)
        place.compat.set_handles(other, start + 3, start + 8)

    def places(self):
        compat = self.place.compat
        return [(compat.start(s), compat.end_exclusive(s), compat.content_start(s)) for s in self.place.strips]

    def shown(self):
        return [self.place.shown(strip) for strip in self.place.strips]


@pytest.fixture
def halves(place):
    return Halves(place)


def test_one_best_serves_both_halves_of_a_draft_and_each_keeps_its_trims(halves, place):
    before, jobs = halves.places(), len(place.session.queue())
    assert bpy.ops.wan_vse.drafts_in_best() == {"FINISHED"}
    assert len(place.session.queue()) == jobs + 1
    assert len({place.takes.pending(strip) for strip in place.strips}) == 1
    assert not bpy.ops.wan_vse.drafts_in_best.poll()
    place.pumped.until(lambda: all(len(place.kept(strip)) == 2 for strip in place.strips))
    assert len(set(halves.shown())) == 1 and halves.draft not in halves.shown()
    assert halves.places() == before


@pytest.mark.parametrize("landed", [False, True])
def test_the_other_half_gets_the_best_of_the_first(halves, place, landed):
    first = place.strips[0]
    place.scene.sequence_editor.active_strip = first
    first.select, before = True, halves.places()
    assert bpy.ops.wan_vse.take_in_best() == {"FINISHED"}
    jobs = len(place.session.queue())
    if landed:
        place.pumped.until(lambda: len(place.kept(place.strips[0])) == 2)
    place.scene.sequence_editor.active_strip = place.strips[1]
    place.strips[0].select, place.strips[1].select = False, True
    assert bpy.ops.wan_vse.take_in_best() == {"FINISHED"}
    assert len(place.session.queue()) == jobs, "no second job"
    place.pumped.until(lambda: all(len(place.kept(strip)) == 2 for strip in place.strips))
    assert len(set(halves.shown())) == 1 and halves.places() == before


def test_a_take_that_lands_by_itself_leaves_the_selection(place):
    other = place.compat.new_color(place.compat.shown_strips(place.scene), "Title", 7, 1, 10)
    place.scene.sequence_editor.active_strip = other
    (job_id,) = place.ask("fog")
    place.scene.sequence_editor.active_strip, other.select = other, True
    place.pumped.until(lambda: place.kept() == [job_id])
    assert place.scene.sequence_editor.active_strip.name == "Title"
    assert [strip.name for strip in place.compat.all_strips(place.scene) if strip.select] == ["Title"]


def test_a_take_that_a_click_places_is_active_and_selected(place):
    (job_id,) = place.ask("fog")
    place.pumped.until(lambda: place.kept() == [job_id])
    place.compat.shown_strips(place.scene).remove(place.strip)
    other = place.compat.new_color(place.compat.shown_strips(place.scene), "Title", 7, 1, 10)
    place.scene.sequence_editor.active_strip, other.select = other, True
    place.pumped.until(lambda: len(place.session.queue()) == 1)
    assert bpy.ops.wan_vse.place_take(job_id=job_id) == {"FINISHED"}
    assert place.scene.sequence_editor.active_strip == place.strip
    assert [strip.name for strip in place.compat.all_strips(place.scene) if strip.select] == [place.strip.name]
