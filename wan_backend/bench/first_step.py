"""`python -m wan_backend bench --first-step NAME...`: from the click to the first step, with the files in the cache.

A checkpoint of full size and random weights is written as diffusers saves one, in 16 bit, as the copies are that a
first job leaves of files in 32 bit. A process like a worker's makes a take with it on the first day, when no kernels
were compiled or tried on the card; it makes another with all in memory; and a new process makes one on the second day.
The files were just written or read, so that the system has them in its cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import torch
from diffusers import WanPipeline

from ..loading import devices
from ..protocol.messages import JobState, ProgressParams, RunParams, RunResult
from ..storage import compiled_kernels
from . import figures
from .engines import Work, as_request
from .random_weights import RandomModel
from .terminal import show

WORKS = {
    "1.3B": Work(832, 480, 81, 6, 1.0, 8.0),
    "14B": Work(832, 480, 81, 4, 1.0, 5.0),
}
"""Models that are made, and the take of each."""
SETTLE_SECONDS = 60.0


@dataclass
class Course:
    """When a take's events came, in seconds since it was asked for; None for what didn't come."""

    begun: float | None = None
    """The first step begins: all that it needs is on the card."""
    step: float | None = None
    """The first step is done."""
    preview: float | None = None
    """There is a picture of what the take looks like."""
    second: float | None = None
    whole: float = 0.0
    phases: dict[str, float] | None = None
    kernels: str = ""
    """What computed it, as take.json says it."""
    problem: str = ""

    def note(self, progress: ProgressParams, seconds: float) -> None:
        """An event of the job."""
        if progress.state is not JobState.DENOISING:
            return
        self.begun = seconds if self.begun is None else self.begun
        if progress.step >= 1 and self.step is None:
            self.step = seconds
        if progress.step >= 2 and self.second is None:
            self.second = seconds
        if progress.preview and self.preview is None:
            self.preview = seconds


def run(names: Sequence[str], device: torch.device, file: Path | None = None) -> int:
    """Write each model, measure it, print; the exit code."""
    found: dict[str, Any] = {"device": devices.name(device), "torch": torch.__version__, "courses": {}}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            model, began = Path(folder, "model"), time.perf_counter()
            bytes_written = write(name, model, device)
            show(f"{name}: {bytes_written / 1e9:.1f} GB written in {time.perf_counter() - began:.0f} s")
            courses = measured(model, WORKS[name], Path(folder, "state"), device)
            show(_table(courses))
            found["courses"][name] = {day: asdict(course) for day, course in courses.items()}
            figures.write(file, found)
    return 0


def write(size: str, folder: Path, device: torch.device) -> int:
    """Write a random model of that size to `folder` as a checkpoint; the bytes of its files."""
    made = RandomModel(size, device)
    parts: dict[str, Any] = {name: made.component(name) for name in (*made.components, "tokenizer")}
    pipe: Any = WanPipeline(**parts, scheduler=made._scheduler)
    pipe.save_pretrained(folder, safe_serialization=True)
    del pipe
    parts.clear()
    del made
    devices.release(device)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measured(model: Path, work: Work, state: Path, device: torch.device) -> dict[str, Course]:
    """The courses of takes with the checkpoint in `model`, by what is told apart."""
    first, again = _in_new_process(model, work, state, device, takes=2)
    (second,) = _in_new_process(model, work, state, device, takes=1)
    return {"first day": first, "the next take": again, "second day": second}


def _in_new_process(model: Path, work: Work, state: Path, device: torch.device, takes: int) -> list[Course]:
    """The courses of `takes` takes by one new process."""
    asked = {"model": str(model), "work": asdict(work), "state": str(state), "device": device.type, "takes": takes}
    around = {**os.environ, **compiled_kernels.environment(state)}
    command = [sys.executable, "-m", "wan_backend.bench.first_step", json.dumps(asked)]
    answer = subprocess.run(command, env=around, check=True, stdout=subprocess.PIPE).stdout
    return [Course(**each) for each in json.loads(answer.splitlines()[-1])]


def _make_takes(model: Path, work: Work, state: Path, device: str, takes: int) -> list[Course]:
    """In the new process: the worker's own course of jobs, which differ in their seeds and prompts."""
    from ..worker.executor import Executor
    from ..worker.server_connection import Run

    courses: list[Course] = []
    began = time.perf_counter()
    executor = Executor(lambda progress: courses[-1].note(progress, time.perf_counter() - began))
    if device == "cuda":
        torch.zeros(1, device=device)  # what the driver needs to start isn't the model's
    for number in range(takes):
        folder = Path(tempfile.mkdtemp(dir=state.parent))
        request, plan = as_request(replace(work, seed=number), str(folder / "media"))
        request = replace(request, prompt=f"{request.prompt} {number} {os.getpid()}")
        params = RunParams(
            f"{number:032x}", request, plan, str(model), device, work_folder=str(folder / "work"),
            state_folder=str(state),
        )  # fmt: skip
        courses.append(Course())
        began = time.perf_counter()
        outcome = executor.run(Run(params, lambda _answer: None, Event()))
        course = courses[-1]
        course.whole = time.perf_counter() - began
        if isinstance(outcome, RunResult) and outcome.take is not None:
            course.phases = asdict(outcome.seconds)
            said = json.loads(Path(outcome.take.folder, "take.json").read_text("utf-8"))
            course.kernels = said["backend"]["kernels"]
        elif not isinstance(outcome, RunResult):
            course.problem = outcome.problem.sentence
        executor.make_way_for_others()
    return courses


def _table(courses: dict[str, Course]) -> str:
    heads = ("the first step", "its end", "the first preview", "the second step's end", "the take", "kernels")
    lines = [f"| seconds from the request to | {' | '.join(heads)} |"]
    lines.append("|---" * 7 + "|")
    for name, course in courses.items():
        times = (course.begun, course.step, course.preview, course.second, course.whole)
        cells = " | ".join("-" if each is None else f"{each:.2f}" for each in times)
        lines.append(f"| {name} | {cells} | {course.problem or course.kernels} |")
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in (course.phases or {}).items() if seconds)
        lines.append(f"| {name}, its phases | {phases} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """In the new process: make the takes that the argument asks for, and print their courses as JSON."""
    parser = argparse.ArgumentParser(prog="python -m wan_backend.bench.first_step", description=__doc__)
    parser.add_argument("asked", type=json.loads)
    asked = parser.parse_args(arguments).asked
    courses = _make_takes(
        Path(asked["model"]), Work(**asked["work"]), Path(asked["state"]), asked["device"], asked["takes"]
    )
    sys.stdout.write(json.dumps([asdict(course) for course in courses]) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
