"""Blender is killed in the midst of a rebuild: opened again, the run goes on, and its report is right."""

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
from test_kill import LEFT_WITHIN_SECONDS, is_there, reopen, stopped

__all__ = ["stopped"]

REBUILDER = Path(__file__).with_name("rebuilding_process.py")
NAMES = ("dawn", "dusk", "noon")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc"),
    pytest.mark.own_session,
    pytest.mark.long,
]


def draw(folder: Path) -> None:
    folder.mkdir()
    for number, name in enumerate(NAMES):
        image = bpy.data.images.new(name, 256, 144)
        image.pixels = [0.3 * number, 0.5, 0.7, 1.0] * (256 * 144)
        image.filepath_raw, image.file_format = str(folder / f"{name}.png"), "PNG"
        image.save()
        bpy.data.images.remove(image)
        os.utime(folder / f"{name}.png", (time.time() - 1000,) * 2)


def rebuild_and_be_killed(extension: str, blend: Path, pictures: Path) -> dict:
    """What the other Blender had said of its run when it was killed."""
    command = [sys.executable, str(REBUILDER), extension, str(blend), str(pictures)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as editor:
        lines: list[str] = []
        for line in editor.stderr:
            lines.append(line)
            if line.startswith('{"made"'):
                break
        else:
            pytest.fail(f"the editor ended with {editor.wait()}: {''.join(lines[-20:])}")
        said = json.loads(lines[-1])
        editor.send_signal(signal.SIGKILL)
    end = time.monotonic() + LEFT_WITHIN_SECONDS
    while any(map(is_there, said["processes"])):
        assert time.monotonic() < end, f"left behind: {[pid for pid in said['processes'] if is_there(pid)]}"
        time.sleep(0.05)
    return said


def test_the_report_in_the_morning_is_right_after_a_kill(stopped, extension, tmp_path) -> None:
    studio, blend = stopped, tmp_path / "film.blend"
    draw(tmp_path / "pictures")
    said = rebuild_and_be_killed(extension, blend, tmp_path / "pictures")
    states = [state for _, state in said["entries"]]
    assert states.count("rebuilt") == 1 and "asked" in states, states
    reopen(studio, blend)
    studio.until(lambda: studio.session.rebuilding.report)
    assert [entry.state.value for entry in studio.session.rebuilding.entries] == ["rebuilt"] * len(NAMES)
    assert "3 of 3 stale takes were rebuilt." in studio.session.rebuilding.report
    assert bpy.data.texts["Rebuilt Takes"].as_string() == studio.session.rebuilding.report
    strip_takes = studio.addon("timeline.strip_takes")
    studio.until(lambda: all(len(strip_takes.takes_of(strip)) == 2 for strip in studio.takes()))
    shown = {strip["wan_vse_job"] for strip in studio.takes()}
    assert len(studio.takes()) == len(NAMES) and not shown & set(said["made"]), "each strip shows its new take"
    kept = {take.job_id for strip in studio.takes() for take in strip_takes.takes_of(strip)}
    assert set(said["made"]) < kept, "and keeps the one before"
    studio.session.stale.look_again()
    studio.until(lambda: not studio.session.stale.busy and not studio.session.stale.found)
