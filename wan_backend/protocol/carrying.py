"""Lines of many workers on one pipe: between a server and the process that carries them to a cluster.

Each line has the number of a worker, one of the words below and what belongs to it, with a space between them. What
belongs to LINE is a line of the worker protocol as it is; to all others JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import sentences
from .framing import MAX_LINE_BYTES
from .sentences import NO_SENTENCE, Sentence

MAX_CARRIED_BYTES = MAX_LINE_BYTES + 64
"""The longest line of a worker, with what stands before it."""

LINE = "line"
# to the cluster
START, CLOSE, KILL = "start", "close", "kill"
# from the cluster
WAITS = "waits"
"""There is no room for it yet; with a sentence."""
BEGAN = "began"
"""Its process runs; with the node's name, its log, and how many workers such a node has room for."""
SIGNS = "signs"
"""What the node sees of its process: processor seconds, bytes moved, whether it waits for a disk."""
OUT = "out"
"""Whether its node can't be reached at the moment."""
LONG = "long"
"""A line of the worker was too long; with its beginning, as hexadecimal digits."""
EXIT = "exit"
"""It ended; with the exit code."""
DIED = "died"
"""The cluster ended it though its node lives; with a clause."""
LOST = "lost"
"""Its node is gone; with a clause."""
UNFIT = "unfit"
"""None can be started; with a sentence."""
# of no worker, under the number 0
CLUSTER = "cluster"
"""The cluster answers."""
NO_CLUSTER = "no_cluster"
"""It doesn't; with a sentence."""


@dataclass(frozen=True)
class Carried:
    """A line that was read."""

    worker: int
    word: str
    rest: bytes

    @property
    def value(self) -> Any:
        """What belongs to it, read from JSON; None if it is none."""
        try:
            return json.loads(self.rest)
        except ValueError:
            return None

    @property
    def sentence(self) -> Sentence:
        """What belongs to it, as a sentence."""
        return sentences.unpack(self.value) or NO_SENTENCE


def carry(worker: int, word: str, value: Any = None) -> bytes:
    """A line with JSON; a sentence may be given as it is."""
    if isinstance(value, Sentence):
        value = sentences.pack(value)
    return b"%d %s %s\n" % (worker, word.encode(), json.dumps(value, separators=(",", ":")).encode("ascii"))


def carry_line(worker: int, line: bytes) -> bytes:
    """A line with a line of the worker protocol, which may have its newline."""
    return b"%d %s %s\n" % (worker, LINE.encode(), line.rstrip(b"\n"))


def read(line: bytes) -> Carried | None:
    """What came; None if it isn't such a line."""
    number, _, after = line.partition(b" ")
    word, _, rest = after.partition(b" ")
    if not number.isdigit() or len(number) > 18:
        return None
    return Carried(int(number), word.decode("ascii", "replace"), rest)
