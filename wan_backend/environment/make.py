"""Makes an environment from nothing: uv, a Python, the packages, and the question whether it answers.

uv does it if it can be had, with a Python of its own, else one of the system or Blender's; if uv can't be had,
pip does it (create.py). An environment is ready when its note says so, which is written last.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..protocol.messages import ProblemKind
from ..protocol.sentences import NO_SENTENCE, Sentence, as_sentence
from . import create, interpreters, processes, reach, uv_install, uv_tool
from .amount import Amount
from .causes import SetupFailed
from .interpreters import Interpreter
from .reach import Reach

log = logging.getLogger(__name__)

COUNT = 4
FETCH_UV, FETCH_PYTHON, INSTALL, ASK = 1, 2, 3, 4
ANSWERS = "import torch, diffusers, transformers, cv2, av; torch.ones(2).sum()"
"""What a new environment of the backend has to be able to do before it takes the old one's place."""
NO_PYTHON = Sentence(
    "No Python 3.11, 3.12 or 3.13 was found. Install Python 3.12 (python.org, or 'sudo apt "
    "install python3.12-venv' on Debian and Ubuntu), then set up again."
)


class Report(Protocol):
    """Receives how far it is: the step (from 1), how many there are, a sentence, and bytes if they are known."""

    def __call__(self, step: int, count: int, sentence: Sentence, amount: Amount = ..., /) -> None:
        """Report it."""


@dataclass(frozen=True)
class Places:
    """The folders of what is fetched once for all environments."""

    tools: Path
    pythons: Path
    cache: Path | None = None
    """Of uv; None: its usual one."""


@dataclass(frozen=True)
class Wanted:
    """The environment that is wanted."""

    steps: Sequence[create.InstallStep]
    versions: tuple[str, ...] = interpreters.PREFERRED
    """Of Python, the best first."""
    question: str = ""
    """A program that has to run in it before it's called ready."""
    about_bytes: int = 0
    isolated: bool = True
    """A person's settings of pip and uv change nothing but how and where things are fetched. Otherwise they hold, as
    for the tests, whose packages aren't all listed."""
    own_python: bool = True
    """uv's own Python goes first; otherwise it's fetched if the system has none."""


def make(folder: Path, wanted: Wanted, places: Places, report: Report) -> Path:
    """Make the environment in `folder` and return its Python; does nothing if it's ready. Raises SetupFailed."""
    if create.is_ready(folder, wanted.steps):
        return create.python_of(folder)
    (folder / create.READY_FILE).unlink(missing_ok=True)
    uv, why_not = _tool(wanted, places, report)
    python = _python(uv, wanted, places, report, why_not)
    if uv is not None and not any(step.unlisted for step in wanted.steps):
        uv_install.install(
            uv,
            python.path,
            folder,
            wanted.steps,
            lambda step: way(wanted.isolated, step.hashed),
            places.cache,
            lambda sentence, amount: report(INSTALL, COUNT, sentence, amount),
            wanted.about_bytes,
        )
    else:
        report(
            INSTALL,
            COUNT,
            Sentence("{why_not} pip makes the environment instead.", why_not=why_not)
            if why_not
            else Sentence("pip makes the environment"),
        )
        create.install(
            folder, python, wanted.steps, lambda _, __, sentence: report(INSTALL, COUNT, sentence), wanted.isolated
        )
    if wanted.question:
        report(ASK, COUNT, Sentence("Checking that the new environment works (this takes a while the first time)"))
        _ask(folder, wanted.question)
    create.mark_ready(folder, wanted.steps)
    return create.python_of(folder)


def add(folder: Path, step: create.InstallStep, places: Places) -> None:
    """Install one more step into an environment that is ready, and stays it. Raises SetupFailed."""
    wanted = Wanted([step])
    uv, why_not = _tool(wanted, places, lambda *_: None)
    if uv is None:
        raise SetupFailed(why_not)
    uv_install.add(uv, folder, step, way(True, step.hashed), places.cache)


def way(isolated: bool, hashed: bool) -> Reach:
    """How the network is reached: for what is compared with checksums, from wherever a person's settings say."""
    settings = create.reach_of(reach.pip_settings(), hashed or not isolated)
    return reach.find(settings, isolated)


def _tool(wanted: Wanted, places: Places, report: Report) -> tuple[Path | None, Sentence]:
    """uv, or why it can't be had."""
    try:
        found = uv_tool.bring(
            places.tools,
            way(wanted.isolated, hashed=True),
            lambda sentence, amount: report(FETCH_UV, COUNT, sentence, amount),
        )
    except uv_tool.NoTool as error:
        log.warning("uv can't be had: %s", error)
        return None, Sentence("uv isn't available ({reason}).", reason=as_sentence(str(error)).unended())
    return found, NO_SENTENCE


def _python(uv: Path | None, wanted: Wanted, places: Places, report: Report, why_not: Sentence) -> Interpreter:
    """uv's own Python, or one of the system, or Blender's."""
    report(FETCH_PYTHON, COUNT, Sentence("Looking for Python"))
    bare = uv is not None and not any(step.unlisted for step in wanted.steps)
    found = None if uv is not None and wanted.own_python else interpreters.find(wanted.versions, bare)
    if found is not None and f"{found.version[0]}.{found.version[1]}" in wanted.versions:
        return found
    if uv is not None:
        first = wanted.versions[0]
        version = uv_tool.PYTHON if uv_tool.PYTHON.startswith(f"{first}.") else first
        report(FETCH_PYTHON, COUNT, Sentence("Downloading Python {version} (about 30 MB)", version=version))
        try:
            return uv_tool.bring_python(uv, places.pythons, way(wanted.isolated, hashed=True), version)
        except SetupFailed as failure:
            log.warning("uv's Python can't be had: %s", failure)
            why_not = failure.sentence
            found = interpreters.find(wanted.versions, bare)
    if found is None or f"{found.version[0]}.{found.version[1]}" not in wanted.versions:
        raise SetupFailed(Sentence.joined(filter(None, (why_not, NO_PYTHON))), ProblemKind.NO_PYTHON)
    report(
        FETCH_PYTHON,
        COUNT,
        Sentence(
            "Python {version} of this system is used ({path})",
            version=f"{found.version[0]}.{found.version[1]}",
            path=found.path,
        ),
    )
    return found


def _ask(folder: Path, question: str) -> None:
    """See that the environment's Python answers. Raises SetupFailed."""
    ended = processes.run([str(create.python_of(folder)), "-I", "-c", question], create.without_python_variables())
    if ended.code:
        lines = [line.strip() for line in ended.words.splitlines() if line.strip()]
        last = lines[-1][:200] if lines else Sentence("it said nothing")
        raise SetupFailed(
            Sentence(
                "The new environment in {folder} doesn't work ({words}), so it isn't used; the previous "
                "one is kept. Set up again; if it happens again, see the log.",
                folder=folder,
                words=last,
            )
        )
