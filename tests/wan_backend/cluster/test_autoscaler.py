"""Ray's own autoscaler starts nodes for the jobs that wait, and ends them once nothing is left to be made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.wan_backend.cluster.local_nodes import OF_SERVERS
from tests.wan_backend.cluster.scaling_nodes import ScalingNodes
from tests.wan_backend.cluster.test_on_ray import takes_in
from tests.wan_backend.server.served import Served, request, wait_until

PATIENCE_SECONDS = 240.0
pytestmark = pytest.mark.long


def test_nodes_come_for_the_jobs_that_wait_and_go_when_they_are_made(tmp_path: Path, models_folder: Path):
    media = tmp_path / "media"
    media.mkdir()
    with ScalingNodes(most=2) as nodes:
        flags = ("--device", "cpu", "--ray", nodes.address, "--ray-cards", "1", "--idle-minutes", "0.05")
        with Served(tmp_path / "state", models_folder, *flags, **OF_SERVERS) as server:
            jobs = [server.submit(request(media, "slow:2", seed=seed)) for seed in range(6)]
            server.wait(
                lambda m: m.get("method") == "job" and "free place" in m["params"]["sentence"], PATIENCE_SECONDS
            )
            wait_until(lambda: nodes.nodes() == 2, PATIENCE_SECONDS)
            for job in jobs:
                server.wait_for(job, "done", seconds=PATIENCE_SECONDS)
            assert takes_in(media) == Counter(jobs)
            wait_until(lambda: nodes.nodes() == 0, PATIENCE_SECONDS)
            again = server.submit(request(media, seed=7))
            server.wait_for(again, "done", seconds=PATIENCE_SECONDS)
