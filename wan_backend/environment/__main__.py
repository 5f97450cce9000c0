"""`python -m wan_backend.environment plan|create --folder F --torch auto`: events on stdout, pip's words on stderr.

Standard library, whole_file and the protocol only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from pathlib import Path

from ..protocol.conversion import to_json
from ..protocol.envelope import Notification
from ..protocol.messages import Problem, ProblemKind, SetupPlan, SetupProgress, SetupState
from ..storage import whole_file
from . import create, interpreters, torch_build

BACKEND_FILE = "backend.json"
"""Written beside the environment once it is whole: {"python": path}; the add-on looks for it."""

NO_PYTHON = (
    "No Python 3.11, 3.12 or 3.13 with its venv module was found. Install Python 3.12 (python.org, or "
    "'sudo apt install python3.12-venv' on Debian and Ubuntu), then set up again."
)


def main(arguments: list[str] | None = None) -> int:
    """Plan or make the environment; exit code 0 where it is or would be good."""
    parser = argparse.ArgumentParser(prog="wan_backend.environment", description=__doc__)
    parser.add_argument("verb", choices=["plan", "create"])
    parser.add_argument("--folder", type=Path, required=True, help="the environment goes into FOLDER/environment")
    parser.add_argument("--torch", default="auto", help="auto, cpu, cuda, rocm or mps")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    plan = make_plan(options.folder, options.torch)
    if options.verb == "plan":
        _send("setup_plan", plan)
        return 0 if plan.problem is None else 1
    _leave_with_parent()
    return _create(plan, options.torch)


def make_plan(folder: Path, wish: str) -> SetupPlan:
    """What `create` would do here."""
    folder = folder.absolute()
    python = interpreters.find()
    try:
        build = torch_build.choose(wish)
    except ValueError as error:
        return SetupPlan("", wish, str(folder), 0, str(error), Problem(ProblemKind.SETUP, str(error)))
    ready = create.is_ready(folder / "environment", create.backend_steps(build))
    size = 0 if ready else build.download_bytes
    sentence = (
        f"About {size / 1e9:.1f} GB will be downloaded and installed into {folder} ({build.name} build of torch)."
        if size
        else f"The environment in {folder} is complete; there is nothing to download."
    )
    problem = Problem(ProblemKind.NO_PYTHON, NO_PYTHON) if python is None else None
    return SetupPlan(python.path if python else "", build.name, str(folder), size, sentence, problem)


def _create(plan: SetupPlan, wish: str) -> int:
    python = interpreters.find()
    if plan.problem or python is None:
        problem = plan.problem or Problem(ProblemKind.NO_PYTHON, NO_PYTHON)
        _send("setup", SetupProgress(SetupState.FAILED, sentence=problem.sentence, problem=problem))
        return 1
    folder = Path(plan.folder)
    steps = create.backend_steps(torch_build.choose(wish))

    def report(step: int, count: int, sentence: str) -> None:
        _send("setup", SetupProgress(SetupState.RUNNING, step, count, (step - 1) / count, sentence))

    try:
        made = create.create(folder / "environment", python, steps, report)
        create.link_package(folder / "environment")
        whole_file.write(folder / BACKEND_FILE, json.dumps({"python": str(made)}).encode())
    except (create.SetupFailed, OSError) as error:
        problem = Problem(ProblemKind.SETUP, str(error))
        _send("setup", SetupProgress(SetupState.FAILED, sentence=str(error), problem=problem))
        return 1
    _send("setup", SetupProgress(SetupState.DONE, len(steps) + 1, len(steps) + 1, 1.0, "The backend is set up."))
    return 0


def _send(method: str, message: SetupPlan | SetupProgress) -> None:
    sys.stdout.buffer.write(Notification(method, to_json(message)).line())
    sys.stdout.buffer.flush()


def _leave_with_parent() -> None:
    """End, with pip, when stdin ends: Blender was closed or the set-up cancelled."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by this thread as it waits, would make a normal exit a fatal error.
        while os.read(0, 4096):
            pass
        if hasattr(os, "killpg") and os.getpid() == os.getpgrp():
            os.killpg(os.getpgrp(), 15)
        os._exit(3)

    if not sys.stdin.isatty():
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
