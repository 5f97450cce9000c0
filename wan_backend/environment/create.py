"""Says what an environment is made of, and makes it with pip, which is the way if uv can't be had (make.py).

A folder is ready when its `environment.json` says so and names the same packages; that file is written last, so a
half-made environment is never taken for a whole one. pip keeps what it has downloaded, so a second try after a
failure goes on about where the first stopped.

What is installed is what the lists say (lock.txt, and one for each build of torch), each file compared with the SHA-256
that its index had of it when the list was made; and only as wheels, for building one would fetch what is in no list.
Of torch for AMD's cards nobody states a checksum: it's noted when first installed and compared after (`first_files`).
A person's settings of pip can't change what is installed.
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
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..protocol.sentences import Sentence
from ..storage import whole_file
from . import first_files, torch_build
from .causes import SetupFailed
from .interpreters import Interpreter
from .torch_build import TorchBuild

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
CONSTRAINTS = HERE / "constraints.txt"
LOCK, LOCK_TORCH = HERE / "lock.txt", HERE / "lock_torch.txt"
LOCK_HOPPER = HERE / "lock_hopper.txt"
"""FlashAttention 3 for Hopper cards; this list is written by hand, since no other package needs it."""
REACH = ("proxy", "cert", "client-cert", "timeout", "retries")
"""Of a person's settings of pip, how the network is reached; these are kept."""
MIRROR = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host")
"""Kept as well where all files are compared with checksums: those may come from wherever, as a company's own folder."""
LISTED = ("--no-deps", "--only-binary=:all:", "--require-hashes", "-r")
OTHER_FILE = "DO NOT MATCH THE HASHES"
"""pip's words for a file with another checksum."""
READY_FILE = "environment.json"

ReportStep = Callable[[int, int, Sentence], None]
"""Called with the step's number (from 1), the number of steps, and a sentence."""


@dataclass(frozen=True)
class InstallStep:
    """One pip call."""

    sentence: Sentence
    pip_arguments: tuple[str, ...]
    unlisted: tuple[str, ...] = ()
    """Packages whose checksums nobody states: noted at the first time, compared after."""
    optional: bool = False
    """True if the environment is complete even if the step fails."""

    @property
    def hashed(self) -> bool:
        """True if every file is compared with a checksum, so that it may come from wherever."""
        return "--require-hashes" in self.pip_arguments


def python_of(folder: Path) -> Path:
    """The environment's Python."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@dataclass(frozen=True)
class Extra:
    """What is said of packages that are added for those who ask for them."""

    installing: Sentence
    added: Sentence


EXTRAS = {
    "signing": Extra(Sentence("Installing what signs movies"), Sentence("Movies can be signed.")),
    "cluster": Extra(Sentence("Installing Ray"), Sentence("Workers can run on a Ray cluster.")),
    "web": Extra(Sentence("Installing Gradio"), Sentence("The page for a browser can be served.")),
    "finish": Extra(Sentence("Installing what reads upscaling models"), Sentence("Finished takes can be made larger.")),
}
"""By the word that asks for it; lock_<word>.txt lists the packages of each."""


def backend_steps(torch: TorchBuild, more: Sequence[str] = (), extras: Sequence[str] = ()) -> list[InstallStep]:
    """The pip calls of the backend's environment, with some of EXTRAS.

    `more` are further pinned packages, as the tests'.
    """
    (torch_pin,) = [pin for pin in pins() if pin.startswith("torch==")]
    said = Sentence(
        "Installing {torch_pin} ({torch} build; about {download} GB in all)",
        torch_pin=torch_pin,
        torch=torch.name,
        download=f"{torch.download_bytes / 1e9:.1f}",
    )
    if torch.listed:
        first = InstallStep(said, (*LISTED, str(HERE / torch.listed), *torch.pip_arguments))
    else:
        first = InstallStep(said, ("--no-deps", "--only-binary=:all:", *torch.pip_arguments), (torch_pin, *torch.needs))
    steps = [
        first,
        InstallStep(Sentence("Installing diffusers, transformers and what they need"), (*LISTED, str(LOCK))),
        *map(extra_step, extras),
    ]
    if torch is torch_build.BUILDS["cuda"] and torch_build.has_hopper():
        steps.append(
            InstallStep(
                Sentence("Installing FlashAttention 3 for this card"), (*LISTED, str(LOCK_HOPPER)), optional=True
            )
        )
    return (
        [*steps, InstallStep(Sentence("Installing what tests need"), (*more, "-c", str(CONSTRAINTS)))]
        if more
        else steps
    )


def extra_step(extra: str) -> InstallStep:
    """The pip call that adds one of EXTRAS to an environment."""
    return InstallStep(EXTRAS[extra].installing, (*LISTED, str(HERE / f"lock_{extra}.txt")))


def pins() -> list[str]:
    """The lines of requirements.txt that name a package."""
    lines = REQUIREMENTS.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def is_ready(folder: Path, steps: Sequence[InstallStep]) -> bool:
    """True if the environment in `folder` was made whole, with the same packages, and its Python is there."""
    try:
        known = json.loads((folder / READY_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return known == _description(steps) and python_of(folder).exists()


def create(
    folder: Path, interpreter: Interpreter, steps: Sequence[InstallStep], report: ReportStep, isolated: bool = True
) -> Path:
    """Make or complete the environment in `folder` and return its Python; does nothing if it is ready.

    `isolated`: whatever a person set for pip, in files or variables, doesn't change what is installed.
    Raises SetupFailed with a sentence; what pip said goes to stderr.
    """
    if is_ready(folder, steps):
        return python_of(folder)
    install(folder, interpreter, steps, report, isolated)
    mark_ready(folder, steps)
    return python_of(folder)


def install(
    folder: Path, interpreter: Interpreter, steps: Sequence[InstallStep], report: ReportStep, isolated: bool
) -> None:
    """Install `steps` with pip into the environment in `folder`, without calling it ready. Raises SetupFailed."""
    count = len(steps) + 1
    (folder / READY_FILE).unlink(missing_ok=True)
    report(1, count, Sentence("Creating the environment in {folder}", folder=folder))
    _make_venv(folder, interpreter)
    for number, step in enumerate(steps, start=2):
        report(number, count, step.sentence)
        try:
            _pip(folder, step, interpreter.version, isolated)
        except SetupFailed as error:
            if not step.optional:
                raise
            log.warning("an optional step failed, and set-up goes on without it: %s", error)


def mark_ready(folder: Path, steps: Sequence[InstallStep]) -> None:
    """Call the environment ready: it's whole and answers."""
    whole_file.write(folder / READY_FILE, json.dumps(_description(steps)).encode())


def folder_name(steps: Sequence[InstallStep]) -> str:
    """What an environment of these packages is called, so that a new one never lies where the old one is."""
    return f"environment-{hashlib.sha256(json.dumps(_description(steps)).encode()).hexdigest()[:8]}"


def link_package(folder: Path) -> None:
    """Let the environment's Python find this wan_backend, so that `python -m wan_backend ...` works from anywhere."""
    for packages in (*folder.glob("lib/python3*/site-packages"), *folder.glob("Lib/site-packages")):
        (packages / "wan_backend.pth").write_text(f"{HERE.parents[1]}\n", "utf-8")


def _description(steps: Sequence[InstallStep]) -> dict[str, object]:
    """What is installed, by content, so that an environment stays ready when the clone is moved."""
    texts = []
    for step in steps:
        for argument in (*step.pip_arguments, *step.unlisted):
            path = Path(argument)
            is_list = path.suffix == ".txt" and path.exists()
            texts.append(hashlib.sha256(path.read_bytes()).hexdigest() if is_list else argument)
    return {"state": "ready", "packages": texts}


def _make_venv(folder: Path, interpreter: Interpreter) -> None:
    if python_of(folder).exists() and _run([str(python_of(folder)), "-I", "-m", "pip", "--version"]) == 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _run([interpreter.path, "-I", "-m", "venv", str(folder)]) != 0:
        raise SetupFailed(
            Sentence(
                "{interpreter} could not create an environment in {folder}; read the log, and check that "
                "the folder can be written to.",
                interpreter=interpreter.path,
                folder=folder,
            )
        )


def _pip(folder: Path, step: InstallStep, python: tuple[int, int], isolated: bool) -> None:
    pip = [str(python_of(folder)), "-I", "-m", "pip"]  # nothing of the folder that Blender was started in
    command = [*pip, "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    variables = without_python_variables()
    if isolated:
        variables = {**without_python_variables(pip_too=True), **reach_of(_pip_settings(pip), step.hashed)}
    note = first_files.note_of(folder)
    with tempfile.TemporaryDirectory() as scratch:
        words, report, listed = Path(scratch, "pip.log"), Path(scratch, "report.json"), Path(scratch, "first.txt")
        arguments = [*step.pip_arguments, "--log", str(words)]
        before = _known(note, step, python)
        if before:
            listed.write_text("".join(f"{pin} --hash=sha256:{before[pin]}\n" for pin in step.unlisted), "utf-8")
            arguments += ["--require-hashes", "-r", str(listed)]
        elif step.unlisted:
            arguments += [*step.unlisted, "--report", str(report)]
        if _run([*command, *arguments], variables) != 0:
            raise SetupFailed(_why(folder, step, note if before else None, words))
        if report.exists():
            first_files.keep(note, report, step.unlisted, python)


def _known(note: Path, step: InstallStep, python: tuple[int, int]) -> dict[str, str]:
    """The checksums of what the step installs, if all of them were noted. Raises SetupFailed."""
    try:
        known = first_files.known(note, step.unlisted, python)
    except ValueError:
        sentence = Sentence(
            "{note}, which has the checksums of what was installed first, is damaged; delete it and set up again.",
            note=note,
        )
        raise SetupFailed(sentence) from None
    return known if len(known) == len(step.unlisted) else {}


def _why(folder: Path, step: InstallStep, note: Path | None, words: Path) -> Sentence:
    """Why a step failed, for a person; `note`: it was compared with what is noted there."""
    other_file = words.exists() and OTHER_FILE in words.read_text("utf-8", "replace")
    if other_file and note is not None:
        return Sentence(
            "{activity} stopped: the file isn't the one any more that was first installed here, so "
            "it wasn't used. If its publisher says why, delete {note} and set up again.",
            activity=step.sentence,
            note=note,
        )
    if other_file:
        return Sentence(
            "{activity} stopped: a file isn't the one that this version was tested with, so it "
            "wasn't used. Something between here and its index changed it: set up again on another "
            "network, or update Wan VSE.",
            activity=step.sentence,
        )
    free = shutil.disk_usage(folder).free / 1e9
    return Sentence(
        "{activity} failed ({free} GB are free there). The log says why; fix the network or the "
        "disk, then set up again: it goes on where it stopped.",
        activity=step.sentence,
        free=f"{free:.1f}",
    )


def reach_of(settings: str, hashed: bool) -> dict[str, str]:
    """How a person reaches the network, out of the lines of `pip config list`, as variables for pip.

    `hashed`: and where packages lie, as what is installed is the same then.

    Variables, as they may hold passwords: a command is written to the log and seen by others in the list of processes.
    """
    kept = (*REACH, *MIRROR) if hashed else REACH
    found: dict[str, str] = {}
    for line in settings.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2].removeprefix("default-")
        if key in kept:
            with contextlib.suppress(ValueError, SyntaxError):
                found["PIP_" + key.upper().replace("-", "_")] = str(ast.literal_eval(value))
    return found


def _pip_settings(pip: list[str]) -> str:
    """What a person set for pip, variables last, as they count most; nothing if it can't say."""
    try:
        answer = subprocess.run(
            [*pip, "config", "list"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            env=without_python_variables(),
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    lines = answer.stdout.splitlines()
    return "\n".join(sorted(lines, key=lambda line: line.startswith(":env:")))


def without_python_variables(pip_too: bool = False) -> dict[str, str]:
    """The environment without what changes which packages Python sees, or how pip does its work."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "OCIO")}
    if not pip_too:
        return kept
    kept = {k: v for k, v in kept.items() if not k.upper().startswith("PIP_")}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}  # with this name, pip reads no file of settings at all


def _run(command: list[str], variables: dict[str, str] | None = None) -> int:
    """Run a step with its output on our stderr: stdout is the channel of events."""
    log.info("running %s", " ".join(command))
    try:
        return subprocess.run(
            command, stdout=2, stderr=2, stdin=subprocess.DEVNULL, env=variables or without_python_variables()
        ).returncode
    except OSError as error:
        log.error("%s did not start: %s", command[0], error)
        return -1
