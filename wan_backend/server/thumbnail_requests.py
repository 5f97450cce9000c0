"""Makes small pictures of sources in a child process, and keeps them for the next time.

The child is `wan_backend.frames.thumbnail_process`. One runs at a time, on a thread that waits for it; a source whose
files are as they were is not looked at again, and one that ends the child takes no other's pictures with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from ..protocol.bounds import is_sane_source
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import ProtocolError
from ..protocol.media import THUMBNAIL_LINES_FILE
from ..protocol.messages import Source, Thumbnail, ThumbnailsParams, ThumbnailsResult
from ..storage import whole_file
from .worker_process import environment, own_group

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 45.0
MAX_FOLDERS = 200
RESULT_FILE = "result.json"


class Thumbnails:
    """Makes them; safe to call from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def of(self, params: ThumbnailsParams) -> ThumbnailsResult:
        """The pictures; none if they can't be made. Takes up to seconds."""
        if not all(map(is_sane_source, params.sources)):
            return ThumbnailsResult([])
        folder = self._folder / _key(params)
        if not self._one_at_a_time.acquire(timeout=PATIENCE_SECONDS):
            log.warning("No thumbnails: those before are still being made")
            return ThumbnailsResult([])
        try:
            return _kept(folder) or self._make(params, folder)
        except (OSError, ValueError, subprocess.SubprocessError, ProtocolError) as error:
            log.warning("No thumbnails: %s", error)
            shutil.rmtree(folder, ignore_errors=True)
            return ThumbnailsResult([])
        finally:
            self._one_at_a_time.release()

    def _make(self, params: ThumbnailsParams, folder: Path) -> ThumbnailsResult:
        """Source after source; one at which the child dies is left out, and another child goes on behind it."""
        self._make_room()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        until = time.monotonic() + PATIENCE_SECONDS
        made: list[Thumbnail] = []
        at, is_complete = 0, True
        while at < len(params.sources) and time.monotonic() < until:
            left = dataclasses.replace(params, sources=params.sources[at:])
            _have_child_make(folder, f"{at}-", json.dumps(to_json(left)).encode(), until)
            results = _read_results(folder)[at:]
            made += [picture for each in results for picture in each.pictures]
            at += len(results)
            if at < len(params.sources):
                log.warning("No thumbnail of %s: its reader died or took too long", params.sources[at].files[:1])
                with open(folder / THUMBNAIL_LINES_FILE, "ab") as stream:
                    stream.write(json.dumps(to_json(ThumbnailsResult([]))).encode() + b"\n")
                at, is_complete = at + 1, False
        result = ThumbnailsResult(made)
        if is_complete:  # else it's tried again next time; a share may answer then
            whole_file.write_json(folder / RESULT_FILE, to_json(result))
        return result

    def _make_room(self) -> None:
        with contextlib.suppress(OSError):
            folders = sorted(self._folder.iterdir(), key=lambda folder: folder.stat().st_mtime)
            for folder in folders[: -MAX_FOLDERS + 1]:
                shutil.rmtree(folder, ignore_errors=True)


def _have_child_make(folder: Path, prefix: str, request: bytes, until: float) -> None:
    """Have a child make them in `place`, as far as it comes. Raises OSError."""
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    child = subprocess.Popen(
        [sys.executable, "-m", "wan_backend.frames.thumbnail_process", str(folder), prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment(online=False), **few},
        **own_group(),
    )
    try:
        child.communicate(request, max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()  # and not waited for here: one that hangs at a share ends when the share does
        threading.Thread(target=child.wait, name="thumbnails end", daemon=True).start()
        with contextlib.suppress(OSError):
            if child.stdin is not None:
                child.stdin.close()


def _read_results(folder: Path) -> list[ThumbnailsResult]:
    """The results that the children wrote, one for each source; a line that was cut off is ignored."""
    try:
        lines = (folder / THUMBNAIL_LINES_FILE).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [from_json(ThumbnailsResult, json.loads(line), "result") for line in lines]


def _kept(folder: Path) -> ThumbnailsResult | None:
    """The pictures that were made before, if all of them are still there."""
    try:
        result = from_json(ThumbnailsResult, whole_file.read_json(folder / RESULT_FILE), "result")
    except (OSError, ValueError, ProtocolError):
        return None
    return result if all(os.path.isfile(picture.file) for picture in result.pictures) else None


def _key(params: ThumbnailsParams) -> str:
    """A hash of the sources and of the stamps of their files."""
    stamps = [_stamp(source) for source in params.sources]
    return hashlib.sha256(json.dumps([to_json(params), stamps]).encode()).hexdigest()[:32]


def _stamp(source: Source) -> list[float]:
    found: list[float] = []
    for name in source.files[:1] + source.files[-1:]:
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(os.path.join(source.folder, name))
            found += [state.st_mtime, state.st_size]
    return found
