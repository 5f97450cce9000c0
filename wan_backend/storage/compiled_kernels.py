"""Where what compilers make for a card is kept: a private folder of ours, one subfolder for a set of versions.

Triton and torch's own compiler tell cards, versions and kernels apart by themselves; left alone, they write to the
person's home and never delete anything. Here what other versions left goes once nobody has used it for a while, and
whatever goes is compiled again when it is needed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER = "compiled"
"""Of the state folder."""
VARIABLES = {"TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "torch"}
"""The environment variables that name the folders of Triton and of torch's compiler, which a person may have set."""
PACKAGES = ("torch", "triton", "triton-windows")
LIMIT_BYTES = 1 << 30
"""All versions together; one card's kernels take a few megabytes."""
UNUSED_SECONDS = 30 * 24 * 3600.0


def environment(state: Path, around: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables for a worker's environment, but for those that `around` has already.

    The folders are made here. One that can't be made is left out: torch doesn't start with a name of one that isn't
    there and can't be made, and compilers have a place of their own otherwise.
    """
    around = os.environ if around is None else around
    folder = folder_of(state)
    return {name: str(folder / sub) for name, sub in VARIABLES.items() if not around.get(name) and _made(folder / sub)}


@contextmanager
def not_made_by_import() -> Iterator[None]:
    """While torch is imported, its compiler's folder is one that is there.

    It makes the folder right then (torch._dynamo.package), and can't be imported where a broken disk has it.
    """
    name = next(name for name, sub in VARIABLES.items() if sub == "torch")
    meant = os.environ.get(name)
    os.environ[name] = tempfile.gettempdir()
    try:
        yield
    finally:
        del os.environ[name]
        if meant is not None:
            os.environ[name] = meant


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("what is compiled isn't kept in %s: %s", folder, error)
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def folder_of(state: Path) -> Path:
    """The folder for the versions that are installed."""
    versions = [f"{name} {found}" for name in PACKAGES if (found := _version(name))]
    return state / FOLDER / hashlib.sha256(repr(versions).encode()).hexdigest()[:12]


def compiler() -> str:
    """The compiler that is installed, with its version; "" where there is none."""
    return ", ".join(f"{name} {found}" for name in PACKAGES[1:] if (found := _version(name)))


def written_folders(around: Mapping[str, str] | None = None) -> list[Path]:
    """Where a compiler in this process writes: the folders that `around` names, and that of temporary files."""
    around = os.environ if around is None else around
    named = [Path(around[name]) for name in VARIABLES if around.get(name)]
    return [*named, Path(tempfile.gettempdir())]


def prune(state: Path, limit_bytes: int = LIMIT_BYTES, now: float | None = None) -> None:
    """Remove what other versions left long ago, and what is over the limit: first what was unused longest.

    Never raises. To be called before a worker starts, so that the folder of its versions counts as used.
    """
    now, current = time.time() if now is None else now, folder_of(state)
    try:
        current.mkdir(parents=True, exist_ok=True)
        os.utime(current, (now, now))
        found = [folder for folder in (state / FOLDER).iterdir() if folder.is_dir() and not folder.is_symlink()]
        used = {folder: folder.stat().st_mtime for folder in found}
    except OSError as error:
        log.info("compiled kernels can't be looked through: %s", error)
        return
    total = 0
    for folder in sorted(found, key=lambda each: used[each], reverse=True):
        total += _size(folder)
        if total > limit_bytes or (folder != current and now - used[folder] > UNUSED_SECONDS):
            log.info("%s is removed", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    total = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return total


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
