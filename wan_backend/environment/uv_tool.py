"""Brings uv, which makes the environment: one program out of its wheel on PyPI, of a version and checksum listed here.

It lies in TOOLS/uv-VERSION/ and brings a Python of its own, which most people have none of.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence
from ..storage import whole_file
from . import causes, index_file, processes
from .amount import GrowingAmount, ReportAmount
from .interpreters import Interpreter, ask
from .reach import Reach

log = logging.getLogger(__name__)

VERSION = "0.13.9"
PYTHON = "3.11.18"
"""The Python that this uv brings, with the checksums that it has in itself; the tests run the backend on 3.11."""


@dataclass(frozen=True)
class Wheel:
    """A file of PyPI."""

    tags: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"uv-{VERSION}-py3-none-{self.tags}.whl"


WHEELS = {
    ("linux", "x86_64"): Wheel(
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
        17_606_939,
    ),
    ("linux", "aarch64"): Wheel(
        "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
        18_026_789,
    ),
    ("win32", "x86_64"): Wheel(
        "win_amd64", "6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b", 15_662_317
    ),
    ("win32", "aarch64"): Wheel(
        "win_arm64", "eeb92051c2123b9730c46b04cc843cfa4bc7d7b0aec56df431a2215ef4cb0273", 15_841_844
    ),
    ("darwin", "aarch64"): Wheel(
        "macosx_11_0_arm64", "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63", 14_660_755
    ),
    ("darwin", "x86_64"): Wheel(
        "macosx_10_12_x86_64", "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5", 17_529_974
    ),
}
"""By system and processor, with the checksums that PyPI states."""


class NoTool(Exception):
    """uv can't be had, though the network may be well: pip has to do it. The message says why, for a person."""


def wheel_of_this_machine() -> Wheel | None:
    """The one for this system and processor; None if there is none."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return WHEELS.get((sys.platform, machine))


def program_in(tools: Path) -> Path:
    """The path of uv's program in `tools`, whether it is there or not."""
    return tools / f"uv-{VERSION}" / ("uv.exe" if sys.platform == "win32" else "uv")


def bring(tools: Path, reach: Reach, report: ReportAmount, wheel: Wheel | None = None) -> Path:
    """uv's program, fetched if it isn't in `tools` yet.

    Raises NoTool, and SetupFailed if the cause would stop pip as well: no network, no room, a folder that can't be
    written.
    """
    program = program_in(tools)
    wheel = wheel or wheel_of_this_machine()
    if wheel is None:
        raise NoTool(
            Sentence(
                "there is no build for {system} on {machine}", system=platform.system(), machine=platform.machine()
            )
        )
    if not program.exists():
        _fetch(program, wheel, reach, report)
    if _is_whole(program):
        return program
    shutil.rmtree(program.parent, ignore_errors=True)
    raise NoTool(Sentence("it doesn't start in {folder}", folder=program.parent))


def _is_whole(program: Path) -> bool:
    ended = processes.run([str(program), "--version"], os.environ)
    return ended.code == 0 and VERSION in ended.answer


def _fetch(program: Path, wheel: Wheel, reach: Reach, report: ReportAmount) -> None:
    what, so_far = Sentence("Downloading uv {version}", version=VERSION), GrowingAmount()
    file = program.with_name(wheel.name)
    report(what, so_far.at(0, wheel.size_bytes))
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        address = index_file.find(reach, "uv", wheel.name)
        log.info("fetching %s", address.rpartition("@")[2])
        index_file.fetch(
            reach, address, file, wheel.sha256, lambda here: report(what, so_far.at(here, wheel.size_bytes))
        )
        _unpack(file, program)
    except (
        OSError,
        HTTPException,
        ValueError,
        index_file.OtherFile,
        index_file.NoSuchFile,
        zipfile.BadZipFile,
    ) as error:
        log.warning("uv can't be fetched: %r", error)
        failure = causes.of_error(what, error, reach, program.parent)
        if _stops_pip_too(error, failure):
            raise failure from None
        raise NoTool(str(failure)) from None


def _stops_pip_too(error: BaseException, failure: causes.SetupFailed) -> bool:
    """True if pip would only fail later. pip has certificates of its own, and other files may be unhurt."""
    if isinstance(error, (index_file.OtherFile, index_file.NoSuchFile, zipfile.BadZipFile, ValueError)):
        return False
    return failure.kind is not ProblemKind.SETUP and not causes.is_of_certificates(str(error))


def _unpack(file: Path, program: Path) -> None:
    """Take the program out of the wheel, whose checksum was compared, and leave nothing else of it."""
    part = program.with_name(program.name + whole_file.UNFINISHED_SUFFIX)
    with zipfile.ZipFile(file) as wheel:
        (inside,) = [name for name in wheel.namelist() if name.endswith(f".data/scripts/{program.name}")]
        with wheel.open(inside) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target)
    part.chmod(0o755)
    whole_file.replace(part, program)
    file.unlink()


def bring_python(uv: Path, folder: Path, reach: Reach, version: str = PYTHON) -> Interpreter:
    """A Python of uv's in `folder`, fetched if it isn't there. Raises SetupFailed with the cause."""
    variables = {**reach.variables, "UV_PYTHON_INSTALL_DIR": str(folder)}
    asked = [str(uv), "python", "find", "--managed-python", "--no-python-downloads", "--no-project", version]
    found = processes.run(asked, variables)
    if found.code:
        fetch_it = [str(uv), "python", "install", "--managed-python", "--no-bin", "--no-registry", version]
        made = processes.run([*fetch_it, *_certificates(reach)], {**variables, "UV_HTTP_RETRIES": "1"})
        if made.code:
            raise causes.of_words(Sentence("Downloading Python {version}", version=version), made.words, reach, folder)
        found = processes.run(asked, variables)
    interpreter = ask(found.answer.strip(), bare=True) if found.code == 0 else None
    if interpreter is None:
        raise causes.SetupFailed(
            Sentence(
                "Python {version} was downloaded into {folder} and doesn't start; see the log.",
                version=version,
                folder=folder,
            )
        )
    return interpreter


def _certificates(reach: Reach) -> list[str]:
    return [] if reach.certificates else ["--system-certs"]
