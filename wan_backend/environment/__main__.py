"""Sets the backend up: `python -m wan_backend.environment plan|create|EXTRA --folder F --torch auto`.

Events go to stdout, what uv or pip says to stderr. In the folder lie:

    environment-XXXXXXXX/   an environment, called by what is in it; backend.json says which one is used
    tools/, python/         uv, and the Python that it brought
    cache/                  what was downloaded: a set-up that was stopped resumes with it
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ..protocol.conversion import to_json
from ..protocol.envelope import Notification
from ..protocol.messages import Problem, ProblemKind, SetupPlan, SetupProgress, SetupState
from ..protocol.sentences import Sentence, as_sentence
from ..storage import byte_sizes, whole_file
from . import create, interpreters, make, processes, torch_build
from .adding import BACKEND_FILE
from .amount import Amount
from .causes import SetupFailed

log = logging.getLogger(__name__)

NOTHING = Amount()
TELL_SECONDS = 0.25
SHARES = (0.0, 0.04, 0.08, 0.95, 1.0)
"""How much of the bar each step of `make` has."""
ROOM = 2.5
"""How much room an environment takes, for each byte that is fetched, at the least."""


def main(arguments: list[str] | None = None) -> int:
    """Plan or make the environment; exit code 0 if it is or would be good."""
    parser = argparse.ArgumentParser(prog="wan_backend.environment", description=__doc__)
    parser.add_argument("verb", choices=["plan", "create", *create.EXTRAS])
    parser.add_argument("--folder", type=Path, required=True, help="all of it goes in there")
    parser.add_argument("--torch", default="auto", help="auto, cpu, cuda, rocm or mps")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    if options.verb in create.EXTRAS:
        return _add(options.verb, options.folder.absolute())
    plan = make_plan(options.folder, options.torch)
    if options.verb == "plan":
        _send("setup_plan", plan)
        return 0 if plan.problem is None else 1
    _leave_with_parent()
    return _create(plan, options.torch)


def make_plan(folder: Path, wish: str) -> SetupPlan:
    """What `create` would do here."""
    folder = folder.absolute()
    python = interpreters.find(bare=True)
    path = python.path if python else ""
    try:
        build = torch_build.choose(wish)
    except ValueError as error:
        sentence = as_sentence(str(error))
        return SetupPlan("", wish, str(folder), 0, sentence, Problem(ProblemKind.SETUP, sentence))
    ready = _ready_one(folder, create.backend_steps(build))
    size = 0 if ready else build.download_bytes
    sentence = (
        Sentence(
            "About {size} GB will be downloaded and installed into {folder} ({build} build of torch).",
            size=f"{size / 1e9:.1f}",
            folder=folder,
            build=build.name,
        )
        if size
        else Sentence("The environment in {folder} is complete; there is nothing to download.", folder=folder)
    )
    return SetupPlan(path, build.name, str(folder), size, sentence, _no_room(folder, size))


def _no_room(folder: Path, size: int) -> Problem | None:
    """That it won't fit; what an earlier try fetched is there already."""
    held = 0
    try:
        for path in (folder / "cache").rglob("*"):
            held += path.lstat().st_size
        free = byte_sizes.free_bytes_at(folder)
    except OSError as error:
        log.warning("how much room there is can't be seen: %s", error)
        return None
    needed = size * ROOM - held
    if not size or free >= needed:
        return None
    sentence = Sentence(
        "The environment takes about {size} GB, and {free} GB are free on the disk of {folder}: "
        "free {needed} GB more, then set up again.",
        size=f"{size * ROOM / 1e9:.1f}",
        free=f"{free / 1e9:.1f}",
        folder=folder,
        needed=f"{(needed - free) / 1e9:.1f}",
    )
    return Problem(ProblemKind.DISK_FULL, sentence)


def _ready_one(folder: Path, steps: Sequence[create.InstallStep]) -> Path | None:
    """The environment that has these packages; by the name of older versions, too."""
    names = (create.folder_name(steps), "environment")
    return next((folder / name for name in names if create.is_ready(folder / name, steps)), None)


def _create(plan: SetupPlan, wish: str) -> int:
    if plan.problem:
        return _failed(plan.problem)
    folder, build = Path(plan.folder), torch_build.choose(wish)
    steps = create.backend_steps(build)
    wanted = make.Wanted(steps, question=make.ANSWERS, about_bytes=build.download_bytes)
    environment = _ready_one(folder, steps) or folder / create.folder_name(steps)
    places = make.Places(folder / "tools", folder / "python", folder / "cache")
    try:
        _sweep(folder, environment)
        made = make.make(environment, wanted, places, ProgressSender())
        create.link_package(environment)
        whole_file.write(folder / BACKEND_FILE, json.dumps({"python": str(made)}).encode())
    except SetupFailed as error:
        return _failed(Problem(error.kind, error.sentence))
    except OSError as error:
        return _failed(Problem(ProblemKind.SETUP, as_sentence(str(error))))
    _send("setup", SetupProgress(SetupState.DONE, make.COUNT, make.COUNT, 1.0, Sentence("The backend is set up.")))
    return 0


def _add(extra: str, folder: Path) -> int:
    """Install one of EXTRAS into the environment that is used. Another set-up begins without it."""
    try:
        used = Path(json.loads((folder / BACKEND_FILE).read_text("utf-8"))["python"])
        places = make.Places(folder / "tools", folder / "python", folder / "cache")
        make.add(used.parent.parent, create.extra_step(extra), places)
    except SetupFailed as error:
        return _failed(Problem(error.kind, error.sentence))
    except (OSError, ValueError, KeyError, TypeError):
        words = Sentence("No environment was set up in {folder}: set the backend up first.", folder=folder)
        return _failed(Problem(ProblemKind.SETUP, words))
    _send("setup", SetupProgress(SetupState.DONE, 1, 1, 1.0, create.EXTRAS[extra].added))
    return 0


def _failed(problem: Problem) -> int:
    _send("setup", SetupProgress(SetupState.FAILED, sentence=problem.sentence, problem=problem))
    return 1


def _sweep(folder: Path, wanted: Path) -> None:
    """Remove environments that are of no use: neither the one that is used until now, nor the one to be made.

    The one before is kept until the next set-up, since a backend may still run out of it.
    """
    try:
        used = Path(json.loads((folder / BACKEND_FILE).read_text("utf-8"))["python"])
    except (OSError, ValueError, KeyError, TypeError):
        used = wanted
    for old in folder.glob("environment*"):
        if old != wanted and old.is_dir() and old not in used.parents:
            log.info("removing %s, which isn't used", old)
            shutil.rmtree(old, ignore_errors=True)


class ProgressSender:
    """Sends how far it is, at most four times a second if only bytes change."""

    def __init__(self) -> None:
        self._told_at, self._sentence = 0.0, ""

    def __call__(self, step: int, count: int, sentence: Sentence, amount: Amount = NOTHING, /) -> None:
        """Send it."""
        now = time.monotonic()
        if sentence == self._sentence and now < self._told_at + TELL_SECONDS:
            return
        self._told_at, self._sentence = now, sentence
        share = amount.done_bytes / amount.total_bytes if amount.total_bytes else 0.0
        first, last = SHARES[step - 1], SHARES[step]
        _send(
            "setup",
            SetupProgress(
                SetupState.RUNNING, step, count, round(first + (last - first) * share, 4), sentence, None,
                amount.done_bytes, amount.total_bytes, amount.seconds_left,
            ),
        )  # fmt: skip


def _send(method: str, message: SetupPlan | SetupProgress) -> None:
    sys.stdout.buffer.write(Notification(method, to_json(message)).line())
    sys.stdout.buffer.flush()


def _leave_with_parent() -> None:
    """End, with uv or pip, when stdin ends: Blender was closed or the set-up canceled."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by this thread as it waits, would make a normal exit a fatal error.
        while os.read(0, 4096):
            pass
        processes.end_all()
        if hasattr(os, "killpg") and os.getpid() == os.getpgrp():
            os.killpg(os.getpgrp(), 15)
        os._exit(3)

    if not sys.stdin.isatty():
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
