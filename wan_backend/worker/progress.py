"""How far a job is and how long it will take. Standard library and protocol only.

The whole job is four phases; each has a share of the bar that is learnt from the jobs before it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.messages import JobState, PhaseSeconds, ProgressParams

PHASES = (JobState.LOADING, JobState.ENCODING, JobState.DENOISING, JobState.DECODING)
FIRST_SHARES = (0.05, 0.05, 0.75, 0.15)
"""Shares of the bar before anything was measured."""
LEAST_PAUSE_SECONDS = 0.05
"""Events within one phase come no closer, except its last."""
NEARLY = 0.999
"""The bar is full only when the take is on the disk, which the answer to `run` says, not an event."""
WRITING_SHARE = 0.25
"""Where the pictures come in tiles: what writing them takes, by what the tiles did."""


@dataclass(frozen=True)
class Work:
    """How much there is to do: what the measured seconds are scaled by."""

    tokens: int
    """Pixels times frames, in any fixed unit."""
    passes: int
    """Steps, twice with guidance."""


@dataclass
class Pace:
    """Seconds for a unit of work, from the last job of this model; None while unknown."""

    denoise: float | None = None
    decode: float | None = None
    encode: float = 0.0

    def learn(self, seconds: PhaseSeconds, work: Work) -> None:
        """Keep what a finished job took."""
        self.denoise = seconds.denoise / max(1, work.tokens * work.passes)
        self.decode = seconds.decode / max(1, work.tokens)
        self.encode = seconds.encode

    def expected(self, work: Work) -> tuple[float, ...] | None:
        """Seconds of each phase of a job of the same model, which by then is loaded; None before the first."""
        if self.denoise is None or self.decode is None:
            return None
        denoise = self.denoise * work.tokens * work.passes
        return (0.0, self.encode, denoise, self.decode * work.tokens)


class Progress:
    """Turns what the job says into events."""

    def __init__(
        self,
        job_id: str,
        steps: int,
        send: Callable[[ProgressParams], None],
        expected: tuple[float, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job_id, self._steps, self._send, self._clock = job_id, steps, send, clock
        self._expected = expected
        total = sum(expected) if expected else 0.0
        self._shares = tuple(part / total for part in expected) if expected and total > 0 else FIRST_SHARES
        self._state = JobState.LOADING
        self._phase_began = clock()
        self._first_unit: float | None = None
        self._first_done = 1
        """The piece that this phase began with, since it began or went on."""
        self._last_sent = float("-inf")
        self._step = 0
        self.preview = ""
        """Path of what the take looks like so far."""
        self._tiled = 0
        """The pieces of tiles that the pictures were made of, before any was written."""
        self._shown = 0.0
        self._bar_seconds: float | None = None
        """Seconds of the whole bar by the last phase that was measured; None before."""

    def phase(self, state: JobState, sentence: str) -> None:
        """The job is in `state` from now on."""
        self._tiled = 0
        if state is not self._state:
            self._state, self._phase_began, self._first_unit, self._first_done = state, self._clock(), None, 1
        self._emit(0.0, sentence, eta_seconds=self._eta(0, 1))

    def go_on(self, done: int, total: int, sentence: str) -> None:
        """The steps go on after `done`: those that an earlier try had made, or another transformer."""
        self.phase(JobState.DENOISING, sentence)
        self._step, self._steps, self._first_done = done, total, done + 1
        self._emit(done / total, sentence, self._eta(done, total))

    def advance(self, done: int, total: int, sentence: str) -> None:
        """`done` of `total` like pieces of this phase are ready."""
        now = self._clock()
        if done == 1 or self._first_unit is None:
            self._first_unit, self._first_done = now, done
        if self._state is JobState.DENOISING:
            self._step, self._steps = done, total  # fewer than planned where a take starts from footage
        if done < total and now - self._last_sent < LEAST_PAUSE_SECONDS:
            return
        self._emit(done / total, sentence, self._eta(done, total))

    def tiled(self, done: int, total: int, sentence: str) -> None:
        """`done` of the `total` pieces of the pictures' tiles are ready; they are written when all are."""
        if not done:
            self.phase(JobState.DECODING, sentence)
            return
        self._tiled = total
        self.advance(done, total + self._writing(), sentence)

    def written(self, done: int, total: int, sentence: str) -> None:
        """`done` of `total` works on the pictures, their decoding and writing, are done; after all tiles, if any."""
        if not self._tiled:
            self.advance(done, total, sentence)
        else:
            self.advance(self._tiled + done * self._writing() // total, self._tiled + self._writing(), sentence)

    def _writing(self) -> int:
        return math.ceil(self._tiled * WRITING_SHARE)

    def _emit(self, fraction: float, sentence: str, eta_seconds: float | None) -> None:
        before = sum(self._shares[: PHASES.index(self._state)])
        share = self._shares[PHASES.index(self._state)]
        # Loading comes again when the next part is wanted: the bar never runs backwards.
        self._shown = max(self._shown, min(NEARLY, before + share * fraction))
        self._last_sent = self._clock()
        report = ProgressParams(
            self._job_id, self._state, self._step, self._steps, self._shown, eta_seconds, sentence, self.preview
        )
        self._send(report)

    def _eta(self, done: int, total: int) -> float | None:
        """Seconds to the end of the job: measured for this phase, expected for those after it."""
        index = PHASES.index(self._state)
        rest = self._rest_of_phase(done, total)
        if rest is not None and self._shares[index] > 0:
            whole = rest + self._clock() - self._phase_began
            self._bar_seconds = whole / self._shares[index]
        if self._expected:
            rest = self._expected[index] * (1 - done / total) if rest is None else rest
            return rest + sum(self._expected[index + 1 :])
        if self._bar_seconds is None:
            return None
        rest = self._bar_seconds * self._shares[index] if rest is None else rest
        return rest + self._bar_seconds * sum(self._shares[index + 1 :])

    def _rest_of_phase(self, done: int, total: int) -> float | None:
        """From the pieces done so far; the first is left out where there are more, for it warms things up.

        Where the phase goes on after loading came between, or after an earlier try, it is counted from there.
        """
        if done < self._first_done:
            return None
        now = self._clock()
        if done == self._first_done or self._first_unit is None:
            return (now - self._phase_began) * (total - done) / (done - self._first_done + 1)
        return (now - self._first_unit) * (total - done) / (done - self._first_done)
