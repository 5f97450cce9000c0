"""A Ray cluster whose nodes are started by Ray's own autoscaler as they are asked for, on this machine's loopback.

Ray's provider for tests has the nodes, and their resources, as a cloud has machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.wan_backend.cluster.local_nodes import AROUND, LOOPBACK, STORE_BYTES

HEAD = "ray.head.default"
"""What the provider takes the head for."""
HEAD_ID = "f" * 51 + "00000"
PROVIDER = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True}
IDLE_MINUTES = 0.05
"""A node on which nothing runs goes after so long."""


class ScalingNodes:
    """The cluster: a head without room for workers, and at most `most` nodes. Use it with `with`."""

    def __init__(self, most: int, cards: int = 1) -> None:
        with socket.socket() as free:
            free.bind((LOOPBACK, 0))
            self.address = f"{LOOPBACK}:{free.getsockname()[1]}"
        self._folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp")  # its sockets' names must be short
        file = Path(self._folder.name) / "scaling.json"
        file.write_text(json.dumps(self._scaling(most, cards)))
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=0"]
        command += [f"--port={self.address.rpartition(':')[2]}", f"--node-ip-address={LOOPBACK}", "--num-gpus=0"]
        command += ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={self._folder.name}"]
        command += [f"--object-store-memory={STORE_BYTES}", f"--autoscaling-config={file}"]
        around = {**AROUND, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        around |= {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID, "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "600"}
        self._process = subprocess.Popen(
            command, env={**os.environ, **around}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> ScalingNodes:
        return self

    def __exit__(self, *_: object) -> None:
        all_of_it = [each for each in self._all() if each.pid != self._process.pid]
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        for each in all_of_it:
            with contextlib.suppress(psutil.Error):
                each.kill()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def nodes(self) -> int:
        """How many the autoscaler has started and not ended."""
        return len(self._all("raylet")) - 1

    def _all(self, name: str = "") -> list[psutil.Process]:
        """What belongs to it, all that was started with its folder; of that name, if one is given."""
        found = []
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(self._folder.name in word for word in each.cmdline()) and name in ("", each.name()):
                    found.append(each)
        return found

    def _scaling(self, most: int, cards: int) -> dict:
        worker = {"CPU": 1, "GPU": cards, "object_store_memory": STORE_BYTES}
        types = {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": most},
        }
        commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
        return {
            **{f"{name}_commands": [] for name in commands},
            **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
            **{name: {} for name in ("file_mounts", "auth", "docker")},
            "cluster_name": "wan",
            "max_workers": most,
            "provider": {**PROVIDER, "gcs_address": self.address},
            "available_node_types": types,
            "head_node_type": HEAD,
            "upscaling_speed": 1.0,
            "idle_timeout_minutes": IDLE_MINUTES,
        }
