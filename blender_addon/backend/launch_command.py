"""Which Python runs the backend, with which arguments and environment."""

from __future__ import annotations

import enum
import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...wan_backend.protocol.media import CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE
from ..translation import translated

PYTHON_VARIABLE = "WAN_VSE_BACKEND_PYTHON"
"""An environment variable that names a Python with the backend's packages, for developers."""

_PYTHONS = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe", "python")
"""Where a folder of an environment, or of a Python, has the program."""
SCRUBBED = ("PYTHONHOME", "PYTHONPATH", "OCIO")
"""Blender sets these for itself; in the child they would load Blender's modules and colors."""


class Remedy(enum.Enum):
    """What a button can do where no backend can be started."""

    NONE = "none"
    FIRST_SET_UP = "first_set_up"
    """Set one up: there was never any."""
    SET_UP = "set_up"
    """Set it up again."""
    USE_SET_UP = "use_set_up"
    """Clear the preferences' field: the one that was set up is there."""
    CLEAR = "clear"
    """Clear the preferences' field, so that one can be set up."""

    @property
    def clears(self) -> bool:
        """Whether it clears the preferences' field."""
        return self in (Remedy.USE_SET_UP, Remedy.CLEAR)


class BackendMissing(Exception):
    """No backend can be started; `sentence` says why, and what to do. `remedy`: None where nobody thought of one."""

    def __init__(self, sentence: str, remedy: Remedy | None = None) -> None:
        super().__init__(sentence)
        self.sentence, self.remedy = sentence, remedy


@dataclass(frozen=True)
class Machine:
    """Another machine whose backend is used."""

    name: str
    command: str
    """The command line that starts its server, such as `ssh box wan-backend serve`."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Folders that both machines see: the path here, the path there."""


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
    warm_up: bool = True
    """True if a model is to be loaded before a take is asked for."""
    idle_minutes: int = 0
    """A worker that has had nothing to do for so long is ended; 0: never."""
    paused: bool = False
    """True if no job is to be begun."""
    certificate: str = ""
    """Absolute path of the certificate that signs movies; its file and that of the key are named, never read here."""
    private_key: str = ""
    cards: tuple[str, ...] = ()
    """The UUIDs of the graphics cards that may be used; empty: all."""
    cards_per_take: int = 1
    """How many cards make each take together."""
    machine: Machine | None = None
    """None: this machine. Else models, device and memory are that one's own affair."""


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
    if settings.machine is not None:
        return _relayed(settings, settings.machine, around, "--paused" if settings.paused else "")
    python = _from_preferences(settings) or _from_variable(around) or _from_setup(settings)
    arguments = [*python, "-m", "wan_backend", "serve", "--state", str(settings.user_folder / "state")]
    if settings.models_folder:
        arguments += ["--models-folder", settings.models_folder]
    if settings.device and settings.device != "auto":
        arguments += ["--device", settings.device]
    if settings.memory_budget_gib > 0:
        arguments += ["--memory-budget-gib", f"{settings.memory_budget_gib:g}"]
    if settings.idle_minutes > 0:
        arguments += ["--idle-minutes", str(settings.idle_minutes)]
    arguments += _card_flags(settings)
    if settings.paused:
        arguments.append("--paused")
    environment_of_child = child_environment(settings.package_root, around)
    for name, path in ((CERTIFICATE_VARIABLE, settings.certificate), (PRIVATE_KEY_VARIABLE, settings.private_key)):
        if path:
            environment_of_child[name] = path
    return BackendCommand(arguments, environment_of_child)


def _card_flags(settings: BackendSettings) -> list[str]:
    """Which graphics cards may be used, and how many for a take."""
    if settings.device not in ("auto", "cuda"):
        return []
    chosen = [part for card in settings.cards for part in ("--card", card)]
    together = settings.cards_per_take
    return [*chosen, "--cards-per-take", str(together)] if together > 1 else chosen


def test_command(settings: BackendSettings) -> BackendCommand:
    """The command that tests the backend of `settings`, on whichever machine. Raises BackendMissing."""
    here = find(replace(settings, machine=None)) if settings.machine is None else None
    if here is None:
        assert settings.machine is not None
        return _relayed(settings, settings.machine, os.environ, "--test")
    name = translated("This machine")
    relay = _relay_command(settings, os.environ, name, "--test", [*here.arguments])
    return BackendCommand(relay, child_environment(settings.package_root))


def _relayed(settings: BackendSettings, machine: Machine, around: Mapping[str, str], flag: str) -> BackendCommand:
    """The relay to another machine's server. Its words are a person's own, from the preferences alone."""
    words = split_command(machine.command)
    if not machine.command.strip() or not words[0]:
        sentence = translated("{} has no command yet: enter one in the preferences, such as ssh box wan-backend serve.")
        raise BackendMissing(sentence.format(machine.name), Remedy.NONE)
    arguments = _relay_command(settings, around, machine.name, flag, words, machine.pairs)
    return BackendCommand(arguments, child_environment(settings.package_root, around))


def _relay_command(
    settings: BackendSettings,
    around: Mapping[str, str],
    name: str,
    flag: str,
    words: list[str],
    pairs: tuple[tuple[str, str], ...] = (),
) -> list[str]:
    """The relay runs in the backend's Python, which can make small pictures; without one in Blender's own."""
    try:
        python = _from_variable(around) or _from_setup(settings)
    except BackendMissing:
        python = [sys.executable or shutil.which("python3") or shutil.which("python") or ""]
    folder = settings.user_folder / "machines" / hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    arguments = [*python, "-m", "wan_backend.relay", "--state", str(folder), "--name", name]
    for near, far in pairs:
        arguments += ["--pair", near, far]
    return [*arguments, *([flag] if flag else []), "--", *words]


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


def is_chosen(settings: BackendSettings) -> bool:
    """Whether the preferences name a Python for the backend of this machine, and that is used."""
    return settings.machine is None and bool(settings.command.strip())


def remedy_of_choice(settings: BackendSettings) -> Remedy:
    """What helps where the backend that the preferences name doesn't work."""
    try:
        _from_setup(settings)
    except BackendMissing:
        return Remedy.CLEAR
    return Remedy.USE_SET_UP


def advice_on_choice(remedy: Remedy) -> str:
    """The same in words, to follow the reason and a colon."""
    if remedy is Remedy.USE_SET_UP:
        return translated("use the one that was set up, or choose another in the preferences")
    return translated("clear the field in the preferences to set one up, or choose another there")


def _from_preferences(settings: BackendSettings) -> list[str] | None:
    if not is_chosen(settings):
        return None
    words = split_command(settings.command)
    if Path(words[0]).is_file():
        return [os.path.abspath(words[0]), *words[1:]]
    whole, remedy = settings.command.strip().strip('"'), remedy_of_choice(settings)
    advice = advice_on_choice(remedy)
    folder = next((Path(text) for text in (whole, words[0]) if Path(text).is_dir()), None)
    if folder is None:
        sentence = translated("The backend set in the preferences, {}, is not there: {}.")
        raise BackendMissing(sentence.format(whole, advice), remedy)
    inside = next((folder / place for place in _PYTHONS if (folder / place).is_file()), None)
    if inside is not None:
        advice = translated("choose {}").format(inside)
    sentence = translated("The backend set in the preferences, {}, is a folder, and not a Python: {}.")
    raise BackendMissing(sentence.format(whole, advice), remedy)


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
        raise BackendMissing(sentence.format(PYTHON_VARIABLE, python), Remedy.NONE)
    return [os.path.abspath(python)]


def _from_setup(settings: BackendSettings) -> list[str]:
    note = settings.user_folder / "backend" / "backend.json"
    try:
        python = json.loads(note.read_text(encoding="utf-8"))["python"]
    except FileNotFoundError:
        sentence = "The backend is not set up yet: open the preferences and press Set Up Backend."
        raise BackendMissing(sentence, Remedy.FIRST_SET_UP) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        sentence = translated("{} can't be read: press Set Up Backend in the preferences to make it again.")
        raise BackendMissing(sentence.format(note), Remedy.SET_UP) from None
    if not isinstance(python, str) or not Path(python).is_file():
        sentence = translated(
            "The backend's Python, {}, is gone: press Set Up Backend in the preferences to make it again."
        )
        raise BackendMissing(sentence.format(python), Remedy.SET_UP)
    return [python]
