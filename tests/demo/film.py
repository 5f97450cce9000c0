"""Runs inside a Blender without a window: lays out the film and drives the add-on's operators as a person would.

    blender -b --factory-startup -P film.py -- --extension ZIP --out FOLDER      or      python film.py ...

FOLDER/media holds the drawn files. Writes demo.blend, the takes' frames, timeline.mp4 and report.json into FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))

import footage
import rendering

PACKAGE = "bl_ext.user_default.wan_vse"
LONGEST_WAIT_SECONDS = 600
STEPS = (
    # what the person does, where the playhead stands, the settings, the operator
    ("at the playhead", 13, {"prompt": "a red ball drifts to the left over a night sky", "seed": 7, "length": 36}),
    ("into the hole", 120, {"prompt": "a yellow star spins over sand, camera pans right", "seed": 12}),
)


def say(sentence: str) -> None:
    """One progress line."""
    sys.stdout.write(f"[film] {sentence}\n")
    sys.stdout.flush()


def main() -> int:
    """Make the film; exit code 0 where every take landed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extension", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
    bpy.ops.extensions.package_install_files(
        filepath=options.extension, repo="user_default", enable_on_install=True, overwrite=True
    )
    scene = footage.lay_out(options.out / "media")
    film = options.out / "demo.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(film))
    scene = bpy.data.scenes[scene.name]
    tracker = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.tracker").get()
    report = {"blender": bpy.app.version_string, "backend": {}, "steps": []}
    setup_seconds = float(os.environ.get("WAN_VSE_SETUP", "0"))
    setup_seconds += wait_for_backend(tracker)
    for number, (where, playhead, wish) in enumerate(STEPS, start=1):
        step = make_take(scene, tracker, where, playhead, wish)
        step["seconds"]["setup"] = round(setup_seconds if number == 1 else 0.0, 3)
        report["steps"].append(step)
        keep_frames(scene, step, options.out / "frames" / f"{number:02d}")
    worker = tracker.worker
    report["backend"] = {"device": worker.device, "torch": worker.torch, "model": scene.wan_vse.model}
    bpy.ops.wm.save_as_mainfile(filepath=str(film))
    tracker.stop()
    say("rendering the film")
    rendering.render_film(scene, options.out / "timeline.mp4")
    (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def wait_for_backend(tracker) -> float:
    """Start the backend as opening the panel does; returns the seconds until its models are known."""
    started = time.monotonic()
    tracker.want()
    pump(tracker, lambda: tracker.backend.state == "ready" and tracker.models, "the backend")
    return time.monotonic() - started


def pump(tracker, until, what: str) -> float:
    """Do what Blender's timers do, until `until()`; returns how long the last slice took, in seconds."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        started = time.monotonic()
        pause = tracker.tick()
        spent = time.monotonic() - started
        if until():
            return spent
        if tracker.backend.state in ("missing", "failed"):
            raise SystemExit(f"The backend is {tracker.backend.state}: {tracker.backend.sentence}")
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {LONGEST_WAIT_SECONDS} s for {what}; log: {tracker.backend.log}")
        time.sleep(min(pause, 0.1))


@contextlib.contextmanager
def sequencer(scene):
    """The context of a person whose mouse is over the timeline."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = "SEQUENCE_EDITOR"
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region, scene=scene):
        yield


def make_take(scene, tracker, where: str, playhead: int, wish: dict) -> dict:
    """Type the prompt, press the button, wait for the strip; returns the report's step."""
    settings = scene.wan_vse
    scene.frame_current = playhead
    settings.prompt, settings.seed, settings.seed_locked = wish["prompt"], wish["seed"], True
    settings.model = "embedded"
    before = {job.job_id for job in tracker.jobs()}
    with sequencer(scene):
        if "length" in wish:
            settings.length_mode, settings.length_frames = "FRAMES", wish["length"]
            result = bpy.ops.wan_vse.generate()
        else:
            result = bpy.ops.wan_vse.generate_into_hole()
    assert "FINISHED" in result, result
    (job_id,) = {job.job_id for job in tracker.jobs()} - before
    say(f"generating {where}: {wish['prompt']!r}")

    def job():
        return next(job for job in tracker.jobs() if job.job_id == job_id)

    place_seconds = pump(tracker, lambda: job().state.ended and (take_strip(scene, job()) or not job().take), "a take")
    status = job()
    if status.take is None:
        raise SystemExit(f"The take failed: {status.problem.sentence if status.problem else status.state}")
    strip = take_strip(scene, status)
    start, end = int(strip.frame_final_start), int(strip.frame_final_end)
    say(f"landed: channel {strip.channel}, frames {start} to {end - 1}")
    return {
        "task": status.request.task,
        "prompt": status.request.prompt,
        "seed": status.request.seed,
        "where": where,
        "asked": {"start": status.request.origin.start, "length_frames": status.request.length_frames},
        "strip": {"name": strip.name, "channel": strip.channel, "start": start, "end_exclusive": end},
        "take": status.take.folder,
        "seconds": {
            "queue": round(status.seconds.queue, 3),
            "load": round(status.seconds.load, 3),
            "encode": round(status.seconds.encode, 3),
            "denoise": round(status.seconds.denoise, 3),
            "decode": round(status.seconds.decode, 3),
            "place": round(place_seconds, 4),
        },
    }


def add_many_strips(scene, count: int) -> None:
    """Fill the timeline past the film's end, as a long cut does."""
    strips = footage.strips_of(scene)
    for index in range(count):
        place = {"channel": 1 + index % 4, "frame_start": footage.END + 10 * (index // 4)}
        if "length" in strips.bl_rna.functions["new_effect"].parameters:
            strips.new_effect(name="Cut", type="COLOR", length=8, **place)
        else:
            strips.new_effect(name="Cut", type="COLOR", frame_end=place["frame_start"] + 8, **place)


def take_strip(scene, status):
    """The image strip that shows the take of `status`, or None."""
    if status.take is None:
        return None
    folder = Path(status.take.folder).resolve()
    for strip in footage.strips_of(scene):
        if strip.type == "IMAGE" and Path(bpy.path.abspath(strip.directory)).resolve() == folder:
            return strip
    return None


def keep_frames(scene, step: dict, folder: Path) -> None:
    """Copy the take's frames beside the report."""
    folder.mkdir(parents=True)
    for file in sorted(Path(step["take"]).glob("*.png")):
        shutil.copy(file, folder)


if __name__ == "__main__":
    sys.exit(main())
