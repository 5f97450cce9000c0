"""Makes docs/images: runs inside a Blender with a window (see `run` beside this file) and acts as a person would.

    blender --python make.py -- --extension ZIP --work FOLDER --out FOLDER

A story is a generator that a timer steps: it yields what to wait for, so that Blender draws in between.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))

import clicks
import downloads
import edits
import interchange
import kept
import live
import loras
import reopen
import seams
import stale
import takes
import tasks
import training
import window
import words

PACKAGE = "bl_ext.user_default.wan_vse"
PROMPT = "an orange circle rises in the sky, the camera pans right"
SECOND_PROMPT = "a white star spins over a night sky"
LONGEST_WAIT_SECONDS = 600.0
SETTLE_SECONDS = 1.2
"""So long Blender gets to draw what was changed."""

log = logging.getLogger("pictures")
Wait = Callable[[], Any]


def workplace(work: Path, out: Path) -> Iterator[Wait | None]:
    """The panel, the queue, the preferences, in the order in which a person would see them. None waits for a redraw."""
    scene_name = yield from window.open_film(work, "film")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    scene.frame_set(80)
    settings = scene.wan_vse
    settings.prompt, settings.model_id, settings.length_mode = PROMPT, "embedded", "GAP"
    settings.quality, settings.seed, settings.seed_locked = "BEST", 7, True
    settings.task = "TEXT_TO_VIDEO"
    window.view_all()
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    yield None
    window.shoot_areas(out / "timeline_before.png", _cutting_areas())
    window.fill_window()
    yield None
    window.shoot_sidebar(out / "sidebar_idle.png")
    yield from _running(session, scene_name, out)
    yield from _done(session, scene_name, out)
    yield from _failed(session, scene_name, work, out)
    yield from _preferences(out)


def _running(session: Any, scene_name: str, out: Path) -> Iterator[Wait | None]:
    _generate()
    settings = bpy.data.scenes[scene_name].wan_vse
    settings.prompt, settings.length_mode, settings.length_frames = SECOND_PROMPT, "FRAMES", 24
    settings.quality = "DRAFT"
    bpy.data.scenes[scene_name].frame_set(10)
    _generate()
    yield lambda: len(session.queue()) == 2 and session.queue()[0].step >= 4  # the one that is made comes first
    bpy.context.window_manager.wan_vse.active_row = 0
    bpy.data.scenes[scene_name].sequence_editor.active_strip = None
    window.timeline().tag_redraw()
    yield None
    window.shoot_sidebar(out / "sidebar_running.png")
    window.shoot_area(out / "timeline_running.png", window.timeline(), bottom_part=0.4)


def _done(session: Any, scene_name: str, out: Path) -> Iterator[Wait | None]:
    yield lambda: all(job.take is not None for job in session.queue())
    scene = bpy.data.scenes[scene_name]
    yield lambda: all(strip.type != "COLOR" for strip in scene.sequence_editor.strips)
    with window.in_timeline():
        bpy.ops.wan_vse.show_take(job_id=session.queue()[1].job_id)
    scene.frame_set(80)
    yield _are_thumbnails_there
    yield None  # the panel grows when they come, and Blender moves what lies below for a moment
    window.shoot_sidebar(out / "sidebar_done.png")
    window.fill_window()
    yield None
    window.view_all()
    yield None
    window.shoot_areas(out / "timeline_after.png", _cutting_areas())


def _failed(session: Any, scene_name: str, work: Path, out: Path) -> Iterator[Wait | None]:
    """A real failure: the worker is killed at its work, as the system does where the memory runs out."""
    scene = bpy.data.scenes[scene_name]
    scene.frame_set(100)
    settings = scene.wan_vse
    settings.prompt, settings.length_frames, settings.quality = "a red circle moves left on grass", 24, "BEST"
    window.fill_window()
    _generate()
    yield lambda: session.queue()[0].step >= 2
    os.kill(_worker_of(work), signal.SIGKILL)
    yield lambda: session.queue()[0].state.ended
    scene.sequence_editor.active_strip = None
    yield None
    window.shoot_sidebar(out / "sidebar_failed.png")
    window.shoot_area(out / "timeline_failed.png", window.timeline(), bottom_part=0.4)
    bpy.ops.wan_vse.retry_job(job_id=session.queue()[0].job_id)
    yield lambda: session.queue()[0].take is not None
    window.fill_window()
    yield None


def _are_thumbnails_there() -> bool:
    """True once Blender has read the first, the middle and the last picture of the take that the panel shows."""
    kept = importlib.import_module(f"{PACKAGE}.blender_addon.ui.take_thumbnails")._kept
    return len(kept) >= 3 and all(preview.image_size[0] for preview in kept.values())


def _worker_of(work: Path) -> int:
    """The process of the worker whose server keeps its state in `work`. Linux only, as the pictures are."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            server = Path("/proc", parent, "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if b"wan_backend.worker" in command and str(work).encode() in server:
            return int(process.name)
    raise RuntimeError("There is no worker to kill.")


def _preferences(out: Path) -> Iterator[Wait | None]:
    window.leave_the_timeline()
    yield None
    window.show_preferences(PACKAGE)
    yield None
    window.shoot_preferences(out / "preferences.png")


def _cutting_areas() -> list[bpy.types.Area]:
    """The timeline and the preview above it."""
    return list(window.main_window().screen.areas)


def _generate() -> None:
    with window.in_timeline():
        result = bpy.ops.wan_vse.generate()
    if result != {"FINISHED"}:
        raise RuntimeError(f"Generate gave {result}.")


def perform(steps: Iterator[Wait | None], work: Path) -> Callable[[], float | None]:
    """A timer's function that goes on with `steps` when what they wait for is there, and ends Blender at the end."""
    waiting: list[Any] = [None, time.monotonic()]

    def step() -> float | None:
        wait, since = waiting
        try:
            if wait is not None and not wait():
                if (reason := _out_of_reach()) is not None:
                    raise RuntimeError(f"There will be no backend: {reason}")
                if time.monotonic() - since > LONGEST_WAIT_SECONDS:
                    raise TimeoutError(f"What the story waits for did not come: {wait.__code__}; {_backend_now()}")
                return 0.2
            waiting[:] = next(steps), time.monotonic()
            return SETTLE_SECONDS if waiting[0] is None else 0.2
        except StopIteration:
            (work / "done").touch()
        except Exception:  # noqa: BLE001 - the edge of this process: said, and Blender ended
            traceback.print_exc()
        bpy.ops.wm.quit_blender()
        return None

    return step


def _session() -> Any:
    return importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()


def _out_of_reach() -> str | None:
    """Why what a story waits for can't come, where no backend can be started; no story goes on without one."""
    server = _session().server
    return f"{server.status.sentence} {server.status.log}" if server.is_out_of_reach else None


def _backend_now() -> str:
    """What the backend has said so far: why what a story waits for may not come."""
    session = _session()
    server = session.server
    plans = {name: getattr(server, name) for name in ("plan_query", "training_plan_query")}
    said = [f"{name}: {query.sentence or query.plan}" for name, query in plans.items()]
    jobs = [f"{job.job_id}: {job.state.name} {job.problem}" for job in session.queue()]
    return "\n".join([str(server.status), f"looking: {server.looking}", *said, *jobs])


STORIES = {
    "workplace": workplace,
    "tasks": tasks.story,
    "downloads": downloads.story,
    "loras": loras.story,
    "takes": takes.story,
    "stale": stale.story,
    "seams": seams.story,
    "interchange": interchange.story,
    "live": live.story,
    "clicks": clicks.story,
    "words": words.story,
    "kept": kept.story,
    "training": training.story,
    "edits": edits.story,
}
OF_THEIR_OWN = {"pause": reopen.pause, "reopened": reopen.reopened}
"""Stories that need a Blender each."""


def main() -> None:
    """Install the extension and begin."""
    parser = argparse.ArgumentParser()
    for name in ("--extension", "--work", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--only", choices=STORIES | OF_THEIR_OWN, help="one part of the pictures")
    options = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :])
    logging.basicConfig(level=logging.INFO)
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.view.ui_scale = 0.95  # the whole sidebar fits a screen of 900 lines
    bpy.ops.extensions.package_install_files(
        filepath=str(options.extension), repo="user_default", enable_on_install=True
    )
    work = options.work.absolute()
    told = [(STORIES | OF_THEIR_OWN)[options.only]] if options.only else STORIES.values()
    steps = itertools.chain.from_iterable(story(work, options.out.absolute()) for story in told)
    timer = perform(steps, work)
    bpy.app.timers.register(timer, first_interval=1.0, persistent=True)


if __name__ == "__main__":
    main()
