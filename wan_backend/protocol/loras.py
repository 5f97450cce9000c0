"""What LoRAs a take is made with. Standard library only; to be imported from messages.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_LORAS = 32
"""Each costs memory and time; nobody means more."""
MIN_STRENGTH, MAX_STRENGTH = -4.0, 4.0


class Expert(StrEnum):
    """Which transformer of a model that has two (Wan 2.2 A14B) a LoRA works on; others have one, and it is that."""

    AUTO = "auto"
    """As the file's layers, its name (high_noise, LOW, HN, ...) or a partner beside it say; both where nothing does.
    Where the name leaves it open, the plan has a problem that asks for one of the others."""
    BOTH = "both"
    HIGH = "high"
    """The one for the first, noisy steps."""
    LOW = "low"
    """The one for the last steps."""


@dataclass(frozen=True)
class LoraUse:
    """A LoRA, and how strongly it works."""

    path: str
    """Absolute: a .safetensors file, or a folder that holds one (or a pair for two experts)."""
    strength: float = 1.0
    """1 is as it was trained, 0 is off, below 0 turns it round."""
    expert: Expert = Expert.AUTO
