"""The Hugging Face cache on the disk: blobs named by their checksums, and snapshots that point to them.

huggingface_hub 2.4 fetches a file anew after every stop and compares lengths only. So the backend itself puts a model's
files here, in the layout that huggingface_hub reads: a begun file keeps its name, and no file is used before its
checksum was right.

    models--OWNER--NAME/blobs/CHECKSUM                  a whole file
    models--OWNER--NAME/blobs/CHECKSUM.incomplete       a begun one
    models--OWNER--NAME/snapshots/COMMIT/vae/config.json   points to a blob
    models--OWNER--NAME/refs/main                       the commit
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..storage import guarded_files, unresponsive_folders, whole_file

INCOMPLETE_SUFFIX = ".incomplete"
MAX_COMMIT_NAME_BYTES = 1000
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def cache_folder() -> Path:
    """The folder of the Hugging Face cache, by the environment variables that huggingface_hub reads."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return _expanded(os.environ[name])
    home = os.environ.get("HF_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return _expanded(str(_expanded(home) / "hub"))  # twice, as theirs: a variable may hold another, or a ~


def _expanded(folder: str) -> Path:
    """A folder in which variables and ~ may stand, as huggingface_hub reads it."""
    return Path(os.path.expandvars(os.path.expanduser(folder)))


def repo_folder(cache: Path, repo: str) -> Path:
    """The folder in which the cache keeps a repository."""
    return cache / ("models--" + repo.replace("/", "--"))


def blob_path(cache: Path, repo: str, checksum: str) -> Path:
    """Where the cache keeps a file with that checksum. Raises ValueError if it isn't a checksum."""
    if not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"'{checksum[:80]}' is not a checksum")
    return repo_folder(cache, repo) / "blobs" / checksum


def partial_path(blob: Path) -> Path:
    """Where the blob is while it is being downloaded."""
    return blob.with_name(blob.name + INCOMPLETE_SUFFIX)


def fetched_bytes(blob: Path, size_bytes: int) -> int:
    """How many bytes of a blob of that size are here, whole or begun."""
    if has_size(blob, size_bytes):
        return size_bytes
    try:
        return min(size_bytes, partial_path(blob).stat().st_size)
    except OSError:
        return 0


def has_size(file: Path, size_bytes: int) -> bool:
    """Whether there is such a file of that size."""
    try:
        return file.stat().st_size == size_bytes
    except OSError:
        return False


def find_snapshots(cache: Path, repo: str) -> list[Path]:
    """All snapshots of the repository that are here: first that of its main branch, then the newest."""
    home = repo_folder(cache, repo)
    if unresponsive_folders.containing(home):
        return []
    try:
        with guarded_files.opened(home / "refs" / "main") as stream:
            main = stream.read(MAX_COMMIT_NAME_BYTES).decode("utf-8").strip()
    except (OSError, ValueError):
        main = ""  # no main branch was ever fetched, or not by name; any snapshot will do
    try:
        with guarded_files.guard():
            snapshots = [child for child in (home / "snapshots").iterdir() if child.is_dir()]
    except guarded_files.UnusableFile:
        return []
    return sorted(snapshots, key=lambda child: (child.name == main, _changed(child)), reverse=True)


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # it went just now
        return 0.0


def find_equal_blobs(caches: Iterable[Path], checksum: str, size_bytes: int) -> list[Path]:
    """Blobs of that checksum and length in any repository of the caches; their content was not looked at."""
    found = (blob for cache in caches for blob in cache.glob(f"models--*/blobs/{checksum}"))
    return [blob for blob in found if has_size(blob, size_bytes)]


def checksum_of(file: Path) -> str:
    """The checksum that a file of a snapshot has by the name of its blob; empty if it is no such file."""
    blob = Path(os.path.realpath(file))
    return blob.name if blob.parent.name == "blobs" and _CHECKSUM.fullmatch(blob.name) else ""


def link_or_copy(source: Path, place: Path) -> None:
    """Have `source`'s content at `place` too: as a hard link, or on another disk as a copy. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    whole = source.resolve(strict=True)
    if place.is_symlink() and not place.exists():  # it points to a file that is gone
        place.unlink()
    try:
        os.link(whole, place)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(whole, partial_path(place))
        whole_file.replace(partial_path(place), place)


def snapshot_path(cache: Path, repo: str, commit: str, name: str) -> Path:
    """Where a snapshot has the file `name`. Raises ValueError if that would be outside of it."""
    pieces = PurePosixPath(name).parts
    if not _CHECKSUM.fullmatch(commit) or not pieces or name.startswith("/") or ".." in pieces or "\\" in name:
        raise ValueError(f"'{name[:80]}' is not the name of a file in a repository")
    return repo_folder(cache, repo).joinpath("snapshots", commit, *pieces)


def link_to_blob(pointer: Path, blob: Path, needed_again: bool = False) -> None:
    """Make the snapshot's file the blob: by a link if the disk has links, else by moving the blob. Raises OSError.

    `needed_again`: another file of the snapshot has the same content, so the blob must stay.
    """
    pointer.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        pointer.unlink()
    try:
        os.symlink(os.path.relpath(blob, pointer.parent), pointer)
    except OSError:  # Windows without the right to make them; a memory stick
        try:
            os.link(blob, pointer)
        except OSError:
            if needed_again:
                shutil.copyfile(blob, pointer)
            else:
                whole_file.replace(blob, pointer)


def set_main(cache: Path, repo: str, commit: str) -> None:
    """Make the snapshot that of the main branch. Raises OSError."""
    reference = repo_folder(cache, repo) / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    whole_file.write(reference, commit.encode("ascii"))


def remove_blobs(blobs: Iterable[Path]) -> int:
    """Remove begun files and blobs that no snapshot points to. Returns how many bytes that freed."""
    freed = 0
    for blob in blobs:
        repo = blob.parent.parent
        if blob.parent.name != "blobs" or not repo.name.startswith("models--"):
            continue  # only blobs of models in this cache are ever removed
        begun, whole = partial_path(blob), blob
        for file in (begun,) if _is_pointed_to(whole, repo) else (begun, whole):
            with contextlib.suppress(OSError):
                size_bytes = file.stat().st_size
                file.unlink()
                freed += size_bytes
        with contextlib.suppress(OSError):
            blob.parent.rmdir()
            repo.rmdir()
    return freed


def _is_pointed_to(blob: Path, repo: Path) -> bool:
    return any(os.path.realpath(file) == os.path.realpath(blob) for file in (repo / "snapshots").rglob("*"))
