"""What was measured of models for the step cache, in a file: how a residual's magnitude changes from step to step.

A calibration is of a model's files, a number of steps, a sampler and its flow shift, with or without a control. By the
paper, prompts and seeds change little, so one take is enough; a LoRA of a person's own isn't accounted for.
`pipelines.step_cache` measures, `step_cache_schedule` makes a schedule of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..library.component_files import ComponentFiles
from ..protocol.messages import Plan, Sampler
from .entry_file import EntryFile

MAX_CALIBRATIONS = 200
"""The number that is kept, the newest."""
EXPERTS = ("transformer", "transformer_2")


class Branch(StrEnum):
    """A branch of guidance: what the transformer is asked with."""

    PROMPT = "prompt"
    NEGATIVE = "negative"


@dataclass(frozen=True)
class CalibrationKey:
    """What a calibration is of."""

    model: str
    """See `model_identity`."""
    steps: int
    sampler: Sampler
    flow_shift: float
    controlled: bool = False
    """True if a control model gets a control, whose hints are part of what is reused."""

    @classmethod
    def of(cls, plan: Plan, model: str, controlled: bool) -> CalibrationKey:
        """The calibration that a plan needs."""
        return cls(model, plan.steps, plan.sampler, plan.flow_shift, controlled)


@dataclass(frozen=True)
class Calibration:
    """The ratios that were measured on one take."""

    ratios: dict[Branch, list[float]]
    """For each step the magnitude of a branch's residual divided by that of the step before; 1 if none was."""
    starts: list[int]
    """The first step of each transformer; nothing is kept from the one before."""


def model_identity(files: ComponentFiles) -> str:
    """Tells a model's transformers from any others, wherever they lie: 64 hexadecimal digits."""
    stamps = [
        [(Path(place).name, *numbers) for place, *numbers in files.component_stamp(expert)]
        for expert in EXPERTS
        if files.has(expert)
    ]
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()


class Calibrations:
    """The calibrations in `file`, which several processes may read and write; None keeps none."""

    def __init__(self, file: Path | None = None) -> None:
        self._entries = EntryFile(file, "calibrations", MAX_CALIBRATIONS)

    def find(self, key: CalibrationKey) -> Calibration | None:
        """The calibration of that key; None if there is none, or if it isn't of so many steps."""
        found = next((each for each in reversed(self._entries.read()) if each.get("of") == asdict(key)), None)
        return None if found is None else _parse(found, key.steps)

    def record(self, key: CalibrationKey, calibration: Calibration) -> None:
        """Keep it in place of the one before. Raises OSError, and ValueError if a ratio is no finite number."""
        self._entries.put({"of": asdict(key), **asdict(calibration)})

    def count(self) -> int:
        """How many there are."""
        return len(self._entries.read())


def _parse(entry: dict[str, Any], steps: int) -> Calibration | None:
    try:
        ratios = {Branch(name): [float(ratio) for ratio in row] for name, row in entry["ratios"].items()}
        starts = [int(step) for step in entry["starts"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    numbers = [ratio for row in ratios.values() for ratio in row]
    whole = all(len(row) == steps for row in ratios.values())
    sane = all(math.isfinite(number) and number > 0 for number in numbers)
    return Calibration(ratios, starts) if whole and sane and Branch.PROMPT in ratios else None
