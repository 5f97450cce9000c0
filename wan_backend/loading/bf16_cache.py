"""Copies in 16 bit of weights that are kept in 32, so that the next load reads half as much.

A copy is a folder as diffusers saves a component, with the names of its source, and loads as that does. It is made in a
folder beside, shard by shard, and renamed when it is whole and on the disk; it is believed as long as its source's
files are the same. These are part of its own name: several machines may keep their copies in one folder, and have
different models in the same place. The first time that it's used after the machine was started again, its files are
compared with their checksums: what a power cut left of one would make other frames, and nobody would see why. All of
them may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
import time
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..library import weights_head
from ..storage import whole_file
from ..storage.guarded_files import UnusableFile
from ..storage.guarded_files import stamp as stamp_of

log = logging.getLogger(__name__)

MIN_BYTES = 1_000_000_000
"""Smaller weights load fast enough."""
LEFT_FREE_BYTES = 20_000_000_000
"""So much must be free on the disk once a copy is made: takes need room, too."""
SOURCE_NOTE = "source.json"
BEGUN = ".begun"
ELSEWHERE_SECONDS = 3600.0
"""A copy to which another machine has added no file for so long isn't being made any more."""
UNUSED_SECONDS = 60 * 86400.0
"""A copy of another machine that nothing has loaded for so long is given up: its source can't be seen from here."""
CHECKED = "checked"
"""Written once the checksums were compared, after the machine was started anew since the copy was made."""


def place(copies: Path | None, source: Path, kept: tuple[str, ...]) -> Path:
    """The folder to load from: the copy of `source`, made now if it's not there yet, or `source` itself.

    `kept` are the names of modules that stay in 32 bit. Never raises: without a copy the source is as good.
    """
    if copies is None:
        return source
    try:
        files = _weight_files(source)
        stamp = _stamp(files)
        size_bytes = _bytes_in_32_bit(files)
        if size_bytes < MIN_BYTES:
            return source
        copy = _copy_folder(copies, source, kept, stamp)
        if _is_of(copy, stamp) and _is_whole(copy):
            with contextlib.suppress(OSError):
                os.utime(copy / SOURCE_NOTE)
            return copy
        copies.mkdir(parents=True, exist_ok=True)
        _sweep(copies)
        if shutil.disk_usage(copies).free < size_bytes // 2 + LEFT_FREE_BYTES:
            log.info("no room for a 16 bit copy of %s", source)
            return source
        _make(source, files, stamp, copy, set(kept))
        return copy
    except (OSError, ValueError, AttributeError, TypeError, SafetensorError, UnusableFile) as error:
        log.warning("no 16 bit copy of %s: %s", source, error)
        return source


def kept_copy(copies: Path | None, source: Path, kept: tuple[str, ...]) -> Path:
    """The folder that `place` would most probably give without making anything: the copy, or `source` itself."""
    if copies is None:
        return source
    try:
        copy = _copy_folder(copies, source, kept, _stamp(_weight_files(source)))
        return copy if copy.is_dir() else source
    except OSError:  # somebody else's folder, as one that root has made
        return source


def _copy_folder(copies: Path, source: Path, kept: tuple[str, ...], stamp: list[list[object]]) -> Path:
    return copies / hashlib.sha256(json.dumps([str(source), sorted(kept), stamp]).encode()).hexdigest()[:16]


def _weight_files(source: Path) -> list[Path]:
    return sorted(source.glob("*.safetensors"))


def _stamp(files: list[Path]) -> list[list[object]]:
    return [[str(file.resolve()), *stamp_of(file)] for file in files]


def _bytes_in_32_bit(files: list[Path]) -> int:
    tensors = [tensor for file in files for tensor in weights_head.read_head(file).tensors.values()]
    return sum(4 * tensor.count for tensor in tensors if tensor.dtype == "F32")


def _is_of(copy: Path, stamp: list[list[object]]) -> bool:
    try:
        return bool(json.loads((copy / SOURCE_NOTE).read_bytes())["stamp"] == stamp)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _is_whole(copy: Path) -> bool:
    """Whether its files are those that were made; seconds for the first look, and nothing after."""
    if (copy / CHECKED).exists():
        return True
    note = json.loads((copy / SOURCE_NOTE).read_bytes())
    if note.get("boot") == _boot():
        return True  # what was written since the machine was started is in its memory, if not on its disk
    began = time.monotonic()
    for name, digest in note.get("sha256", {"": ""}).items():
        if not (copy / name).is_file() or _digest(copy / name) != digest:
            log.warning("%s is not as it was made, so it's made anew", copy / name)
            return False
    log.info("%s compared with its checksums in %.1f s", copy, time.monotonic() - began)
    whole_file.write(copy / CHECKED, b"", flushed=True)
    return True


def _digest(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _boot() -> str:
    """A text that is another one after each start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return str(round(psutil.boot_time() / 60))


def _sweep(copies: Path) -> None:
    """Remove the copies that nobody will load again, and what a worker left that was killed over one."""
    for copy in copies.iterdir():
        if not _is_being_made(copy) and (BEGUN in copy.name or _is_forgotten(copy)):
            log.info("%s is removed", copy)
            shutil.rmtree(copy, ignore_errors=True)


def _is_forgotten(copy: Path) -> bool:
    """Whether its source is there no more, or has changed; of another machine's, whether it wasn't loaded for long."""
    try:
        note = json.loads((copy / SOURCE_NOTE).read_bytes())
        source, stamp, host = Path(note["source"]), note["stamp"], note["host"]
        if host != socket.gethostname():
            return time.time() - (copy / SOURCE_NOTE).stat().st_mtime > UNUSED_SECONDS
        return not source.is_dir() or _stamp(_weight_files(source)) != stamp
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # damaged, or an earlier version's, whose names
        return True  # nothing looks for


def _is_being_made(copy: Path) -> bool:
    """Whether another worker is at it, of this server or of another one that keeps its copies here."""
    _, begun, maker = copy.name.partition(BEGUN)
    number, _, host = maker.partition(".")
    if not begun or not number.isdecimal():
        return False
    if host and host != socket.gethostname():  # whose processes nobody sees from here
        try:
            return time.time() - copy.stat().st_mtime < ELSEWHERE_SECONDS
        except OSError:
            return False
    return int(number) != os.getpid() and psutil.pid_exists(int(number))


def _make(source: Path, files: list[Path], stamp: list[list[object]], copy: Path, kept: set[str]) -> None:
    began = time.monotonic()
    shutil.rmtree(copy, ignore_errors=True)
    begun = copy.with_name(f"{copy.name}{BEGUN}{os.getpid()}.{socket.gethostname()}")
    begun.mkdir()
    try:
        for file in files:
            _copy_weights(file, begun / file.name, kept)
        for file in source.glob("*.json"):
            shutil.copyfile(file, begun / file.name)
        digests = {file.name: _digest(file) for file in begun.iterdir()}
        for name in digests:
            _flush(begun / name)
        host = socket.gethostname()
        note = {"source": str(source), "stamp": stamp, "host": host, "boot": _boot(), "sha256": digests}
        whole_file.write(begun / SOURCE_NOTE, json.dumps(note).encode("ascii"), flushed=True)
        whole_file.sync_folder(begun)
        begun.rename(copy)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    size_bytes = sum(file.stat().st_size for file in copy.iterdir())
    log.info("16 bit copy of %s made in %.1f s: %s, %d MB", source, time.monotonic() - began, copy, size_bytes / 1e6)


def _flush(file: Path) -> None:
    """Return once the file is on the disk. Raises OSError."""
    with open(file, "rb+") as stream:
        os.fsync(stream.fileno())


def _copy_weights(source: Path, target: Path, kept: set[str]) -> None:
    weights = {}
    with safe_open(source, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - it is no mapping
            weight = tensors.get_tensor(name)
            stays = weight.dtype != torch.float32 or kept & set(name.split("."))
            weights[name] = weight if stays else weight.to(torch.bfloat16)
    save_file(weights, target, {"format": "pt"})
