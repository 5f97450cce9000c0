"""Makes a virtual environment in steps that can be taken up again. whole_file and standard library only.

A folder is ready when its `environment.json` says so and names the same packages; that file is written last, so a
half-made environment is never taken for a whole one. pip keeps what it has downloaded, so a second try after a
failure goes on about where the first stopped.

What is installed is what lock.txt says, each file compared with the SHA-256 that PyPI had of it when the lock was made.
torch has that where it comes from PyPI (for NVIDIA's cards on Linux, for Macs); the builds on PyTorch's own index (for
the CPU, AMD's cards, Windows) are pinned by version alone. A person's settings of pip can't change what is installed.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import whole_file
from . import torch_build
from .interpreters import Interpreter
from .torch_build import TorchBuild

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
CONSTRAINTS = HERE / "constraints.txt"
LOCK, LOCK_TORCH = HERE / "lock.txt", HERE / "lock_torch.txt"
LOCK_HOPPER = HERE / "lock_hopper.txt"
"""A kernel for such cards; written by hand, as no other package needs it."""
REACH = ("proxy", "cert", "client-cert", "timeout", "retries")
"""Of a person's settings of pip, how the network is reached; these are kept."""
READY_FILE = "environment.json"

Report = Callable[[int, int, str], None]
"""Called with the step's number (from 1), the number of steps, and a sentence."""


class SetupFailed(Exception):
    """A step failed; the message is a sentence for a person."""


@dataclass(frozen=True)
class Step:
    """One pip call."""

    sentence: str
    pip_arguments: tuple[str, ...]
    optional: bool = False
    """Where it fails, the environment is whole all the same."""

    @property
    def hashed(self) -> bool:
        """True where every file is compared with a checksum, so that it may come from wherever."""
        return "--require-hashes" in self.pip_arguments


def python_of(folder: Path) -> Path:
    """The environment's Python."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def backend_steps(torch: TorchBuild, more: Sequence[str] = ()) -> list[Step]:
    """The pip calls of the backend's environment; `more` are further pinned packages, as the tests'."""
    (torch_pin,) = [pin for pin in pins() if pin.startswith("torch==")]
    size = f"{torch.download_bytes / 1e9:.1f} GB in all"
    locked = ("--no-deps", "--require-hashes", "-r")
    first = (*locked, str(LOCK_TORCH)) if torch.on_pypi else (torch_pin, "--no-deps", *torch.pip_arguments)
    unlocked = ("-r", str(REQUIREMENTS), "-c", str(CONSTRAINTS))
    steps = [
        Step(f"Installing {torch_pin} ({torch.name} build; about {size})", first),
        Step(
            "Installing diffusers, transformers and what they need", (*locked, str(LOCK)) if torch.locked else unlocked
        ),
    ]
    if torch.name == "cuda" and torch.on_pypi and torch_build.has_hopper():
        steps.append(Step("Installing FlashAttention 3 for this card", (*locked, str(LOCK_HOPPER)), optional=True))
    return [*steps, Step("Installing what tests need", (*more, "-c", str(CONSTRAINTS)))] if more else steps


def pins() -> list[str]:
    """The lines of requirements.txt that name a package."""
    lines = REQUIREMENTS.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def is_ready(folder: Path, steps: Sequence[Step]) -> bool:
    """True where the environment in `folder` was made whole, with the same packages, and its Python is there."""
    try:
        known = json.loads((folder / READY_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return known == _description(steps) and python_of(folder).exists()


def create(
    folder: Path, interpreter: Interpreter, steps: Sequence[Step], report: Report, isolated: bool = True
) -> Path:
    """Make or complete the environment in `folder` and return its Python; does nothing where it is ready.

    `isolated`: whatever a person set for pip, in files or variables, doesn't change what is installed.
    Raises SetupFailed with a sentence; what pip said goes to stderr.
    """
    if is_ready(folder, steps):
        return python_of(folder)
    count = len(steps) + 1
    (folder / READY_FILE).unlink(missing_ok=True)
    report(1, count, f"Making the environment in {folder}")
    _make_venv(folder, interpreter)
    for number, step in enumerate(steps, start=2):
        report(number, count, step.sentence)
        try:
            _pip(folder, step, isolated)
        except SetupFailed as error:
            if not step.optional:
                raise
            log.warning("going on without: %s", error)
    whole_file.write(folder / READY_FILE, json.dumps(_description(steps)).encode())
    return python_of(folder)


def link_package(folder: Path) -> None:
    """Let the environment's Python find this wan_backend, so that `python -m wan_backend ...` works from anywhere."""
    for packages in (*folder.glob("lib/python3*/site-packages"), *folder.glob("Lib/site-packages")):
        (packages / "wan_backend.pth").write_text(f"{HERE.parents[1]}\n", "utf-8")


def _description(steps: Sequence[Step]) -> dict[str, object]:
    """What is installed, by content, so that an environment stays ready when the clone is moved."""
    texts = []
    for step in steps:
        for argument in step.pip_arguments:
            path = Path(argument)
            is_list = path.suffix == ".txt" and path.exists()
            texts.append(hashlib.sha256(path.read_bytes()).hexdigest() if is_list else argument)
    return {"state": "ready", "packages": texts}


def _make_venv(folder: Path, interpreter: Interpreter) -> None:
    if python_of(folder).exists() and _run([str(python_of(folder)), "-m", "pip", "--version"]) == 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _run([interpreter.path, "-m", "venv", str(folder)]) != 0:
        raise SetupFailed(
            f"{interpreter.path} could not make an environment in {folder}; see the log, and check that the folder "
            "can be written."
        )


def _pip(folder: Path, step: Step, isolated: bool) -> None:
    pip = [str(python_of(folder)), "-m", "pip"]
    command = [*pip, *(["--isolated"] if isolated else []), "install", "--disable-pip-version-check", "--no-input"]
    reach = reach_of(_pip_settings(pip), step.hashed) if isolated else []
    if _run([*command, "--progress-bar", "off", *reach, *step.pip_arguments], isolated) != 0:
        free = shutil.disk_usage(folder).free / 1e9
        raise SetupFailed(
            f"{step.sentence} failed ({free:.1f} GB are free there). The log says why; with the network and the "
            "disk in order, set up again: it goes on where it stopped."
        )


def reach_of(settings: str, hashed: bool) -> list[str]:
    """What pip is told of how a person reaches the network, out of the lines of `pip config list`.

    Of a step whose files are all compared with checksums, the index that they come from may be a mirror, too.
    """
    kept = (*REACH, "index-url") if hashed else REACH
    found: dict[str, str] = {}
    for line in settings.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2].removeprefix("default-")
        if key in kept:
            with contextlib.suppress(ValueError, SyntaxError):
                found[key] = str(ast.literal_eval(value))
    return [f"--{key}={value}" for key, value in found.items()]


def _pip_settings(pip: list[str]) -> str:
    """What a person set for pip, variables last, as they count most; nothing where it can't say."""
    try:
        answer = subprocess.run(
            [*pip, "config", "list"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            env=_without(),
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    lines = answer.stdout.splitlines()
    return "\n".join(sorted(lines, key=lambda line: line.startswith(":env:")))


def _without(pip_too: bool = False) -> dict[str, str]:
    """The environment without what changes which packages Python sees, or how pip does its work."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "OCIO")}
    if not pip_too:
        return kept
    kept = {k: v for k, v in kept.items() if not k.upper().startswith("PIP_")}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}  # with this name, pip reads no file of settings at all


def _run(command: list[str], isolated: bool = False) -> int:
    """Run a step with its output on our stderr: stdout is the channel of events."""
    log.info("running %s", " ".join(command))
    try:
        return subprocess.run(command, stdout=2, stderr=2, stdin=subprocess.DEVNULL, env=_without(isolated)).returncode
    except OSError as error:
        log.error("%s did not start: %s", command[0], error)
        return -1
