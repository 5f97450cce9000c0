"""The benchmark of a long queue and a long cut (tests/benchmark/load.py), run in small: everything comes, nothing ends.

How long it takes is for the benchmark to say, on an idle machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BACKEND = os.environ.get("WAN_VSE_BACKEND_PYTHON", "")


@pytest.mark.skipif(not BACKEND, reason="WAN_VSE_BACKEND_PYTHON names no Python with the backend's packages")
def test_a_long_queue_comes_whole_and_is_watched(tmp_path):
    sys.path.insert(0, str(ROOT))
    import build

    archive, report = build.build_extension(tmp_path / "dist"), tmp_path / "report.json"
    command = [sys.executable, str(ROOT / "tests" / "benchmark" / "load.py"), "--extension", str(archive)]
    command += [
        "--backend",
        BACKEND,
        "--ended",
        "450",
        "--waiting",
        "150",
        "--strips",
        "200",
        "--watch",
        "1",
        "--takes",
        "2",
    ]
    done = subprocess.run(
        [*command, "--report", str(report)],
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    values = json.loads(report.read_text())
    assert values["problem"] == "" and values["jobs"] - 600 in (0, 1), "the search for a seam may ask for one more"
    names = [name for name, _, _ in values["rows"]]
    assert {"handler: undo, worst ms", "handler: save_pre, worst ms"} <= set(names)
    assert "timer: tick, worst ms" in names and ("the server's memory, MiB" in names or sys.platform != "linux")
