"""Makes takes' small pictures, or some of their frames, in a child process, and keeps them for the next time.

The child is `wan_backend.frames.filmstrip_process`; one runs at a time, on a thread that waits for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from pathlib import Path

from .. import __version__
from ..protocol.bounds import MAX_PIXELS_A_SIDE, is_sane_source
from ..protocol.conversion import to_json
from ..protocol.media import MAX_FILMSTRIPS, MAX_REEL_FRAMES, MAX_REEL_SIDE
from ..protocol.messages import Film, FilmstripsParams, FilmstripsResult
from .thumbnail_requests import PATIENCE_SECONDS, have_child_make

log = logging.getLogger(__name__)

MAX_FILES = 800
"""About 100 MB of filmstrips."""
MAX_BYTES = 600 << 20
"""With reels, which are larger."""
PROCESS = "wan_backend.frames.filmstrip_process"


class Filmstrips:
    """Makes them; safe to call from any thread."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where they are kept."""
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def of(self, params: FilmstripsParams) -> FilmstripsResult:
        """A file for each film, empty where none can be made. Takes up to seconds."""
        films = params.films[:MAX_FILMSTRIPS]
        files = [self._file(film) for film in films]
        missing = [(film, file) for film, file in zip(films, files, strict=True) if file and not file.is_file()]
        if missing and self._one_at_a_time.acquire(timeout=PATIENCE_SECONDS):
            try:
                self._make(missing)
            except OSError as error:
                log.warning("No filmstrips: %s", error)
            finally:
                self._one_at_a_time.release()
        found = [str(file) if file and _is_there(file) else "" for file in files]
        return FilmstripsResult(found + [""] * (len(params.films) - len(films)))

    def _make(self, missing: list[tuple[Film, Path]]) -> None:
        """One child for all; if it dies at one, another goes on behind that."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._make_room()
        until = time.monotonic() + PATIENCE_SECONDS
        while missing and time.monotonic() < until:
            request = json.dumps(to_json(FilmstripsParams([film for film, _ in missing]))).encode()
            have_child_make(PROCESS, [str(file) for _, file in missing], request, until)
            made = [at for at, (_, file) in enumerate(missing) if file.is_file()]
            missing = missing[max(made, default=-1) + 2 :]

    def _file(self, film: Film) -> Path | None:
        """The file of the film as it is on the disk now; None for what can be none."""
        sides = (film.width, film.height)
        if not 0 <= film.side <= MAX_REEL_SIDE or (film.side and film.source.frames > MAX_REEL_FRAMES):
            return None
        if not is_sane_source(film.source) or not all(1 <= side <= MAX_PIXELS_A_SIDE for side in sides):
            return None
        stamps = []
        for name in {film.source.files[0], film.source.files[-1]}:
            try:
                status = os.stat(os.path.join(film.source.folder, name))
            except OSError:
                return None
            stamps.append([name, status.st_mtime_ns, status.st_size])
        key = json.dumps([__version__, to_json(film), sorted(stamps)])
        return self._folder / (hashlib.sha256(key.encode()).hexdigest()[:32] + ".film")

    def _make_room(self) -> None:
        with contextlib.suppress(OSError):
            kept = sorted(((file.stat(), file) for file in self._folder.iterdir()), key=lambda each: -each[0].st_mtime)
            used = 0
            for place, (status, file) in enumerate(kept):
                used += status.st_size
                if place >= MAX_FILES - MAX_FILMSTRIPS or used > MAX_BYTES:
                    file.unlink()


def _is_there(file: Path) -> bool:
    """Whether it was made; it is then the last to go."""
    try:
        os.utime(file)
    except OSError:
        return False
    return True
