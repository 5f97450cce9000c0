"""Which folder here stands for which folder there.

A studio with shared folders gives pairs of paths. Every other folder has a place of its own in the far server's folder
for what is sent, named by an id; what each id means here is kept in a file, for servers that outlast this process.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..protocol.conversion import from_json, to_json
from ..protocol.messages import LoraUse, Source, TakeRequest
from ..storage import whole_file

log = logging.getLogger(__name__)

T = TypeVar("T")
FILE = "places.json"
FOLDERS, TAKES = "folders", "takes"
MAX_FOLDERS = 5000
"""Those of sources; older ones are forgotten. The places of takes are few, and all are kept."""


@dataclass(frozen=True)
class PathPair:
    """A folder that both machines see, each under its own path."""

    near: str
    far: str


def id_of(*parts: str) -> str:
    """An id that is the same for the same parts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Places:
    """Reads and keeps what ids mean."""

    def __init__(self, state: Path, pairs: Sequence[PathPair]) -> None:
        self._file = state / FILE
        self._pairs = sorted(pairs, key=lambda pair: -len(pair.near))
        self._root = ""
        self._known: dict[str, dict[str, str]] = {FOLDERS: {}, TAKES: {}}
        self._lock = threading.Lock()
        """Requests are prepared on a thread of their own."""
        self._read_mark: tuple[int, int] | None = None
        self._read()

    def learn_root(self, far_state_folder: str) -> None:
        """The far server's state folder, from its greeting."""
        root = far_state_folder + ("\\" if "\\" in far_state_folder else "/") + "sent"
        if root != self._root:
            with self._lock:
                self._read()  # another window's relay may have kept some since
                self._root = root
                self._save()

    def pair_of(self, near: str) -> PathPair | None:
        """The pair that a folder or file lies in; None if it lies in none."""
        return next((pair for pair in self._pairs if _below(near, pair.near) is not None), None)

    def shared(self, near: str) -> str | None:
        """The far path of a folder or file that both machines see; None if it lies in no pair."""
        pair = self.pair_of(near)
        if pair is None:
            return None
        rest = _below(near, pair.near) or ""
        return pair.far.rstrip("/\\") + rest.replace("\\", "/") if "/" in pair.far else pair.far + rest

    def folder(self, near: str, *parts: str) -> tuple[str, str]:
        """The id of a folder of sources, and its far path. `parts` tell it from others of that folder."""
        return self._place(FOLDERS, near, *parts)

    def takes(self, near: str) -> tuple[str, str]:
        """The id of a media folder, and its far path."""
        return self._place(TAKES, near)

    def near_of_take(self, far_folder: str) -> str:
        """The media folder here of a take there; empty if it is of no place that was made from here."""
        found = self._pattern().search(far_folder) if self._root else None
        return self._near(TAKES, found[2]) if found is not None and found[1] == TAKES else ""

    def within_takes(self, far_path: str) -> list[str]:
        """The names of a far path from the place of a client's takes on; empty if it lies in none."""
        found = self._pattern().match(far_path) if self._root else None
        if found is None or found[1] != TAKES:
            return []
        return [part for part in re.split(r"[/\\]", far_path[found.end() :]) if part]

    def here(self, kind: type[T], message: Any) -> T:
        """A message of the far server's with this machine's paths."""
        return from_json(kind, self.paths_here(to_json(message)))

    def paths_here(self, values: Any) -> Any:
        """JSON values of the far server's with this machine's paths."""
        return self._swapped(values, in_sentence=False)

    def _place(self, kind: str, near: str, *parts: str) -> tuple[str, str]:
        made = id_of(near, *parts)
        with self._lock:
            if self._known[kind].get(made) != near:
                self._read()  # another window's relay may have kept others
                self._known[kind][made] = near
                while len(self._known[FOLDERS]) > MAX_FOLDERS:
                    del self._known[FOLDERS][next(iter(self._known[FOLDERS]))]
                self._save()
        separator = "\\" if "\\" in self._root else "/"
        return made, f"{self._root}{separator}{kind}{separator}{made}"

    def _near(self, kind: str, place: str) -> str:
        """What is here in that place; empty if that isn't known, also not to another window's relay."""
        if place not in self._known[kind] and self._mark() != self._read_mark:
            with self._lock:
                self._read()
        return self._known[kind].get(place, "")

    def _mark(self) -> tuple[int, int] | None:
        """It differs once the file was written anew."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> None:
        self._read_mark = self._mark()
        try:
            kept = whole_file.read_json(self._file)
            for kind in (FOLDERS, TAKES):
                self._known[kind].update((str(key), str(value)) for key, value in kept[kind].items())
            self._root = self._root or str(kept["root"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            log.info("Nothing is known of earlier places")

    def _save(self) -> None:
        try:
            whole_file.write_json(self._file, {"root": self._root, **self._known})
        except OSError as error:
            log.error("%s can't be written: %s", self._file, error)

    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self._root) + rf"[/\\]({FOLDERS}|{TAKES})[/\\]([0-9a-f]{{32}})")

    def _swapped(self, value: Any, in_sentence: bool) -> Any:
        if isinstance(value, str):
            return self._text(value, in_sentence)
        if isinstance(value, list):
            return [self._swapped(item, in_sentence) for item in value]
        if isinstance(value, dict):
            inside = in_sentence or "template" in value
            return {key: self._swapped(item, inside) for key, item in value.items()}
        return value

    def _text(self, text: str, in_sentence: bool) -> str:
        """In sentences the places of takes stay: what is said of that disk is meant of the other machine's."""
        if self._root and self._root in text:

            def near(found: re.Match[str]) -> str:
                if found[1] == TAKES and in_sentence:
                    return found[0]
                return self._near(found[1], found[2]) or found[0]

            return self._pattern().sub(near, text)
        for pair in self._pairs:
            rest = _below(text, pair.far)
            if rest is not None:
                return pair.near.rstrip("/\\") + rest
        return text


def _below(path: str, folder: str) -> str | None:
    """What of `path` follows `folder`, with its separator; empty if it is the folder; None if it doesn't lie there."""
    trimmed = folder.rstrip("/\\")
    if not trimmed or not path.startswith(trimmed):
        return None
    rest = path[len(trimmed) :]
    return rest if not rest or rest[0] in "/\\" else None


def mapped(request: TakeRequest, source: Callable[[Source], Source], lora: Callable[[LoraUse], LoraUse]) -> TakeRequest:
    """The request with other sources and LoRAs."""
    return replace(
        request, sources=[source(each) for each in request.sources], loras=[lora(use) for use in request.loras]
    )


def planned(request: TakeRequest, places: Places) -> TakeRequest:
    """The request for a plan: nothing has been sent for it, so no source is looked for and no LoRA is read there."""

    def source(each: Source) -> Source:
        shared = places.shared(each.folder)
        if shared is not None:
            return replace(each, folder=shared)
        return replace(each, folder=places.folder(each.folder)[1], rendered=True, shown_files=[])

    media_folder = places.shared(request.media_folder) or places.takes(request.media_folder)[1]
    seen = [use for use in request.loras if places.shared(use.path) is not None]
    return replace(
        mapped(
            replace(request, loras=seen), source, lambda use: replace(use, path=places.shared(use.path) or use.path)
        ),
        media_folder=media_folder,
    )
