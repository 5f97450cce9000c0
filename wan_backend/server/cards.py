"""Which graphics cards there are for workers: those that were chosen, or all that NVIDIA's own program lists.

A worker is given its card by the variable CUDA_VISIBLE_DEVICES, which torch and the driver obey, also under ROCm. A
card is best named by its UUID (`nvidia-smi -L`): numbers change with the slots and with what else is plugged in.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..protocol.messages import CardRow, CardsResult
from ..protocol.workers import is_card_id
from .worker_process import own_group

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
PROGRAM = "nvidia-smi"
FIELDS = ("uuid", "memory.total", "memory.free", "compute_cap", "name")
ASK_CARDS = (PROGRAM, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")
ASK_SECONDS = 15.0
"""A machine with many cards of which none is in use takes its time to wake them."""
MEBIBYTE = 1 << 20
MAX_CARDS = 64
LEAST_SHARE = 0.25
"""A card that has less of the largest one's memory is there for the screen; it may be chosen all the same."""
LEAST_CAPABILITY = 7.0
"""Cards before Volta have no kernels in today's torch."""


@dataclass(frozen=True)
class Card:
    """A graphics card of this machine."""

    id: str
    """As CUDA_VISIBLE_DEVICES takes it: a UUID, or a number."""
    name: str = ""
    total_bytes: int = 0
    """0 if that isn't known."""
    free_bytes: int | None = None
    """None if nobody tells."""
    capability: float = 0.0
    """NVIDIA's "compute capability"; 0 if that isn't known."""


def can_be_listed() -> bool:
    """Whether this machine has the program that lists its cards."""
    return shutil.which(PROGRAM) is not None


def listed() -> list[Card]:
    """The cards that NVIDIA's program lists, in its order; empty if it can't say. It may take seconds."""
    try:
        output = subprocess.run(
            ASK_CARDS, capture_output=True, text=True, timeout=ASK_SECONDS, check=True, **own_group()
        ).stdout
    except FileNotFoundError:  # no card of NVIDIA's, or no driver
        return []
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("%s does not list the cards: %s", PROGRAM, error)
        return []
    return parse(output)


def parse(output: str) -> list[Card]:
    """The cards in lines with the values of FIELDS; a line that is something else is passed over."""
    found = []
    for line in output.splitlines():
        uuid, total, free, capability, name = (*(part.strip() for part in line.split(",", 4)), "", "", "", "", "")[:5]
        if is_card_id(uuid) and not uuid.isdigit():
            found.append(Card(uuid, name, _bytes(total) or 0, _bytes(free), _number(capability)))
    return found[:MAX_CARDS]


def for_takes(found: Sequence[Card]) -> list[Card]:
    """Those of all cards that are used where nobody chose any: the largest first, and none that is there for the
    screen alone, or too old."""
    largest = max((each.total_bytes for each in found), default=0)
    newest = max((each.capability for each in found), default=0.0)
    return [
        each
        for each in sorted(found, key=lambda card: -card.total_bytes)
        if each.total_bytes >= largest * LEAST_SHARE and each.capability >= min(newest, LEAST_CAPABILITY)
    ]


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text) else 0.0


def _bytes(mebibytes: str) -> int | None:
    return int(mebibytes) * MEBIBYTE if mebibytes.isascii() and mebibytes.isdigit() else None


def named(ids: Sequence[str]) -> list[Card]:
    """The cards of these ids, each once, of which nothing more is known."""
    return [Card(each) for each in dict.fromkeys(ids) if is_card_id(each)][:MAX_CARDS]


def as_rows(found: Sequence[Card], used: Sequence[str]) -> CardsResult:
    """The cards for a client; those in use come first, in their order."""
    order = [each for card_id in used for each in found if each.id == card_id]
    rest = [each for each in found if each not in order]
    # A single card is its worker's by itself, which need not be told.
    told = used or [each.id for each in found[:1]]
    return CardsResult([CardRow(each.id, each.name, each.total_bytes, each.id in told) for each in [*order, *rest]])


def left_visible(around: Mapping[str, str] = os.environ) -> list[Card] | None:
    """The cards that the environment leaves to this process; None if it says nothing of cards."""
    value = around.get(VISIBLE)
    if value is None:
        return None
    return named([each.strip() for each in value.split(",")])
