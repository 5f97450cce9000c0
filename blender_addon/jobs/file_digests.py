"""Whether files are as they were: by their sizes and dates, and by what they hold where those differ. Needs no Blender.

Everything is a generator that yields after each small piece of work, so that whoever drives it decides how long it may
take. A date alone says nothing, since a copied project has other ones: where it differs, the files are read. Small ones
are read whole, of large ones as many evenly spread blocks as a source may cost.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from ..timeline import path_rules
from ..timeline.seen_sources import SeenFiles, digest

AT_ONCE = 20
"""So many files are asked for their dates between two yields."""
BLOCK_BYTES = 128 << 10
SOURCE_BYTES = 64 << 20
"""At most about this much is read of the files of one source."""
LEAST_BYTES, MOST_BYTES = 2 * BLOCK_BYTES, 32 * BLOCK_BYTES
"""Of each file at least, and at most, this much; what is smaller is read whole."""
MAX_KEPT = 4000
SLOW_SECONDS = 0.5
"""A disk that takes longer to answer one question is left alone for a while."""
REST_SECONDS = 120.0


class Away(Exception):
    """A file can't be looked at now; `name` is the file's. Nothing is known of the source then."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Stamp:
    """Sizes and dates of the files of one source."""

    text: str
    size_bytes: int
    settled: bool
    """False if a change from now on could leave the dates as they are."""


class FileDigests:
    """What was found of files, kept for as long as their dates stay."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._contents: OrderedDict[tuple[str, tuple[str, ...], str], str] = OrderedDict()
        self._slow: dict[str, float] = {}
        """Folders whose disk answered slowly, and until when they are left alone."""

    def stamp(self, folder: str, names: Sequence[str]) -> Generator[None, None, Stamp]:
        """The stamp of these files. Raises Away."""
        facts: list[str] = []
        size, newest = 0, 0
        for index, name in enumerate(names):
            status = self._status(folder, name)
            size, newest = size + status.st_size, max(newest, status.st_mtime_ns)
            facts.append(f"{status.st_size} {status.st_mtime_ns}")
            if index % AT_ONCE == AT_ONCE - 1:
                yield
        return Stamp(digest(facts), size, path_rules.is_settled(newest))

    def content(self, folder: str, names: Sequence[str], stamp: Stamp) -> Generator[None, None, str]:
        """What these files hold, as a digest. Raises Away."""
        key = (folder, tuple(names), stamp.text)
        known = self._contents.get(key)
        if known is not None:
            self._contents.move_to_end(key)
            return known
        most = min(MOST_BYTES, max(LEAST_BYTES, SOURCE_BYTES // max(1, len(names))))
        found = hashlib.blake2b(digest_size=16)
        for name in names:
            yield from self._add(found, folder, name, most)
        if stamp.settled:
            self._contents[key] = found.hexdigest()
            while len(self._contents) > MAX_KEPT:
                self._contents.popitem(last=False)
        return found.hexdigest()

    def is_same(
        self, seen: SeenFiles, folder: str, names: Sequence[str]
    ) -> Generator[None, None, tuple[bool, SeenFiles]]:
        """Whether the files hold what was seen, and what is to be kept of them in its place. Raises Away."""
        stamp = yield from self.stamp(folder, names)
        same_dates = stamp.text == seen.stamp and stamp.settled
        if same_dates and seen.content:
            return True, seen
        content = yield from self.content(folder, names, stamp)
        after = yield from self.stamp(folder, names)
        if after != stamp:  # they are being written: the next look tells
            raise Away(names[0] if names else "")
        same = content == seen.content if seen.content else _unread_is_same(seen, stamp)
        now = SeenFiles(seen.name, len(names), stamp.size_bytes, stamp.text if stamp.settled else "", content)
        return same, (now if same else seen)

    def forget(self) -> None:
        """Ask every disk again."""
        self._slow.clear()

    def _status(self, folder: str, name: str) -> os.stat_result:
        if self._clock() < self._slow.get(folder, 0.0) or (os.name == "nt" and folder.startswith("\\\\")):
            raise Away(name)  # a share of Windows that doesn't answer would hold the window up
        began = self._clock()
        try:
            status = os.stat(os.path.join(folder, name))
        except (OSError, ValueError):
            raise Away(name) from None
        finally:
            self._note(folder, began)
        if not stat.S_ISREG(status.st_mode):  # a named pipe would be waited for
            raise Away(name)
        return status

    def _add(self, found: hashlib.blake2b, folder: str, name: str, most: int) -> Generator[None, None, None]:
        size = self._status(folder, name).st_size
        found.update(size.to_bytes(8, "little"))
        try:
            with open(os.path.join(folder, name), "rb") as file:
                for offset in _offsets(size, most):
                    began = self._clock()
                    file.seek(offset)
                    found.update(file.read(BLOCK_BYTES))
                    self._note(folder, began)
                    yield
        except (OSError, ValueError):
            raise Away(name) from None

    def _note(self, folder: str, began: float) -> None:
        if self._clock() - began > SLOW_SECONDS:
            self._slow[folder] = self._clock() + REST_SECONDS


def _unread_is_same(seen: SeenFiles, stamp: Stamp) -> bool:
    """Whether files that nobody has read before are the same. Of those that were too new then, the size says it."""
    return stamp.text == seen.stamp if seen.stamp else seen.size_bytes in (0, stamp.size_bytes)


def _offsets(size: int, most: int) -> Sequence[int]:
    """Where blocks are read: all of a small file, else evenly from its beginning to its end."""
    if size <= most:
        return range(0, size, BLOCK_BYTES)
    count = most // BLOCK_BYTES
    return [index * (size - BLOCK_BYTES) // (count - 1) for index in range(count)]
