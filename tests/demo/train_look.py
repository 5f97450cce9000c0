"""Runs inside a Blender without a window: trains a LoRA from eight strips as a person would, and makes takes with it.

    blender -b --factory-startup -P train_look.py -- --extension ZIP --out FOLDER      or      python train_look.py ...

FOLDER/media holds what `draw_look.py` wrote. Each prompt of it is asked three times of the same seed: without the LoRA,
with it and its trigger, with it and without the trigger. Writes training.blend, training.json and the takes' frames.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))

import film
import footage

LONGEST_WAIT_SECONDS = 2 * 3600
TICKS = "SC_CLK_TCK"
STEPS = 700
"""More than *Short* has: after 350, the look is in every take, but shapes on its white ground aren't whole yet."""
APART, FIRST_TAKE = 20, 201
KINDS = ("base", "trigger", "plain")


def main() -> int:
    """Train, make the takes, write the report; exit code 0 where all of them landed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extension", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
    bpy.ops.extensions.package_install_files(
        filepath=options.extension, repo="user_default", enable_on_install=True, overwrite=True
    )
    film.LONGEST_WAIT_SECONDS = LONGEST_WAIT_SECONDS
    asked = json.loads((options.out / "media" / "asked.json").read_text("utf-8"))
    scene = lay_out(options.out / "media", asked)
    bpy.ops.wm.save_as_mainfile(filepath=str(options.out / "training.blend"))
    scene = bpy.data.scenes[scene.name]
    session = importlib.import_module(f"{film.PACKAGE}.blender_addon.jobs.session").current()
    film.wait_for_backend(session)
    report = {"blender": bpy.app.version_string, "training": train(scene, session, asked), "takes": []}
    for number, wanted in enumerate(asked["takes"]):  # so that what is broken off can still be compared
        for kind in KINDS:
            report["takes"].append(take(scene, session, asked, kind, number, wanted, options.out / "frames"))
    bpy.ops.wm.save_as_mainfile(filepath=str(options.out / "training.blend"))
    session.server.stop()
    (options.out / "training.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def lay_out(media: Path, asked: dict) -> bpy.types.Scene:
    """The movies on the timeline, a text strip with its caption above each."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scene.name, scene.render.fps = "Training", asked["rate"]
    scene.render.resolution_x = scene.render.resolution_y = 512
    scene.view_settings.view_transform = "Standard"
    scene.sequence_editor_create()
    compat = importlib.import_module(f"{film.PACKAGE}.blender_addon.timeline.compat")
    strips = footage.strips_of(scene)
    for number, clip in enumerate(asked["clips"]):
        start = 1 + APART * number
        strips.new_movie(Path(clip["file"]).stem, str(media / clip["file"]), 1, start, fit_method="FILL")
        compat.new_text(strips, f"Caption {number + 1}", 3, start, asked["frames"]).text = clip["caption"]
    for strip in strips:
        strip.select = strip.type == "MOVIE"
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    return scene


def train(scene, session, asked: dict) -> dict:
    """Choose the strips, press Train LoRA, wait, and use what came of it."""
    settings = scene.wan_vse
    settings.model, settings.resolution = "embedded", "128p"
    settings.seed, settings.seed_locked = 1, True
    training = settings.training
    training.name, training.trigger = "Cyclorama", asked["trigger"]
    training.kind, training.length, training.steps, training.only_with_trigger = "LOOK", "SHORT", STEPS, True
    with film.sequencer(scene):
        assert bpy.ops.wan_vse.choose_clips() == {"FINISHED"}
        assert bpy.ops.wan_vse.train_lora() == {"FINISHED"}
    began, spent, said = time.monotonic(), processor_seconds(), -1
    (job_id,) = [job.job_id for job in session.queue()]

    def ended() -> bool:
        nonlocal said
        job = session.jobs.get(job_id)
        if job.step // 100 > said and job.step:
            said = job.step // 100
            film.say(f"step {job.step} of {job.steps} after {time.monotonic() - began:.0f} s")
        return job.state.ended

    film.pump(session, ended, "the training")
    job = session.jobs.get(job_id)
    if job.problem is not None or not job.training.kept:
        raise SystemExit(f"The training failed: {job.problem.sentence if job.problem else job.state}")
    seconds = time.monotonic() - began
    film.say(f"trained {job.steps} steps on {job.training.clips} clips in {seconds:.0f} s")
    with film.sequencer(scene):
        assert bpy.ops.wan_vse.use_trained(job_id=job_id) == {"FINISHED"}
    phases = {name: round(getattr(job.seconds, name), 1) for name in film.PHASES}
    return {
        "steps": job.steps,
        "clips": job.training.clips,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor_seconds() - spent, 1),
        "phases": phases,
        "curve": job.training.curve,
        "lora": Path(bpy.path.abspath(settings.loras[0].path)).name,
    }


def processor_seconds() -> float:
    """What this process and those that come of it have had of all processors; not of those that have ended.

    The clock alone says little of a training where others use the machine. 0 where there is no /proc.
    """
    rows = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            rows[int(folder.name)] = int(words[1]), int(words[11]) + int(words[12])
    ours, found = {os.getpid()}, 0
    while len(ours) > found:
        found = len(ours)
        ours |= {process for process, (parent, _) in rows.items() if parent in ours}
    ticks = sum(rows[process][1] for process in ours if process in rows)
    return ticks / os.sysconf(TICKS) if rows else 0.0


def take(scene, session, asked: dict, kind: str, number: int, wanted: dict, frames: Path) -> dict:
    """Ask for one take as it is done by hand, the trigger put in by its button; returns where its frames are."""
    settings = scene.wan_vse
    settings.loras[0].use = kind != "base"
    settings.task, settings.prompt = "TEXT_TO_VIDEO", wanted["prompt"]
    if kind == "trigger":
        with film.sequencer(scene):
            assert bpy.ops.wan_vse.add_trigger() == {"FINISHED"}
    place = FIRST_TAKE + APART * (KINDS.index(kind) * len(asked["takes"]) + number)
    length = {"length_mode": "FRAMES", "length_frames": asked["frames"]}
    step = film.Step("text_to_video", "generate", settings.prompt, wanted["seed"], (), place, length)
    made = film.make_take(scene, session, step)
    folder = frames / f"{kind}-{number:02d}"
    film.keep_frames(made["take"], folder)
    return {"kind": kind, "number": number, "prompt": made["prompt"], "seed": wanted["seed"], "folder": folder.name}


if __name__ == "__main__":
    sys.exit(main())
