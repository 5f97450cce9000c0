"""Runs inside a Blender without a window: lays out the film and drives the add-on's operators as a person would.

    blender -b --factory-startup -P film.py -- --extension ZIP --out FOLDER      or      python film.py ...

FOLDER/media holds the drawn files. Writes demo.blend, film.otioz, the takes' frames, timeline.mp4 and report.json into
FOLDER.
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
from dataclasses import dataclass, field
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))

import footage
import rendering

PACKAGE = "bl_ext.user_default.wan_vse"
LONGEST_WAIT_SECONDS = 1800
PHASES = ("queue", "load", "encode", "denoise", "decode")

PROMPT_FIELDS = {
    "text_to_video": "prompt",
    "image_to_video": "image_prompt",
    "restyle": "restyle_prompt",
    "fill_gap": "gap_prompt",
    "extend": "extend_prompt",
    "previs": "previs_prompt",
}
"""The field of the panel that has each task's prompt."""


@dataclass(frozen=True)
class Step:
    """What a person does for one task: selects, moves the playhead, types, sets, presses."""

    task: str
    operator: str
    prompt: str
    seed: int
    selected: tuple[str, ...] = ()
    playhead: int = 1
    settings: dict = field(default_factory=dict)
    takes: int = 1
    """How many are asked for at once; the first is shown in the end, and starred."""


STEPS = (
    Step(
        "text_to_video",
        "generate",
        "a green ring moves left over a night sky",
        7,
        (),
        footage.TEXT_START,
        {"length_mode": "FRAMES", "length_frames": footage.STILL_START - footage.TEXT_START},
    ),
    Step("image_to_video", "animate_picture", "a red circle moves right on sand", 3, ("Still",)),
    Step(
        "restyle",
        "restyle",
        "a blue square rests on grass, the camera pans right, neon",
        5,
        ("Meadow",),
        settings={"guide": "EDGES", "strength": 1.0},
    ),
    Step(
        "fill_gap", "fill_gap", "a yellow circle moves right over a night sky", 11, ("Moon left", "Moon right"), takes=3
    ),
    Step(
        "extend",
        "extend",
        "a yellow circle moves right over a night sky",
        11,
        ("Moon right",),
        settings={"extend_direction": "FORWARD", "extend_frames": footage.SCENE_START - footage.RIGHT_END},
    ),
    Step(
        "previs",
        "dress_previs",
        "a red circle in the sky, the camera pans right",
        4,
        ("Blocking",),
        settings={"freedom": 0.1},
    ),
)
"""One of each task, in the order of the timeline."""
PLACES = {
    "text_to_video": (footage.TEXT_START, footage.STILL_START),
    "image_to_video": (footage.STILL_START, footage.SHOT_START),
    "restyle": (footage.SHOT_START, footage.LEFT_START),
    "fill_gap": (footage.HOLE_START, footage.RIGHT_START),
    "extend": (footage.RIGHT_END, footage.SCENE_START),
    "previs": (footage.SCENE_START, footage.END),
}
"""Where each take is to be: the first frame, and the one after the last."""


def say(sentence: str) -> None:
    """One progress line."""
    sys.stdout.write(f"[film] {sentence}\n")
    sys.stdout.flush()


def main() -> int:
    """Make the film; exit code 0 where every take landed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extension", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backend", default="", help="the command line of a backend on another machine")
    parser.add_argument("--only", default="", help="some of the tasks, with commas between; then no film is rendered")
    options = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
    bpy.ops.extensions.package_install_files(
        filepath=options.extension, repo="user_default", enable_on_install=True, overwrite=True
    )
    if options.backend:
        preferences = bpy.context.preferences.addons[PACKAGE].preferences
        machine = preferences.machines.add()
        machine.name, machine.command = "the other machine", options.backend
        preferences.used_machine = len(preferences.machines)
    scene = footage.lay_out(options.out / "media")
    film = options.out / "demo.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(film))
    scene = bpy.data.scenes[scene.name]
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    report = {"blender": bpy.app.version_string, "backend": {}, "steps": []}
    setup_seconds = float(os.environ.get("WAN_VSE_SETUP", "0"))
    setup_seconds += wait_for_backend(session)
    before = laid_out(scene)
    only = [task for task in options.only.split(",") if task]
    for number, step in enumerate([step for step in STEPS if not only or step.task in only], start=1):
        made = make_take(scene, session, step)
        made["seconds"]["setup"] = round(setup_seconds if number == 1 else 0.0, 3)
        report["steps"].append(made)
        keep_frames(made["take"], options.out / "frames" / f"{number:02d}")
        for take in made.get("takes", ()):
            keep_frames(take["folder"], options.out / "frames" / f"{number:02d}-seed-{take['seed']}")
    report["sources"] = {"before": before, "after": {name: laid_out(scene).get(name) for name in before}}
    worker = session.server.worker
    report["backend"] = {"device": worker.device, "torch": worker.torch, "model": scene.wan_vse.model}
    bpy.ops.wm.save_as_mainfile(filepath=str(film))
    if not only:
        say("writing the film for other programs")
        session.interchange.begin_export(scene, str(options.out / "film.otioz"))
        pump(session, lambda: not session.interchange.busy, "film.otioz")
        say(session.interchange.sentence)
    session.server.stop()
    if not only:
        say("rendering the film")
        rendering.render_film(scene, options.out / "timeline.mp4")
    (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def wait_for_backend(session) -> float:
    """Start the backend as opening the panel does; returns the seconds until its models are known."""
    started = time.monotonic()
    session.server.want()
    pump(session, lambda: session.server.status.state == "ready" and session.server.models, "the backend")
    return time.monotonic() - started


def pump(session, until, what: str) -> float:
    """Do what Blender's timers do, until `until()`; returns how long the last slice took, in seconds."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        started = time.monotonic()
        pause = session.tick()
        spent = time.monotonic() - started
        if until():
            return spent
        if session.server.status.state in ("missing", "failed"):
            raise SystemExit(f"The backend is {session.server.status.state}: {session.server.status.sentence}")
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {LONGEST_WAIT_SECONDS} s for {what}; log: {session.server.status.log}")
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


def laid_out(scene) -> dict:
    """Where each strip is and what it shows: what no task may change."""
    names = ("type", "channel", "frame_final_start", "frame_final_end", "frame_start", "mute", "blend_type")
    return {
        strip.name: [str(getattr(strip, name)) for name in names] + [str(strip.get("wan_vse_role", ""))]
        for strip in footage.strips_of(scene)
    }


def make_take(scene, session, step: Step) -> dict:
    """Select, type the prompt, press the button, wait for the strip; returns the report's step."""
    settings = scene.wan_vse
    scene.frame_current = step.playhead
    for strip in footage.strips_of(scene):
        strip.select = strip.name in step.selected
    setattr(settings, PROMPT_FIELDS[step.task], step.prompt)
    settings.seed, settings.seed_locked = step.seed, True
    settings.model, settings.take_count = "embedded", step.takes
    for name, value in step.settings.items():
        setattr(settings, name, value)
    implied = settings.task.lower()
    before = {job.job_id for job in session.queue()}
    say(f"{step.task}: {step.prompt!r}")
    with sequencer(scene):
        result = getattr(bpy.ops.wan_vse, step.operator)()
    assert "FINISHED" in result, result
    asked = {job.job_id for job in session.queue()} - before
    assert len(asked) == step.takes, asked
    job_id = next(each for each in asked if session.request_of(each).seed == step.seed)
    started = time.monotonic()

    def job():
        return next(job for job in session.queue() if job.job_id == job_id)

    place_seconds = pump(session, lambda: job().state.ended and (take_strip(scene, job()) or not job().take), "a take")
    status = job()
    if status.take is None:
        raise SystemExit(f"The take failed: {status.problem.sentence if status.problem else status.state}")
    strip, request = take_strip(scene, status), session.request_of(job_id)
    others = star_first(scene, session, strip, job_id, step.takes) if step.takes > 1 else {}
    start, end = int(strip.frame_final_start), int(strip.frame_final_end)
    say(f"landed after {time.monotonic() - started:.0f} s: channel {strip.channel}, frames {start} to {end - 1}")
    seconds = {name: round(getattr(status.seconds, name), 3) for name in PHASES}
    return {
        "task": request.task.value,
        "implied_task": implied,
        "prompt": request.prompt,
        "seed": request.seed,
        "selected": list(step.selected),
        "asked": {
            "channel": request.origin.channel,
            "start": request.origin.start,
            "length_frames": request.length_frames,
        },
        "strip": {"name": strip.name, "channel": strip.channel, "start": start, "end_exclusive": end},
        "take": status.take.folder,
        "sources": [source_of(source) for source in request.sources],
        "seconds": {**seconds, "place": round(place_seconds, 4)},
        **others,
    }


def star_first(scene, session, strip, job_id: str, count: int) -> dict:
    """Wait until the strip keeps all its takes, let it show the first again and star that; returns what it keeps."""
    strip_takes = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.strip_takes")
    pump(session, lambda: len(strip_takes.takes_of(strip)) == count, f"{count} takes on one strip")
    strip.select, scene.sequence_editor.active_strip = True, strip
    with sequencer(scene):
        while strip_takes.takes_of(strip)[strip_takes.shown_index(strip)].job_id != job_id:
            bpy.ops.wan_vse.flip_take(direction="PREVIOUS")
        bpy.ops.wan_vse.mark_take(mark="star")
    shown = strip_takes.shown_index(strip)
    takes = [
        {
            "seed": session.request_of(take.job_id).seed,
            "folder": take.folder,
            "mark": take.mark,
            "shown": index == shown,
        }
        for index, take in enumerate(strip_takes.takes_of(strip))
    ]
    return {"takes": takes[::-1]}


def source_of(source) -> dict:
    """What the backend was given to see."""
    names = ("folder", "files", "is_movie", "first_frame", "frames", "rendered")
    return {"role": source.role.value, **{name: getattr(source, name) for name in names}}


def add_many_strips(scene, count: int) -> None:
    """Fill the timeline past the film's end, as a long cut does."""
    strips = footage.strips_of(scene)
    for index in range(count):
        place = {"channel": 1 + index % 4, "frame_start": footage.END + 10 * (index // 4)}
        if "length" in strips.bl_rna.functions["new_effect"].parameters:
            strips.new_effect(name="Cut", type="COLOR", length=8, **place)
        else:
            strips.new_effect(name="Cut", type="COLOR", frame_end=place["frame_start"] + 8, **place)


def show_panel() -> None:
    """Turn the largest area into a sequencer with its sidebar open, so that drawing is measured too."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = "SEQUENCE_EDITOR"
    area.spaces.active.show_region_ui = True


def choose_tab() -> None:
    """Show our tab; possible once the sidebar was drawn."""
    area = next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == "SEQUENCE_EDITOR")
    next(region for region in area.regions if region.type == "UI").active_panel_category = "Wan"


def take_strip(scene, status):
    """The image strip that shows the take of `status`, or None."""
    if status.take is None:
        return None
    folder = Path(status.take.folder).resolve()
    for strip in footage.strips_of(scene):
        if strip.type == "IMAGE" and Path(bpy.path.abspath(strip.directory)).resolve() == folder:
            return strip
    return None


def keep_frames(take: str, folder: Path) -> None:
    """Copy the take's frames beside the report."""
    folder.mkdir(parents=True)
    for file in sorted(Path(take).glob("*.png")):
        shutil.copy(file, folder)


if __name__ == "__main__":
    sys.exit(main())
