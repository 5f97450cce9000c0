"""Small pictures of sources, made by a child process and kept for the next time. Standard library and protocol only.

The child is `wan_backend.frames.thumbnails`. One runs at a time, on a thread that waits for it; a source whose files
are as they were is not looked at again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from ..protocol.conversion import from_json, to_json
from ..protocol.errors import ProtocolError
from ..protocol.messages import Source, ThumbnailsParams, ThumbnailsResult
from .worker_process import environment, own_group

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0
MOST_FOLDERS = 200
RESULT_FILE = "result.json"


class Thumbnails:
    """Makes them; safe to call from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def of(self, params: ThumbnailsParams) -> ThumbnailsResult:
        """The pictures; none where they can't be made. Takes up to seconds."""
        place = self._folder / _key(params)
        if not self._one_at_a_time.acquire(timeout=PATIENCE_SECONDS):
            log.warning("No thumbnails: those before are still being made")
            return ThumbnailsResult([])
        try:
            return _kept(place) or self._make(params, place)
        except (OSError, ValueError, subprocess.SubprocessError, ProtocolError) as error:
            log.warning("No thumbnails: %s", error)
            shutil.rmtree(place, ignore_errors=True)
            return ThumbnailsResult([])
        finally:
            self._one_at_a_time.release()

    def _make(self, params: ThumbnailsParams, place: Path) -> ThumbnailsResult:
        self._make_room()
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        said = _said_by_child(place, json.dumps(to_json(params)).encode())
        result = from_json(ThumbnailsResult, json.loads(said), "result")
        (place / RESULT_FILE).write_bytes(said)
        return result

    def _make_room(self) -> None:
        with contextlib.suppress(OSError):
            folders = sorted(self._folder.iterdir(), key=lambda folder: folder.stat().st_mtime)
            for folder in folders[: -MOST_FOLDERS + 1]:
                shutil.rmtree(folder, ignore_errors=True)


def _said_by_child(place: Path, asked: bytes) -> bytes:
    """What the child says that makes them in `place`. Raises OSError, SubprocessError."""
    child = subprocess.Popen(
        [sys.executable, "-m", "wan_backend.frames.thumbnails", str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(online=False),
        **own_group(),
    )
    try:
        said: bytes = child.communicate(asked, PATIENCE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        child.kill()  # and not waited for here: one that hangs at a share ends when the share does
        threading.Thread(target=child.wait, name="thumbnails end", daemon=True).start()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        raise
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return said


def _kept(place: Path) -> ThumbnailsResult | None:
    """What was made before, where all of it is still there."""
    try:
        result = from_json(ThumbnailsResult, json.loads((place / RESULT_FILE).read_bytes()), "result")
    except (OSError, ValueError, RecursionError, ProtocolError):
        return None
    return result if all(os.path.isfile(picture.file) for picture in result.pictures) else None


def _key(params: ThumbnailsParams) -> str:
    """Another one for other sources, and for files that were changed."""
    stamps = [_stamp(source) for source in params.sources]
    return hashlib.sha256(json.dumps([to_json(params), stamps]).encode()).hexdigest()[:32]


def _stamp(source: Source) -> list[float]:
    found: list[float] = []
    for name in source.files[:1] + source.files[-1:]:
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(os.path.join(source.folder, name))
            found += [state.st_mtime, state.st_size]
    return found
