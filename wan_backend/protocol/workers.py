"""The messages about the workers of a server and their cards; other modules import them from messages.py."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .choices import WorkerState
from .sentences import NO_SENTENCE, Sentence

OTHER_CARDS_VARIABLE = "WAN_VSE_OTHER_CARDS"
"""Names the other cards of a worker to it, in its environment: ids with commas between them, or "cpu" for each further
process on the processor."""
_CARD_ID = re.compile(r"(?:GPU|MIG)-[0-9A-Za-z-]{4,60}(?:/[0-9]{1,3}/[0-9]{1,3})?|[0-9]{1,3}")


def is_card_id(text: str) -> bool:
    """Whether a card can be named so: a UUID as `nvidia-smi -L` has it, or a number."""
    return _CARD_ID.fullmatch(text) is not None


@dataclass(frozen=True)
class WorkerStatus:
    """The state of the worker process, and the device that it has."""

    state: WorkerState
    device: str = ""
    torch: str = ""
    sentence: Sentence = NO_SENTENCE
    device_bytes: int = 0
    """All the memory of the device; 0 if that isn't known."""
    host_bytes: int = 0
    """Free memory of the machine when the worker came up."""
    number: int = 0
    """The worker's place, counted from 0; a server has one for each card that may be used."""
    card: str = ""
    """The card of that place, by its UUID; empty where the worker chooses its device itself."""
    other_cards: list[str] = field(default_factory=list)
    """Its other cards, which compute a part of each take; empty if it has one."""


@dataclass(frozen=True)
class WorkersResult:
    """The state of the worker of each place."""

    workers: list[WorkerStatus]


@dataclass(frozen=True)
class CardRow:
    """A graphics card of this machine."""

    card: str
    """Its UUID."""
    name: str
    memory_bytes: int
    used: bool
    """Whether this server has a worker for it."""


@dataclass(frozen=True)
class CardsResult:
    """The graphics cards of this machine, in the order in which jobs go to them; empty if nothing here lists them."""

    cards: list[CardRow]
