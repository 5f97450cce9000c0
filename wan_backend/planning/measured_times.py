"""How long takes took on this machine, in a file: from that, how long the next one will probably take.

One measurement of a model is kept for each way of multiplying its matrices and of sharing takes between cards, the
newest, and one more for looks, which are so small that they say little of takes. Time grows with the pixels and the
frames, with how often the transformer runs, and with what it sees of an edit's footage and pictures each time. What
loading takes is left out: a panel has the model loaded before a take is asked for.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..memory.needs import VideoShape
from ..protocol.messages import PhaseSeconds, Plan
from ..storage import whole_file
from .skipped_work import CHAINED_BESIDE

log = logging.getLogger(__name__)

MAX_MODELS = 100
MAX_BYTES = 100_000
PASSES_OF_A_TRAINED_STEP = 3.5
"""A step of a training against a pass of a take: forward, forward again and backward, without the quick kernels."""
STEPS_OF_A_PAIR = 2 + 1 / PASSES_OF_A_TRAINED_STEP
"""A step that also keeps the model as it was, against one that doesn't: two of them, and a pass without the LoRA."""
_writing = threading.Lock()
"""Held while the file is read and written anew: each measurement is kept by a thread of its own."""
LONGEST_SECONDS = 7 * 24 * 3600.0
"""No take is expected to last longer; a file that says so is not believed."""


@dataclass(frozen=True)
class MeasuredTime:
    """What a take of a model took."""

    encode: float
    """Seconds."""
    denoise: float
    """Seconds for a pixel of a frame, each time that the transformer runs."""
    decode: float
    """Seconds for a pixel of a frame."""

    @property
    def is_sane(self) -> bool:
        """Whether all of it can be a time."""
        parts = (self.encode, self.denoise, self.decode)
        return all(isinstance(part, float) and math.isfinite(part) and part >= 0 for part in parts)


class MeasuredTimes:
    """The measurements, in memory and in a file. Plans are made on other threads than takes end on."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._known = _read(file) if file is not None else {}

    def learn(self, plan: Plan, seconds: PhaseSeconds, look: bool = False) -> None:
        """A take, or a look, was made by that plan, from its first step to its last."""
        pixels = _pixels(plan)
        measured = MeasuredTime(seconds.encode, seconds.denoise / (pixels * _passes(plan)), seconds.decode / pixels)
        if not measured.is_sane or seconds.denoise <= 0:
            return
        with self._lock:
            _put(self._known, _key(plan, look), measured)
        if self._file is not None:
            new = (self._file, _key(plan, look), measured)
            threading.Thread(target=_write, args=new, name="measured times", daemon=True).start()

    def expected_seconds(self, plan: Plan, look: bool = False) -> float | None:
        """How long a take, or a look, by that plan will probably take; None if none was made with its model."""
        with self._lock:
            measured = self._known.get(_key(plan, look))
            if measured is None and plan.training is not None:
                measured = _as_of_training(self._known.get(_key(replace(plan, training=None), look=False)))
        if measured is None or plan.problem is not None or not plan.steps:  # what is made larger has no steps
            return None
        pixels = _pixels(plan)
        whole = measured.encode + pixels * (measured.denoise * _passes(plan) + measured.decode)
        return round(min(whole, LONGEST_SECONDS), 1)


def _as_of_training(measured: MeasuredTime | None) -> MeasuredTime | None:
    """About what a training takes, by what a take took."""
    if measured is None:
        return None
    return replace(measured, denoise=measured.denoise * PASSES_OF_A_TRAINED_STEP)


def _key(plan: Plan, look: bool) -> str:
    if plan.training is not None:
        return f"{plan.model} training"
    way = f" {plan.cards} cards, {plan.cards_per_forward} a forward{', with shares' if plan.shared_weights else ''}"
    cards = way if plan.cards > 1 and not look else ""
    return f"{plan.model} {plan.matrix_precision.value}{cards}{' look' if look else ''}"


def _pixels(plan: Plan) -> int:
    return max(1, plan.width * plan.height * plan.model_frames)


def _passes(plan: Plan) -> float:
    if plan.training is not None:
        return max(1, plan.steps) * (STEPS_OF_A_PAIR if plan.training.only_with_trigger else 1)
    forwards = max(1, plan.forwards or plan.steps * (2 if plan.guidance_scale > 1 else 1))
    return _passes_beside_sources(plan, forwards) if plan.seen_sources else forwards


def _passes_beside_sources(plan: Plan, forwards: int) -> float:
    """The passes of an edit, as so many over the take's own tokens alone.

    With footage alone, each sees it. With pictures, of the four passes of a guided step one sees nothing beside the
    take, one the footage, and two all of it; the one pass of another step sees all of it, too.
    """
    shape = VideoShape(plan.width, plan.height, plan.frames_at_once)
    own, footage, whole = (replace(shape, sources=count).tokens for count in (0, 1, plan.seen_sources))
    if not own:
        return forwards
    guided = max(0.0, (forwards - plan.steps) / CHAINED_BESIDE) if plan.seen_sources > 1 else 0.0
    return (forwards * whole - guided * (2 * whole - own - footage)) / own


def _read(file: Path) -> dict[str, MeasuredTime]:
    """What the file has; nothing of a file that is damaged: takes will be measured again."""
    try:
        rows = whole_file.read_json(file, MAX_BYTES)
        known = {
            str(key): MeasuredTime(**{name: float(part) for name, part in row.items()}) for key, row in rows.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        log.warning("What takes took is not known: %s can't be used (%s)", file, error)
        return {}
    return {key: each for key, each in list(known.items())[:MAX_MODELS] if each.is_sane}


def _put(known: dict[str, MeasuredTime], key: str, measured: MeasuredTime) -> None:
    """Add it as the newest of at most MAX_MODELS."""
    known.pop(key, None)
    known[key] = measured
    while len(known) > MAX_MODELS:
        known.pop(next(iter(known)))


def _write(file: Path, key: str, measured: MeasuredTime) -> None:
    """Add it to what the file has by now, as other servers write it too."""
    try:
        with _writing:
            known = _read(file)
            _put(known, key, measured)
            whole_file.write_json(file, {key: asdict(each) for key, each in known.items()}, flushed=False)
    except OSError as error:
        log.warning("What the take took can't be kept in %s: %s", file, error)
