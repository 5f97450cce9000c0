"""Live looks: while the panel shows a place with words, a small draft of its take is made and shown.

A draw says what is looked at; the session's timer asks the server for it and keeps the answer. Not every keystroke is
followed: where a look takes longer than QUICK_SECONDS, it waits until PAUSE_SECONDS after the last edit, but never
longer than LONGEST_WAIT_SECONDS. No file, strip or scene is touched here.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.errors import GONE
from ...wan_backend.protocol.looks import LookParams, LookResult
from ...wan_backend.protocol.messages import MediaFormat, Origin, ProblemKind, Quality, StepCache, TakeRequest
from ...wan_backend.protocol.sentences import Sentence

if TYPE_CHECKING:
    from ..backend.client import ChildClient
    from .planned_takes import PlannedTake

log = logging.getLogger(__name__)

QUICK_SECONDS = 1.5
"""A look that takes no longer follows every edit."""
PAUSE_SECONDS = 0.25
"""Another one waits for a pause of this length."""
LONGEST_WAIT_SECONDS = 3.0
"""For as long, at most: who writes without a pause sees something all the same."""
MAX_SEED = 2**31 - 1
WAYS = (ProblemKind.CANCELED, ProblemKind.BUSY)
"""Why a look was ended that may be asked for again."""

_NOTHING_YET = ("nothing was shown yet",)

FindSources = Callable[["PlannedTake"], TakeRequest | str]
"""Gives a take's request with its sources, or a sentence on why it can't be looked at."""


@dataclass(frozen=True)
class Wanted:
    """What is looked at."""

    take: PlannedTake
    seed: int
    key: tuple[Any, ...]
    """All that its pictures depend on, as far as the panel knows it."""


class Live:
    """At most one look at a time, for what the panel shows."""

    def __init__(
        self, find_sources: FindSources, on_change: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find_sources, self._on_change, self._clock = find_sources, on_change, clock
        self.is_on = False
        self.sentence: Sentence | str = ""
        """Why there is no look of what is shown; "" while there is one, or one is being made."""
        self.seen: LookResult | None = None
        """The newest look; it may be of what was shown before."""
        self.seen_at = 0.0
        """When it came, by the clock."""
        self.rests: str = ""
        """Why nothing is looked at now, such as a take that is being made; "" if nothing prevents it."""
        self._seed = random.randint(0, MAX_SEED)
        self._wanted: Wanted | None = None
        self._shown_in: dict[int, tuple[Any, ...] | None] = {}
        """By window, the key of what its panel shows."""
        self._window = 0
        self._edited_at = self._unseen_since = 0.0
        self._asked: Wanted | None = None
        """The look that the server makes."""
        self._asked_at = 0.0
        self._settled: tuple[Any, ...] | None = None
        """The key of what was answered last, with a look or with why there is none."""
        self._seen_key: tuple[Any, ...] | None = None
        self._seconds: float | None = None
        """How long the last look took, from the question to the answer."""
        self._anew = False
        self._was_asked = self._tell_server = False
        """The server was asked for a look, and is to be told that there are no more."""

    # What the panel and its operators do

    def turn(self, on: bool) -> None:
        """Begin or end to look."""
        if on == self.is_on:
            return
        self.is_on, self._anew = on, on
        self.forget()

    def show(self, take: PlannedTake | None, seed_locked: bool = False, window: int = 0) -> None:
        """The panel shows this take, or none that could be looked at; a locked seed is its own. Safe in a draw.

        Of several windows, that one counts whose panel has changed last: else two of them would take turns for ever.
        """
        if not self.is_on:
            return
        wanted = self._wanted_of(take, seed_locked) if take is not None else None
        key = wanted.key if wanted is not None else None
        if window != self._window and self._shown_in.get(window, _NOTHING_YET) == key:
            return
        self._shown_in[window], self._window = key, window
        if key != (self._wanted and self._wanted.key):
            now = self._clock()
            if not self._waits:
                self._unseen_since = now
            self._edited_at = now
        self._wanted = wanted

    def another(self) -> None:
        """Look at what is shown with another seed."""
        self._seed = random.randint(0, MAX_SEED)
        self._on_change()  # and the draw says what is looked at now

    @property
    def is_looking(self) -> bool:
        """Whether a look is being made."""
        return self._asked is not None

    @property
    def busy(self) -> bool:
        """Whether something is to be done soon."""
        return self.is_on and (self.is_looking or (self._waits and not self.rests))

    @property
    def is_of_shown(self) -> bool:
        """Whether `seen` is a look of what is shown now."""
        return self.seen is not None and self._wanted is not None and self._wanted.key == self._seen_key

    def landing(self, take: PlannedTake, seed_locked: bool = False) -> PlannedTake | None:
        """The take that what was seen becomes at the place of `take`; None if nothing was seen of that one.

        It is the very take that was seen. If that was the beginning alone, it is the whole one, which differs.
        """
        wanted, asked = self._wanted_of(take, seed_locked), take.request
        if self.seen is None or wanted.key != self._seen_key:
            return None
        if not self.seen.whole:
            return replace(take, request=_as_draft(asked, wanted.seed))
        seen, place = self.seen.request, asked.origin
        as_file = replace(seen, media_folder=asked.media_folder, media_format=asked.media_format)
        return replace(take, request=replace(as_file, origin=place))

    # The timer

    def tick(self, client: ChildClient | None, rests: str) -> None:
        """Ask for what is shown, once it is its time; `rests` says why nothing may be looked at now."""
        if rests != self.rests:
            self.rests = rests
            self._on_change()
        if client is None:
            return
        if self._tell_server or (rests and self.is_looking):
            self._end(client)
        if self.is_on and not rests and self._is_due():
            self._ask(client)

    def forget(self) -> None:
        """Another file was opened, or nobody looks any more: end the look, and let its pictures go."""
        self._tell_server = self._was_asked
        self._shown_in.clear()
        self._wanted = self._asked = self.seen = self._seen_key = self._settled = None
        self.sentence = ""
        self._on_change()

    @property
    def _waits(self) -> bool:
        return self._wanted is not None and self._wanted.key not in (self._settled, self._asked and self._asked.key)

    def _is_due(self) -> bool:
        if not self._waits:
            return False
        now = self._clock()
        if self._seconds is not None and self._seconds <= QUICK_SECONDS:
            return not self.is_looking  # it is shown before the next is begun
        return now - self._edited_at >= PAUSE_SECONDS or now - self._unseen_since >= LONGEST_WAIT_SECONDS

    def _ask(self, client: ChildClient) -> None:
        assert self._wanted is not None
        wanted = self._wanted
        asked = self._find_sources(wanted.take)
        if isinstance(asked, str):
            self._settle(wanted, asked)
            if self.is_looking:
                self._end(client)
            return
        now = self._clock()
        self._asked, self._asked_at, self._unseen_since = wanted, now, now
        params = LookParams(_as_draft(asked, wanted.seed), self._anew)
        self._anew, self._was_asked = False, True
        client.call("look", params, lambda seen: self._answered(wanted, seen), lambda e: self._failed(wanted, e))
        self._on_change()

    def _answered(self, wanted: Wanted, seen: LookResult) -> None:
        if wanted is not self._asked:
            return
        self._seconds = self._clock() - self._asked_at
        self.seen, self.seen_at, self._seen_key = seen, self._clock(), wanted.key
        self._settle(wanted, "")

    def _failed(self, wanted: Wanted, error: ProtocolError) -> None:
        if wanted is not self._asked:
            return
        problem = error.details.get("kind") if isinstance(error.details, dict) else None
        if error.code == GONE or problem in WAYS:
            self._asked = None  # it is asked for again, if it is still looked at then
            self._edited_at = self._unseen_since = self._clock()
            return
        log.warning("Nothing could be looked at: %s", error.message)
        self._settle(wanted, error.message)

    def _settle(self, wanted: Wanted, sentence: Sentence | str) -> None:
        self._asked, self._settled, self.sentence = None, wanted.key, sentence
        self._unseen_since = self._clock()
        self._on_change()

    def _end(self, client: ChildClient) -> None:
        """Have the server end its look."""
        self._tell_server = self._was_asked = False
        self._asked = None
        self._edited_at = self._unseen_since = self._clock()
        client.call("look", LookParams(), failed=lambda _: None)
        self._on_change()

    def _wanted_of(self, take: PlannedTake, seed_locked: bool) -> Wanted:
        """Wherever the take goes, and whatever file it becomes, its pictures are the same."""
        seed = take.request.seed if seed_locked else self._seed
        asked = _as_draft(take.request, seed)
        asked = replace(asked, origin=Origin(), media_folder="", media_format=MediaFormat.PNG, resolution="")
        return Wanted(take, seed, (asked, take.target.wanted if take.target is not None else ()))


def _as_draft(asked: TakeRequest, seed: int) -> TakeRequest:
    """The request as a draft, which measures nothing."""
    cache = StepCache.OFF if asked.step_cache is StepCache.CALIBRATE else asked.step_cache
    return replace(asked, seed=seed, quality=Quality.DRAFT, step_cache=cache)
