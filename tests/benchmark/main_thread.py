"""Measures how long the add-on keeps Blender's main thread over a whole job, and prints the median and the worst.

    blender --factory-startup -P main_thread.py -- --extension ZIP --media FOLDER    in a window, with its timers
    python main_thread.py --extension ZIP --media FOLDER    Blender as a module; the script pumps

The cut is a large one, 500 strips, because looking through the strips is what could grow. A job's takes are placed
as always. A call over the limit (one frame of a 60 Hz window) is marked; exit code 1 where no take landed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))

import film
import footage

STRIPS = 500
WORK_SECONDS = 300
PROMPT = "a green ring moves up over grass, camera zooms in"


def main() -> None:
    """Lay out the cut, ask for a take, then measure until it has landed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extension", required=True)
    parser.add_argument("--media", type=Path, required=True, help="the folder that demo/draw_media.py has filled")
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    options = parser.parse_args(arguments)
    bpy.ops.extensions.package_install_files(
        filepath=options.extension, repo="user_default", enable_on_install=True, overwrite=True
    )
    folder = Path(tempfile.mkdtemp(prefix="wan-vse-benchmark-"))
    scene = footage.lay_out(options.media)
    film.add_many_strips(scene, STRIPS)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "benchmark.blend"))
    measurement = Measurement()
    if bpy.app.background or bpy.app.module:
        while (pause := measurement.step(pump=True)) is not None:
            time.sleep(pause)
        sys.exit(measurement.exit_code)
    # Each in a turn of its own: an area can't be changed in the same turn in which a file was loaded.
    bpy.app.timers.register(film.show_panel, first_interval=1.0, persistent=True)
    bpy.app.timers.register(film.choose_tab, first_interval=2.0, persistent=True)
    bpy.app.timers.register(lambda: measurement.step(pump=False), first_interval=3.0, persistent=True)


class Measurement:
    """One take from the button to the strip, in small steps between which Blender does its own work."""

    def __init__(self) -> None:
        self.session = importlib.import_module(f"{film.PACKAGE}.blender_addon.jobs.session").current()
        self.stopwatch = importlib.import_module(f"{film.PACKAGE}.blender_addon.stopwatch")
        self.deadline = time.monotonic() + WORK_SECONDS
        self.job_id = ""
        self.exit_code = 1
        self.session.server.want()

    def step(self, pump: bool) -> float | None:
        """Seconds to the next step, or None when the measurement is over."""
        if pump:
            self.session.tick()
        scene = bpy.data.scenes["Film"]
        if self.session.server.status.state in ("missing", "failed"):
            return self.finish(
                f"The backend is {self.session.server.status.state}: {self.session.server.status.sentence}"
            )
        if time.monotonic() > self.deadline:
            return self.finish(f"No take after {WORK_SECONDS} s.")
        if not self.job_id and self.session.server.status.state == "ready" and self.session.server.models:
            self.ask(scene)
        job = self.session.jobs.get(self.job_id) if self.job_id else None
        if job and job.state.ended and (job.take is None or film.take_strip(scene, job)):
            return self.finish(job.problem.sentence if job.problem else "")
        return 0.05

    def ask(self, scene) -> None:
        """Press the button."""
        settings = scene.wan_vse
        scene.frame_current, settings.prompt, settings.model = 13, PROMPT, "embedded"
        settings.length_mode, settings.length_frames = "FRAMES", 48
        before = {job.job_id for job in self.session.queue()}
        with film.sequencer(scene):
            bpy.ops.wan_vse.generate()
        (self.job_id,) = {job.job_id for job in self.session.queue()} - before

    def finish(self, problem: str) -> None:
        """Print the table and leave Blender."""
        rows = self.stopwatch.report()
        limit = self.stopwatch.LIMIT_SECONDS
        lines = [f"Blender {bpy.app.version_string}, {STRIPS} strips; {problem or 'the take landed'}"]
        lines += [f"{'call':<44}{'times':>7}{'median ms':>11}{'worst ms':>11}"]
        for name, (count, median, worst, _) in rows.items():
            mark = "  OVER" if worst > limit else ""
            lines.append(f"{name:<44}{count:>7}{median * 1000:>11.2f}{worst * 1000:>11.2f}{mark}")
        worst = max((row[2] for row in rows.values()), default=0.0)
        lines.append(f"worst of all: {worst * 1000:.1f} ms; limit {limit * 1000:.0f} ms")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        self.exit_code = 1 if problem else 0
        self.session.server.stop()
        if not (bpy.app.background or bpy.app.module):
            bpy.ops.wm.quit_blender()


if __name__ == "__main__":
    if bpy.app.background or bpy.app.module:
        main()
    else:
        bpy.app.timers.register(main, first_interval=1.0)
