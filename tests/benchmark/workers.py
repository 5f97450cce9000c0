"""Takes an hour against workers, 1 to 16: `workers.py [--seconds S] [--ray] [--real]`. In the backend's Python.

What the server itself costs shows as a loss against so many times one worker, so these sleep. With --ray they are on a
Ray cluster of four nodes on this machine; with --real they make takes with the embedded model on one core each, which
tells something as far as there are cores: twice as many workers as those are the last row. The rest is told by what a
take costs the processor, in its worker and in all else: the server, the line to the cluster, Ray. Run it where nothing
else runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.wan_backend.cluster.local_nodes import OF_SERVERS, LocalNodes
from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import FAKE_WORKER, Served, request

WORKERS = (1, 2, 4, 8, 16)
NODES = 4
TAKES_EACH = 4
FRAMES = 5
REAL = {"width": 144, "height": 96, "length_frames": 17}
SECONDS = 900
WORKERS_NAMES = ("wan_backend.worker", FAKE_WORKER.name)


def main() -> int:
    """Measure, and print a row for each number of workers; 1 if one of those that sleep loses more than 5%."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0, help="how long a take takes (5)")
    options.add_argument("--ray", action="store_true", help="on a Ray cluster")
    options.add_argument("--real", action="store_true", help="real takes, up to two workers for each core")
    given = options.parse_args()
    alone, worst = 0.0, 1.0
    with LocalNodes() if given.ray else contextlib.nullcontext() as nodes:
        for _ in range(NODES if nodes else 0):
            nodes.add(max(WORKERS) // NODES)
        for workers in WORKERS:
            if given.real and workers > 2 * (os.cpu_count() or 1):
                break
            hourly, by_workers, by_others = takes_an_hour(workers, given.seconds, nodes, given.real)
            alone = alone or hourly
            share = hourly / (alone * workers)
            worst = min(worst, share)
            spent = f"a take costs {by_workers:.2f} s of a processor in its worker, {by_others:.2f} in all else"
            sys.stdout.write(f"{workers:3d} workers: {hourly:8.0f} takes an hour, {share:6.1%} of linear; {spent}\n")
            sys.stdout.flush()
    return int(worst < 0.95 and not given.real)


def takes_an_hour(workers: int, seconds: float, nodes: LocalNodes | None, real: bool) -> tuple[float, float, float]:
    """How many takes of so many seconds each are made in an hour, all workers being up.

    Then the processor's seconds for one, in its worker and elsewhere.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "models").mkdir()
        if not real:
            tiny_folder.write(folder / "models" / "embedded")
        media = folder / "media"
        media.mkdir()
        flags, around = ["--device", "cpu", "--workers", str(workers)], {"OMP_NUM_THREADS": "1"}
        if nodes:
            flags += ["--ray", nodes.address, "--ray-cards", "1"]
            around |= OF_SERVERS
        command = [sys.executable, "-m", "wan_backend.worker"] if real else None
        with Served(folder / "state", folder / "models", *flags, command=command, **around) as server:
            begin_all(server, media, workers, real)
            began, before = time.monotonic(), spent(server, nodes)
            count = workers * TAKES_EACH
            submitted = [server.submit(asked(media, seed, seconds / FRAMES, real)) for seed in range(count)]
            for job in submitted:
                server.wait_for(job, "done", seconds=SECONDS)
            took = time.monotonic() - began
            by_workers, by_others = (now - then for now, then in zip(spent(server, nodes), before, strict=True))
            return count / took * 3600, by_workers / count, by_others / count


def spent(server: Served, nodes: LocalNodes | None) -> tuple[float, float]:
    """The processor's seconds so far: of the workers, and of all else that runs for them."""
    by_workers = by_others = 0.0
    for pid in [server.process.pid, *([nodes.pid] if nodes else [])]:
        top = psutil.Process(pid)
        for each in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = each.cpu_times()
                if any(word in WORKERS_NAMES or Path(word).name in WORKERS_NAMES for word in each.cmdline()):
                    by_workers += times.user + times.system
                else:
                    by_others += times.user + times.system
    return by_workers, by_others


def begin_all(server: Served, media: Path, workers: int, real: bool) -> None:
    """Have all workers up: each gets a job that lasts until the others have theirs.

    Real takes may be over before the last worker is up; then there is another round, in which each loads its model.
    """
    are_up = False
    while not are_up:
        are_up = not real or len(seen_up(server)) == workers
        jobs = [server.submit(asked(media, 1000 + each, 60.0, real)) for each in range(workers)]
        for job in jobs:
            server.wait_for(job, "loading", "done", seconds=SECONDS)
        for job in jobs:
            if real:
                server.wait_for(job, "done", seconds=SECONDS)
            else:
                server.call("cancel", job_id=job)
                server.wait_for(job, "cancelled", seconds=SECONDS)


def seen_up(server: Served) -> set[int]:
    """The places whose workers came up."""
    told = [message["params"] for message in server.messages if message.get("method") == "worker"]
    return {each["number"] for each in told if each["state"] in ("ready", "busy")}


def asked(media: Path, seed: int, frame_seconds: float, real: bool) -> dict:
    """A take: of so many seconds a frame, or a real one."""
    if real:
        return request(media, "a red circle", seed=seed, **REAL)
    return request(media, f"slow:{frame_seconds}", length_frames=FRAMES, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
