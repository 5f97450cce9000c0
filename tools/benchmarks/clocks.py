"""`python -m tools.benchmarks.clocks [NAME...]`: what the product says of its own speed, measured on this machine.

They are rows here and no asserts of tests, since how long a thing takes says as much of what else the machine does.
Run it where nothing else runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import clocked_processes, clocked_work

MISSED = 1


@dataclass(frozen=True)
class Claim:
    """What is measured, and the most that it may take."""

    words: str
    wanted_seconds: float
    measure: Callable[[Path], float]
    """Seconds of one run; given an empty folder."""
    tries: int = 3
    """The best counts: the machine may have been busy with other things."""


CLAIMS = {
    "preview": Claim("the live picture of one step at 720p", 0.05, clocked_work.preview),
    "step": Claim("keeping one step of 81 frames of 480p", 0.05, clocked_work.kept_step),
    "disk": Claim("the end of a job on a disk that hangs", 1.4, clocked_work.hanging_disk, 1),
    "conform": Claim("81 frames of 480p from 16 to 24 fps, of processor time", 12.0, clocked_work.conformed, 1),
    "heads": Claim("a second look at 40 headers of a thousand tensors", 0.5, clocked_work.many_heads, 1),
    "files": Claim("a second look through 5,000 files", 2.0, clocked_work.many_files, 1),
    "plan": Claim("a plan with 200 files in the models folder", 0.05, clocked_work.plan),
    "start": Claim("from the server's start to its first answer", 1.0, clocked_processes.server_start),
    "answers": Claim("the slowest of 30 answers while a take is made", 0.1, clocked_processes.answers_meanwhile),
    "cancel": Claim("from Cancel to a take that is canceled", 2.0, clocked_processes.cancel, 2),
    "leave": Claim("the server's leaving in the midst of a take", 2.0, clocked_processes.leave, 2),
    "worker": Claim("the leaving of a worker that has nothing to do", 1.0, clocked_processes.worker_leave, 2),
    "interrupt": Claim("from Ctrl-C to the end of `generate`", 3.0, clocked_processes.interrupt, 2),
}


@dataclass(frozen=True)
class Clocked:
    """A claim and what was measured."""

    words: str
    wanted_seconds: float
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether it was as quick as claimed."""
        return self.seconds <= self.wanted_seconds

    def row(self) -> str:
        """For a person."""
        said = "ok" if self.kept else "MISSED"
        return f"{self.seconds:9.3f} s  {self.wanted_seconds:7.2f} s  {said:6}  {self.words}"


def main(arguments: list[str] | None = None) -> int:
    """Measure the claims that the command line names, or all; the exit code says whether each was kept."""
    parser = argparse.ArgumentParser(prog="python -m tools.benchmarks.clocks", description="What is claimed of speed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(CLAIMS)}; by default, all")
    names = parser.parse_args(arguments).names
    if unknown := set(names).difference(CLAIMS):
        parser.error(f"there is no claim {', '.join(sorted(unknown))}")
    sys.stdout.write(" measured     wanted          what\n")
    kept = True
    for name in names or CLAIMS:
        clocked = measured(CLAIMS[name])
        kept = kept and clocked.kept
        sys.stdout.write(clocked.row() + "\n")
        sys.stdout.flush()
    return 0 if kept else MISSED


def measured(claim: Claim) -> Clocked:
    """The best of its tries, of which there are no more once one was quick enough."""
    best = float("inf")
    for _ in range(claim.tries):
        with tempfile.TemporaryDirectory() as folder:
            best = min(best, claim.measure(Path(folder)))
        if best <= claim.wanted_seconds:
            break
    return Clocked(claim.words, claim.wanted_seconds, best)


if __name__ == "__main__":
    sys.exit(main())
