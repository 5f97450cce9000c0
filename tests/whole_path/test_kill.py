"""Blender is killed while a job runs: nothing is lost, and no process is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest

EDITOR = Path(__file__).with_name("editor_process.py")
LEFT_WITHIN_SECONDS = 60.0

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc"),
    pytest.mark.own_session,
]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def work_and_be_killed(extension: str, blend: Path, state: str, save: str) -> str:
    """Run an editor until its job is in `state`, kill it with SIGKILL; gives the job's id."""
    command = [sys.executable, str(EDITOR), extension, str(blend), state, save]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as editor:
        line = next((line for line in editor.stderr if line.startswith("{")), "")
        if not line:
            pytest.fail(f"the editor ended: {editor.wait()}")
        said = json.loads(line)
        editor.send_signal(signal.SIGKILL)
    end = time.monotonic() + LEFT_WITHIN_SECONDS
    while any(is_there(pid) for pid in said["processes"]):
        assert time.monotonic() < end, f"left behind: {[pid for pid in said['processes'] if is_there(pid)]}"
        time.sleep(0.05)
    assert len(said["processes"]) >= 3, "Blender, server and worker"
    return said["job_id"]


@pytest.fixture
def stopped(studio):
    """The studio with its own backend out of the way, so that the killed editor's is alone in the folder."""
    studio.session.server.stop()
    studio.until(lambda: not studio.session.server.connection._leaving)
    return studio


def reopen(studio, blend: Path) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = bpy.context.scene
    studio.session.server.start()


@pytest.mark.parametrize("save", ["before", pytest.param("after", marks=pytest.mark.long)])
def test_a_job_that_was_interrupted_is_offered_again_and_lands(stopped, extension, tmp_path, save):
    studio, blend = stopped, tmp_path / "film.blend"
    job_id = work_and_be_killed(extension, blend, "denoising", save)
    reopen(studio, blend)
    studio.until(lambda: studio.state(job_id) == "interrupted")
    assert studio.session.belongs_here(job_id)
    assert studio.session.jobs.get(job_id).problem.sentence
    assert not list((tmp_path / "wan").glob("*.partial"))
    assert bpy.ops.wan_vse.retry_job(job_id=job_id) == {"FINISHED"}
    studio.until(studio.takes)
    (take,) = studio.strips()
    assert studio.range(take) == (33, 50)


@pytest.mark.parametrize("save", [pytest.param("before", marks=pytest.mark.long), "after"])
def test_a_take_that_had_landed_unsaved_lands_again(stopped, extension, tmp_path, save):
    studio, blend = stopped, tmp_path / "film.blend"
    work_and_be_killed(extension, blend, "landed", save)
    reopen(studio, blend)
    studio.until(studio.takes)
    (take,) = studio.strips()
    assert studio.range(take) == (33, 50)
    bpy.ops.wm.save_mainfile()
    studio.until(lambda: all(job.settled for job in studio.session.queue()))
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    studio.idle()
    assert len(studio.strips()) == 1


@pytest.mark.long  # in CI, one that hangs and is ended, by the add-on's client (test_real_server)
def test_a_killed_server_is_started_again_and_says_what_became_of_the_job(studio):
    job_id = studio.ask("fog", quality="BEST", length_frames=17)
    studio.until(lambda: studio.state(job_id) in ("denoising", "decoding"))
    server = studio.session.server.connection._child.pid
    os.kill(server, signal.SIGKILL)
    studio.until(lambda: studio.state(job_id) == "interrupted")
    assert studio.session.server.status.state == "ready"
    assert bpy.ops.wan_vse.retry_job(job_id=job_id) == {"FINISHED"}
    studio.until(studio.takes)
