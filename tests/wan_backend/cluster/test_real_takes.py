"""Real takes on a real Ray cluster: to the bit what this machine makes, also where a node dies in the midst of one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.wan_backend.cluster.local_nodes import OF_SERVERS, LocalNodes
from tests.wan_backend.server.served import Served, request
from wan_backend.protocol.media import STEPS_FILE

PATIENCE_SECONDS = 240.0
PROMPT = "a red circle moves right on sand"
KILLED_AFTER_STEPS = 8
TAKE = {"length_frames": 17, "steps": 40, "seed": 7}
THREADS = {"OMP_NUM_THREADS": "1"}
"""As Ray gives a worker with one processor: the order of sums is that of the threads."""
pytestmark = pytest.mark.long


def served(folder: Path, *flags: str) -> Served:
    """A server with ordinary workers and the embedded model."""
    folder.mkdir()
    command = [sys.executable, "-m", "wan_backend", "serve", "--device", "cpu", "--state", str(folder / "state")]
    return Served(folder / "state", folder, instead=[*command, *flags], **OF_SERVERS, **THREADS)


def pictures(status: dict) -> dict[str, bytes]:
    """Those of a finished job's take."""
    return {file.name: file.read_bytes() for file in Path(status["take"]["folder"]).glob("*.png")}


def test_a_take_of_two_nodes_is_to_the_bit_that_of_one_machine(tmp_path):
    """The first node is killed between two steps, and the other goes on from the step that was kept."""
    with served(tmp_path / "alone") as server:
        job = server.submit(request(tmp_path / "alone/media", PROMPT, **TAKE))
        alone = pictures(server.wait_for(job, "done", seconds=PATIENCE_SECONDS))
    assert len(alone) == TAKE["length_frames"]
    with LocalNodes() as nodes:
        first = nodes.add()
        ray = ("--ray", nodes.address, "--ray-silent-seconds", "8")
        with served(tmp_path / "cluster", *ray) as server:
            job = server.submit(request(tmp_path / "cluster/media", PROMPT, **TAKE))

            def is_far(message: dict) -> bool:
                return message.get("method") == "progress" and message["params"]["step"] > KILLED_AFTER_STEPS

            server.wait(is_far, PATIENCE_SECONDS)
            nodes.kill(first)
            assert (tmp_path / "cluster/state/jobs" / job / "work" / STEPS_FILE).is_file()
            server.forget_messages()
            nodes.add()
            done = server.wait_for(job, "done", "failed", seconds=PATIENCE_SECONDS)
            told = [m["params"] for m in server.messages if m.get("method") == "progress"]
    assert done["state"] == "done", done
    assert any(each["sentence"].startswith("Resuming at step ") for each in told)
    assert min(each["step"] for each in told if each["sentence"].startswith("Step ")) >= KILLED_AFTER_STEPS
    assert pictures(done) == alone
