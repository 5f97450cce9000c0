"""Measures in Blender's window what browsing thousands of takes and comparing two of them cost its main thread.

    blender --factory-startup -P takes.py -- --extension ZIP --backend PYTHON --work FOLDER

Prints each value beside what is wanted: that the browser opens from its index, scrolls, and that comparing reads,
scrubs and plays, without any call of the add-on that takes longer than a frame of the window. Times are those of the
main thread alone, whatever else the machine does; exit code 1 where a limit is missed, or takes don't come.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parents[1] / "pictures"))

import hand
import make
import shots
import window

PACKAGE = make.PACKAGE
OPEN_SECONDS = 0.3
SCROLLS = 24
PLAY_SECONDS = 12.0
Wait = Callable[[], Any]


def story(options: argparse.Namespace) -> Iterator[Wait | None]:
    """From 5,000 folders on the disk to the table. None waits for a redraw."""
    bpy.ops.wm.read_homefile(app_template="Video_Editing")
    yield None
    work = options.work.absolute()
    name = shots.lay_out(work).name
    bpy.ops.wm.save_as_mainfile(filepath=str(work / "takes.blend"))
    script = Path(__file__).with_name("write_takes.py")
    writing = subprocess.Popen([options.backend, str(script), str(work / "wan"), str(options.takes)])
    yield lambda: writing.poll() is not None
    window.clear_for_cutting()
    yield None  # Blender crashes where an area is touched before the new layout was drawn
    window.show_sidebar()
    yield None
    window.choose_tab()
    window.view_all()
    measured = Measured(name, options)
    yield lambda: measured.session.server.status.state == "ready" and measured.session.server.models
    yield from _browse(measured)
    yield from _compare(measured)
    measured.finish()


class Measured:
    """The rows of the table."""

    def __init__(self, scene_name: str, options: argparse.Namespace) -> None:
        self.options, self._scene_name = options, scene_name
        self.stopwatch = self.module("stopwatch")
        self.session = self.module("jobs.session").current()
        self.hand = hand.Hand()
        self.rows: list[tuple[str, float, float]] = []

    @property
    def scene(self) -> bpy.types.Scene:
        return bpy.data.scenes[self._scene_name]

    def module(self, name: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.blender_addon.{name}")

    def note(self, what: str) -> None:
        """The worst call of each name since the last time."""
        limit = self.stopwatch.LIMIT_SECONDS
        for name, row in self.stopwatch.report().items():
            self.rows.append((f"{what}: {name}, worst ms", row.worst_processor_seconds * 1000, limit * 1000))
        self.stopwatch.reset()

    def finish(self) -> None:
        """Print the table; raises AssertionError where a limit is missed."""
        lines = [f"Blender {bpy.app.version_string}: {self.options.takes} takes"]
        lines += [
            f"{name:<64}{value:>10.2f}   wanted {wanted:g}{'' if value <= wanted else '   OVER'}"
            for name, value, wanted in self.rows
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        if self.options.report:
            self.options.report.write_text(json.dumps(self.rows, indent=1) + "\n", "utf-8")
        missed = [name for name, value, wanted in self.rows if value > wanted]
        if missed and not self.options.untimed:
            raise AssertionError(f"Over the limit: {missed}")


def _browse(measured: Measured) -> Iterator[Wait | None]:
    browse, film_takes = measured.module("operators.browse_takes"), measured.module("jobs.film_takes")
    preview = next(area for area in window.main_window().screen.areas if area != window.timeline())
    measured.stopwatch.reset()
    with window.in_timeline():
        bpy.ops.wan_vse.browse_takes("INVOKE_DEFAULT")
    began = time.monotonic()
    yield lambda: not browse.opened().library.busy
    measured.rows.append(("first listing of all takes, seconds", time.monotonic() - began, 60.0))
    count = len(browse.opened().library.takes())
    if count != measured.options.takes + 2:
        raise AssertionError(f"{count} takes are listed")
    measured.note("first listing")
    measured.hand.key("Escape")
    yield None
    film_takes.forget()  # the next Blender has the index alone
    yield None
    measured.stopwatch.reset()
    wall, own = time.perf_counter(), time.thread_time()
    with window.in_timeline():
        bpy.ops.wan_vse.browse_takes("INVOKE_DEFAULT")
    bpy.ops.wm.redraw_timer(type="DRAW_WIN", iterations=1)  # all of the window, as Blender would next
    measured.rows.append(("opens from its index, seconds of the main thread", time.thread_time() - own, OPEN_SECONDS))
    sys.stdout.write(f"opened and drawn after {time.perf_counter() - wall:.2f} s by the clock\n")
    if not browse.opened().found():
        raise AssertionError("Nothing is listed yet")
    yield lambda: not browse.opened().library.busy
    measured.note("open")
    measured.hand.move(preview.x + preview.width / 2, preview.y + preview.height / 2)
    yield None
    for number in range(SCROLLS):
        measured.hand.wheel(down=number < SCROLLS * 2 / 3)
        yield lambda: True
    for _ in range(3):
        yield None
    if browse.opened().scroll <= 0:
        raise AssertionError("It was not scrolled")
    _shoot("browse")
    measured.note("scroll")
    measured.hand.type("harbor")
    yield None
    if not 0 < len(browse.opened().found()) < count:
        raise AssertionError("The search finds some of them")
    measured.note("search")
    measured.hand.key("Escape")
    yield None


def _compare(measured: Measured) -> Iterator[Wait | None]:
    compare, pictures = measured.module("operators.compare_takes"), measured.module("ui.compared_pictures")
    film_takes, takes = measured.module("jobs.film_takes"), measured.module("timeline.strip_takes")
    first, second = (take for take in film_takes.library().takes()[:2])
    start = shots.END + 10
    strip = film_takes.lay(first, measured.scene, 3, start)
    takes.remember(strip, takes.KeptTake(second.job_id, second.folder, second.first_file, second.frames, False))
    measured.scene.sequence_editor.active_strip, strip.select = strip, True
    measured.scene.frame_set(start + 5)
    measured.hand.move(*hand.at_frame(start + 5, 5.5))
    yield None
    measured.stopwatch.reset()
    measured.hand.key("shift+v")
    yield lambda: compare.shown is not None
    yield lambda: len(pictures._kept) >= 2 and not pictures._asked
    yield None
    _shoot("compare")
    measured.note("compare")
    for frame in range(start + 10, start + 22, 3):
        measured.scene.frame_set(frame)
        yield None
    measured.note("compare, another frame")
    measured.scene.use_preview_range = True
    measured.scene.frame_preview_end = start + first.frames - 1  # before the start, which can't lie behind it
    measured.scene.frame_preview_start = start
    measured.scene.frame_set(start)
    shown: list[bool] = []
    with window.in_timeline():
        bpy.ops.screen.animation_play()
    until = time.monotonic() + PLAY_SECONDS
    while time.monotonic() < until:
        yield lambda: True
        now = [side.picture for side in _sides(measured)]
        shown.append(len(now) == 2 and all(map(pictures.of, now)))
    _shoot("play")
    with window.in_timeline():
        bpy.ops.screen.animation_play()
    late = shown[len(shown) // 2 :]
    sys.stdout.write(f"both sides were there at {sum(late)} of {len(late)} looks while it played the second half\n")
    measured.note("compare, playing")
    measured.hand.key("Escape")
    yield None


def _sides(measured: Measured) -> list[Any]:
    compare, comparison = measured.module("operators.compare_takes"), measured.module("ui.comparison")
    found = compare.strip_of(compare.shown)
    return comparison.sides(*found, compare.shown, measured.scene.frame_current) or []


def _shoot(name: str) -> None:
    folder = os.environ.get("CLICKS_PICTURES")
    if folder:
        subprocess.run(["import", "-window", "root", str(Path(folder, f"{name}.png"))], check=True)


def main() -> None:
    """Install the extension and begin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extension", required=True)
    parser.add_argument("--backend", required=True, help="the Python that has the backend's packages")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    parser.add_argument("--takes", type=int, default=5000)
    parser.add_argument("--untimed", action="store_true", help="a missed limit is said, but is no failure")
    parser.add_argument("--report", type=Path, help="write the values there as JSON")
    options = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])
    options.work.mkdir(parents=True, exist_ok=True)
    bpy.context.preferences.view.show_splash = False
    bpy.ops.extensions.package_install_files(
        filepath=options.extension, repo="user_default", enable_on_install=True, overwrite=True
    )
    timer = make.perform(story(options), options.work)
    bpy.app.timers.register(timer, first_interval=1.0, persistent=True)


if __name__ == "__main__":
    main()
