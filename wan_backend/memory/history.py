"""Which memory plans ran out of memory on this machine, so that the next job doesn't try them again.

An entry applies to its model on its device, to takes as large or larger, while no more memory is free than there was
then. It no longer applies with another card, driver or version, which are all part of the device's name here.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..storage import whole_file
from .needs import TOKEN_CHUNK_BYTES
from .residency_plan import MemoryPlan, Residency

log = logging.getLogger(__name__)

FORMAT = 2
MAX_BYTES = 4_000_000
MAX_ENTRIES = 100
"""The number of entries that are kept, the newest."""
RETRY_FACTOR = 1.05
"""With this many times the memory that was free then, the plan that failed is tried again."""


@dataclass(frozen=True)
class Attempt:
    """What a job tried to make, and the memory that there was for it."""

    model: str
    """Fingerprint of the model's files."""
    device: str
    """Name of the device, and of the software that it runs."""
    width: int
    height: int
    frames: int
    """Frames that the transformer sees at once."""
    free_bytes: int

    def applies_to(self, other: Attempt) -> bool:
        """Whether a plan that failed at this attempt would fail at `other`, too."""
        same = (self.model, self.device) == (other.model, other.device)
        larger = self.width * self.height * self.frames <= other.width * other.height * other.frames
        return same and larger and other.free_bytes <= self.free_bytes * RETRY_FACTOR


class OutOfMemoryHistory:
    """Failed attempts with the plans to begin with instead, in a file; without a file, as long as the process lives."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._entries: list[tuple[Attempt, MemoryPlan]] = []
        self._reload()

    def record(self, attempt: Attempt, instead: MemoryPlan) -> None:
        """Note that memory ran out at `attempt`, and that `instead` is the next smaller plan.

        What other processes wrote in the meantime stays.
        """
        self._reload()
        kept = [(old, plan) for old, plan in self._entries if not (attempt.applies_to(old) and old.applies_to(attempt))]
        self._entries = [*kept, (attempt, instead)][-MAX_ENTRIES:]
        self._write()

    def limits_for(self, attempt: Attempt) -> list[MemoryPlan]:
        """The plans that `attempt` should take no more room than."""
        return [plan for old, plan in self._entries if old.applies_to(attempt)]

    def _reload(self) -> None:
        if self._file is not None:
            with suppress(FileNotFoundError):
                self._entries = _read(self._file)

    def _write(self) -> None:
        if self._file is None:
            return
        entries = [{"attempt": asdict(attempt), "instead": asdict(plan)} for attempt, plan in self._entries]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write_json(self._file, {"format": FORMAT, "lessons": entries})
        except OSError as error:
            log.warning("%s can't be written, so this is not remembered: %s", self._file, error)


def _read(file: Path) -> list[tuple[Attempt, MemoryPlan]]:
    """The file's entries; none if it is damaged or of another version."""
    try:
        value = whole_file.read_json(file, MAX_BYTES)
        if value["format"] != FORMAT:
            return []
        return [(_parse_attempt(each["attempt"]), _parse_plan(each["instead"])) for each in value["lessons"]]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        log.warning("%s can't be read, so a new one is begun: %s", file, error)
        return []


def _parse_attempt(value: dict[str, Any]) -> Attempt:
    numbers = {name: int(value[name]) for name in ("width", "height", "frames", "free_bytes")}
    return Attempt(str(value["model"]), str(value["device"]), **numbers)


def _parse_plan(value: dict[str, Any]) -> MemoryPlan:
    residencies: dict[str, Any] = {name: Residency(value[name]) for name in ("text_encoder", "transformer", "vae")}
    numbers: dict[str, Any] = {name: int(value[name]) for name in ("peak_bytes", "kept_bytes", "tile_pixels")}
    flags: dict[str, Any] = {
        name: bool(value[name]) for name in ("one_expert", "decode_fits", "eight_bit", "forget_encoder")
    }
    # An older version had none of these, and each plan of its time was of the smallest.
    chunks: dict[str, Any] = {
        "chunk_latents": int(value.get("chunk_latents", 1)),
        "token_chunk_bytes": int(value.get("token_chunk_bytes", TOKEN_CHUNK_BYTES)),
        "shares": int(value.get("shares", 1)),
    }
    return MemoryPlan(**residencies, **numbers, **flags, **chunks)
