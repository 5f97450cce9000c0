"""Writes to the disk beside the main thread: a disk that needs 0.15 s for each file must not delay the answers.

`AtOnce` writes in the caller's thread, `WriterThread` in its own.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

log = logging.getLogger(__name__)

State = dict[str, Any]
Save = Callable[[str, State], None]
"""Writes the state of the job of that id; raises OSError."""
Done = Callable[[OSError | None], None]
"""Called when it is on the disk, or with why it is not."""
Post = Callable[[Callable[[], None]], None]
"""Has something done by the main thread; from any thread."""


class Writer(Protocol):
    """Puts states and other things on the disk."""

    def save(self, job_id: str, state: State, then: Done, urgent: bool = True) -> None:
        """Write a job's state. Of several that wait for one job, the newest is written, once; what is urgent waits
        for at most one that is not."""

    def do(self, work: Callable[[], None], then: Done, urgent: bool = True) -> None:
        """Do something else, in its turn; `work` may raise OSError."""

    def drop(self, job_id: str) -> None:
        """Leave out a state of the job that waits to be written; whoever waits for it gets no error."""

    def close(self, timeout_seconds: float) -> None:
        """Do all that waits, as far as the time allows."""


class AtOnce:
    """Does everything before it returns."""

    def __init__(self, save: Save) -> None:
        self._save = save

    def save(self, job_id: str, state: State, then: Done, urgent: bool = True) -> None:
        """Write a job's state."""
        then(_error_of(lambda: self._save(job_id, state)))

    def do(self, work: Callable[[], None], then: Done, urgent: bool = True) -> None:
        """Do something else."""
        then(_error_of(work))

    def drop(self, job_id: str) -> None:
        """Nothing waits."""

    def close(self, timeout_seconds: float) -> None:
        """Nothing waits."""


@dataclass
class _Waiting:
    state: State
    thens: list[Done]


@dataclass
class _Work:
    work: Callable[[], None]
    then: Done


class WriterThread:
    """A thread that writes; results come on the main thread."""

    def __init__(self, save: Save, post: Post) -> None:
        self._save, self._post = save, post
        self._changed = threading.Condition()
        self._urgent: deque[str | _Work] = deque()
        self._others: deque[str | _Work] = deque()
        self._states: dict[str, _Waiting] = {}
        self._was_other = True
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def save(self, job_id: str, state: State, then: Done, urgent: bool = True) -> None:
        """Have a job's state written."""
        with self._changed:
            waiting = self._states.get(job_id)
            if waiting is None:
                self._states[job_id] = _Waiting(state, [then])
            else:
                waiting.state = state
                waiting.thens.append(then)
            (self._urgent if urgent else self._others).append(job_id)  # twice there does no harm
            self._changed.notify()

    def do(self, work: Callable[[], None], then: Done, urgent: bool = True) -> None:
        """Have something else done."""
        with self._changed:
            (self._urgent if urgent else self._others).append(_Work(work, then))
            self._changed.notify()

    def drop(self, job_id: str) -> None:
        """Leave out what waits to be written of a job's state."""
        with self._changed:
            waiting = self._states.pop(job_id, None)
        if waiting is not None:
            self._post(functools.partial(_call_all, waiting.thens, None))

    def close(self, timeout_seconds: float) -> None:
        """Do all that waits, as far as the time allows."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            work, thens = taken
            error = _error_of(work)
            self._post(functools.partial(_call_all, thens, error))

    def _next(self) -> tuple[Callable[[], None], list[Done]] | None:
        """Wait for the next work; None: nothing more will come."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._urgent or self._others or self._closing)
                if not self._urgent and not self._others:
                    return None
                urgent = bool(self._urgent) and (self._was_other or not self._others)
                self._was_other = not urgent
                item = self._urgent.popleft() if urgent else self._others.popleft()
                if isinstance(item, _Work):
                    return item.work, [item.then]
                waiting = self._states.pop(item, None)
                if waiting is not None:
                    return functools.partial(self._save, item, waiting.state), waiting.thens


def _call_all(thens: list[Done], error: OSError | None) -> None:
    for then in thens:
        then(error)


def _error_of(work: Callable[[], None]) -> OSError | None:
    try:
        work()
    except OSError as error:
        return error
    except Exception as error:  # the edge of a thread: who waits must hear of it, whatever it was
        log.exception("Something could not be written")
        return OSError(f"{type(error).__name__}: {error}")
    return None
