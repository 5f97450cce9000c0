"""Renders sources with a Blender in the background, from a saved copy of the open file, one job at a time.

The open file, its settings and its undo steps stay as they are, and the window stays free. The other end of the order
and of the report is blender_addon/background/run.py.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.media import PARTIAL_SUFFIX
from ...wan_backend.protocol.messages import Role, Source
from ...wan_backend.storage import private_files
from ..backend.child_process import ChildProcess
from ..backend.launch_command import BackendCommand, BackendMissing
from ..background import made_folder
from ..timeline import compat, footage, strip_media, strip_transform
from ..timeline.footage import FootageRange
from . import script_trust

log = logging.getLogger(__name__)

LEFT_BEHIND_SECONDS = 86_400.0
"""A copy that is older was left by a Blender that ended before its rendering did."""
COPY_PREFIX = "copy-of-"
"""Of the names of the folders in the run folder that hold copies of the open file."""
OUR_ENGINES = frozenset({"BLENDER_EEVEE", "BLENDER_EEVEE_NEXT", "BLENDER_WORKBENCH", "CYCLES"})
"""The engines that Blender brings along; any other needs the person's add-ons as well."""
SCRUBBED = ("PYTHONHOME", "PYTHONPATH")
"""Variables that Blender sets for its own Python, and another Blender must not inherit."""
BACKGROUND = Path(__file__).resolve().parents[1]
"""The folder that holds the package `background`."""


@dataclass
class _RenderJob:
    """What is to be rendered for one job."""

    job_id: str
    folder: Path
    """Holds the copy, the order and the report; removed at the end."""
    targets: list[Path] = field(default_factory=list)
    """The folders that the pictures are rendered into."""
    order: Path | None = None
    problem: str = ""
    done: float = 0.0


class Renderer:
    """The queue of what is to be rendered, which the session's timer drives.

    `on_ready(job_id)` is called when all that was asked for a job is on the disk, `on_failed(job_id, sentence)` when
    it can't be; one of them once for each job that wasn't canceled, always from `tick`.
    """

    def __init__(
        self,
        run_folder: Callable[[], Path],
        on_ready: Callable[[str], None],
        on_failed: Callable[[str, str], None],
    ) -> None:
        self._run_folder = run_folder
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._queue: deque[_RenderJob] = deque()
        self._child: ChildProcess | None = None
        """Renders the first of the queue."""
        self._leaving: list[tuple[ChildProcess, _RenderJob]] = []

    @property
    def busy(self) -> bool:
        """True while anything is rendered, waits for it, or ends."""
        return bool(self._queue or self._leaving)

    def ask(self, job_id: str, scene: bpy.types.Scene, wanted: list[tuple[FootageRange, Source]]) -> None:
        """Save a copy of the open file as it is now; it's rendered from in later ticks.

        `wanted` are the ranges that have to be rendered, with the Sources that `source_or_render` returned for them.
        """
        run = self._run_folder()
        job = _RenderJob(job_id, run / f"{COPY_PREFIX}{job_id}", [Path(source.folder) for _, source in wanted])
        self._queue.append(job)
        try:
            private_files.make_folder(run)
            _remove_left_behind(run)
            private_files.make_folder(job.folder)
            order = write_order(job.folder, scene, wanted, job_id)
            if isinstance(order, str):
                job.problem = order
            else:
                job.order = order
        except (OSError, RuntimeError) as error:
            log.warning("No copy of the file for job %s: %s", job_id, error)
            job.problem = iface_(
                "A copy of the file for rendering could not be saved in {} ({}): make room or allow writing there, "
                "then try again."
            ).format(run, _plain(error))

    def tick(self, deadline: float) -> bool:
        """Look after the child until `deadline` (of time.perf_counter); True if something changed."""
        self._leaving = [left for left in self._leaving if not self._has_left(*left)]
        if not self._queue or time.perf_counter() > deadline:
            return False
        job = self._queue[0]
        if job.problem:
            self._end(job)
            return True
        if self._child is None:
            self._start(job)
            return True
        exit_code = self._child.exit_code
        report = _read_report(job.folder)
        done = report.get("done", 0) / max(1, report.get("of", 1))
        changed = bool(done != job.done)
        job.done = done
        if exit_code is None:
            return changed
        if exit_code != 0 or not all(target.is_dir() for target in job.targets):
            job.problem = _refusal(report) or self._why(self._child, exit_code, str(report.get("failed", "")))
        self._end(job)
        return True

    def cancel(self, job_id: str) -> None:
        """Don't render for that job; what was rendered for it is removed."""
        for job in [job for job in self._queue if job.job_id == job_id]:
            child = self._let_go(job)
            if child is not None:
                child.leave()
                self._leaving.append((child, job))
            else:
                _remove(job)

    @property
    def at_work(self) -> str:
        """The job that is rendered for; empty if none is."""
        return self._queue[0].job_id if self._queue else ""

    def progress(self, job_id: str) -> float | None:
        """How much is rendered for that job, from 0 to 1; None if it isn't in the queue."""
        return next((job.done for job in self._queue if job.job_id == job_id), None)

    def close(self, patience_seconds: float) -> None:
        """End every child, by force after `patience_seconds`, because Blender or the add-on ends."""
        for job in list(self._queue):
            self.cancel(job.job_id)
        for child, job in self._leaving:
            child.end_now(patience_seconds)
            _remove(job)
        self._leaving.clear()

    def _start(self, job: _RenderJob) -> None:
        assert job.order is not None
        try:
            self._child = ChildProcess(command(job.order), self._run_folder(), "render")
        except (BackendMissing, OSError) as error:
            job.problem = iface_("Blender could not be started to render the strips: {}").format(error)

    def _end(self, job: _RenderJob) -> None:
        child = self._let_go(job)
        if child is not None:
            child.leave()
            child.has_ended()
        if job.problem:
            _remove(job)
            self._on_failed(job.job_id, job.problem)
        else:
            shutil.rmtree(job.folder, ignore_errors=True)
            self._on_ready(job.job_id)

    def _let_go(self, job: _RenderJob) -> ChildProcess | None:
        """Take the job out of the queue; returns its child if it is being rendered."""
        child = None
        if self._queue[0] is job:
            child, self._child = self._child, None
        self._queue.remove(job)
        return child

    def _has_left(self, child: ChildProcess, job: _RenderJob) -> bool:
        if not child.has_ended():
            return False
        _remove(job)
        return True

    def _why(self, child: ChildProcess, exit_code: int, reported: str) -> str:
        log.error("Rendering ended with %d: %s; see %s", exit_code, reported, child.log_path)
        why = reported or child.last_log_line() or iface_("exit code {}").format(exit_code)
        return iface_(
            "Blender could not render the strips ({}): render them once with Render > Render Animation, fix what it "
            "reports, then try again. The log is {}."
        ).format(_plain(why), child.log_path)


def _read_report(folder: Path) -> dict[str, Any]:
    try:
        report = json.loads((folder / "report.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def _refusal(report: dict[str, Any]) -> str:
    """The sentence with which the Blender in the background refused, in this Blender's language; empty if it didn't."""
    template = str(report.get("refused", ""))
    return iface_(template).format(*report.get("values", ())) if template else ""


def _remove(job: _RenderJob) -> None:
    for target in job.targets:
        made_folder.remove(str(target), job.job_id)
        made_folder.remove(f"{target}{PARTIAL_SUFFIX}", job.job_id)
    shutil.rmtree(job.folder, ignore_errors=True)


def remove_rendered(folder: str, job_id: str) -> None:
    """Remove what was rendered for a job from its folder, and that one where nothing else is in it."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        made_folder.remove(os.path.join(folder, name), job_id)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _remove_left_behind(run: Path) -> None:
    oldest = time.time() - LEFT_BEHIND_SECONDS
    for folder in run.glob(f"{COPY_PREFIX}*"):
        if os.path.getmtime(folder) < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _plain(error: object) -> str:
    return str(error).strip().removeprefix("Error: ").rstrip(".")


def write_order(
    folder: Path, scene: bpy.types.Scene, wanted: list[tuple[FootageRange, Source]], job_id: str
) -> Path | str:
    """Save the copy of the open file and the order into `folder`; returns the order's file, or why there is none.

    Raises OSError and RuntimeError. Nothing of the open file changes; Blender remaps relative paths in the copy.
    """
    copy, order = folder / "copy.blend", folder / "order.json"
    last = sorted(wanted, key=lambda one: one[0].depth)  # depth leaves its scene in the copy as no other needs it
    pictures = []
    for what, source in last:
        picture = _picture(scene, what, source)
        if isinstance(picture, str):
            return picture
        pictures.append({**picture, "job": job_id})
    order_text = {
        "blend": str(copy),
        "report": str(folder / "report.json"),
        "cycles_device": _cycles_device(),
        "trusted": script_trust.may_run_scripts(),
        "scripts_refused": bpy.app.autoexec_fail,
        "pictures": pictures,
    }
    bpy.ops.wm.save_as_mainfile(filepath=str(copy), copy=True, check_existing=False, compress=False)
    private_files.make_private(copy)
    private_files.write_text(order, json.dumps(order_text))
    return order


def command(order: Path) -> BackendCommand:
    """The command that starts a Blender in the background; Python with bpy if this Blender is a Python module."""
    script = f"import sys; sys.path.insert(0, {str(BACKGROUND)!r}); from background import run; run.main()"
    environment = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
    if not bpy.app.binary_path:
        return BackendCommand([sys.executable, "-c", f"import bpy; {script}", "--", str(order)], environment)
    trusted = json.loads(order.read_text("utf-8"))["trusted"]  # another file may be open by now
    arguments = [bpy.app.binary_path, "--background", "-noaudio"]
    if all(scene.render.engine in OUR_ENGINES for scene in bpy.data.scenes):
        arguments.append("--factory-startup")
    # Blender handles its arguments in this order: behind the file, the one about scripts would come too late.
    arguments += ["--enable-autoexec" if trusted is True else "--disable-autoexec", str(order.with_name("copy.blend"))]
    arguments += ["--python-exit-code", "7", "--python-expr", script, "--", str(order)]
    return BackendCommand(arguments, environment)


def _picture(scene: bpy.types.Scene, wanted: FootageRange, source: Source) -> dict[str, Any] | str:
    """The order's entry for one source; or why it can't be rendered."""
    place = {"folder": source.folder, "files": source.files}
    if not wanted.depth:
        span = {"start": wanted.start, "end_exclusive": wanted.end_exclusive}
        seen = footage.render_inputs(scene, wanted)
        if isinstance(seen, str):
            return seen
        shown = {"strips": list(wanted.strip_names), "alone": seen.alone, "plays": seen.files}
        return {"kind": "frames", "scene": scene.name, **shown, **span, **place}
    strips: Any = compat.shown_strips(scene)
    strip = strips[wanted.strip_names[0]]
    frames = strip_media.frames_of_scene(strip, wanted.frames)
    seen_by = {
        "scene": strip.scene.name,
        "camera": strip.scene_camera.name if strip.scene_camera else "",
        "layer": compat.view_layer_name(strip),
    }
    if wanted.role is Role.CAMERA:
        lens = strip_transform.lens_in_frame(source.framing, strip_media.rendered_size(strip))
        return {"kind": "camera", **seen_by, "frames": frames, "lens": lens, **place}
    shots = itertools.groupby(frames, lambda frame: strip_media.camera_of(strip, frame))
    return {
        "kind": "depth",
        **seen_by,
        "shots": [list(shot) for _, shot in shots],
        **place,
    }


def _cycles_device() -> str:
    cycles: Any = bpy.context.preferences.addons.get("cycles")
    kind = "NONE" if cycles is None else cycles.preferences.compute_device_type
    return "" if kind == "NONE" else kind
