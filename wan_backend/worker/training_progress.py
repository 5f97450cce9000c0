"""How far a training is, and how long it will take, as the server is told."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

from ..protocol.messages import JobState, ProgressParams, TrainingStatus
from ..protocol.sentences import NO_SENTENCE, Sentence

ENCODING_SHARE = 0.05
"""Of the bar."""
NEARLY = 0.999
LEAST_PAUSE_SECONDS = 0.2
"""Between two events of steps."""
COUNTED_STEPS = 50
"""A step's time is the mean of so many."""


class TrainingProgress:
    """Sends events; what didn't change isn't sent again."""

    def __init__(
        self,
        job_id: str,
        steps: int,
        send: Callable[[ProgressParams], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job_id, self._steps, self._send, self._clock = job_id, steps, send, clock
        self._state, self._step, self._shown = JobState.LOADING, 0, 0.0
        self._ends: collections.deque[float] = collections.deque(maxlen=COUNTED_STEPS + 1)
        self._sent_at = float("-inf")
        self._said: TrainingStatus | None = None
        self._preview = ""

    @property
    def seconds_a_step(self) -> float | None:
        """The mean of the last steps; None before the second."""
        if len(self._ends) < 2:
            return None
        return round((self._ends[-1] - self._ends[0]) / (len(self._ends) - 1), 4)

    def phase(self, state: JobState, sentence: Sentence) -> None:
        """The job is in `state` from now on."""
        self._state = state
        self._emit(sentence)

    def encoding(self, done: int, total: int, sentence: Sentence) -> None:
        """So many clips of all are encoded."""
        self._state = JobState.ENCODING
        self._shown = max(self._shown, ENCODING_SHARE * done / max(1, total))
        self._emit(sentence)

    def busy(self, sentence: Sentence) -> None:
        """Something goes on that is no step."""
        self._ends.clear()
        self._emit(sentence)

    def go_on(self, step: int) -> None:
        """The steps go on after one that an earlier try made."""
        self._state, self._step = JobState.DENOISING, step
        self._advance()
        self._emit(Sentence("Resuming at step {step} of {steps}", step=min(step + 1, self._steps), steps=self._steps))

    def step(self, done: int, status: TrainingStatus) -> None:
        """A step was made."""
        self._state, self._step = JobState.DENOISING, done
        self._ends.append(self._clock())
        self._advance()
        if done < self._steps and self._clock() - self._sent_at < LEAST_PAUSE_SECONDS:
            return
        self._emit(Sentence("Step {done} of {steps}", done=done, steps=self._steps), status)

    def sampling(self, sentence: Sentence) -> None:
        """A step of a sample was made."""
        self._state = JobState.DENOISING
        self._ends.clear()
        self._emit(sentence)

    def say(self, status: TrainingStatus, preview: str = "") -> None:
        """Something is new beside the steps."""
        self._preview = preview or self._preview
        self._emit(Sentence("Step {done} of {steps}", done=self._step, steps=self._steps), status)

    def _advance(self) -> None:
        share = ENCODING_SHARE + (1 - ENCODING_SHARE) * self._step / max(1, self._steps)
        self._shown = max(self._shown, min(NEARLY, share))

    def _emit(self, sentence: Sentence, status: TrainingStatus | None = None) -> None:
        pace = self.seconds_a_step
        left = None if pace is None else pace * (self._steps - self._step)
        new = status if status is not None and status != self._said else None
        self._said = new or self._said
        self._sent_at = self._clock()
        self._send(
            ProgressParams(
                *(self._job_id, self._state, self._step, self._steps, self._shown, left, sentence or NO_SENTENCE),
                preview=self._preview,
                training=new,
            )
        )
