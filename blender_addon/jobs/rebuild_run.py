"""A run of rebuilding: the takes that are to be made anew, and how far each is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .stale_takes import StaleTake


class State(Enum):
    """How far one of them is."""

    WAITS = "waits"
    ASKED = "asked"
    REBUILT = "rebuilt"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass
class Entry:
    """A take that is to be made anew."""

    stale: StaleTake
    state: State = State.WAITS
    job_id: str = ""
    """The job that makes it anew."""
    why: str = ""
    """Why it failed or was skipped, in a sentence."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in (State.WAITS, State.ASKED)
