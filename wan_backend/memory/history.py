"""Which memory plans ran out of memory here, so that the next job does not try them again. No torch here.

A lesson holds for its model on its device, for takes as large or larger, while no more memory is free than there was
then. It is forgotten with another card, driver or version, which all are part of the device's name given here.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..storage import whole_file
from .residency_plan import MemoryPlan, Residency

log = logging.getLogger(__name__)

FORMAT = 2
MOST = 100
"""So many lessons are kept, the newest."""
MORE = 1.05
"""With so many times the memory that was free then, the plan that failed is tried again."""


@dataclass(frozen=True)
class Attempt:
    """A job's try at a plan."""

    model: str
    """The model's own fingerprint."""
    device: str
    """Name of the device and of all that runs on it."""
    width: int
    height: int
    frames: int
    """That the transformer sees at once."""
    free_bytes: int

    def applies_to(self, other: Attempt) -> bool:
        """Whether what this one learnt holds for `other`."""
        same = (self.model, self.device) == (other.model, other.device)
        larger = self.width * self.height * self.frames <= other.width * other.height * other.frames
        return same and larger and other.free_bytes <= self.free_bytes * MORE


class OutOfMemoryHistory:
    """Lessons in a file; without one they are kept as long as the process."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lessons: list[tuple[Attempt, MemoryPlan]] = []
        self._read_again()

    def record(self, attempt: Attempt, instead: MemoryPlan) -> None:
        """At `attempt` memory did not suffice; `instead` is the next smaller plan. What others have learnt stays."""
        self._read_again()
        kept = [(old, plan) for old, plan in self._lessons if not (attempt.applies_to(old) and old.applies_to(attempt))]
        self._lessons = [*kept, (attempt, instead)][-MOST:]
        self._write()

    def limits_for(self, attempt: Attempt) -> list[MemoryPlan]:
        """Plans that `attempt` should take no more room than."""
        return [plan for old, plan in self._lessons if old.applies_to(attempt)]

    def _read_again(self) -> None:
        if self._file is not None:
            with suppress(FileNotFoundError):
                self._lessons = _read(self._file)

    def _write(self) -> None:
        if self._file is None:
            return
        lessons = [{"attempt": asdict(attempt), "instead": asdict(plan)} for attempt, plan in self._lessons]
        content = json.dumps({"format": FORMAT, "lessons": lessons}, indent=1).encode("ascii")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(self._file, content, flushed=True)
        except OSError as error:
            log.warning("%s can't be written, so what it would say is forgotten: %s", self._file, error)


def _read(file: Path) -> list[tuple[Attempt, MemoryPlan]]:
    """What the file says; nothing where it is damaged or of another version."""
    try:
        value = json.loads(file.read_bytes())
        if value["format"] != FORMAT:
            return []
        return [(Attempt(**each["attempt"]), _plan(each["instead"])) for each in value["lessons"]]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s can't be read, so it is begun anew: %s", file, error)
        return []


def _plan(value: dict[str, Any]) -> MemoryPlan:
    places: dict[str, Any] = {name: Residency(value[name]) for name in ("text_encoder", "transformer", "vae")}
    numbers: dict[str, Any] = {name: int(value[name]) for name in ("peak_bytes", "kept_bytes", "tile_pixels")}
    truths: dict[str, Any] = {
        name: bool(value[name]) for name in ("one_expert", "decode_fits", "eight_bit", "forget_encoder")
    }
    return MemoryPlan(**places, **numbers, **truths)
