"""The Hugging Face cache as it lies on the disk: blobs named by their checksum, snapshots that point to them.

huggingface_hub 2.4 fetches a file anew after every stop and compares lengths only. So a model's files are put here
by ourselves, in the layout that it reads: a begun file keeps its name, and none is used before its checksum was
right. Standard library only.

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

from ..storage import whole_file

PARTIAL_SUFFIX = ".incomplete"
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def repo_folder(cache: Path, repo: str) -> Path:
    """Where the cache keeps a repository."""
    return cache / ("models--" + repo.replace("/", "--"))


def blob_of(cache: Path, repo: str, checksum: str) -> Path:
    """Where a file with that checksum goes. Raises ValueError where it isn't one."""
    if not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"'{checksum[:80]}' is not a checksum")
    return repo_folder(cache, repo) / "blobs" / checksum


def partial_of(blob: Path) -> Path:
    """Where the blob is while it is being fetched."""
    return blob.with_name(blob.name + PARTIAL_SUFFIX)


def fetched_bytes(blob: Path, size_bytes: int) -> int:
    """How much of a blob of that size is here, whole or begun."""
    if is_here(blob, size_bytes):
        return size_bytes
    try:
        return min(size_bytes, partial_of(blob).stat().st_size)
    except OSError:
        return 0


def is_here(file: Path, size_bytes: int) -> bool:
    """Whether there is such a file of that size."""
    try:
        return file.stat().st_size == size_bytes
    except OSError:
        return False


def twins_of(caches: Iterable[Path], checksum: str, size_bytes: int) -> list[Path]:
    """What is called the same file in any repository of the caches; its length was looked at, its content not."""
    found = (blob for cache in caches for blob in cache.glob(f"models--*/blobs/{checksum}"))
    return [blob for blob in found if is_here(blob, size_bytes)]


def checksum_of(file: Path) -> str:
    """What the cache says of a file's content; empty where it says nothing."""
    blob = Path(os.path.realpath(file))
    return blob.name if blob.parent.name == "blobs" and _CHECKSUM.fullmatch(blob.name) else ""


def share(source: Path, place: Path) -> None:
    """Have `source`'s content at `place` too: as a second name of it, else (another disk) a copy. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    whole = source.resolve(strict=True)
    if place.is_symlink() and not place.exists():  # it points to a file that is gone
        place.unlink()
    try:
        os.link(whole, place)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(whole, partial_of(place))
        whole_file.replace(partial_of(place), place)


def snapshot_file(cache: Path, repo: str, commit: str, name: str) -> Path:
    """Where a snapshot has the file `name`. Raises ValueError where that would be outside of it."""
    components = PurePosixPath(name).parts
    if not _CHECKSUM.fullmatch(commit) or not components or name.startswith("/") or ".." in components or "\\" in name:
        raise ValueError(f"'{name[:80]}' is not the name of a file in a repository")
    return repo_folder(cache, repo).joinpath("snapshots", commit, *components)


def point(pointer: Path, blob: Path, needed_again: bool = False) -> None:
    """Let the snapshot's file be the blob: by a link where the disk has links, else by moving it. Raises OSError.

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


def name_main(cache: Path, repo: str, commit: str) -> None:
    """Let the snapshot be that of the main branch. Raises OSError."""
    reference = repo_folder(cache, repo) / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    whole_file.write(reference, commit.encode("ascii"))


def discard(blobs: Iterable[Path]) -> int:
    """Remove begun files and blobs that no snapshot points to; how many bytes that freed."""
    freed = 0
    for blob in blobs:
        repo = blob.parent.parent
        if blob.parent.name != "blobs" or not repo.name.startswith("models--"):
            continue  # not one of ours: nothing else is ever removed
        begun, whole = partial_of(blob), blob
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
