"""A child process that is started for one purpose, reports how far it is, and is read in ticks."""

from __future__ import annotations

from .child_process import ChildProcess
from .client import ChildClient


class ReportingChild:
    """One child at a time, and those before it that are still ending. Who inherits starts it and minds its end."""

    def __init__(self) -> None:
        self._child: ChildProcess | None = None
        self._client: ChildClient | None = None
        self._leaving: list[ChildProcess] = []

    @property
    def busy(self) -> bool:
        """True while a child is at work."""
        return self._child is not None

    def close(self, patience_seconds: float) -> None:
        """End the children, by force after `patience_seconds`, because Blender or the add-on ends."""
        self._drop()
        for child in self._leaving:
            child.end_now(patience_seconds)
        self._leaving.clear()

    def tick(self, deadline: float) -> bool:
        """Read the child's reports until `deadline` (of time.perf_counter); True if something changed."""
        self._leaving = [child for child in self._leaving if not child.has_ended()]
        child, client = self._child, self._client
        if child is None or client is None:
            return False
        exit_code = child.exit_code
        changed = client.tick(deadline)
        if exit_code is not None and self._child is child and not client.behind:
            self._drop()
            self._ended(child, exit_code)
            changed = True
        return changed

    def _ended(self, child: ChildProcess, exit_code: int) -> None:
        """The child has ended, and all its reports are read."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Have no child any more; one that is there is asked to leave."""
        if self._child is not None:
            self._child.leave()
            self._leaving.append(self._child)
            self._child = self._client = None
