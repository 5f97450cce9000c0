"""A run of rebuilding: the takes that are to be made anew, and how far each is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .stale_takes import StaleTake


class State(Enum):
    """How far one of them is."""

    WAITS = "waits"
    ASKING = "asking"
    """It is being asked for, which only a Blender that ended meanwhile leaves so."""
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
    request: str = ""
    """What the strip keeps of that job while it waits for it: the TakeRequest as JSON."""
    asked: str = ""
    """Likewise: the Provenance as JSON."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in (State.WAITS, State.ASKING, State.ASKED)


@dataclass
class Run:
    """All that are made anew since the button was pressed."""

    begins: float = 0.0
    """When it begins, in seconds since 1970; 0 for at once."""
    entries: list[Entry] = field(default_factory=list)
    ended_at: float = 0.0
    """When the last thing happened to one of them."""
