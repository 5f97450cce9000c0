"""Makes small pictures of sources in a child process, and keeps them for the next time.

The child is `wan_backend.frames.thumbnail_process`. One runs at a time, on a thread that waits for it; a source whose
files are as they were is not looked at again, and one that ends the child takes no other's pictures with it. What it
says of files that can't be used is kept for the plans.
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
from collections.abc import Mapping
from pathlib import Path

from .. import __version__
from ..planning.unusable_files import FileState, UnusableFiles
from ..protocol.bounds import is_sane_source
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import ProtocolError
from ..protocol.media import THUMBNAIL_LINES_FILE
from ..protocol.messages import Role, SourceProblem, Thumbnail, ThumbnailsParams, ThumbnailsResult
from ..storage import whole_file
from .worker_process import environment, own_group

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 45.0
MAX_FOLDERS = 200
RESULT_FILE = "result.json"
PROCESS = "wan_backend.frames.thumbnail_process"


class Thumbnails:
    """Makes them; safe to call from any thread."""

    def __init__(self, folder: Path, unusable: UnusableFiles | None = None) -> None:
        """`unusable` takes down which files can't be used."""
        self._folder = folder
        self._unusable = unusable or UnusableFiles()
        self._one_at_a_time = threading.Lock()

    def of(self, params: ThumbnailsParams) -> ThumbnailsResult:
        """The pictures; none if they can't be made. Takes up to seconds."""
        if not all(map(is_sane_source, params.sources)):
            return ThumbnailsResult([])
        states = _states(params)
        folder = self._folder / _key(params, states)
        if not self._one_at_a_time.acquire(timeout=PATIENCE_SECONDS):
            log.warning("No thumbnails: those before are still being made")
            return ThumbnailsResult([])
        try:
            result = _kept(folder) or self._make(params, folder)
            for found in result.problems:
                if (state := states.get((found.role, found.at_frame, found.file))) is not None:
                    self._unusable.note(state, found.problem)
            return result
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
        problems: list[SourceProblem] = []
        at, is_complete = 0, True
        while at < len(params.sources) and time.monotonic() < until:
            left = dataclasses.replace(params, sources=params.sources[at:])
            have_child_make(PROCESS, [str(folder), f"{at}-"], json.dumps(to_json(left)).encode(), until)
            results = _read_results(folder)[at:]
            made += [picture for each in results for picture in each.pictures]
            problems += [problem for each in results for problem in each.problems]
            at += len(results)
            if at < len(params.sources):
                log.warning("No thumbnail of %s: its reader died or took too long", params.sources[at].files[:1])
                with open(folder / THUMBNAIL_LINES_FILE, "ab") as stream:
                    stream.write(json.dumps(to_json(ThumbnailsResult([]))).encode() + b"\n")
                at, is_complete = at + 1, False
        result = ThumbnailsResult(made, problems)
        if is_complete:  # else it's tried again next time; a share may answer then
            whole_file.write_json(folder / RESULT_FILE, to_json(result))
        return result

    def _make_room(self) -> None:
        with contextlib.suppress(OSError):
            folders = sorted(self._folder.iterdir(), key=lambda folder: folder.stat().st_mtime)
            for folder in folders[: -MAX_FOLDERS + 1]:
                shutil.rmtree(folder, ignore_errors=True)


def have_child_make(module: str, arguments: list[str], request: bytes, until: float) -> None:
    """Have a child make the pictures that `request` asks for, as far as it comes. Raises OSError."""
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
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


def _states(params: ThumbnailsParams) -> dict[tuple[Role, int, str], FileState]:
    """The files that are looked at, as they are now; a file that changes meanwhile is another one afterwards."""
    return {
        (source.role, source.at_frame, name): FileState.of(source, name)
        for source in params.sources
        for name in {*source.files[:1], *source.files[-1:]}
    }


def _key(params: ThumbnailsParams, states: Mapping[tuple[Role, int, str], FileState]) -> str:
    """A hash of the sources, of the stamps of their files, and of our version: the next one may read more."""
    stamps = sorted([*key, *state.stamp] for key, state in states.items())
    return hashlib.sha256(json.dumps([__version__, to_json(params), stamps]).encode()).hexdigest()[:32]
