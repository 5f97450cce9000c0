"""Which Python runs the backend, with which arguments and environment."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .translation import translated

PYTHON_VARIABLE = "WAN_VSE_BACKEND_PYTHON"
"""An environment variable that names a Python with the backend's packages, for developers."""

SCRUBBED = ("PYTHONHOME", "PYTHONPATH", "OCIO")
"""Blender sets these for itself; in the child they would load Blender's modules and colors."""


class BackendMissing(Exception):
    """No backend can be started; `sentence` says why, and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class BackendSettings:
    """What the preferences say about the backend."""

    package_root: Path
    """The folder that holds the package `wan_backend`."""
    user_folder: Path
    """The extension's own folder, the only one that it may write in."""
    command: str = ""
    """A Python or a whole command line; empty for the environment that was set up."""
    models_folder: str = ""
    """An absolute path; empty for the Hugging Face cache alone."""
    device: str = "auto"
    """As `wan_backend serve --device` takes it: auto, cuda, mps or cpu."""
    memory_budget_gib: float = 0.0
    """In GiB; 0 for all of the device's memory."""


@dataclass(frozen=True)
class BackendCommand:
    """A command line and the environment that it runs in."""

    arguments: list[str]
    environment: dict[str, str]


def find(settings: BackendSettings, environment: Mapping[str, str] | None = None) -> BackendCommand:
    """The command that starts the server. Raises BackendMissing.

    Tried in this order: the preferences, the variable WAN_VSE_BACKEND_PYTHON, the environment that was set up.
    """
    around = os.environ if environment is None else environment
    python = _from_preferences(settings) or _from_variable(around) or _from_setup(settings)
    arguments = [*python, "-m", "wan_backend", "serve", "--state", str(settings.user_folder / "state")]
    if settings.models_folder:
        arguments += ["--models-folder", settings.models_folder]
    if settings.device and settings.device != "auto":
        arguments += ["--device", settings.device]
    if settings.memory_budget_gib > 0:
        arguments += ["--memory-budget-gib", f"{settings.memory_budget_gib:g}"]
    return BackendCommand(arguments, child_environment(settings.package_root, around))


def child_environment(package_root: Path, around: Mapping[str, str] | None = None) -> dict[str, str]:
    """`around` (by default this process's environment) without Blender's variables, with `wan_backend` on the path."""
    kept = dict(os.environ if around is None else around)
    for name in SCRUBBED:
        kept.pop(name, None)
    kept["PYTHONPATH"] = str(package_root)
    kept["PYTHONSAFEPATH"] = "1"  # or a module that lies in Blender's current folder would go before ours
    kept["PYTHONUNBUFFERED"] = "1"
    kept["PYTHONIOENCODING"] = "utf-8"
    return kept


def _from_preferences(settings: BackendSettings) -> list[str] | None:
    if not settings.command.strip():
        return None
    words = split_command(settings.command)
    if not Path(words[0]).is_file():
        sentence = translated("The backend set in the preferences, {}, is not there: correct it, or clear the field.")
        raise BackendMissing(sentence.format(words[0]))
    return [os.path.abspath(words[0]), *words[1:]]


def split_command(text: str) -> list[str]:
    """Split a command line into words; a path that exists stays whole, even with spaces in it."""
    whole = text.strip().strip('"')
    if Path(whole).is_file():
        return [whole]
    try:
        words = shlex.split(text, posix=os.name == "posix")
    except ValueError:
        words = []
    return [word.strip('"') for word in words] or [whole]


def _from_variable(environment: Mapping[str, str]) -> list[str] | None:
    python = environment.get(PYTHON_VARIABLE, "")
    if not python:
        return None
    if not Path(python).is_file():
        sentence = translated("{} names {}, which is not there: correct or unset it.")
        raise BackendMissing(sentence.format(PYTHON_VARIABLE, python))
    return [os.path.abspath(python)]


def _from_setup(settings: BackendSettings) -> list[str]:
    note = settings.user_folder / "backend" / "backend.json"
    try:
        python = json.loads(note.read_text(encoding="utf-8"))["python"]
    except FileNotFoundError:
        raise BackendMissing("The backend is not set up yet: open the preferences and press Set Up Backend.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        sentence = translated("{} can't be read: press Set Up Backend in the preferences to make it again.")
        raise BackendMissing(sentence.format(note)) from None
    if not isinstance(python, str) or not Path(python).is_file():
        raise BackendMissing("The backend's Python is gone: press Set Up Backend in the preferences to make it again.")
    return [python]
