"""A server whose worker has several cards, here processes on the processor: it uses all, and leaves none behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest

from tests.wan_backend.server.served import Served, request
from wan_backend.planning.several_cards import HALVES

pytestmark = pytest.mark.long
WORKER = [sys.executable, "-m", "wan_backend.worker"]
SIZE = {"width": 96, "height": 64, "length_frames": 5, "steps": 6, "guidance_scale": 4.0}
SECONDS = 300.0
TAKES = 30


def take(server: Served, media: Path, seed: int) -> dict:
    """What a take says of itself."""
    job = server.submit(request(media, "a red circle", seed=seed, negative_prompt="blue", **SIZE))
    done = server.wait_for(job, "done", "failed", seconds=SECONDS)
    assert done["state"] == "done", done
    return json.loads((Path(done["take"]["folder"]) / "take.json").read_text())


def test_both_halves_are_computed_and_none_outlives_a_server_that_is_killed(tmp_path, monkeypatch):
    media = tmp_path / "media"
    media.mkdir()
    flags = ("--device", "cpu", "--cards-per-take", "2")
    with Served(tmp_path / "state", tmp_path / "models", *flags, command=WORKER, OMP_NUM_THREADS="1") as server:
        made = next(
            settings
            for seed in range(TAKES)
            if (settings := take(server, media, seed))["backend"]["other_cards_forwards"] == SIZE["steps"]
        )  # the first may be made before the second process is ready
        assert made["plan"]["cards"] == 2 and HALVES in made["plan"]["notes"]
        started = psutil.Process(server.process.pid).children(recursive=True)
        halves = [each for each in started if "other_card_process" in " ".join(each.cmdline())]
        assert len(halves) == 1
        server.process.kill()
        gone, alive = psutil.wait_procs(started, SECONDS)
        assert halves[0] in gone and not alive
