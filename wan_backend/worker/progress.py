"""How far a job is, and how long it will take.

A job has four phases; the share of the bar that each has is learned from the jobs before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.messages import JobState, PhaseSeconds, ProgressParams
from ..protocol.sentences import Sentence

STATES = (JobState.LOADING, JobState.ENCODING, JobState.DENOISING, JobState.DECODING)
FIRST_SHARES = (0.05, 0.05, 0.75, 0.15)
"""Shares of the bar before anything was measured."""
MIN_PAUSE_SECONDS = 0.05
"""Events of one phase are at least this far apart, except for its last."""
NEARLY = 0.999
"""The highest fraction of an event: the take is on the disk, and the bar full, only with the answer to `run`."""
WRITING_SHARE = 0.25
"""For pictures in tiles: the time that writing takes, as a share of what decoding the tiles took."""


@dataclass(frozen=True)
class TakeWork:
    """How much a take has to compute; measured seconds are scaled by it."""

    tokens: int
    """Pixels times frames."""
    passes: int
    """How often a transformer runs: once a step, twice with guidance."""
    sources: float = 0.0
    """How many times as many tokens as the take's own a pass sees beside them, at most: those of an edit's sources."""

    @property
    def seen(self) -> float:
        """The tokens that a pass of the transformer sees."""
        return self.tokens * (1 + self.sources)


@dataclass
class MeasuredPace:
    """Seconds for a unit of work, from the last job of a model; None while unknown."""

    denoise: float | None = None
    decode: float | None = None
    encode: float = 0.0
    seen: float = 0.0
    """The tokens that a pass saw of the job that it was learned from."""

    def learn(self, seconds: PhaseSeconds, work: TakeWork) -> None:
        """Take over what a finished job took."""
        self.denoise = seconds.denoise / max(1, work.seen * work.passes)
        self.decode = seconds.decode / max(1, work.tokens)
        self.encode, self.seen = seconds.encode, work.seen

    def longest_pass(self, work: TakeWork) -> float | None:
        """Seconds of the transformer's pass in another job, at most: attention takes the square of the tokens.

        None before the first job.
        """
        expected = self.expected(work)
        if expected is None:
            return None
        seconds = expected[STATES.index(JobState.DENOISING)] / max(1, work.passes)
        return seconds * max(1.0, work.seen / max(1, self.seen))

    def expected(self, work: TakeWork) -> tuple[float, ...] | None:
        """Seconds of each phase for another job of the model, which by then is loaded; None before the first job."""
        if self.denoise is None or self.decode is None:
            return None
        denoise = self.denoise * work.seen * work.passes
        return (0.0, self.encode, denoise, self.decode * work.tokens)


class Progress:
    """Turns what a job does into events with a fraction of the bar and the time that is left."""

    def __init__(
        self,
        job_id: str,
        steps: int,
        send: Callable[[ProgressParams], None],
        expected: tuple[float, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
        shares: tuple[float, ...] = FIRST_SHARES,
    ) -> None:
        """`shares` of the bar are those of the phases where nothing is expected of them."""
        self._job_id, self._steps, self._send, self._clock = job_id, steps, send, clock
        self._expected = expected
        total = sum(expected) if expected else 0.0
        self._shares = tuple(part / total for part in expected) if expected and total > 0 else shares
        self._state = JobState.LOADING
        self._phase_began = clock()
        self._first_unit: float | None = None
        self._first_done = 1
        """The first piece that was ready since this phase began or went on."""
        self._last_sent = float("-inf")
        self._step = 0
        self.preview = ""
        """The path of the picture of what the take looks like so far."""
        self._shown_preview = ""
        """The path that the last event had."""
        self._tiled = 0
        """How many pieces the tiles of the pictures had; 0 if they came whole."""
        self._shown = 0.0
        self._bar_seconds: float | None = None
        """Seconds of the whole bar, estimated from the last phase that was measured; None before."""

    def phase(self, state: JobState, sentence: Sentence, steps: int | None = None) -> None:
        """Report that the job is in `state` from now on, which has so many `steps` where that is known."""
        self._tiled = 0
        self._steps = self._steps if steps is None else steps
        if state is not self._state:
            self._state, self._phase_began, self._first_unit, self._first_done = state, self._clock(), None, 1
        self._emit(0.0, sentence, eta_seconds=self._eta(0, 1))

    def go_on(self, done: int, total: int, sentence: Sentence) -> None:
        """Report that the steps go on after `done`, which an earlier try or another transformer made."""
        self.phase(JobState.DENOISING, sentence)
        self._step, self._steps, self._first_done = done, total, done + 1
        self._emit(done / total, sentence, self._eta(done, total))

    def advance(self, done: int, total: int, sentence: Sentence) -> None:
        """Report that `done` of `total` equal pieces of this phase are ready."""
        now = self._clock()
        if done == 1 or self._first_unit is None:
            self._first_unit, self._first_done = now, done
        if self._state is JobState.DENOISING:
            self._step, self._steps = done, total  # fewer than planned if a take starts from footage
        shows_first = bool(self.preview) and not self._shown_preview
        if done < total and now - self._last_sent < MIN_PAUSE_SECONDS and not shows_first:
            return
        self._emit(done / total, sentence, self._eta(done, total))

    def tiled(self, done: int, total: int, sentence: Sentence) -> None:
        """Report that `done` of the `total` pieces of the pictures' tiles are ready; then the pictures are written."""
        if not done:
            self.phase(JobState.DECODING, sentence)
            return
        self._tiled = total
        self.advance(done, total + self._writing(), sentence)

    def written(self, done: int, total: int, sentence: Sentence) -> None:
        """Report that `done` of `total` pieces of work on the pictures are done; after all tiles, if there are any."""
        if not self._tiled:
            self.advance(done, total, sentence)
        else:
            self.advance(self._tiled + done * self._writing() // total, self._tiled + self._writing(), sentence)

    def _writing(self) -> int:
        return math.ceil(self._tiled * WRITING_SHARE)

    def _emit(self, fraction: float, sentence: Sentence, eta_seconds: float | None) -> None:
        before = sum(self._shares[: STATES.index(self._state)])
        share = self._shares[STATES.index(self._state)]
        # Loading comes again when the next component is needed: the bar never runs backwards.
        self._shown = max(self._shown, min(NEARLY, before + share * fraction))
        self._last_sent, self._shown_preview = self._clock(), self.preview
        report = ProgressParams(
            self._job_id, self._state, self._step, self._steps, self._shown, eta_seconds, sentence, self.preview
        )
        self._send(report)

    def _eta(self, done: int, total: int) -> float | None:
        """Seconds to the end of the job: measured for this phase, estimated for those after it."""
        index = STATES.index(self._state)
        rest = self._rest_of_phase(done, total)
        if rest is not None and done == self._first_done:
            # The first of many pictures comes after the autoencoder's whole work: it says nothing about the others.
            rest = min(rest, self._estimated(index, 1 - done / total))
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

    def _estimated(self, index: int, part: float) -> float:
        """Seconds of that part of a phase by what is known without it; endless where nothing is."""
        if self._expected:
            return self._expected[index] * part
        return float("inf") if self._bar_seconds is None else self._bar_seconds * self._shares[index] * part

    def _rest_of_phase(self, done: int, total: int) -> float | None:
        """Seconds to the end of this phase by the pieces done so far, without the first, which warms things up.

        Where the phase goes on after loading, or after an earlier try, it is counted from there.
        """
        if done < self._first_done:
            return None
        now = self._clock()
        if done == self._first_done or self._first_unit is None:
            return (now - self._phase_began) * (total - done) / (done - self._first_done + 1)
        return (now - self._first_unit) * (total - done) / (done - self._first_done)
