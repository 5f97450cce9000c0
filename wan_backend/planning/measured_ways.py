"""How quick steps were in each way in which cards can share a take, in a file: the plan compares the ways by that.

A measurement is of a model, a kind of card, a shape of the take and a way. Ways are compared at one shape: that of the
take where it was measured, else the nearest one, as what a way gains changes slowly with the size.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..protocol.messages import MatrixPrecision, Plan, SteadySteps
from .entry_file import EntryFile

log = logging.getLogger(__name__)

MAX_WAYS = 500
"""The number that is kept, the newest."""
KEPT_TAKES = 3
MIN_TAKES = 2
"""A way counts as measured by so many takes: of one alone, another program may have slowed the cards."""
NEAR = 2.0
"""A shape is near another that has so many times as many pixels, or as few."""
_writing = threading.Lock()
"""Held while the file is read and written anew."""


@dataclass(frozen=True)
class Way:
    """How cards share a take, as `Plan` has it."""

    cards: int = 1
    cards_per_forward: int = 1
    shared_weights: bool = False

    @property
    def is_in_halves(self) -> bool:
        """Whether the two passes of guidance are computed at once."""
        return self.cards_per_forward < self.cards

    def passes(self, plan: Plan) -> float:
        """How many passes come one after another in a take, in a window of it."""
        every = plan.forwards or plan.steps * (2 if plan.guidance_scale > 1 else 1)
        return every if not self.is_in_halves else (plan.all_forwards or 2 * plan.steps) / 2


ONE = Way()


@dataclass(frozen=True)
class Shape:
    """How large a take is, and how much of it the transformer sees at once."""

    width: int
    height: int
    frames: int
    window: int

    @classmethod
    def of(cls, plan: Plan) -> Shape:
        """The shape of a plan's take."""
        return cls(plan.width, plan.height, plan.model_frames, plan.window_frames)

    def distance(self, other: Shape) -> float:
        """How far it is from another: 0 if it is the same, at most 1 if it is near."""
        ratios = (mine / max(1, theirs) for mine, theirs in zip(self._pixels, other._pixels, strict=True))
        return max(abs(math.log(ratio, NEAR)) if ratio > 0 else math.inf for ratio in ratios)

    @property
    def _pixels(self) -> tuple[int, int]:
        """In all, and at once."""
        size = self.width * self.height
        return size * self.frames, size * min(self.frames, self.window or self.frames)


@dataclass(frozen=True)
class Kind:
    """What is the same in all that is compared."""

    model: str
    matrices: MatrixPrecision
    card: str
    """What the card is called, as workers say it."""
    controlled: bool

    @classmethod
    def of(cls, plan: Plan, card: str, controlled: bool) -> Kind:
        """The kind of a plan's take on such cards."""
        return cls(plan.model, plan.matrix_precision, card, controlled)


class MeasuredWays:
    """The measurements in `file`, which several processes may read and write; None keeps none."""

    def __init__(self, file: Path | None = None) -> None:
        self._entries = EntryFile(file, "ways", MAX_WAYS)

    def learn(self, plan: Plan, card: str, steady: SteadySteps) -> None:
        """A take was made by that plan on such cards; it is kept by a thread of its own, as a disk may hang."""
        if self._entries.file is not None:
            threading.Thread(target=self._learn, args=(plan, card, steady), name="measured ways", daemon=True).start()

    def record(self, plan: Plan, card: str, steady: SteadySteps) -> None:
        """Keep it beside the newest ones of the same. Raises OSError, and ValueError if it is no finite number."""
        way = Way(plan.cards, plan.cards_per_forward, plan.shared_weights)
        of = _named(Kind.of(plan, card, steady.controlled), Shape.of(plan), way)
        with _writing:
            before = next((_seconds(each) for each in self._entries.read() if each.get("of") == of), [])
            self._entries.put({"of": of, "seconds": [*before, steady.pass_seconds][-KEPT_TAKES:]})

    def takes(self, kind: Kind, shape: Shape) -> dict[Way, int]:
        """How many takes of that very shape are known of each way."""
        return {way: len(seconds) for way, seconds in self._by_shape(kind).get(shape, {}).items()}

    def pass_seconds(self, kind: Kind, shape: Shape, possible: Collection[Way]) -> dict[Way, float]:
        """Seconds of a pass in those of the `possible` ways that were measured at one shape, the nearest.

        Empty where fewer than two of them were.
        """
        found = (
            (shape.distance(each), {way: min(seconds) for way, seconds in ways.items() if len(seconds) >= MIN_TAKES})
            for each, ways in self._by_shape(kind).items()
        )
        near = [
            (distance, compared)
            for distance, ways in found
            if distance <= 1 and len(compared := {way: ways[way] for way in possible if way in ways}) > 1
        ]
        return min(near, key=lambda each: each[0], default=(0.0, {}))[1]

    def of_all_shapes(self, controlled: bool) -> dict[Way, list[float]]:
        """What is known of each way, for a file in which it is of one shape and one model."""
        parsed = ((_parsed(each), _seconds(each)) for each in self._entries.read())
        return {of[2]: seconds for of, seconds in parsed if of is not None and of[0].controlled is controlled}

    def count(self) -> int:
        """How many ways were measured."""
        return sum(len(_seconds(each)) >= MIN_TAKES for each in self._entries.read())

    def add_all_of(self, other: MeasuredWays) -> None:
        """Keep those of another file in place of these; what was cut off before it counts, where nothing is known.

        Raises OSError.
        """
        for entry in other._entries.read():
            if _parsed(entry) is not None:
                with _writing:
                    known = next((_seconds(each) for each in self._entries.read() if each.get("of") == entry["of"]), [])
                    if len(_seconds(entry)) >= min(MIN_TAKES, len(known)):
                        self._entries.put(entry)

    def _learn(self, plan: Plan, card: str, steady: SteadySteps) -> None:
        try:
            self.record(plan, card, steady)
        except (OSError, ValueError) as error:
            log.warning("How quick the steps were can't be kept in %s: %s", self._entries.file, error)

    def _by_shape(self, kind: Kind) -> dict[Shape, dict[Way, list[float]]]:
        found: dict[Shape, dict[Way, list[float]]] = defaultdict(dict)
        for entry in self._entries.read():
            of, seconds = _parsed(entry), _seconds(entry)
            if of is not None and of[0] == kind and seconds:
                found[of[1]][of[2]] = seconds
        return found


def _named(kind: Kind, shape: Shape, way: Way) -> dict[str, Any]:
    return {**asdict(kind), **asdict(shape), **asdict(way)}


def _parsed(entry: dict[str, Any]) -> tuple[Kind, Shape, Way] | None:
    """What an entry is of; None if it is of another version, or damaged."""
    of = entry.get("of")
    if not isinstance(of, dict):
        return None
    try:
        kind = Kind(str(of["model"]), MatrixPrecision(of["matrices"]), str(of["card"]), of["controlled"] is True)
        shape = Shape(*(int(of[name]) for name in ("width", "height", "frames", "window")))
        way = Way(int(of["cards"]), int(of["cards_per_forward"]), of["shared_weights"] is True)
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return (kind, shape, way) if of == _named(kind, shape, way) and min(asdict(shape).values()) >= 0 else None


def _seconds(entry: dict[str, Any]) -> list[float]:
    """Those of an entry, the newest last; none of one that is damaged."""
    seconds = entry.get("seconds")
    if not isinstance(seconds, list) or not all(isinstance(each, float) for each in seconds):
        return []
    return seconds[-KEPT_TAKES:] if all(math.isfinite(each) and each > 0 for each in seconds) else []
