"""Makes an environment with uv: each file compared with a checksum, resumed out of uv's cache, with its bytes reported.

uv doesn't say how many bytes it has of a file; what it has written of the files that are on their way is seen in its
cache and made an estimate of. Whole files count as what they are.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..protocol.sentences import NO_SENTENCE, Sentence
from . import causes, processes
from .amount import Amount, GrowingAmount, ReportAmount
from .create import InstallStep, python_of
from .reach import Reach

log = logging.getLogger(__name__)

UNPACKED = 2.5
"""How much larger packages are once unpacked, as uv does while they come; torch is more, NVIDIA's less."""
MOST_OF_A_FILE = 0.97
"""The share of a file that is reported at most while it is on its way."""
UNPACKING = ".tmp*"
"""In its cache, where uv unpacks what is on its way."""
COPIES_INSTEAD = {"UV_LINK_MODE": "copy"}
_STARTED = re.compile(r"\s*Downloading (\S+?)(?:==\S+)? \(([\d.]+)([KMG]?)i?B\)$")
_FINISHED = re.compile(r"\s*Downloaded (\S+?)(?:==\S+)?$")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

ReachOf = Callable[[InstallStep], Reach]


@dataclass(frozen=True)
class File:
    """A package's file that a step installs."""

    package: str
    size_bytes: int
    """0 if its index doesn't say."""
    is_here: bool
    """True if uv's cache has it."""


@dataclass(frozen=True)
class InstallPlan:
    """How a step is done: with which words, and which files it takes."""

    arguments: tuple[str, ...]
    files: Sequence[File] = ()


@dataclass
class Coming:
    """What is on its way, as uv's lines and its cache tell it."""

    cache: Path
    files: list[Sequence[File]]
    """Of each step."""
    about_bytes: int
    """How much it is in all, if an index says nothing of its files."""
    _sizes: dict[str, int] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _whole: set[str] = field(default_factory=set)
    _left_over: set[Path] = field(default_factory=set)
    """What a killed uv was unpacking; another one begins anew."""

    def __post_init__(self) -> None:
        self._left_over = set(self.cache.glob(UNPACKING))
        everything = [file for files in self.files for file in files]
        self._sizes = {file.package: file.size_bytes for file in everything}
        self._whole = {file.package for file in everything if file.is_here}

    def receive(self, line: str) -> None:
        """One line of what uv says."""
        if found := _STARTED.match(line):
            name = found[1].lower()
            self._begun.add(name)
            if not self._sizes.get(name):
                self._sizes[name] = int(float(found[2]) * _UNITS[found[3]])
        elif found := _FINISHED.match(line):
            self._whole.add(found[1].lower())

    def step_is_done(self, number: int) -> None:
        """All of the files of a step are here; uv says nothing of the small ones."""
        self._whole |= {file.package for file in self.files[number]}

    def bytes_now(self) -> tuple[int, int]:
        """Bytes that are here, and bytes in all."""
        total = sum(self._sizes.values())
        if any(not size for name, size in self._sizes.items() if name not in self._whole):
            total = max(total, self.about_bytes)
        whole = sum(size for name, size in self._sizes.items() if name in self._whole)
        on_its_way = sum(size for name, size in self._sizes.items() if name in self._begun - self._whole)
        if on_its_way:
            whole += min(int(self._written() / UNPACKED), int(on_its_way * MOST_OF_A_FILE))
        return whole, total

    def _written(self) -> int:
        """Bytes of what uv is unpacking now."""
        count = 0
        with contextlib.suppress(OSError):
            for folder in set(self.cache.glob(UNPACKING)) - self._left_over:
                for place, _folders, names in os.walk(folder):
                    for name in names:
                        with contextlib.suppress(OSError):
                            count += os.lstat(os.path.join(place, name)).st_size
        return count


def install(
    uv: Path, python: str, folder: Path, steps: Sequence[InstallStep], reach_of: ReachOf, cache: Path | None,
    report: ReportAmount, about_bytes: int = 0,
) -> None:  # fmt: skip
    """Make the environment in `folder` anew with the Python at `python`; nothing of a half-made one is used.

    `cache` holds what was fetched, for the next time; None: uv's usual one. Raises SetupFailed with the cause.
    """
    here = ["--cache-dir", str(cache)] if cache else []
    for left_over in cache.glob(UNPACKING) if cache else ():
        shutil.rmtree(left_over, ignore_errors=True)
    report(Sentence("Making the environment in {folder}", folder=folder), Amount())
    plain = reach_of(InstallStep(NO_SENTENCE, ()))
    _make_venv([str(uv), "venv", "--no-project", *here, "--python", python, str(folder)], folder, plain)
    report(Sentence("Checking how much to download"), Amount())
    where = cache or _usual_cache(uv, plain)
    plans = [_plan(uv, folder, step, reach_of(step), here, where) for step in steps]
    coming, so_far = Coming(where, [plan.files for plan in plans], about_bytes), GrowingAmount()
    for number, (step, plan) in enumerate(zip(steps, plans, strict=True)):

        def tell(sentence: Sentence = step.sentence) -> None:
            report(sentence, so_far.at(*coming.bytes_now()))

        def receive(line: str, tell: Callable[[], None] = tell) -> None:
            coming.receive(line)
            tell()

        tell()
        reach = reach_of(step)
        ended = processes.run(
            [*_pip(uv, "install", folder, reach), *here, *plan.arguments],
            {**reach.variables, **_link_mode(where, folder)},
            receive,
            tell,
        )
        if ended.code:
            failure = causes.of_words(step.sentence, ended.words, reach, folder)
            if not step.optional:
                raise failure
            log.warning("an optional step failed, and set-up goes on without it: %s", failure)
        coming.step_is_done(number)
        tell()


def add(uv: Path, folder: Path, step: InstallStep, reach: Reach, cache: Path | None) -> None:
    """Install one step into the environment in `folder`. Raises SetupFailed with the cause."""
    here = ["--cache-dir", str(cache)] if cache else []
    plan = _plan(uv, folder, step, reach, here, cache or _usual_cache(uv, reach))
    ended = processes.run([*_pip(uv, "install", folder, reach), *here, *plan.arguments], reach.variables)
    if ended.code:
        raise causes.of_words(step.sentence, ended.words, reach, folder)


def _make_venv(command: list[str], folder: Path, reach: Reach) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
    ended = processes.run(command, reach.variables)
    if ended.code:
        raise causes.of_words(Sentence("Making the environment in {folder}", folder=folder), ended.words, reach, folder)


def _pip(uv: Path, verb: str, folder: Path, reach: Reach) -> list[str]:
    """uv's words before those of a step. Of several indexes all are asked, as the checksums say what is meant."""
    words = [str(uv), "pip", verb, "--python", str(python_of(folder)), "--index-strategy", "unsafe-best-match"]
    words += [] if reach.certificates else ["--system-certs"]
    return [*words, "--no-index"] if reach.no_index and "--no-index" not in words else words


def _link_mode(cache: Path, folder: Path) -> dict[str, str]:
    """Files are linked out of the cache if the disk can, which takes no room; told beforehand, uv doesn't warn."""
    name = f".link-{os.getpid()}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / name).touch()
        os.link(cache / name, folder / name)
    except OSError:
        return COPIES_INSTEAD
    finally:
        for place in (cache, folder):
            with contextlib.suppress(OSError):
                (place / name).unlink()
    return {}


def _usual_cache(uv: Path, reach: Reach) -> Path:
    return Path(processes.run([str(uv), "cache", "dir"], reach.variables).answer.strip() or tempfile.gettempdir())


def _plan(uv: Path, folder: Path, step: InstallStep, reach: Reach, here: list[str], cache: Path) -> InstallPlan:
    """Where a step's packages are found, and their files; of packages that aren't listed, nothing is asked.

    Where a person says where packages lie, it's tried there first: uv stops at an index that can't be reached, and
    PyTorch's own may be out of reach of who has a mirror.
    """
    if not step.hashed:
        return InstallPlan(step.pip_arguments)
    ways = [_without_index(step.pip_arguments)] if reach.has_places else []
    for arguments in (*ways, step.pip_arguments):
        words = [word for word in arguments if word not in ("-r", "--require-hashes")]
        ended = processes.run(
            [*_pip(uv, "compile", folder, reach), *here, "--quiet", "--format", "pylock.toml", "--no-header", *words],
            reach.variables,
        )
        if ended.code == 0:
            return InstallPlan(arguments, _files(ended.answer, cache))
    return InstallPlan(step.pip_arguments)


def _without_index(arguments: tuple[str, ...]) -> tuple[str, ...]:
    if "--extra-index-url" not in arguments:
        return arguments
    at = arguments.index("--extra-index-url")
    return arguments[:at] + arguments[at + 2 :]


def _files(listed: str, cache: Path) -> Sequence[File]:
    """The files of uv's list; none if it can't be read."""
    try:
        here = _whole_files(cache)
        found = [_file(package, here) for package in tomllib.loads(listed)["packages"] if "wheels" in package]
        return [file for file in found if file is not None]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("uv's list of files can't be read: %r", error)
        return ()


def _file(package: dict[str, Any], here: set[tuple[str, str]]) -> File | None:
    """What is fetched of a package; None if its file lies on this machine."""
    wheel, name = package["wheels"][0], package["name"].lower()
    address = urlsplit(str(wheel.get("url", "")))
    if address.scheme not in ("http", "https"):
        return None
    rest = unquote(address.path).rpartition("/")[2].removesuffix(".whl").partition("-")[2]
    return File(name, int(wheel.get("size", 0)), (name, rest) in here)


def _whole_files(cache: Path) -> set[tuple[str, str]]:
    """Package and version with tags, of what lies in the cache of the uv that is pinned."""
    found = [*cache.glob("wheels-v*/pypi/*/*.http"), *cache.glob("wheels-v*/index/*/*/*.http")]
    return {(file.parent.name, file.name.removesuffix(".http")) for file in found}
