"""A Ray cluster of several nodes on this machine's loopback, for tests and benchmarks; a process of its own.

Run as a program, it does what comes on stdin, a line each: `add CARDS`, `kill I`, and ends all with stdin. So the
process that uses it never imports Ray, and what Ray leaves in a process goes with this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOOPBACK = "127.0.0.1"
STORE_BYTES = 80 << 20
AROUND = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray takes the machine's outward address for 127.0.0.1
    "RAY_enable_metrics_collection": "0",
    "RAY_worker_niceness": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # tests share the machine with others
    "PYTHONPATH": str(ROOT),
}
OF_SERVERS = {name: value for name, value in AROUND.items() if name != "PYTHONPATH"}
"""For a server that joins it."""
CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 15000,
    "health_check_failure_threshold": 4,
}
"""A node that is gone refuses, and is noticed within seconds; one that is only slow, on a busy machine, is not lost."""


class LocalNodes:
    """The cluster: a head without room for workers, and the nodes that are added. Use it with `with`."""

    def __init__(self, port: int = 0) -> None:
        """At that port; 0: at any that is free."""
        self._folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp")  # its sockets' names must be short
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._folder.name, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **AROUND},
        )
        self.address = ""

    def __enter__(self) -> LocalNodes:
        try:
            self.address = self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The process that all of it descends from."""
        return self._process.pid

    def add(self, cards: int = 1) -> int:
        """Start a node with room for so many workers of a card; its index."""
        return int(self._ask(f"add {cards}"))

    def kill(self, index: int) -> None:
        """End a node at once, as if its machine lost power."""
        self._ask(f"kill {index}")

    def _ask(self, words: str) -> str:
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        assert line, "the cluster could not be started"
        return json.loads(line)


def main(folder: str, port: str) -> None:
    """Be the cluster until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ray.cluster_utils import Cluster

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    common = {"node_ip_address": LOOPBACK, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    common |= {"include_log_monitor": False, "temp_dir": folder}
    # No autoscaler, which would be a Python of its own, and sees none of these nodes as its own.
    at = {"gcs_server_port": int(port)} if int(port) else {}
    cluster = Cluster(
        True,
        head_node_args={**common, "num_cpus": 0, "num_gpus": 0, "no_monitor": True, "_system_config": CHECKS, **at},
    )
    nodes = []
    answer(cluster.address)
    for line in sys.stdin:
        word, number = line.split()
        if word == "add":
            nodes.append(cluster.add_node(**common, num_cpus=int(number) or 1, num_gpus=int(number)))
            answer(len(nodes) - 1)
        else:
            _end_all_of(nodes[int(number)])
            cluster.remove_node(nodes[int(number)], allow_graceful=False)
            answer(int(number))
    cluster.shutdown()


def _end_all_of(node: object) -> None:
    """The workers of a node die with it: its actors, and what they started."""
    import psutil

    with_it = []
    for process in node.all_processes.get("raylet", ()):
        with_it += psutil.Process(process.process.pid).children(recursive=True)
    for each in with_it:
        with contextlib.suppress(psutil.Error):
            each.kill()


if __name__ == "__main__":
    main(*sys.argv[1:])
