"""Downloads as the add-on follows them: told by the server, which outlives files, undo and the panel."""

from __future__ import annotations

import bpy


def far(session):
    """The download of the model that isn't here."""
    return session.tracker.downloads.status("far")


def begin(session) -> None:
    session.tracker.want()
    session.until(lambda: session.tracker.model("far"))
    session.tracker.downloads.start("far")
    session.until(lambda: far(session) and far(session).done_bytes >= 100)


def test_what_it_would_take_is_asked_first(session) -> None:
    session.tracker.want()
    session.until(lambda: session.tracker.model("far"))
    downloads = session.tracker.downloads
    downloads.ask("far")
    assert downloads.is_asked("far") and downloads.busy
    session.until(lambda: "far" in downloads.plans)
    assert downloads.plans["far"].fetch_bytes == 900 and not downloads.busy
    downloads.forget("far")
    assert downloads.plans == {}


def test_a_refusal_is_kept_for_the_panel(session) -> None:
    session.tracker.want()
    session.until(lambda: session.tracker.model("far"))
    session.tracker.downloads.ask("nonsense")
    session.until(lambda: session.tracker.downloads.refused)
    assert session.tracker.downloads.refused == {"nonsense": "There is no such model."}


def test_a_model_that_came_is_here_at_once(session) -> None:
    begin(session)
    assert not session.tracker.model("far").here
    session.until(lambda: session.tracker.model("far").here)
    assert session.tracker.downloads.unfinished() == [] and not session.tracker.downloads.busy


def test_pause_and_resume(session) -> None:
    begin(session)
    session.tracker.downloads.pause("far")
    session.until(lambda: far(session).state == "paused")
    assert not session.tracker.downloads.busy
    session.tracker.downloads.start("far")
    session.until(lambda: far(session).state == "done")


def test_cancel_takes_it_away(session) -> None:
    begin(session)
    session.tracker.downloads.cancel("far")
    session.until(lambda: far(session) is None)


def test_it_outlives_saving_loading_and_undo(session, tmp_path) -> None:
    begin(session)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.ed.undo_push(message="x")
    bpy.ops.ed.undo()
    bpy.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    before = far(session).done_bytes
    session.until(lambda: far(session).done_bytes > before)


def test_nothing_of_it_is_in_the_blend(session, tmp_path) -> None:
    begin(session)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"), compress=False)
    names = {prop.identifier for owner in ("Scene", "WindowManager") for prop in _ours(owner)}
    assert not {name for name in names if "token" in name or "download" in name}


def _ours(owner: str) -> list:
    return list(getattr(bpy.types, owner).bl_rna.properties["wan_vse"].fixed_type.properties)


def test_a_server_that_dies_leaves_it_paused(session) -> None:
    begin(session)
    session.tracker.stop()
    assert far(session).state == "paused" and "Resume" in far(session).sentence
    session.tracker.start()
    session.until(lambda: session.tracker.backend.state == "ready" and session.tracker.models)
    session.until(lambda: far(session) and far(session).state == "paused")
    session.tracker.downloads.start("far")
    session.until(lambda: far(session).state == "done")


def test_a_new_blender_offers_it_again(session, addon) -> None:
    begin(session)
    module = addon("jobs.tracker")
    module.unregister()
    module.register()
    new = module.get()
    new.want()
    for _ in range(500):
        new.tick()
        if new.downloads.unfinished():
            break
        import time

        time.sleep(0.01)
    assert [status.state.value for status in new.downloads.unfinished()] == ["paused"]


def test_preferences_do_not_end_it(session, addon) -> None:
    begin(session)
    preferences = addon("jobs.folders").preferences()
    preferences.device = "cpu"
    assert bpy.context.window_manager.wan_vse.restart_needed
    assert far(session).state == "running"
    bpy.context.window_manager.wan_vse.restart_needed = False
    session.tracker.downloads.pause("far")
    session.until(lambda: far(session).state == "paused")
    preferences.device = "auto"
