"""What was built of the Containerfile, used as docs/rented-cards.md says. `build_and_use` builds it and runs these.

WAN_VSE_CONTAINER is how a container is run here, as a list in JSON; WAN_VSE_IMAGE is the image.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wan_backend.server.served import Served, request

IMAGE = os.environ.get("WAN_VSE_IMAGE", "")
RUN: list[str] = json.loads(os.environ.get("WAN_VSE_CONTAINER", "[]"))
PATIENCE_SECONDS = 600.0
pytestmark = pytest.mark.skipif(not RUN, reason="no image was built: tests/container/build_and_use does that")


def said(*words: str) -> str:
    """What a command prints; fails where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def volume() -> Iterator[str]:
    """An empty volume for /data."""
    name = f"wan-test-{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run([RUN[0], "volume", "rm", "-f", name], capture_output=True)


def test_it_runs_as_a_user_without_rights():
    assert said(*RUN, "--rm", "--entrypoint", "id", IMAGE, "-u").strip() == "1000"


def test_generate_makes_a_take_in_the_volume(volume):
    data = ("-v", f"{volume}:/data")
    words = (
        "generate",
        "a red circle moves right on sand",
        "--frames",
        "9",
        "--quality",
        "draft",
        "-o",
        "/data/take.mp4",
    )
    said(*RUN, "--rm", *data, IMAGE, *words)
    size = said(*RUN, "--rm", *data, "--entrypoint", "stat", IMAGE, "-c", "%s", "/data/take.mp4")
    assert int(size) > 1000


def test_serve_makes_takes_of_another_machine_and_they_come_home(volume, tmp_path):
    far = [*RUN, "-i", "--rm", "-v", f"{volume}:/data", IMAGE, "serve"]
    near = [sys.executable, "-m", "wan_backend.relay", "--state", str(tmp_path / "near"), "--name", "box", "--", *far]
    media = tmp_path / "media"
    with Served(tmp_path / "near", tmp_path, instead=near) as served:
        job_id = served.submit(request(media, "a red circle moves right on sand", steps=2))
        done = served.wait_for(job_id, "done", "failed", seconds=PATIENCE_SECONDS)
        assert done["state"] == "done", done["problem"]
    assert len(list(Path(done["take"]["folder"]).glob("*.png"))) == 5


def test_it_is_healthy_and_can_be_entered(volume, tmp_path):
    name = f"wan-test-{uuid.uuid4().hex[:8]}"
    said(*RUN, "-d", "--name", name, "-v", f"{volume}:/data", "--entrypoint", "sleep", IMAGE, "infinity")
    try:
        said(RUN[0], *RUN[1 : RUN.index("run")], "healthcheck", "run", name)
        enter = [RUN[0], *RUN[1 : RUN.index("run")], "exec", "-i", name, "wan-backend", "serve"]
        with Served(tmp_path, tmp_path, instead=enter) as served:
            assert "models" in served.call("models")
    finally:
        subprocess.run([RUN[0], "rm", "-f", "-t", "0", name], capture_output=True)
