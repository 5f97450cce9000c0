"""What follows each step, done while the card makes the next one: the step is kept, shown and reported.

A card would idle meanwhile: copies, the preview and the files of both take some 30 ms of each step. So what is needed
of a step is copied by the card itself, behind the step, and used once the next one's first blocks are queued.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ..pipelines.denoise import StepCopy
from ..pipelines.stopping import ShouldStop

ASKED_FIRST = 3
"""`should_stop` is asked so often before the next step's third block: before the step, and before each block."""


class LateSteps:
    """Finishes each step once the next one has begun, from within the `should_stop` that it is asked in."""

    def __init__(self, finish: Callable[[StepCopy], None], should_stop: ShouldStop) -> None:
        """`finish` does all that follows a step, in order; what it raises is raised here."""
        self._finish, self._should_stop = finish, should_stop
        self._waiting: StepCopy | None = None
        self._asked = 0

    def take(self, step: StepCopy, at_once: bool) -> None:
        """A step was made; it is finished before anything else if it is `at_once`, or there already."""
        self.finish()
        self._waiting, self._asked = step, 0
        if at_once or step.event is None:
            self.finish()

    def should_stop(self) -> bool:
        """To be given to what makes the next step."""
        if self._waiting is not None:
            self._asked += 1
            if self._asked > ASKED_FIRST and self._waiting.is_there:
                self.finish()
        return self._should_stop()

    def finish(self) -> None:
        """Finish the step that waits, if one does."""
        step, self._waiting = self._waiting, None
        if step is not None:
            step.wait()
            self._finish(step)

    def finish_after_failure(self) -> None:
        """Finish the step that waits, so that a later try can go on from it; never raises."""
        with suppress(Exception):
            self.finish()
