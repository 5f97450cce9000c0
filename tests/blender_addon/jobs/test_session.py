"""A job from the click to the strip, and all that may happen to either, with the fake backend."""

from __future__ import annotations

import json
import os
import signal
import time
from types import SimpleNamespace

import bpy
import pytest


@pytest.fixture
def film(pumped, addon):
    """The open file's timeline, read again at each access."""
    return Film(pumped, addon)


class Film:
    """Short methods for these tests."""

    def __init__(self, pumped, addon):
        self.pumped, self.addon, self.compat = pumped, addon, addon("timeline.compat")

    def strips(self):
        return list(self.compat.all_strips(bpy.context.scene))

    def takes(self):
        return [s for s in self.strips() if s.get("wan_vse_role") == "take"]

    def placeholders(self):
        return [s for s in self.strips() if s.get("wan_vse_role") == "placeholder"]

    def places(self):
        return sorted((s.type, self.compat.start(s), self.compat.end_exclusive(s), s.channel) for s in self.strips())

    def job(self, job_id):
        return self.pumped.session.jobs.get(job_id)

    def until_state(self, job_id, state):
        self.pumped.until(lambda: self.job(job_id) and self.job(job_id).state.value == state)

    def until_done(self, job_id):
        self.until_state(job_id, "done")

    def idle(self, seconds=0.3):
        """Tick for a while: what was going to happen has happened."""
        end = time.monotonic() + seconds
        self.pumped.until(lambda: time.monotonic() > end)


def test_a_job_becomes_a_strip_where_its_placeholder_stood(pumped, scene, film):
    job_id = pumped.ask(scene, "fog over a pine forest", start=24, frames=30)
    assert film.places() == [("COLOR", 24, 54, 1)]
    assert film.strips()[0].name == "fog over a pine forest"
    pumped.until(film.takes)
    (take,) = film.strips()
    assert film.places() == [("IMAGE", 24, 54, 1)]
    assert take.name == "fog over a pine forest"
    assert len(take.elements) == 30
    assert json.loads(take["wan_vse_request"])["seed"] == 7
    assert take.transform.scale_x == 1920 / 64
    (job,) = pumped.session.queue()
    assert (job.job_id, job.state.value) == (job_id, "done")


def test_undo_after_a_landing_takes_back_what_the_person_did_last(pumped, scene, film):
    edited = film.compat.new_color(film.compat.strips(scene.sequence_editor), "edited", 3, 100, 8)
    pumped.ask(scene)
    edited = next(strip for strip in film.strips() if strip.name == "edited")
    edited.mute = True
    bpy.ops.ed.undo_push(message="Mute")
    pumped.until(film.takes)
    for step, muted in ((bpy.ops.ed.undo, False), (bpy.ops.ed.redo, True), (bpy.ops.ed.undo, False)):
        step()
        pumped.until(film.takes)
        assert ("IMAGE", 10, 18, 1) in film.places()
        assert next(strip for strip in film.strips() if strip.name == "edited").mute is muted
    bpy.ops.ed.undo()
    assert not film.takes() and not film.placeholders(), "the step before is that it was asked for"
    film.idle()
    bpy.ops.ed.redo()
    pumped.until(film.takes)


def test_a_landing_that_an_undo_brings_again_is_said_once(pumped, scene, film):
    job_id = pumped.ask(scene)
    pumped.until(film.takes)
    film.takes()[0].mute = True
    bpy.ops.ed.undo_push(message="Mute")
    assert [status.job_id for status in pumped.session.file.pop_landings()] == [job_id]
    bpy.ops.ed.undo()
    pumped.until(film.takes)
    assert pumped.session.file.pop_landings() == []


def test_a_take_whose_landing_is_saved_while_an_undo_has_its_placeholder_is_not_declined(pumped, scene, film):
    pumped.ask(scene)
    pumped.until(film.takes)
    film.takes()[0].mute = True
    bpy.ops.ed.undo_push(message="Mute")
    bpy.ops.ed.undo()
    pumped.session.about_to_save()
    assert film.placeholders()
    pumped.until(film.takes)


def test_a_take_whose_landing_was_undone_is_not_cleared_out_of_reach(pumped, scene, film):
    job_id = pumped.ask(scene)
    pumped.until(film.takes)
    bpy.ops.ed.undo()
    pumped.session.clear()
    film.idle()
    assert film.job(job_id) and pumped.session.can_place(job_id)
    assert pumped.session.place(job_id, bpy.context.scene)
    pumped.session.clear()
    assert film.job(job_id) is None


def test_a_later_edit_can_be_undone_without_losing_the_take(pumped, scene, film):
    pumped.ask(scene)
    pumped.until(film.takes)
    film.takes()[0].mute = True
    bpy.ops.ed.undo_push(message="Mute")
    bpy.ops.ed.undo()
    pumped.until(film.takes)
    assert [take.mute for take in film.takes()] == [False]


def test_redo_of_generate_resumes_its_job_by_itself(pumped, scene, film, monkeypatch):
    monkeypatch.setattr(film.addon("jobs.placeholder_holds"), "GONE_SECONDS", 0.1)
    job_id = pumped.ask(scene, "hang fog")
    film.until_state(job_id, "denoising")
    bpy.ops.ed.undo()
    pumped.until(lambda: film.job(job_id).hold == "no_placeholder")
    bpy.ops.ed.redo()
    pumped.until(lambda: film.job(job_id).hold == "none")
    film.until_state(job_id, "denoising")


def test_a_job_whose_placeholder_was_deleted_waits_until_it_is_resumed_with_a_new_one(pumped, scene, film, monkeypatch):
    monkeypatch.setattr(film.addon("jobs.placeholder_holds"), "GONE_SECONDS", 0.1)
    job_id = pumped.ask(scene, "slow slow slow fog")
    film.compat.strips(scene.sequence_editor).remove(film.strips()[0])
    blocks = film.compat.new_color(film.compat.strips(scene.sequence_editor), "in the way", 1, 12, 8)
    pumped.until(lambda: film.job(job_id).hold == "no_placeholder")
    assert blocks.name == "in the way"
    pumped.session.server.want_details(job_id)
    pumped.until(lambda: pumped.session.request_of(job_id))
    pumped.session.resume(job_id)
    assert ("COLOR", 10, 18, 2) in film.places()
    film.until_done(job_id)
    pumped.until(film.takes)
    assert ("IMAGE", 10, 18, 2) in film.places()


def test_what_a_person_resumes_without_a_placeholder_is_left_alone(pumped, scene, film, monkeypatch):
    monkeypatch.setattr(film.addon("jobs.placeholder_holds"), "GONE_SECONDS", 0.1)
    monkeypatch.setattr(film.addon("jobs.session"), "SWEEP_SECONDS", 0.1)
    job_id = pumped.ask(scene, "hang fog")
    bpy.ops.ed.undo()
    pumped.until(lambda: film.job(job_id).hold == "no_placeholder")
    monkeypatch.setattr(pumped.session, "request_of", lambda job_id: None)
    pumped.session.resume(job_id)
    film.until_state(job_id, "denoising")
    film.idle(0.6)
    assert film.job(job_id).hold == "none"


def test_a_job_that_a_person_holds_stays_held_with_its_placeholder(pumped, scene, film, monkeypatch):
    monkeypatch.setattr(film.addon("jobs.session"), "SWEEP_SECONDS", 0.1)
    job_id = pumped.ask(scene, "hang fog")
    pumped.session.hold(job_id)
    pumped.until(lambda: film.job(job_id).hold == "person")
    film.idle(0.5)
    assert film.job(job_id).hold == "person"
    pumped.session.resume(job_id)
    film.until_state(job_id, "denoising")


def test_a_paused_queue_stays_paused_at_the_next_server(pumped, scene, film):
    pumped.session.server.pause(True)
    job_id = pumped.ask(scene, "fog")
    film.idle(0.5)
    assert film.job(job_id).state == "queued"
    pumped.session.restart()
    pumped.until(lambda: pumped.session.server.listed and film.job(job_id))
    film.idle(0.5)
    assert film.job(job_id).state == "queued"
    pumped.session.server.pause(False)
    pumped.until(film.takes)


def test_a_paused_queue_and_a_held_job_are_found_so_by_the_next_blender(pumped, scene, film, addon, extension):
    pumped.session.server.pause(True)
    waiting, held = pumped.ask(scene, "fog"), pumped.ask(scene, "slow fog")
    pumped.session.hold(held)
    pumped.until(lambda: film.job(held).hold == "person")
    assert addon("jobs.queue_pause").QueuePause(addon("jobs.folders").user_folder).paused
    proxy = addon("jobs.server_proxy").ServerProxy(
        addon("jobs.job_list").JobList(), addon("jobs.folders").backend_settings, lambda: None
    )
    assert proxy.paused, "as the server of a Blender that begins now"
    pumped.session.server.pause(False)
    assert not addon("jobs.queue_pause").QueuePause(addon("jobs.folders").user_folder).paused
    pumped.until(film.takes)
    assert film.job(waiting).state == "done" and film.job(held).hold == "person"


def test_moved_and_copied_placeholders_all_get_the_take(pumped, scene, film):
    pumped.ask(scene, "slow fog")
    copy = film.compat.new_color(film.compat.strips(scene.sequence_editor), "copy", 4, 100, 8)
    for key, value in film.strips()[0].items():
        copy[key] = value
    film.compat.set_handles(film.placeholders()[0], 40, 48)
    pumped.until(lambda: not film.placeholders())
    assert film.places() == [("IMAGE", 40, 48, 1), ("IMAGE", 100, 108, 4)]
    assert len({take["wan_vse_strip"] for take in film.takes()}) == 2


def test_a_copied_take_gets_an_id_of_its_own(pumped, scene, film):
    pumped.ask(scene)
    pumped.until(film.takes)
    film.takes()[0].split(frame=14, split_method="SOFT")
    film.idle(1.3)
    assert len({take["wan_vse_strip"] for take in film.takes()}) == 2
    assert len({take["wan_vse_job"] for take in film.takes()}) == 1


@pytest.mark.parametrize("word", ["garbage", "half"])
def test_bad_lines_and_torn_lines_do_no_harm(pumped, scene, film, word):
    pumped.ask(scene, f"{word} fog")
    pumped.until(film.takes)


def test_a_failure_is_its_sentence_and_can_be_retried(pumped, scene, film):
    job_id = pumped.ask(scene, "fail")
    film.until_state(job_id, "failed")
    assert film.job(job_id).problem.sentence == "The card is full: choose a smaller size."
    assert len(film.placeholders()) == 1
    pumped.session.retry(job_id)
    pumped.until(film.takes)


def test_a_refusal_is_its_sentence_on_the_job(pumped, scene, film):
    job_id = pumped.ask(scene, "refuse")
    film.until_state(job_id, "failed")
    assert film.job(job_id).problem.kind == "model_missing"
    assert film.job(job_id).problem.sentence == "The model is not here: download it."


def test_cancel(pumped, scene, film):
    job_id = pumped.ask(scene, "hang")
    film.until_state(job_id, "denoising")
    pumped.session.cancel(job_id)
    film.until_state(job_id, "cancelled")
    early = pumped.ask(scene, "hang", channel=2)
    pumped.session.cancel(early)
    film.until_state(early, "cancelled")
    assert [job.job_id for job in pumped.session.queue()] == [early, job_id]
    pumped.session.clear()
    film.idle()
    assert pumped.session.queue() == []


def test_a_backend_that_dies_at_work_comes_back_and_its_job_is_offered_again(pumped, scene, film):
    job_id = pumped.ask(scene, "die")
    film.until_state(job_id, "interrupted")
    assert pumped.session.server.status.state == "ready"
    pumped.session.retry(job_id)
    pumped.until(film.takes)


def test_a_backend_that_is_killed_before_it_had_the_job_gets_it_again(pumped, scene, film):
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.status.state == "ready")
    os.kill(pumped.session.server.connection._child.pid, signal.SIGKILL)
    pumped.ask(scene)
    pumped.until(film.takes)


def test_a_retry_while_the_backend_is_away_is_not_lost(pumped, scene, film):
    job_id = pumped.ask(scene, "fail")
    film.until_state(job_id, "failed")
    pumped.session.server.stop()
    pumped.session.retry(job_id)
    pumped.session.server.start()
    pumped.until(film.takes)


def test_a_retry_of_a_job_that_the_backend_has_forgotten_asks_for_it_anew(pumped, scene, film, user_folder):
    job_id = pumped.ask(scene, "fail")
    film.until_state(job_id, "failed")
    pumped.session.server.stop()
    pumped.until(lambda: not pumped.session.server.connection._leaving)
    (user_folder / "state" / "fake_jobs.json").write_text("{}")
    pumped.session.retry(job_id)
    pumped.session.server.start()
    film.until_state(job_id, "failed")
    # The new server's list comes without the job; for a moment, until its answer to the retry, nobody knows it.
    pumped.until(lambda: pumped.session.server.listed and film.job(job_id) and film.job(job_id).created > 0)
    film.until_state(job_id, "failed")
    assert film.job(job_id).problem.kind == "out_of_memory"


def test_a_retry_is_not_lost_where_the_list_comes_without_its_job_first(pumped, scene, film, monkeypatch):
    job_id = pumped.ask(scene, "fail")
    film.until_state(job_id, "failed")
    told, details = [], pumped.session.server.details
    monkeypatch.setattr(details, "reported_request", lambda job_id: None)
    monkeypatch.setattr(details, "want", lambda job_id, then=None: told.append(then))
    pumped.session.retry(job_id)
    pumped.session.jobs.forget([job_id])
    told[0](None)  # the server's answer: it knows no such job
    assert film.job(job_id).state.value == "queued"


def test_three_quick_deaths_stop_the_respawning(pumped, scene, film, monkeypatch):
    monkeypatch.setenv("FAKE_BACKEND", "die")
    job_id = pumped.ask(scene)
    pumped.until(lambda: pumped.session.server.status.state == "failed")
    assert "told to die" in pumped.session.server.status.sentence
    assert "3 times" in pumped.session.server.status.sentence
    film.until_state(job_id, "failed")
    monkeypatch.delenv("FAKE_BACKEND")
    pumped.session.server.start()
    pumped.session.retry(job_id)
    pumped.until(film.takes)


def test_a_backend_that_answers_no_ping_is_ended_and_its_jobs_go_on_with_the_next(
    pumped, scene, film, addon, monkeypatch
):
    connection = pumped.session.server.connection
    monkeypatch.setenv("FAKE_BACKEND", "deaf")
    job_id = pumped.ask(scene, "hang")
    film.until_state(job_id, "denoising")
    first = connection._child.pid
    monkeypatch.delenv("FAKE_BACKEND")
    with monkeypatch.context() as impatient:  # with the first alone: the next may take longer to start
        impatient.setattr(addon("backend.connection"), "HUNG_SECONDS", 1.0)
        impatient.setattr(addon("backend.connection"), "PING_SECONDS", 0.1)
        pumped.until(lambda: connection._child is None or connection._child.pid != first)
    film.until_state(job_id, "interrupted")
    assert connection._child.pid != first
    assert pumped.session.server.status.state == "ready"


@pytest.mark.parametrize("verb", ["submit", "cancel", "retry", "settle", "clear"])
def test_what_a_backend_did_not_answer_is_told_to_the_next(pumped, scene, film, monkeypatch, user_folder, verb):
    once = user_folder / "state" / "died_once"
    if verb != "submit":  # until then nothing is forgotten
        once.parent.mkdir(exist_ok=True)
        once.touch()
    monkeypatch.setenv("FAKE_BACKEND", "forgetful")
    job_id = pumped.ask(scene, {"cancel": "hang", "retry": "fail"}.get(verb, "fog"))
    outbox, settled = pumped.session.server.outbox, lambda: film.job(job_id).settled
    if verb != "submit":
        film.until_state(job_id, {"cancel": "denoising", "retry": "failed"}.get(verb, "done"))
        pumped.until(lambda: not outbox._messages)
        once.unlink()
    if verb == "cancel":
        pumped.session.cancel(job_id)
    elif verb == "retry":
        pumped.session.retry(job_id)
    elif verb == "settle":
        outbox.settle([job_id])
    elif verb == "clear":
        outbox.clear([job_id])
    pumped.until(once.exists)
    if verb == "cancel":
        film.until_state(job_id, "cancelled")
    elif verb == "settle":
        pumped.until(settled)
    elif verb == "clear":
        pumped.until(lambda: pumped.session.server.listed and film.job(job_id) is None)
    else:
        film.until_done(job_id)
    pumped.until(lambda: not outbox._messages and not any(outbox._ids.values()))


def test_more_jobs_than_a_page_holds_come_back_in_the_next_session(pumped, scene, film, addon):
    wanted = []
    for channel in range(1, 9):
        wanted.append(pumped.ask(scene, "hang", channel=channel))
        pumped.until(lambda: pumped.session.jobs.is_on_server(wanted[-1]))
    for job_id in wanted:
        pumped.session.cancel(job_id)
    pumped.until(lambda: all(film.job(job_id).state.ended for job_id in wanted))
    module = addon("jobs.session")
    module.unregister()
    module.register()
    pumped.session = module.current()
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.listed)
    assert [job.job_id for job in pumped.session.queue()] == wanted[::-1]
    assert pumped.session.server.details.request_of(wanted[0]) is None, "nobody looked at it"
    pumped.session.server.want_details(wanted[0])
    pumped.until(lambda: pumped.session.server.details.request_of(wanted[0]))
    assert pumped.session.request_of(wanted[0]).prompt == "hang"


def test_a_job_is_retried_once_its_request_is_known(pumped, scene, film, addon):
    job_id = pumped.ask(scene, "fail")
    film.until_state(job_id, "failed")
    film.compat.strips(scene.sequence_editor).remove(film.strips()[0])
    module = addon("jobs.session")
    module.unregister()
    module.register()
    pumped.session = module.current()
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.listed)
    assert pumped.session.request_of(job_id) is None
    pumped.session.retry(job_id)
    film.until_done(job_id)


def test_another_version_is_a_sentence(pumped, monkeypatch):
    monkeypatch.setenv("FAKE_BACKEND", "old")
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.status.state == "failed")
    assert "different versions" in pumped.session.server.status.sentence


def test_no_backend_is_a_sentence_and_generate_says_it(pumped, scene, addon, film, monkeypatch):
    addon("jobs.folders").preferences().backend_command = "/no/such/python"
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.status.state in ("missing", "off"))
    pumped.session.restart()
    assert pumped.session.server.status.state == "missing"
    with pytest.raises(addon("jobs.request").Refused, match="/no/such/python"):
        pumped.ask(scene)
    assert film.strips() == []


def test_nothing_lands_during_a_render(pumped, scene, film):
    job_id = pumped.ask(scene)
    pumped.session.file.rendering = True
    film.until_done(job_id)
    film.idle()
    assert film.takes() == []
    pumped.session.file.rendering = False
    pumped.until(film.takes)


def test_the_render_handlers_tell_when_it_begins_and_ends(pumped, scene):
    seen = []
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.camera = None
    scene.frame_end = 1
    film_color = pumped.session

    def look(*_):
        seen.append(film_color.file.rendering)

    bpy.app.handlers.render_pre.append(look)
    try:
        scene.sequence_editor.strips if hasattr(scene.sequence_editor, "strips") else None
        pumped.ask(scene, "hang", start=1)
        bpy.ops.render.render()
    finally:
        bpy.app.handlers.render_pre.remove(look)
    assert seen == [True]
    assert pumped.session.file.rendering is False


def test_the_plan_is_asked_for_once_the_panel_is_left_alone(pumped, scene, addon):
    module = addon("jobs.request")
    from_panel = {"model": "embedded", "width": 64, "height": 36, "length_frames": 9, "media_folder": "/m"}
    rate = addon("timeline.scene_format").rate_of(scene)
    pumped.session.server.want()
    for seed in range(3):
        pumped.session.server.plan_query.want(module.TakeRequest("fog", frame_rate=rate, seed=seed, **from_panel))
    pumped.until(lambda: pumped.session.server.plan_query.plan)
    assert pumped.session.server.plan_query.plan.take_frames == 9
    assert pumped.session.server.model("embedded").label == "Fake"


def test_nobody_is_left_behind(pumped, scene, addon):
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.status.state == "ready")
    process = pumped.session.server.connection._child._process
    addon("jobs.session").unregister()
    process.wait(60)
    addon("jobs.session").register()


def test_every_tick_is_timed(pumped, scene, addon, film):
    stopwatch = addon("stopwatch")
    pumped.ask(scene, frames=65)
    pumped.until(film.takes)
    stopwatch.reset()
    pumped.ask(scene, frames=65, channel=2)
    pumped.until(lambda: len(film.takes()) == 2)
    count, median, worst, *_ = stopwatch.report()["timer: tick"]  # the benchmark says how long they may be
    assert count > 5 and 0 < median <= worst


def test_a_change_is_shown_in_a_tick_of_its_own_if_little_is_left_of_the_slice(pumped, addon, monkeypatch):
    session, shown = pumped.session, []
    module = addon("jobs.session")
    session.on_change[:] = [lambda: shown.append(True)]
    clock = SimpleNamespace(now=0.0, monotonic=time.monotonic)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr(module, "time", clock)

    def pass_time(deadline):
        clock.now += module.SLICE_SECONDS - module.SHOWN_WITHIN_SECONDS + 0.001
        session._note_change()

    monkeypatch.setattr(session, "_run_children", pass_time)
    monkeypatch.setattr(session, "_work_on_file", lambda deadline: None)
    for _ in range(module.MAX_LATE_TICKS):
        session.tick()
        assert not shown
    session.tick()
    assert shown == [True]
    monkeypatch.setattr(session, "_run_children", lambda deadline: session._note_change())
    session.tick()
    assert shown == [True, True], "there is time"
