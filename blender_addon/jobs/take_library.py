"""All takes that lie in some media folders, whichever .blend or queue still knows of them: the list of the browser.

It needs no Blender. A take is its folder's take.json, which may come from anybody: it is bounded, and checked before it
is used; of one that a newer version wrote, what can be read is shown. An index keeps what was read, with the stamp of
each file, so that thousands of takes are listed at once and read again only where they changed. All is done in slices.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from ...wan_backend.protocol import ProtocolError, bounds, take_names
from ...wan_backend.protocol.conversion import from_json
from ...wan_backend.protocol.media import MOVIE_FILES, SETTINGS_FILE, frame_file
from ...wan_backend.protocol.messages import Take, TakeRequest, as_searched
from ...wan_backend.protocol.plain_names import is_id
from ...wan_backend.protocol.takes import MAX_TAKE_FRAMES
from ...wan_backend.storage import whole_file

log = logging.getLogger(__name__)

INDEX_FORMAT = 1
MAX_INDEX_BYTES = 32 << 20
MAX_TAKES = 50_000
"""No more are listed; whoever has as many looks for them with the system's own means."""
MAX_ASIDE_CHARACTERS = 200
"""Of a model's name, of a source's."""
SHOWN_PROMPT_CHARACTERS = 2000
_FIRST_FILES = (frame_file(0), *MOVIE_FILES.values())


@dataclass(frozen=True, slots=True)
class ListedTake:
    """A take on the disk, as the browser shows it and puts it on a timeline."""

    job_id: str
    folder: str
    """Absolute."""
    stamp: int
    """When its settings were written, in nanoseconds: the date of the take."""
    first_file: str
    frames: int
    width: int
    height: int
    prompt: str = ""
    task: str = ""
    model: str = ""
    seed: int = -1
    """-1 if it isn't known."""
    source: str = ""
    """The names of the files that it was made from, for a search."""
    project_id: str = ""
    scene: str = ""
    length_frames: int = 0
    """As it was asked for; 0 if that isn't known."""
    is_newer: bool = False
    """Another version wrote it, and not all of it can be read."""

    @property
    def is_movie(self) -> bool:
        """Whether its pictures are one movie."""
        return self.first_file != frame_file(0)


def read_take(folder: Path, stamp: int) -> ListedTake | None:
    """The take in `folder`; None if that holds no take's settings, or another's. Never raises for what a file holds."""
    try:
        settings = whole_file.read_json(folder / SETTINGS_FILE, bounds.MAX_JSON_CHARACTERS)
    except (OSError, ValueError):
        return None
    job_id = job_in(settings, folder.name)
    if not job_id or not isinstance(settings, dict):
        return None
    take = _sane(Take, settings, "take", bounds.is_sane_take)
    request = _sane(TakeRequest, settings, "request", bounds.is_sane_request)
    media = _media(take, settings.get("take"))
    if media is None:
        return None
    if request is None:
        return ListedTake(job_id, str(folder), stamp, *media, **_loosely(settings.get("request")), is_newer=True)
    names = dict.fromkeys(
        f"{os.path.basename(source.folder)}/{source.files[0]}" for source in request.sources if source.files
    )
    return ListedTake(
        job_id,
        str(folder),
        stamp,
        *media,
        prompt=request.shown_prompt[:SHOWN_PROMPT_CHARACTERS],
        task=request.task.value,
        model=request.model,
        seed=request.seed,
        source=", ".join(names)[:MAX_ASIDE_CHARACTERS],
        project_id=request.origin.project_id,
        scene=request.origin.scene,
        length_frames=request.length_frames,
        is_newer=take is None,
    )


def _sane(kind: Any, settings: dict[str, Any], name: str, is_sane: Callable[[Any], bool]) -> Any:
    try:
        read = from_json(kind, settings.get(name), name)
    except (ProtocolError, ValueError, TypeError):
        return None
    return read if is_sane(read) else None


def _media(take: Take | None, loose: object) -> tuple[str, int, int, int] | None:
    """First file, frames, width and height; of a take that another version wrote, if these are as they are here."""
    if take is not None:
        return take.first_file, take.frames, take.width, take.height
    if not isinstance(loose, dict):
        return None
    first, frames = loose.get("first_file"), loose.get("frames")
    if first not in _FIRST_FILES or not _is_count(frames, MAX_TAKE_FRAMES):
        return None
    sides = [loose.get(side) for side in ("width", "height")]
    width, height = (side if _is_count(side, bounds.MAX_PIXELS_A_SIDE) else 0 for side in sides)
    return first, frames, width, height


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _loosely(request: object) -> dict[str, Any]:
    """The words of a request that can't be read whole, as far as they are plain."""
    if not isinstance(request, dict):
        return {}
    found: dict[str, Any] = {}
    for name, most in (("prompt", SHOWN_PROMPT_CHARACTERS), ("task", 40), ("model", MAX_ASIDE_CHARACTERS)):
        text = request.get(name)
        if isinstance(text, str):
            found[name] = text[:most].replace("\0", "").encode("utf-8", "replace").decode()
    if _is_count(request.get("seed"), (1 << 63) - 1):
        found["seed"] = request["seed"]
    return found


_FIELDS = [each.name for each in fields(ListedTake)]
_KINDS: dict[str, type] = {name: str for name in _FIELDS} | {
    name: int for name in ("stamp", "frames", "width", "height", "seed", "length_frames")
}
_KINDS["is_newer"] = bool


_VALUES = attrgetter(*_FIELDS)
ROWS_AT_ONCE = 100
FIRST_ROWS = 300
"""So many rows of the index, the newest takes, are listed at once; the others follow in slices."""


@dataclass
class _Saving:
    """The index, as far as it is written down."""

    waiting: list[ListedTake]
    lines: list[str]


@dataclass
class _Look:
    """One walk through the folders, as far as it has come."""

    waiting: list[str]
    entries: Iterator[os.DirEntry[str]] | None = None
    seen: set[str] = field(default_factory=set)


class TakeLibrary:
    """The takes of some folders, newest first."""

    def __init__(self, index_file: Path) -> None:
        """`index_file` keeps what was read, for the next time; it may be lost at any time."""
        self._index_file = index_file
        self._places: tuple[str, ...] = ()
        self._by_folder: dict[str, ListedTake] = {}
        self._words: dict[str, str] = {}
        self._sorted: list[ListedTake] | None = []
        self._look: _Look | None = None
        self._rows: list[bytes] = []
        """Lines of the index that are still to be read, the last one first."""
        self._wordless: list[ListedTake] = []
        """Takes whose words are still to be prepared for a search."""
        self._saving: _Saving | None = None
        self._has_index = False
        self._unsaved = False
        self.version = 0
        """Grows with each change of what is listed."""
        self.problems: list[str] = []
        """Media folders that couldn't be read."""

    @property
    def busy(self) -> bool:
        """Whether folders are still being looked through, or the index is being written."""
        return self._look is not None or self._saving is not None or bool(self._wordless)

    @property
    def looking(self) -> bool:
        """Whether folders are still being looked through."""
        return self._look is not None

    def look(self, places: Iterable[str]) -> None:
        """Look through these media folders; the newest that the index has of them are listed at once."""
        self._places = tuple(dict.fromkeys(places))
        if not self._has_index:
            self._has_index = True
            self._rows = self._read_index()
            self._read_rows(FIRST_ROWS)
        self._look = _Look(list(self._places))
        self.problems = []
        self._changed()

    def takes(self) -> list[ListedTake]:
        """All that are known in the folders that were looked through last, newest first; only to be read."""
        if self._sorted is None:
            rank = {place: number for number, place in enumerate(self._places)}
            places: list[list[ListedTake]] = [[] for _ in rank]
            for folder, take in self._by_folder.items():
                number = rank.get(os.path.dirname(folder))
                if number is not None:
                    places[number].append(take)
            once = {take.job_id: take for here in reversed(places) for take in here}  # of copies, the one in the first
            found = sorted(once.values(), key=attrgetter("job_id"))
            self._sorted = sorted(found, key=attrgetter("stamp"), reverse=True)
        return self._sorted

    def tick(self, deadline: float) -> bool:
        """Look on until `deadline` (of time.perf_counter); True if something changed."""
        was_looking, before = self._look is not None, self.version
        while self.busy and time.perf_counter() < deadline:
            if self._rows:
                self._read_rows(ROWS_AT_ONCE)
            elif self._look is not None:
                self._step(self._look)
            elif self._wordless:
                self._words_of(self._wordless.pop())
            elif self._saving is not None:
                self._save_slice(self._saving)
        return self.version != before or (was_looking and self._look is None)

    def search(self, text: str, keep: Callable[[ListedTake], bool] = lambda take: True) -> list[ListedTake]:
        """The takes that have every word of `text` in prompt, task, model, seed, source or scene."""
        words = as_searched(text).split()
        return [take for take in self.takes() if self._has(take, words) and keep(take)]

    def forget(self, folder: str) -> None:
        """A take's folder was moved away: it is not listed any more."""
        if self._by_folder.pop(folder, None) is not None:
            self._words.pop(folder, None)
            self._unsaved = True
            self._changed()

    def _save_slice(self, saving: _Saving) -> None:
        """Encode some rows, or write them all once they are: a disk that is full costs the index alone."""
        for take in saving.waiting[:ROWS_AT_ONCE]:
            saving.lines.append(json.dumps(_VALUES(take), separators=(",", ":")))
        del saving.waiting[:ROWS_AT_ONCE]
        if saving.waiting:
            return
        self._saving = None
        try:
            self._index_file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(self._index_file, ("\n".join(saving.lines) + "\n").encode("ascii"))
        except OSError as error:
            log.info("The list of takes was not kept: %s", error)

    def _has(self, take: ListedTake, words: list[str]) -> bool:
        if not words:
            return True
        known = self._words_of(take)
        return all(word in known for word in words)

    def _words_of(self, take: ListedTake) -> str:
        known = self._words.get(take.folder)
        if known is None:
            task = take.task.replace("_", " ")
            parts = (take.prompt, task, take.model, str(take.seed), take.source, take.scene, take.job_id)
            known = self._words[take.folder] = as_searched(" ".join(parts))
        return known

    def _changed(self) -> None:
        self._sorted = None
        self.version += 1

    def _step(self, look: _Look) -> None:
        """One entry of a folder, or the next folder, or the end."""
        if look.entries is not None:
            entry = next(look.entries, None)
            if entry is None:
                look.entries = None
            elif len(look.seen) < MAX_TAKES:
                self._take_in(look, entry)
        elif look.waiting:
            place = look.waiting.pop(0)
            try:
                look.entries = os.scandir(place)
            except FileNotFoundError:
                pass
            except OSError as error:
                log.info("The takes in %r can't be listed: %s", place, error)
                self.problems.append(place)
        else:
            self._end(look)

    def _take_in(self, look: _Look, entry: os.DirEntry[str]) -> None:
        if not take_names.may_be_take(entry.name):
            return
        try:
            if entry.is_symlink() or not entry.is_dir(follow_symlinks=False):
                return
            settings = os.lstat(os.path.join(entry.path, SETTINGS_FILE))
        except OSError:
            return
        if not stat.S_ISREG(settings.st_mode):
            return
        known = self._by_folder.get(entry.path)
        if known is None or known.stamp != settings.st_mtime_ns:
            read = read_take(Path(entry.path), settings.st_mtime_ns)
            if read is None:
                return
            self._by_folder[entry.path] = read
            self._words.pop(entry.path, None)
            self._unsaved = True
            self._changed()
        look.seen.add(entry.path)

    def _end(self, look: _Look) -> None:
        """Drop what is gone from the folders that could be read, and keep the rest for the next time."""
        read = set(self._places) - set(self.problems)
        gone = [path for path in self._by_folder if os.path.dirname(path) in read and path not in look.seen]
        for path in gone:
            self.forget(path)
        self._look = None
        self._wordless = [take for take in self._by_folder.values() if take.folder not in self._words]
        if self._unsaved:
            self._unsaved = False
            head = json.dumps({"format": INDEX_FORMAT, "fields": _FIELDS})
            newest_first = sorted(self._by_folder.values(), key=attrgetter("stamp"), reverse=True)
            self._saving = _Saving(newest_first[:MAX_TAKES], [head])

    def _read_rows(self, count: int) -> None:
        """Take in some of the rows of the index, but for takes that are known better by now."""
        for line in reversed(self._rows[-count:]):
            take = _row(line)
            if take is not None:
                self._by_folder.setdefault(take.folder, take)
        del self._rows[-count:]
        self._changed()

    def _read_index(self) -> list[bytes]:
        """The lines of the index, the last one first."""
        try:
            if self._index_file.stat().st_size > MAX_INDEX_BYTES:
                return []
            head, *lines = self._index_file.read_bytes().splitlines()[: MAX_TAKES + 1]
            if json.loads(head) != {"format": INDEX_FORMAT, "fields": _FIELDS}:
                return []
        except (OSError, ValueError, RecursionError):
            return []
        return lines[::-1]


_ROW = [_KINDS[name] for name in _FIELDS]


def _row(line: bytes) -> ListedTake | None:
    """The take in a line of the index; None if it isn't one that was written here."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return ListedTake(*row) if isinstance(row, list) and list(map(type, row)) == _ROW else None


def job_in(settings: object, name: str) -> str:
    """The job of a take, by its settings and the name of its folder; empty where one doesn't fit the other."""
    if is_id(name):
        return name  # as earlier versions called it
    if not isinstance(settings, dict):
        return ""
    job_id, title = settings.get("job_id"), settings.get(take_names.TITLE_KEY)
    return str(job_id) if take_names.is_called_after(name, job_id, title) else ""
