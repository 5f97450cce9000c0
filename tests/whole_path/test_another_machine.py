"""Blender here, the server behind a real ssh: the take of a film is, to the bit, the one that is made without."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "wan_backend" / "relay"))

import loopback_ssh  # noqa: E402

pytestmark = [
    pytest.mark.skipif(not loopback_ssh.is_possible(), reason="no sshd here"),
    pytest.mark.own_session,
]

WRITE_FILM = """
import sys, numpy as np
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.messages import FrameRate, MediaFormat
noise = np.random.default_rng(7)
with Movie(sys.argv[1], MediaFormat.H264, FrameRate(24).exact(), 512, 288) as movie:
    for index in range(60):
        movie.write(noise.integers(0, 255, (288, 512, 3), np.uint8), [index])
"""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film that is more to send than the frames that are read of it."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "OCIO")}
    command = [os.environ["WAN_VSE_BACKEND_PYTHON"], "-c", WRITE_FILM, str(tmp_path / "film.mp4")]
    subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, check=True)
    return tmp_path / "film.mp4"


def files_of(studio, job_id: str) -> dict[str, bytes]:
    """The pictures of a job's take."""
    folder = Path(studio.session.jobs.get(job_id).take.folder)
    return {file.name: file.read_bytes() for file in folder.glob("*.png")}


@pytest.mark.long
def test_a_gap_is_filled_over_ssh_to_the_bit_as_it_is_here(studio, addon, film, tmp_path):
    scene = bpy.context.scene
    strips = studio.compat.strips(scene.sequence_editor)
    sides = [strips.new_movie(f"film {start}", str(film), 1, start, fit_method="FIT") for start in (1, 71)]
    settings = scene.wan_vse
    settings.model, settings.quality, settings.seed, settings.seed_locked = "embedded", "DRAFT", 11, True
    scene.frame_set(65)

    def make() -> dict[str, bytes]:
        before = {job.job_id for job in studio.session.queue()}
        for strip in studio.strips():
            strip.select = strip in sides
        assert bpy.ops.wan_vse.fill_gap() == {"FINISHED"}
        (job_id,) = {job.job_id for job in studio.session.queue()} - before
        studio.until(lambda: studio.takes() and studio.state(job_id) == "done")
        made = files_of(studio, job_id)
        for take in studio.takes():
            strips.remove(take)
        studio.idle()
        return made

    here = make()
    ssh = loopback_ssh.LoopbackSsh(tmp_path / "ssh")
    preferences = addon("preferences").get()
    try:
        serve = [os.environ["WAN_VSE_BACKEND_PYTHON"], "-m", "wan_backend", "serve", "--stay"]
        threads = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("OMP_")]
        far = ssh.command(["env", f"PYTHONPATH={ROOT}", *threads, *serve, "--state", str(tmp_path / "far")])
        machine = preferences.machines.add()
        machine.name, machine.command = "box", shlex.join(far)
        preferences.used_machine = 1
        studio.session.restart()
        studio.until(lambda: studio.session.server.link is not None and studio.session.server.link.connected)
        studio.until(lambda: studio.session.server.models)
        there = make()
        assert there == here and len(here) > 3
        contents = list((tmp_path / "far/sent/contents").iterdir())
        assert contents and sum(file.stat().st_size for file in contents) < film.stat().st_size
    finally:
        preferences.used_machine = 0
        preferences.machines.clear()
        studio.session.server.stop()
        ssh.close()
