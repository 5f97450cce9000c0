"""A take made larger all the way: a request in a file, a server, its worker, and files that are whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2

from tests.wan_backend import upscaling_models
from wan_backend.protocol.conversion import to_json

ROOT = Path(__file__).parents[3]


def test_a_take_is_made_larger_by_a_server_and_its_worker(tmp_path):
    upscaling_models.write(tmp_path / "models" / "upscale_models" / upscaling_models.NAME)
    request = upscaling_models.request(tmp_path, factor=2)
    (tmp_path / "request.json").write_text(json.dumps(to_json(request)))
    command = [
        sys.executable,
        "-m",
        "wan_backend",
        "generate",
        "--job",
        str(tmp_path / "request.json"),
        "--device",
        "cpu",
    ]
    command += ["--output", str(tmp_path / "out"), "--models-folder", str(tmp_path / "models")]
    around = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "HF_HUB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pictures = [cv2.imread(str(file)) for file in sorted((tmp_path / "out").glob("*.png"))]
    assert [picture.shape for picture in pictures] == [(64, 96, 3)] * 5
    settings = json.loads((tmp_path / "out" / "take.json").read_text())
    assert (settings["take"]["width"], settings["take"]["handle_before"]) == (96, 1)
    assert settings["model_parts"][0]["part"] == "upscaler"
