"""A job from the click to the strip, and all that may happen to either, with the fake backend."""

from __future__ import annotations

import json
import os
import signal
import time

import bpy
import pytest


@pytest.fixture
def film(session, addon):
    """The open file's timeline, always looked at anew."""
    return Film(session, addon)


class Film:
    """Short words for these tests."""

    def __init__(self, session, addon):
        self.session, self.addon, self.compat = session, addon, addon("timeline.compat")

    def strips(self):
        return list(self.compat.all_strips(bpy.context.scene))

    def takes(self):
        return [s for s in self.strips() if s.get("wan_vse_role") == "take"]

    def placeholders(self):
        return [s for s in self.strips() if s.get("wan_vse_role") == "placeholder"]

    def places(self):
        return sorted((s.type, self.compat.start(s), self.compat.end_exclusive(s), s.channel) for s in self.strips())

    def job(self, job_id):
        return self.session.tracker.job(job_id)

    def until_state(self, job_id, state):
        self.session.until(lambda: self.job(job_id) and self.job(job_id).state.value == state)

    def until_done(self, job_id):
        self.until_state(job_id, "done")

    def idle(self, seconds=0.3):
        """Tick for a while: what was going to happen has happened."""
        end = time.monotonic() + seconds
        self.session.until(lambda: time.monotonic() > end)


def test_a_job_becomes_a_strip_where_its_placeholder_stood(session, scene, film):
    job_id = session.ask(scene, "fog over a pine forest", start=24, frames=30)
    assert film.places() == [("COLOR", 24, 54, 1)]
    assert film.strips()[0].name == "fog over a pine forest"
    session.until(film.takes)
    (take,) = film.strips()
    assert film.places() == [("IMAGE", 24, 54, 1)]
    assert take.name == "fog over a pine forest"
    assert len(take.elements) == 30
    assert json.loads(take["wan_vse_request"])["seed"] == 7
    assert take.transform.scale_x == 1920 / 64
    (job,) = session.tracker.jobs()
    assert (job.job_id, job.state.value) == (job_id, "done")


def test_landing_is_one_undo_step_and_is_not_done_again_by_itself(session, scene, film):
    job_id = session.ask(scene)
    session.until(film.takes)
    bpy.ops.ed.undo()
    assert film.places() == [("COLOR", 10, 18, 1)]
    film.idle()
    assert film.places() == [("COLOR", 10, 18, 1)]
    bpy.ops.ed.redo()
    assert film.places() == [("IMAGE", 10, 18, 1)]
    bpy.ops.ed.undo()
    assert session.tracker.can_place(job_id)
    assert session.tracker.place(job_id, bpy.context.scene)
    assert film.places() == [("IMAGE", 10, 18, 1)]


def test_a_take_whose_landing_was_undone_is_not_cleared_out_of_reach(session, scene, film):
    job_id = session.ask(scene)
    session.until(film.takes)
    bpy.ops.ed.undo()
    session.tracker.clear()
    film.idle()
    assert film.job(job_id) and session.tracker.can_place(job_id)
    assert session.tracker.place(job_id, bpy.context.scene)
    session.tracker.clear()
    assert film.job(job_id) is None


def test_a_later_edit_can_be_undone_without_losing_the_take(session, scene, film):
    session.ask(scene)
    session.until(film.takes)
    film.takes()[0].mute = True
    bpy.ops.ed.undo_push(message="Mute")
    bpy.ops.ed.undo()
    assert [take.mute for take in film.takes()] == [False]


def test_undoing_generate_leaves_the_result_in_the_list(session, scene, film):
    job_id = session.ask(scene, "slow fog")
    bpy.ops.ed.undo()
    assert film.strips() == []
    film.until_done(job_id)
    film.idle()
    assert film.strips() == []
    assert session.tracker.can_place(job_id)
    bpy.ops.ed.redo()
    session.until(film.takes)


def test_a_deleted_placeholder_stays_deleted(session, scene, film):
    job_id = session.ask(scene, "slow fog")
    film.compat.strips(scene.sequence_editor).remove(film.strips()[0])
    film.until_done(job_id)
    film.idle()
    assert film.strips() == []
    assert session.tracker.place(job_id, bpy.context.scene)
    assert film.places() == [("IMAGE", 10, 18, 1)]


def test_moved_and_copied_placeholders_all_get_the_take(session, scene, film):
    session.ask(scene, "slow fog")
    copy = film.compat.new_color(film.compat.strips(scene.sequence_editor), "copy", 4, 100, 8)
    for key, value in film.strips()[0].items():
        copy[key] = value
    film.compat.set_handles(film.placeholders()[0], 40, 48)
    session.until(lambda: not film.placeholders())
    assert film.places() == [("IMAGE", 40, 48, 1), ("IMAGE", 100, 108, 4)]
    assert len({take["wan_vse_strip"] for take in film.takes()}) == 2


def test_a_copied_take_gets_an_id_of_its_own(session, scene, film):
    session.ask(scene)
    session.until(film.takes)
    film.takes()[0].split(frame=14, split_method="SOFT")
    film.idle(1.3)
    assert len({take["wan_vse_strip"] for take in film.takes()}) == 2
    assert len({take["wan_vse_job"] for take in film.takes()}) == 1


@pytest.mark.parametrize("word", ["garbage", "half"])
def test_bad_lines_and_torn_lines_do_no_harm(session, scene, film, word):
    session.ask(scene, f"{word} fog")
    session.until(film.takes)


def test_a_failure_is_its_sentence_and_can_be_retried(session, scene, film):
    job_id = session.ask(scene, "fail")
    film.until_state(job_id, "failed")
    assert film.job(job_id).problem.sentence == "The card is full: choose a smaller size."
    assert len(film.placeholders()) == 1
    session.tracker.retry(job_id)
    session.until(film.takes)


def test_a_refusal_is_its_sentence_on_the_job(session, scene, film):
    job_id = session.ask(scene, "refuse")
    film.until_state(job_id, "failed")
    assert film.job(job_id).problem.kind == "model_missing"
    assert film.job(job_id).problem.sentence == "The model is not here: download it."


def test_cancel(session, scene, film):
    job_id = session.ask(scene, "hang")
    film.until_state(job_id, "denoising")
    session.tracker.cancel(job_id)
    film.until_state(job_id, "cancelled")
    early = session.ask(scene, "hang", channel=2)
    session.tracker.cancel(early)
    film.until_state(early, "cancelled")
    assert [job.job_id for job in session.tracker.jobs()] == [early, job_id]
    session.tracker.clear()
    film.idle()
    assert session.tracker.jobs() == []


def test_a_backend_that_dies_at_work_comes_back_and_its_job_is_offered_again(session, scene, film):
    job_id = session.ask(scene, "die")
    film.until_state(job_id, "interrupted")
    assert session.tracker.backend.state == "ready"
    session.tracker.retry(job_id)
    session.until(film.takes)


def test_a_backend_that_is_killed_before_it_had_the_job_gets_it_again(session, scene, film):
    session.tracker.want()
    session.until(lambda: session.tracker.backend.state == "ready")
    os.kill(session.tracker.server.connection._child.pid, signal.SIGKILL)
    session.ask(scene)
    session.until(film.takes)


def test_a_retry_while_the_backend_is_away_is_not_lost(session, scene, film):
    job_id = session.ask(scene, "fail")
    film.until_state(job_id, "failed")
    session.tracker.stop()
    session.tracker.retry(job_id)
    session.tracker.start()
    session.until(film.takes)


def test_a_retry_of_a_job_that_the_backend_has_forgotten_asks_for_it_anew(session, scene, film, user_folder):
    job_id = session.ask(scene, "fail")
    film.until_state(job_id, "failed")
    session.tracker.stop()
    session.until(lambda: not session.tracker.server.connection._leaving)
    (user_folder / "state" / "fake_jobs.json").write_text("{}")
    session.tracker.retry(job_id)
    session.tracker.start()
    film.until_state(job_id, "failed")
    # The new server's list comes without the job; for a moment, until its answer to the retry, nobody knows it.
    session.until(lambda: session.tracker.server.listed and film.job(job_id) and film.job(job_id).created > 0)
    film.until_state(job_id, "failed")
    assert film.job(job_id).problem.kind == "out_of_memory"


def test_a_retry_is_not_lost_where_the_list_comes_without_its_job_first(session, scene, film, monkeypatch):
    job_id = session.ask(scene, "fail")
    film.until_state(job_id, "failed")
    told, details = [], session.tracker.server.details
    monkeypatch.setattr(details, "told", lambda job_id: None)
    monkeypatch.setattr(details, "want", lambda job_id, then=None: told.append(then))
    session.tracker.retry(job_id)
    session.tracker._list.forget([job_id])
    told[0](None)  # the server's answer: it knows no such job
    assert film.job(job_id).state.value == "queued"


def test_three_quick_deaths_stop_the_respawning(session, scene, film, monkeypatch):
    monkeypatch.setenv("FAKE_BACKEND", "die")
    job_id = session.ask(scene)
    session.until(lambda: session.tracker.backend.state == "failed")
    assert "told to die" in session.tracker.backend.sentence
    assert "3 times" in session.tracker.backend.sentence
    film.until_state(job_id, "failed")
    monkeypatch.delenv("FAKE_BACKEND")
    session.tracker.start()
    session.tracker.retry(job_id)
    session.until(film.takes)


def test_a_backend_that_answers_no_ping_is_ended_and_its_jobs_go_on_with_the_next(
    session, scene, film, addon, monkeypatch
):
    monkeypatch.setattr(addon("backend.pulse"), "HUNG_SECONDS", 1.0)
    monkeypatch.setattr(addon("backend.pulse"), "PING_SECONDS", 0.1)
    monkeypatch.setenv("FAKE_BACKEND", "deaf")
    job_id = session.ask(scene, "hang")
    film.until_state(job_id, "denoising")
    first = session.tracker.server.connection._child.pid
    monkeypatch.delenv("FAKE_BACKEND")
    film.until_state(job_id, "interrupted")
    assert session.tracker.server.connection._child.pid != first
    assert session.tracker.backend.state == "ready"


@pytest.mark.parametrize("verb", ["submit", "cancel", "retry", "settle", "clear"])
def test_what_a_backend_did_not_answer_is_told_to_the_next(session, scene, film, monkeypatch, user_folder, verb):
    once = user_folder / "state" / "died_once"
    if verb != "submit":  # until then nothing is forgotten
        once.parent.mkdir(exist_ok=True)
        once.touch()
    monkeypatch.setenv("FAKE_BACKEND", "forgetful")
    job_id = session.ask(scene, {"cancel": "hang", "retry": "fail"}.get(verb, "fog"))
    outbox, settled = session.tracker.server.outbox, lambda: film.job(job_id).settled
    if verb != "submit":
        film.until_state(job_id, {"cancel": "denoising", "retry": "failed"}.get(verb, "done"))
        session.until(lambda: not outbox._messages)
        once.unlink()
    if verb == "cancel":
        session.tracker.cancel(job_id)
    elif verb == "retry":
        session.tracker.retry(job_id)
    elif verb == "settle":
        outbox.settle([job_id])
    elif verb == "clear":
        outbox.clear([job_id])
    session.until(once.exists)
    if verb == "cancel":
        film.until_state(job_id, "cancelled")
    elif verb == "settle":
        session.until(settled)
    elif verb == "clear":
        session.until(lambda: session.tracker.server.listed and film.job(job_id) is None)
    else:
        film.until_done(job_id)
    session.until(lambda: not outbox._messages and not any(outbox._ids.values()))


def test_more_jobs_than_a_page_holds_come_back_in_the_next_session(session, scene, film, addon):
    wanted = []
    for channel in range(1, 9):
        wanted.append(session.ask(scene, "hang", channel=channel))
        session.until(lambda: session.tracker._list.is_servers(wanted[-1]))
    for job_id in wanted:
        session.tracker.cancel(job_id)
    session.until(lambda: all(film.job(job_id).state.ended for job_id in wanted))
    module = addon("jobs.tracker")
    module.unregister()
    module.register()
    session.tracker = module.get()
    session.tracker.want()
    session.until(lambda: session.tracker.server.listed)
    assert [job.job_id for job in session.tracker.jobs()] == wanted[::-1]
    assert session.tracker.server.details.request_of(wanted[0]) is None, "nobody looked at it"
    session.tracker.want_details(wanted[0])
    session.until(lambda: session.tracker.server.details.request_of(wanted[0]))
    assert session.tracker.request_of(wanted[0]).prompt == "hang"


def test_a_job_is_retried_once_its_request_is_known(session, scene, film, addon):
    job_id = session.ask(scene, "fail")
    film.until_state(job_id, "failed")
    film.compat.strips(scene.sequence_editor).remove(film.strips()[0])
    module = addon("jobs.tracker")
    module.unregister()
    module.register()
    session.tracker = module.get()
    session.tracker.want()
    session.until(lambda: session.tracker.server.listed)
    assert session.tracker.request_of(job_id) is None
    session.tracker.retry(job_id)
    film.until_done(job_id)


def test_another_version_is_a_sentence(session, monkeypatch):
    monkeypatch.setenv("FAKE_BACKEND", "old")
    session.tracker.want()
    session.until(lambda: session.tracker.backend.state == "failed")
    assert "different versions" in session.tracker.backend.sentence


def test_no_backend_is_a_sentence_and_generate_says_it(session, scene, addon, film, monkeypatch):
    addon("jobs.folders").preferences().backend_command = "/no/such/python"
    session.tracker.want()
    session.until(lambda: session.tracker.backend.state in ("missing", "off"))
    session.tracker.restart()
    assert session.tracker.backend.state == "missing"
    with pytest.raises(addon("jobs.request").Refused, match="/no/such/python"):
        session.ask(scene)
    assert film.strips() == []


def test_nothing_lands_during_a_render(session, scene, film):
    job_id = session.ask(scene)
    session.tracker.file.rendering = True
    film.until_done(job_id)
    film.idle()
    assert film.takes() == []
    session.tracker.file.rendering = False
    session.until(film.takes)


def test_the_render_handlers_tell_when_it_begins_and_ends(session, scene):
    seen = []
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.camera = None
    scene.frame_end = 1
    film_color = session.tracker

    def look(*_):
        seen.append(film_color.file.rendering)

    bpy.app.handlers.render_pre.append(look)
    try:
        scene.sequence_editor.strips if hasattr(scene.sequence_editor, "strips") else None
        session.ask(scene, "hang", start=1)
        bpy.ops.render.render()
    finally:
        bpy.app.handlers.render_pre.remove(look)
    assert seen == [True]
    assert session.tracker.file.rendering is False


def test_the_plan_is_asked_for_once_the_panel_is_left_alone(session, scene, addon):
    module = addon("jobs.request")
    from_panel = {"model": "embedded", "width": 64, "height": 36, "length_frames": 9, "media_folder": "/m"}
    rate = addon("timeline.scene_format").rate_of(scene)
    session.tracker.want()
    for seed in range(3):
        session.tracker.want_plan(module.TakeRequest("fog", frame_rate=rate, seed=seed, **from_panel))
    session.until(lambda: session.tracker.plan)
    assert session.tracker.plan.take_frames == 9
    assert session.tracker.model("embedded").label == "Fake"


def test_nobody_is_left_behind(session, scene, addon):
    session.tracker.want()
    session.until(lambda: session.tracker.backend.state == "ready")
    process = session.tracker.server.connection._child._process
    addon("jobs.tracker").unregister()
    process.wait(60)
    addon("jobs.tracker").register()


def test_every_tick_is_timed(session, scene, addon, film):
    stopwatch = addon("stopwatch")
    session.ask(scene, frames=65)
    session.until(film.takes)
    stopwatch.reset()
    session.ask(scene, frames=65, channel=2)
    session.until(lambda: len(film.takes()) == 2)
    count, median, worst = stopwatch.report()["timer: tick"]  # the benchmark says how long they may be
    assert count > 5 and 0 < median <= worst
