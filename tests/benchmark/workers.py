"""Takes an hour against workers, 1 to 16, with workers that sleep: `workers.py [--seconds S]`. In the backend's Python.

What the server itself costs shows as a loss against so many times one worker. Run it where nothing else runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import Served, request

WORKERS = (1, 2, 4, 8, 16)
TAKES_EACH = 4
FRAMES = 5


def main() -> int:
    """Measure, and print a row for each number of workers; 1 if one loses more than 5%."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=5.0, help="how long a take takes (5)")
    seconds = options.parse_args().seconds
    alone, worst = 0.0, 1.0
    for workers in WORKERS:
        hourly = takes_an_hour(workers, seconds)
        alone = alone or hourly
        share = hourly / (alone * workers)
        worst = min(worst, share)
        sys.stdout.write(f"{workers:3d} workers: {hourly:8.0f} takes an hour, {share:6.1%} of linear\n")
        sys.stdout.flush()
    return int(worst < 0.95)


def takes_an_hour(workers: int, seconds: float) -> float:
    """How many takes of so many seconds each are made in an hour, all workers being up."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        tiny_folder.write(folder / "models" / "embedded")
        media = folder / "media"
        media.mkdir()
        with Served(folder / "state", folder / "models", "--device", "cpu", "--workers", str(workers)) as server:
            made_all(server, media, workers, "slow:0.2")
            began = time.monotonic()
            made_all(server, media, workers * TAKES_EACH, f"slow:{seconds / FRAMES}")
            return workers * TAKES_EACH / (time.monotonic() - began) * 3600


def made_all(server: Served, media: Path, count: int, prompt: str) -> None:
    """Have so many takes made, and wait for the last."""
    jobs = [server.submit(request(media, prompt, length_frames=FRAMES, seed=seed)) for seed in range(count)]
    for job in jobs:
        server.wait_for(job, "done", seconds=600)


if __name__ == "__main__":
    sys.exit(main())
