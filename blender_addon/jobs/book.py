"""What this session knows of the open file's jobs. It decides nothing and touches no strip."""

from __future__ import annotations

from collections.abc import Iterable


class Book:
    """Sets of job ids; all but `removed` and `homes` begin anew when a file is loaded."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        """Had a strip in the open file, or were asked for in it."""
        self.landed: set[str] = set()
        """Were placed; if an undo brings the placeholder back, that is what the person wants."""
        self.judged: set[str] = set()
        """Are done and were either placed or left to the person."""
        self.removed: set[str] = set()
        """Had a strip that the person removed (or whose making was undone) before another file was loaded."""
        self.known_ends: dict[str, None] = {}
        """The open file itself says that it knows how these ended, or wants none of their takes; the server has not
        confirmed that yet."""
        self.homes: dict[str, str] = {}
        """The path of the file that a job belongs to since it was saved under that name."""

    def see(self, present: Iterable[str]) -> None:
        """These jobs have a strip in the open file now."""
        present = set(present)
        self.seen |= present
        self.removed -= present

    def close_file(self, present: Iterable[str]) -> None:
        """The open file is about to be left, with strips of these jobs in it."""
        self.removed |= self.seen - set(present)

    def open_file(self, known_ends: Iterable[str]) -> None:
        """Another file was loaded, or the same one again as it was saved; it says how these jobs ended."""
        self.seen.clear()
        self.landed.clear()
        self.judged.clear()
        self.known_ends = dict.fromkeys(known_ends)

    def forget(self, job_id: str) -> None:
        """The job is asked for once more: its next take is a new one."""
        self.landed.discard(job_id)
        self.judged.discard(job_id)
        self.known_ends.pop(job_id, None)
