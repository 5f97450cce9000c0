"""Notices that a driver keeps in the machine's memory what no longer fits on the card.

NVIDIA's driver for Windows does that silently ("CUDA - Sysmem Fallback Policy"), where it could say that memory ran
out: nothing fails, but a step takes many times as long, as all that was moved is read over the bus. The signs are a
step far over what was expected, and a card that is full.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from ..protocol.sentences import Sentence

SLOW_TIMES = 3.0
"""A step that takes so many times as long as expected is far over it; kernels and clocks don't differ as much."""
FULL_SHARE = 0.97
"""A card of which this share is used is full: the driver moves what it can before all of it is."""
SHORT_SENTENCE = Sentence("slow, as the card's memory is full")
SENTENCE = Sentence(
    "The card's memory was full, and Windows kept the rest in the machine's memory, which "
    "makes steps many times slower. Later takes will begin with less of the model on the "
    "card. A smaller size or a shorter take helps at once; so does the NVIDIA Control Panel: "
    'under "Manage 3D settings", set "CUDA - Sysmem Fallback Policy" to "Prefer No Sysmem '
    "Fallback\" for the backend's Python."
)


@dataclass(frozen=True)
class StepSigns:
    """What is known after a step."""

    seconds: float
    expected_seconds: float | None
    """By a take before, or a step before; None where there was none."""
    reserved_bytes: int
    """What this process has reserved of the card's memory, as it believes."""
    used_bytes: int
    """What all programs use of it."""
    total_bytes: int
    """What the card has."""


def has_spilled(signs: StepSigns) -> bool:
    """Whether part of what should be on the card is most probably in the machine's memory."""
    if signs.total_bytes <= 0:
        return False
    if signs.reserved_bytes > signs.total_bytes:  # it can't all be there
        return True
    used = max(signs.reserved_bytes, signs.used_bytes)
    slow = signs.expected_seconds is not None and signs.seconds > SLOW_TIMES * signs.expected_seconds
    return slow and used >= FULL_SHARE * signs.total_bytes


def driver_may_spill(system: str = sys.platform, release: str | None = None) -> bool:
    """Whether the driver of this system does so: that of Windows, also below its Linux (WSL)."""
    release = platform.release() if release is None else release
    return system == "win32" or (system == "linux" and "microsoft" in release.lower())
