"""How stale takes are rebuilt outlives Blender: the report is there the next morning, and the run goes on."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import time
from pathlib import Path

import bpy
import pytest
from test_rebuilding import Desk, desk

sys.path.insert(0, str(Path(__file__).parents[1]))

__all__ = ["desk"]
HOUR = 3600.0


@pytest.fixture
def film(desk, tmp_path) -> Path:
    """A saved film with a stale take of "One"."""
    desk.name = desk.take("One")
    desk.change("One")
    desk.before = desk.cut.compat.strip_named(desk.scene, desk.name)["wan_vse_job"]
    path = tmp_path / "film.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def quit_blender(desk: Desk) -> None:
    """What Blender's end does to the add-on. What wasn't saved is lost."""
    desk.addon("jobs.session").unregister()


def open_again(desk: Desk, film: Path) -> None:
    """Blender anew, with the film."""
    module = desk.addon("jobs.session")
    module.register()
    bpy.ops.wm.open_mainfile(filepath=str(film))
    desk.session = desk.pumped.session = module.current()
    desk.session.server.want()


def files(addon) -> list[Path]:
    """The runs that are kept."""
    return list((addon("jobs.folders").user_folder() / "rebuilding").glob("*.run"))


def has_new_take(desk: Desk) -> bool:
    """Whether the strip has both takes and shows the new one, and no other strip has it."""
    strips = [strip for strip in desk.cut.compat.all_strips(desk.scene) if strip.get("wan_vse_role") == "take"]
    assert [strip.name for strip in strips] == [desk.name]
    return strips[0]["wan_vse_job"] != desk.before and len(desk.strip_takes.takes_of(strips[0])) == 2


@pytest.mark.parametrize("saved", [False, True])
def test_the_report_is_there_the_next_morning(desk, film, addon, saved: bool) -> None:
    desk.session.rebuild(desk.stale(1))
    assert desk.rebuilt() == [(desk.name, "rebuilt")]
    report = desk.session.rebuilding.report
    if saved:
        bpy.ops.wm.save_mainfile()
        assert not files(addon), "the film has the report"
    quit_blender(desk)
    open_again(desk, film)
    if saved:
        assert bpy.data.texts["Rebuilt Takes"].as_string() == report
    else:
        assert desk.rebuilt() == [(desk.name, "rebuilt")]
        assert desk.session.rebuilding.report == bpy.data.texts["Rebuilt Takes"].as_string() == report
    desk.pumped.until(lambda: has_new_take(desk))
    assert desk.jobs_on(desk.name).count(desk.before) == 1


def test_a_take_that_ended_while_blender_was_closed(desk, film, monkeypatch, addon) -> None:
    desk.session.rebuild(desk.stale(1))
    desk.pumped.until(lambda: _asked(desk) and desk.session.jobs.is_on_server(_asked(desk)))
    job_id = _asked(desk)
    quit_blender(desk)
    _end_at_server(addon, monkeypatch, job_id)
    open_again(desk, film)
    assert desk.rebuilt() == [(desk.name, "rebuilt")]
    desk.pumped.until(lambda: has_new_take(desk))
    assert "1 of 1 stale takes were rebuilt." in bpy.data.texts["Rebuilt Takes"].as_string()


def _asked(desk: Desk) -> str:
    return desk.session.rebuilding.entries[0].job_id


def _end_at_server(addon, monkeypatch, job_id: str) -> None:
    """Let the backend's disk say that the job is done, as one on another machine does when nobody listens."""
    state = addon("jobs.folders").user_folder() / "state"
    monkeypatch.setattr(sys, "argv", ["fake_backend.py", "--state", str(state)])
    sys.modules.pop("fake_backend", None)
    fake = importlib.import_module("fake_backend")
    jobs = json.loads(fake.JOBS_FILE.read_text())
    if jobs[job_id]["state"] != "done":
        jobs[job_id].update(state="done", problem=None, take=fake.write_take(job_id, jobs[job_id]["request"]))
        fake.JOBS_FILE.write_text(json.dumps(jobs))


@pytest.mark.parametrize("before", ["asked", "at the server"])
def test_it_goes_on_wherever_blender_ended(desk, film, before: str) -> None:
    desk.session.rebuild(desk.stale(1))
    desk.pumped.until(lambda: _asked(desk))
    if before == "at the server":
        desk.pumped.until(lambda: desk.session.jobs.is_on_server(_asked(desk)))
    quit_blender(desk)
    open_again(desk, film)
    assert desk.rebuilt() == [(desk.name, "rebuilt")], "one that was interrupted is tried once more"
    desk.pumped.until(lambda: has_new_take(desk))


def test_those_that_waited_are_asked_for_when_the_film_is_open_again(desk, film) -> None:
    desk.session.server.pause(True)
    desk.session.rebuild(desk.stale(1))
    quit_blender(desk)
    open_again(desk, film)
    desk.session.server.pause(False)
    assert desk.rebuilt() == [(desk.name, "rebuilt")]
    desk.pumped.until(lambda: has_new_take(desk))


def test_an_hour_that_has_not_come_yet(desk, film) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    begins = desk.session.rebuilding.begins
    bpy.ops.wm.save_mainfile()
    quit_blender(desk)
    open_again(desk, film)
    desk.pumped.until(lambda: desk.session.rebuilding.entries)
    assert desk.session.rebuilding.waits
    assert desk.session.rebuilding.begins == pytest.approx(begins, abs=1)
    desk.session.stop_rebuilding()
    assert desk.rebuilt() == [(desk.name, "skipped")]


def test_an_hour_that_passed_meanwhile_is_said(desk, film, monkeypatch) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    hour = time.strftime("%H:%M", time.localtime(desk.session.rebuilding.begins))
    quit_blender(desk)
    _set_clock(desk, monkeypatch, 2 * HOUR)
    open_again(desk, film)
    assert desk.rebuilt() == [(desk.name, "skipped")]
    assert f"The film was not open at {hour}, when it was to be rebuilt." in desk.session.rebuilding.report
    assert desk.stale(1), "and can be rebuilt now"


def test_a_clock_that_was_set_back_keeps_nobody_waiting_for_months(desk, film, monkeypatch) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    quit_blender(desk)
    _set_clock(desk, monkeypatch, -1000 * HOUR)
    open_again(desk, film)
    desk.pumped.until(lambda: desk.session.rebuilding.entries)
    assert desk.session.rebuilding.begins - (time.time() - 1000 * HOUR) <= 24 * HOUR


def _set_clock(desk: Desk, monkeypatch, seconds: float) -> None:
    module = desk.addon("jobs.rebuilding")

    class Clock:
        monotonic, strftime, localtime = time.monotonic, time.strftime, time.localtime

        @staticmethod
        def time() -> float:
            return time.time() + seconds

    monkeypatch.setattr(module, "time", Clock)


def test_another_film_has_nothing_of_it(desk, film, tmp_path) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    desk.session.file_loaded()
    desk.session.tick()
    assert not desk.session.rebuilding.entries
    bpy.ops.wm.open_mainfile(filepath=str(film))
    desk.pumped.until(lambda: desk.session.rebuilding.entries)
    other = tmp_path / "other.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(other))
    bpy.ops.wm.open_mainfile(filepath=str(film))
    desk.session.tick()
    assert not desk.session.rebuilding.entries, "it went with the film that was saved under another name"
    bpy.ops.wm.open_mainfile(filepath=str(other))
    desk.pumped.until(lambda: desk.session.rebuilding.entries)


def test_a_run_of_another_blender_is_left_to_it(desk, film, addon) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    (kept,) = files(addon)
    desk.session.rebuilding._kept.leave()
    lease = addon("jobs.lease").Lease(kept.parent / "owners")  # another file of the same process: locked as by another
    head, rest = kept.read_text().split("\n", 1)
    kept.write_text(json.dumps({**json.loads(head), "owner": lease.id}) + "\n" + rest)
    bpy.ops.wm.open_mainfile(filepath=str(film))
    desk.session.tick()
    assert not desk.session.rebuilding.entries
    lease.release()
    bpy.ops.wm.open_mainfile(filepath=str(film))
    desk.pumped.until(lambda: desk.session.rebuilding.entries)


def test_a_blender_that_was_killed_has_nothing(desk, film, addon) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    (kept,) = files(addon)
    owner = json.loads(kept.read_text().split("\n", 1)[0])["owner"]
    quit_blender(desk)
    (kept.parent / "owners" / f"{owner}.lock").touch()  # its lock is gone, and the file is still there
    open_again(desk, film)
    desk.pumped.until(lambda: desk.session.rebuilding.entries)
    assert desk.session.rebuilding.waits


def test_one_at_which_blender_ended_is_not_asked_for_again(desk, film, monkeypatch) -> None:
    def dies(*_: object) -> str:
        raise SystemExit

    run = desk.session.rebuilding
    monkeypatch.setattr(run, "_desk", dataclasses.replace(run._desk, generate=dies))
    desk.session.rebuild(desk.stale(1))
    with pytest.raises(SystemExit):
        desk.pumped.until(lambda: False)
    quit_blender(desk)
    open_again(desk, film)
    assert desk.rebuilt() == [(desk.name, "skipped")]
    assert "Blender ended just when it was asked for." in desk.session.rebuilding.report


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"entry": 9, "state": "rebuilt", "job": ""}',
        '{"entry": -1, "state": "rebuilt", "job": ""}',
        '{"entry": true, "state": "won", "job": ""}',
        '{"entry": 0, "state": "rebuilt", "job": "../../x"}',
        '{"entry": 0, "state": "rebuilt", "job": "", "why": {}}',
        '{"stale": {"job_id": 3}}',
        "[" * 5000,
        '{"entry": 0, "state": "asked", "job": "' + "c" * 32,
    ],
)
def test_a_line_that_is_damaged_is_as_if_it_was_not_there(desk, film, addon, line: str) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    (kept,) = files(addon)
    with kept.open("a") as stream:
        stream.write(line)
    desk.session.stop_rebuilding()
    quit_blender(desk)
    open_again(desk, film)
    assert desk.rebuilt() == [(desk.name, "skipped")]


@pytest.mark.parametrize("head", ["", "x", "{}", '{"film": 3}', '{"film": {}, "begins": 1e999}', '{"begins": -1}'])
def test_a_head_that_is_damaged_is_no_run(desk, film, addon, head: str) -> None:
    desk.session.rebuild(desk.stale(1), HOUR)
    (kept,) = files(addon)
    kept.write_text(head + "\n" + kept.read_text().split("\n", 1)[1])
    bpy.ops.wm.open_mainfile(filepath=str(film))
    desk.session.tick()
    assert not desk.session.rebuilding.entries


def test_only_so_many_runs_are_kept(desk, film, addon, monkeypatch) -> None:
    monkeypatch.setattr(addon("jobs.kept_runs"), "MAX_RUNS", 3)
    desk.session.rebuild(desk.stale(1), HOUR)
    (kept,) = files(addon)
    for number in range(5):
        head = {"film": {"project": f"/films/{number}.blend"}, "owner": "", "begins": 0.0}
        kept.with_name(f"{number:032x}.run").write_text(json.dumps(head))
    desk.session.rebuilding.opened()
    desk.session.rebuild(desk.stale(1), HOUR)
    assert len(files(addon)) == 3


def test_where_nothing_can_be_written_it_goes_on_all_the_same(desk, film, addon) -> None:
    folder = addon("jobs.folders").user_folder() / "rebuilding"
    folder.write_text("in the way")
    desk.session.rebuild(desk.stale(1))
    assert desk.rebuilt() == [(desk.name, "rebuilt")]
