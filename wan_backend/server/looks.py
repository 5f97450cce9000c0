"""Looks: small drafts of what somebody is looking at, made by a worker that has no job.

A look is no job: it is in no list, and nothing of it is kept but its finished latents, until the next one is begun. A
job for the very same request gets these, so that what was seen is what it makes.

A look is the whole take where that is quick on this machine, else the beginning of it. What is quick is known from
looks before; without any, the shortest beginning is made first. All methods are called by the main thread.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..catalogue import entries
from ..memory.forecast import Machine
from ..planning import looks
from ..planning.measured_times import MeasuredTimes
from ..protocol import ProtocolError, Refusal
from ..protocol.endpoint import Answer
from ..protocol.errors import GONE
from ..protocol.looks import LookParams, LookResult, MakeLookParams, MakeLookResult
from ..protocol.media import WORK_FOLDER
from ..protocol.messages import (
    CANCELED,
    MAX_TAKE_FRAMES,
    MediaFormat,
    Origin,
    ProblemKind,
    RunParams,
    TakeRequest,
)
from ..protocol.sentences import Sentence
from .planning_queue import PlanningQueue, Prepared
from .seats import Seat

log = logging.getLogger(__name__)

FOLDER = "looks"
"""Of the state folder; in it, a folder for each server."""
LEFT_SECONDS = 24 * 3600.0
"""A folder that no look was written to for so long is that of a server that died."""
KEPT_LOOKS = 2
"""The pictures of so many looks stay: a client may still be reading those before the newest."""
MOST_SECONDS = 2 * looks.LIVE_SECONDS
"""A look that takes so long is ended: the machine is slower than was thought, or busy."""
MAKES_WAY = Refusal.of(ProblemKind.BUSY, Sentence("A take is being made."))
ENDED = Refusal.of(ProblemKind.WORKER_DIED, Sentence("The worker ended while it made the look."))
DIED = Refusal.of(
    ProblemKind.WORKER_DIED, Sentence("The worker died of the last look; make a take, and looks are tried again.")
)


@dataclass(eq=False)
class _Wanted:
    """A look that was asked for."""

    request: TakeRequest
    hand_in: Answer
    begun: bool = False
    tries: bool = False
    """The shortest choice is made first, to see how long looks take."""
    most_frames: int = MAX_TAKE_FRAMES
    """What the model can make of it."""

    def choices(self) -> list[TakeRequest]:
        """What may be looked at, the best first."""
        try:
            return looks.requests(self.request, entries.entry(self.request.model))
        except entries.UnknownModel:
            return [self.request]  # its plan says so


class Looks:
    """At most one look at a time: the newest."""

    def __init__(
        self,
        planning: PlanningQueue,
        times: MeasuredTimes,
        run_params: Callable[[Seat, TakeRequest, Prepared, Path], RunParams],
        folder: Path,
    ) -> None:
        """`run_params` gives the params for a place's worker, a request and a work folder.

        `folder` is this server's alone.
        """
        self._planning, self._times, self._run_params = planning, times, run_params
        self._folder = folder
        self._wanted: _Wanted | None = None
        self._seat: Seat | None = None
        """Where the look is made that was begun."""
        self._machine: Machine | None = None
        self._made: LookResult | None = None
        """The look whose finished latents are in the work folder."""
        self._number = 0
        self._slow: set[str] = set()
        """Models that took too long, until somebody asks anew."""
        self.is_on = False
        """Somebody looks: what looks need stays loaded, and nothing else is got ready."""

    @property
    def waits(self) -> bool:
        """Whether a look is to be begun."""
        return self._wanted is not None and not self._wanted.begun

    def ask(self, params: LookParams, hand_in: Answer) -> None:
        """Take on a look, which `begin` begins; the one before it ends. No request: there are no more."""
        self._end(Refusal(CANCELED))
        if params.request is None:
            self.is_on = False
            hand_in(Refusal(CANCELED))
            return
        if params.anew:
            self._slow.discard(params.request.model)
        elif params.request.model in self._slow:
            self.is_on = False
            hand_in(_too_slow(None))
            return
        self._wanted = _Wanted(params.request, hand_in, tries=params.anew)

    def refuse(self, why: ProtocolError) -> None:
        """Answer the look that waits, or that is being made, which ends."""
        self._end(why)

    @property
    def model(self) -> str:
        """The model of the look that waits."""
        return "" if self._wanted is None else self._wanted.request.model

    def make_way(self, seat: Seat) -> None:
        """A job comes to that place: end the look that is made there before its next step."""
        if self._seat is seat and self._wanted is not None and self._wanted.begun:
            self._end(MAKES_WAY)

    def begin(self, seat: Seat, machine: Machine | None) -> None:
        """Begin the look that waits: the worker of `seat` is free, and may load its model."""
        assert self._wanted is not None
        self._wanted.begun = True
        self._seat, self._machine = seat, machine
        self._plan(self._wanted, self._wanted.choices())

    def hand_over(self, request: TakeRequest, work_folder: Path) -> None:
        """Give a job what the last look has finished, if it was a look at the very same."""
        if not self._has_made(request) or work_folder.exists():
            return
        self._made = None
        try:
            work_folder.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self._work_folder, work_folder)
        except OSError as error:  # the job makes its steps itself
            log.warning("What was looked at can't be handed over to its job: %s", error)

    def leave(self) -> None:
        """The server ends."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, why: ProtocolError) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            if wanted.begun and self._seat is not None:
                self._seat.life.make_way()
            wanted.hand_in(why)

    def _answer(self, wanted: _Wanted, answer: LookResult | ProtocolError) -> None:
        self._wanted, self.is_on = None, isinstance(answer, LookResult)
        wanted.hand_in(answer)

    def _plan(self, wanted: _Wanted, choices: list[TakeRequest]) -> None:
        """Plan the first choice, and go on with it, or with a shorter one if it would take too long."""
        request = choices[0]

        def planned(made: Prepared | ProtocolError) -> None:
            if wanted is not self._wanted:
                return
            if isinstance(made, ProtocolError):
                self._answer(wanted, made)
            elif made.plan.take_frames < request.length_frames:  # what the model can do, as a job's placeholder has it
                wanted.most_frames = made.plan.take_frames
                shorter = replace(request, length_frames=made.plan.take_frames)
                self._plan(wanted, [shorter, *(each for each in choices[1:] if _is_shorter(each, shorter))])
            else:
                self._choose(wanted, choices, made)

        def silent(why: Sentence) -> None:
            if wanted is self._wanted:
                self._answer(wanted, Refusal.of(ProblemKind.FOLDER, why))

        self._planning.start(request, planned, silent, self._machine)

    def _choose(self, wanted: _Wanted, choices: list[TakeRequest], made: Prepared) -> None:
        expected = None if wanted.tries else self._times.expected_seconds(made.plan, look=True)
        if expected is None and len(choices) > 1:
            wanted.tries = True
            self._plan(wanted, choices[-1:])
        elif expected is None or expected <= looks.LIVE_SECONDS:
            self._make(wanted, choices[0], made)
        elif len(choices) > 1:
            self._plan(wanted, choices[1:])
        else:
            self._answer(wanted, _too_slow(expected))

    @property
    def _work_folder(self) -> Path:
        """Of the newest look; that of the one before may still be written to by a worker that makes way."""
        return self._folder / f"{WORK_FOLDER}-{self._number}"

    def _has_made(self, request: TakeRequest) -> bool:
        return self._made is not None and _seen(self._made.request) == _seen(request)

    def _make(self, wanted: _Wanted, request: TakeRequest, made: Prepared) -> None:
        if self._made is not None and self._has_made(request):
            whole = _is_whole(request, wanted)
            self._answer(wanted, replace(self._made, request=request, whole=whole))
            return
        if self._seat is None or not self._seat.life.can_warm_up:
            self._answer(wanted, MAKES_WAY)
            return
        shutil.rmtree(self._work_folder, ignore_errors=True)
        self._made, self._number = None, self._number + 1
        shutil.rmtree(self._folder / str(self._number - KEPT_LOOKS), ignore_errors=True)
        self._seat.holds(request.model)
        params = MakeLookParams(
            self._run_params(self._seat, request, made, self._work_folder),
            str(self._folder / str(self._number)),
            MOST_SECONDS,
        )
        self._seat.life.look(params, lambda answer: self._on_made(wanted, request, made, answer))

    def _on_made(
        self, wanted: _Wanted, request: TakeRequest, made: Prepared, answer: MakeLookResult | ProtocolError
    ) -> None:
        if wanted is not self._wanted:
            return
        if isinstance(answer, ProtocolError):
            log.info("Nothing was looked at: %s", answer.message)
            self._answer(wanted, ENDED if answer.code == GONE else answer)
            return
        if not answer.pictures:
            self._slow.add(request.model)
            self._answer(wanted, _too_slow(None))
            return
        self._times.learn(made.plan, answer.seconds, look=True)
        parts = answer.seconds
        took = round(parts.load + parts.encode + parts.denoise + parts.decode, 3)
        self._made = LookResult(request, answer.pictures, took, _is_whole(request, wanted))
        if wanted.tries and not self._made.whole:
            wanted.tries = False
            self._plan(wanted, wanted.choices())  # now it is known how much of it is quick
            return
        self._answer(wanted, self._made)


def prune(state_folder: Path) -> None:
    """Remove what servers that died have left."""
    now = time.time()
    try:
        for folder in (state_folder / FOLDER).iterdir():
            if now - folder.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # there is none, or another server removes it


def _is_whole(request: TakeRequest, wanted: _Wanted) -> bool:
    return request.length_frames >= min(wanted.request.length_frames, wanted.most_frames)


def _is_shorter(request: TakeRequest, other: TakeRequest) -> bool:
    return request.length_frames < other.length_frames


def _seen(request: TakeRequest) -> TakeRequest:
    """What of a request makes its pictures; not where they go."""
    return replace(request, origin=Origin(), media_folder="", media_format=MediaFormat.PNG)


def _too_slow(seconds: float | None) -> Refusal:
    if seconds is None:
        sentence = looks.TOO_SLOW_UNMEASURED.with_values(seconds=f"{MOST_SECONDS:.0f}")
    else:
        sentence = looks.TOO_SLOW.with_values(seconds=f"{seconds:.0f}")
    return Refusal.of(ProblemKind.TOO_LARGE, sentence)
