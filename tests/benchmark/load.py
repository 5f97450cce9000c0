"""A long queue and a long cut: how soon the server answers, what it takes of memory, and how long Blender is kept.

    blender --factory-startup -P load.py -- --extension ZIP --backend PYTHON      in a window, with real drawing
    python load.py --extension ZIP --backend PYTHON                               Blender as a module

10,000 jobs have ended and 2,000 wait (one of them runs, on a worker without a model), 3,000 strips lie on the
timeline; `--takes 5` lets each of these keep five takes. `--marked` of them are takes that fill gaps, with measured
seams and with sources that have changed since, and their neighbors; the seam of one is retried, and Live is on. In the
end a take of 241 pictures is flipped among them, the file is saved, and the strips are looked at as after an undo.

Prints the worst and the median of each callback, by the clock and by processor time, beside what is wanted; exit code
1 where that is missed or the queue doesn't come. Saving and loading may take what they need, so that nothing is wanted
of them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))
sys.path.insert(0, str(Path(__file__).parent))

import film
import marked_cut

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = film.PACKAGE
ANSWER_SECONDS, MEMORY_BYTES = 1.0, 200 << 20
PATIENCE_SECONDS = 120.0
FLIPS, FLIPPED_FRAMES = 10, 241
AFTERWARDS_SECONDS = 3.0
"""So long is watched what follows the undo."""
UNLIMITED = ("handler: save_pre", "handler: save_post", "handler: load_pre", "handler: load_post")


def main() -> None:
    """Write the queue, lay out the cut, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extension", required=True)
    parser.add_argument("--backend", required=True, help="the Python that has the backend's packages")
    parser.add_argument("--ended", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=2_000)
    parser.add_argument("--strips", type=int, default=3_000)
    parser.add_argument("--marked", type=int, default=600, help="how many of the strips are stale takes and neighbors")
    parser.add_argument("--takes", type=int, default=0, help="how many takes each strip keeps")
    parser.add_argument("--watch", type=float, default=10.0, help="seconds for which the panel is watched afterwards")
    parser.add_argument("--untimed", action="store_true", help="a missed limit is said, but is no failure")
    parser.add_argument("--report", type=Path, help="write the values there as JSON")
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    options = parser.parse_args(arguments)
    bpy.ops.extensions.package_install_files(
        filepath=options.extension, repo="user_default", enable_on_install=True, overwrite=True
    )
    measurement = Load(options)
    if bpy.app.background or bpy.app.module:
        while (pause := measurement.step(pump=True)) is not None:
            time.sleep(pause)
        sys.stdout.flush()
        os._exit(measurement.exit_code)
    bpy.app.timers.register(film.show_panel, first_interval=1.0, persistent=True)
    bpy.app.timers.register(film.choose_tab, first_interval=2.0, persistent=True)
    bpy.app.timers.register(lambda: measurement.step(pump=False), first_interval=3.0, persistent=True)


class Load:
    """From the backend's start to a queue that is there and watched, in small steps."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.exit_code = 1
        self.stopwatch = importlib.import_module(f"{PACKAGE}.blender_addon.stopwatch")
        folders = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.folders")
        self.folder = Path(tempfile.mkdtemp(prefix="wan-vse-load-"))
        write = [options.backend, ROOT / "tests" / "benchmark" / "write_queue.py", folders.user_folder() / "state"]
        subprocess.run([*map(str, write), str(options.ended), str(options.waiting)], check=True, cwd=ROOT)
        folders.preferences().backend_command = self._backend()
        self.scene = bpy.context.scene
        self.scene.sequence_editor_create()
        for workspace in bpy.data.workspaces:
            if hasattr(workspace, "sequencer_scene"):
                workspace.sequencer_scene = self.scene
        takes = min(options.marked, options.strips) // marked_cut.STRIPS_OF_ONE
        film.add_many_strips(self.scene, options.strips - takes * marked_cut.STRIPS_OF_ONE)
        self.marked = marked_cut.MarkedCut(PACKAGE, self.scene, self.folder)
        if options.takes:
            self._keep_takes(options.takes)
        self.marked.add(takes, 1)
        if takes:
            self.marked.retry_last()
        self.session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
        bpy.context.window_manager.wan_vse.live = True
        self.began = self.until = 0.0
        self.undone = False
        self.seconds: dict[str, float] = {}
        self.stopwatch.reset()

    def _keep_takes(self, count: int) -> None:
        """Let each strip be one of ours that keeps so many takes. Their files are not there, which nothing asks for."""
        identity, strip_takes, compat = (
            importlib.import_module(f"{PACKAGE}.blender_addon.timeline.{name}")
            for name in ("identity", "strip_takes", "compat")
        )
        for number, strip in enumerate(compat.all_strips(self.scene)):
            ids = [f"{(1 << 100) + number * count + index:032x}" for index in range(count)]
            identity.mark_take(strip, ids[0], "{}", "{}")
            rest = {"first_file": "0001.png", "frames": 8, "movie": False, "mark": "", "note": ""}
            strip[strip_takes.TAKES] = json.dumps([{"job": job_id, "folder": job_id, **rest} for job_id in ids])

    def _flip(self) -> None:
        """Flip between two takes of an image sequence; "operator flip_take" in the report is how long each took."""
        take_strips, strip_takes, identity, compat, media = (
            importlib.import_module(f"{PACKAGE}.{name}")
            for name in (
                "blender_addon.timeline.take_strips",
                "blender_addon.timeline.strip_takes",
                "blender_addon.timeline.identity",
                "blender_addon.timeline.compat",
                "wan_backend.protocol.media",
            )
        )
        names = tuple(media.frame_file(index) for index in range(FLIPPED_FRAMES))
        folders = [self.folder / "wan" / job_id for job_id in ("e" * 32, "f" * 32)]
        for folder in folders:
            _write_pictures(folder, names)
        files = take_strips.TakeFiles(str(folders[0]), names, FLIPPED_FRAMES, False)
        strip = take_strips.put_on_timeline(self.scene, "Flipped", files, 9, 1, FLIPPED_FRAMES)
        identity.mark_take(strip, folders[0].name, "{}", "{}")
        for folder in folders:
            kept = strip_takes.KeptTake(folder.name, str(folder), names[0], FLIPPED_FRAMES, False)
            strip_takes.remember(strip, kept)
        for each in compat.all_strips(self.scene):
            each.select = each == strip
        self.scene.sequence_editor.active_strip = strip
        with contextlib.nullcontext() if bpy.app.background or bpy.app.module else _in_timeline():
            for _ in range(FLIPS):
                if bpy.ops.wan_vse.flip_take(direction="NEXT") != {"FINISHED"}:
                    raise RuntimeError("The take was not flipped.")

    def _save_and_undo(self) -> None:
        """What happens at a save, and what follows an undo."""
        bpy.ops.wm.save_as_mainfile(filepath=str(self.folder / "load.blend"))
        handlers = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.blender_handlers")
        handlers._undone()
        importlib.import_module(f"{PACKAGE}.blender_addon.operators.retry_seams")._strips_replaced()

    def _backend(self) -> str:
        """The backend with a worker that has no model, as a command for the preferences."""
        worker = [self.options.backend, str(ROOT / "tests" / "wan_backend" / "server" / "fake_worker.py")]
        start = self.folder / "backend.py"
        start.write_text(
            "import os, sys\n"
            f"os.environ['PYTHONPATH'] += os.pathsep + {str(ROOT)!r}\n"
            f"arguments = [*sys.argv[1:], '--worker-command', {json.dumps(worker)!r}]\n"
            "os.execv(sys.executable, [sys.executable, *arguments])\n"
        )
        return f"{shlex.quote(self.options.backend)} {shlex.quote(str(start))}"

    def step(self, pump: bool) -> float | None:
        """Seconds to the next step, or None when the measurement is over."""
        now = time.monotonic()
        if not self.began:
            self.began = now
            self.session.server.start()
        if pump:
            self.session.tick()
        if self.session.server.status.state in ("missing", "failed"):
            return self.finish(
                f"The backend is {self.session.server.status.state}: {self.session.server.status.sentence}"
            )
        if now - self.began > PATIENCE_SECONDS:
            late = {"all jobs", "all stale takes"} - set(self.seconds)
            return self.finish(f"After {PATIENCE_SECONDS:.0f} s, these are not there: {', '.join(sorted(late))}.")
        for name, there in (
            ("answers", self.session.server.status.state == "ready"),
            ("first jobs", bool(self.session.queue())),
            ("all jobs", self.session.server.listed),
            ("all stale takes", len(self.session.stale.found) >= len(self.marked.jobs)),
        ):
            if there:
                self.seconds.setdefault(name, now - self.began)
        if {"all jobs", "all stale takes"} <= set(self.seconds) and not self.until:
            self.until = now + self.options.watch
        if self.until and now > self.until:
            if self.undone:
                return self.finish("")
            self.undone, self.until = True, now + AFTERWARDS_SECONDS
            self._flip()
            self._save_and_undo()
        return 0.005 if pump else 0.05

    def finish(self, problem: str) -> None:
        """Print what was measured and leave Blender."""
        jobs = len(self.session.queue())
        asked = self.options.ended + self.options.waiting
        rows = [("the server answers, seconds", self.seconds.get("answers", 1e9), ANSWER_SECONDS)]
        rows += [("the server's memory, MiB", most / (1 << 20), MEMORY_BYTES / (1 << 20)) for most in _children_bytes()]
        for name, row in self.stopwatch.report().items():
            limit = math.inf if name in UNLIMITED else self.stopwatch.LIMIT_SECONDS * 1000
            rows.append((f"{name}, worst ms", row.worst_seconds * 1000, limit))
            rows.append((f"{name}, worst ms of processor time", row.worst_processor_seconds * 1000, limit))
            rows.append((f"{name}, median ms of processor time", row.median_processor_seconds * 1000, limit))
        lines = [f"Blender {bpy.app.version_string}: {jobs} of {asked} jobs, {self.options.strips} strips; {problem}"]
        lines += [f"{name}: after {seconds:.2f} s" for name, seconds in self.seconds.items()]
        lines += [
            f"{name:<56}{value:>10.2f}"
            + ("" if math.isinf(wanted) else f"   wanted {wanted:.0f}{'' if value <= wanted else '   OVER'}")
            for name, value, wanted in rows
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        if self.options.report:
            limited = [(name, value, None if math.isinf(wanted) else wanted) for name, value, wanted in rows]
            values = {"jobs": jobs, "seconds": self.seconds, "problem": problem, "rows": limited}
            self.options.report.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
        missed = [name for name, value, wanted in rows if value > wanted]
        self.exit_code = 1 if problem or jobs < asked or (missed and not self.options.untimed) else 0
        self.session.close(5.0)
        if not (bpy.app.background or bpy.app.module):
            bpy.ops.wm.quit_blender()


def _write_pictures(folder: Path, names: tuple[str, ...]) -> None:
    """A take's pictures: one file under many names."""
    folder.mkdir(parents=True)
    image = bpy.data.images.new(folder.name, 64, 36)
    image.filepath_raw, image.file_format = str(folder / names[0]), "PNG"
    image.save()
    bpy.data.images.remove(image)
    for name in names[1:]:
        os.link(folder / names[0], folder / name)


def _in_timeline() -> bpy.types.TempOverride:
    """A context in which the sequencer's operators run."""
    window = bpy.context.window_manager.windows[0]
    area = next(each for each in window.screen.areas if each.type == "SEQUENCE_EDITOR")
    return bpy.context.temp_override(
        window=window, area=area, region=next(each for each in area.regions if each.type == "WINDOW")
    )


def _children_bytes() -> list[int]:
    """The most memory that each child of this process had at once (Linux): the server's, as it is the only one."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            found += [int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM")]
    return found


if __name__ == "__main__":
    if bpy.app.background or bpy.app.module:
        main()
    else:
        bpy.app.timers.register(main, first_interval=1.0)
