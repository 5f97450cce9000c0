"""Copies in 16 bit of weights that are kept in 32, so that the next load reads half as much. May import torch.

A copy is a folder as diffusers saves a part, with the same names, so that it loads as its source does. It is made in
a folder beside, shard by shard, and renamed when it is whole; it is believed as long as its source's files are the
same. All of them may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..file_stamp import stamp as stamp_of
from .files import headers

log = logging.getLogger(__name__)

LEAST_BYTES = 1_000_000_000
"""Smaller weights load fast enough."""
LEFT_FREE_BYTES = 20_000_000_000
"""So much must be free on the disk once a copy is made: takes need room, too."""
SOURCE_NOTE = "source.json"
BEGUN = ".begun"


def place(copies: Path | None, source: Path, kept: tuple[str, ...]) -> Path:
    """The folder to load from: the copy of `source`, made now where it's not there yet, or `source` itself.

    `kept` are the names of modules that stay in 32 bit. Never raises: without a copy the source is as good.
    """
    if copies is None:
        return source
    try:
        files = _weight_files(source)
        stamp = _stamp(files)
        size_bytes = _bytes_in_32_bit(files)
        if size_bytes < LEAST_BYTES:
            return source
        copy = copies / hashlib.sha256(json.dumps([str(source), sorted(kept)]).encode()).hexdigest()[:16]
        if _is_of(copy, stamp):
            return copy
        copies.mkdir(parents=True, exist_ok=True)
        _sweep(copies)
        if shutil.disk_usage(copies).free < size_bytes // 2 + LEFT_FREE_BYTES:
            log.info("no room for a 16 bit copy of %s", source)
            return source
        _make(source, files, stamp, copy, set(kept))
        return copy
    except (OSError, ValueError, SafetensorError, headers.Unreadable) as error:
        log.warning("no 16 bit copy of %s: %s", source, error)
        return source


def _weight_files(source: Path) -> list[Path]:
    return sorted(source.glob("*.safetensors"))


def _stamp(files: list[Path]) -> list[list[object]]:
    return [[str(file.resolve()), *stamp_of(file)] for file in files]


def _bytes_in_32_bit(files: list[Path]) -> int:
    tensors = [tensor for file in files for tensor in headers.read(file).tensors.values()]
    return sum(4 * tensor.count for tensor in tensors if tensor.dtype == "F32")


def _is_of(copy: Path, stamp: list[list[object]]) -> bool:
    try:
        return bool(json.loads((copy / SOURCE_NOTE).read_bytes())["stamp"] == stamp)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _sweep(copies: Path) -> None:
    """Remove the copies of what is there no more, and what a worker left that was killed over one."""
    for copy in copies.iterdir():
        try:
            source = Path(json.loads((copy / SOURCE_NOTE).read_bytes())["source"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            source = copies / "nothing"
        if not source.is_dir() or BEGUN in copy.name:
            log.info("%s is removed", copy)
            shutil.rmtree(copy, ignore_errors=True)


def _make(source: Path, files: list[Path], stamp: list[list[object]], copy: Path, kept: set[str]) -> None:
    began = time.monotonic()
    shutil.rmtree(copy, ignore_errors=True)
    begun = copy.with_name(f"{copy.name}{BEGUN}{os.getpid()}")
    begun.mkdir()
    try:
        for file in files:
            _copy_weights(file, begun / file.name, kept)
        for file in source.glob("*.json"):
            shutil.copyfile(file, begun / file.name)
        (begun / SOURCE_NOTE).write_text(json.dumps({"source": str(source), "stamp": stamp}))
        begun.rename(copy)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    size_bytes = sum(file.stat().st_size for file in copy.iterdir())
    log.info("16 bit copy of %s made in %.1f s: %s, %d MB", source, time.monotonic() - began, copy, size_bytes / 1e6)


def _copy_weights(source: Path, target: Path, kept: set[str]) -> None:
    weights = {}
    with safe_open(source, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - it is no mapping
            weight = tensors.get_tensor(name)
            stays = weight.dtype != torch.float32 or kept & set(name.split("."))
            weights[name] = weight if stays else weight.to(torch.bfloat16)
    save_file(weights, target, {"format": "pt"})
