"""Downloads as the add-on follows them: told by the server, which outlives files, undo and the panel."""

from __future__ import annotations

import bpy


def far(pumped):
    """The download of the model that isn't here."""
    return pumped.session.server.downloads.status("far")


def begin(pumped) -> None:
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.model("far"))
    pumped.session.server.downloads.start("far")
    pumped.until(lambda: far(pumped) and far(pumped).done_bytes >= 100)


def test_what_it_would_take_is_asked_first(pumped) -> None:
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.model("far"))
    downloads = pumped.session.server.downloads
    downloads.ask("far")
    assert downloads.is_asked("far") and downloads.busy
    pumped.until(lambda: "far" in downloads.plans)
    assert downloads.plans["far"].fetch_bytes == 900 and not downloads.busy
    downloads.forget("far")
    assert downloads.plans == {}


def test_a_refusal_is_kept_for_the_panel(pumped) -> None:
    pumped.session.server.want()
    pumped.until(lambda: pumped.session.server.model("far"))
    pumped.session.server.downloads.ask("nonsense")
    pumped.until(lambda: pumped.session.server.downloads.refused)
    assert pumped.session.server.downloads.refused == {"nonsense": "There is no such model."}


def test_a_model_that_came_is_here_at_once(pumped) -> None:
    begin(pumped)
    assert not pumped.session.server.model("far").here
    pumped.until(lambda: pumped.session.server.model("far").here)
    assert pumped.session.server.downloads.unfinished() == [] and not pumped.session.server.downloads.busy


def test_pause_and_resume(pumped) -> None:
    begin(pumped)
    pumped.session.server.downloads.pause("far")
    pumped.until(lambda: far(pumped).state == "paused")
    assert not pumped.session.server.downloads.busy
    pumped.session.server.downloads.start("far")
    pumped.until(lambda: far(pumped).state == "done")


def test_cancel_takes_it_away(pumped) -> None:
    begin(pumped)
    pumped.session.server.downloads.cancel("far")
    pumped.until(lambda: far(pumped) is None)


def test_it_outlives_saving_loading_and_undo(pumped, tmp_path) -> None:
    begin(pumped)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.ed.undo_push(message="x")
    bpy.ops.ed.undo()
    bpy.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    before = far(pumped).done_bytes
    pumped.until(lambda: far(pumped).done_bytes > before)


def test_nothing_of_it_is_in_the_blend(pumped, tmp_path) -> None:
    begin(pumped)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"), compress=False)
    names = {prop.identifier for owner in ("Scene", "WindowManager") for prop in _ours(owner)}
    assert not {name for name in names if "token" in name or "download" in name}


def _ours(owner: str) -> list:
    return list(getattr(bpy.types, owner).bl_rna.properties["wan_vse"].fixed_type.properties)


def test_a_server_that_dies_leaves_it_paused(pumped) -> None:
    begin(pumped)
    pumped.session.server.stop()
    assert far(pumped).state == "paused" and "Resume" in far(pumped).sentence
    pumped.session.server.start()
    pumped.until(lambda: pumped.session.server.status.state == "ready" and pumped.session.server.models)
    pumped.until(lambda: far(pumped) and far(pumped).state == "paused")
    pumped.session.server.downloads.start("far")
    pumped.until(lambda: far(pumped).state == "done")


def test_a_new_blender_offers_it_again(pumped, addon) -> None:
    begin(pumped)
    module = addon("jobs.session")
    module.unregister()
    module.register()
    new = module.current()
    new.server.want()
    for _ in range(500):
        new.tick()
        if new.server.downloads.unfinished():
            break
        import time

        time.sleep(0.01)
    assert [status.state.value for status in new.server.downloads.unfinished()] == ["paused"]


def test_preferences_do_not_end_it(pumped, addon) -> None:
    begin(pumped)
    preferences = addon("jobs.folders").preferences()
    preferences.device = "cpu"
    assert bpy.context.window_manager.wan_vse.restart_needed
    assert far(pumped).state == "running"
    bpy.context.window_manager.wan_vse.restart_needed = False
    pumped.session.server.downloads.pause("far")
    pumped.until(lambda: far(pumped).state == "paused")
    preferences.device = "auto"
