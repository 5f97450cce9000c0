"""The messages of looks: small drafts of what somebody is looking at, which are no jobs and are kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from .takes import PhaseSeconds, TakeRequest
from .work import RunParams


@dataclass(frozen=True)
class LookParams:
    """A request to be seen as a small draft. One look is made at a time: the one before it ends."""

    request: TakeRequest | None = None
    """None: nothing is looked at any more."""
    anew: bool = False
    """True: try it even where looks were too slow before."""


@dataclass(frozen=True)
class LookResult:
    """A look that was made."""

    request: TakeRequest
    """The request of the very take that was seen: submitted as a job, it makes these pictures."""
    pictures: list[str]
    """Absolute paths, first frame to last: width and height (32 bits each, little-endian), then rows of RGBA bytes, the
    lowest first. They stay until two looks later."""
    seconds: float
    """Time that it took, once it was begun."""
    whole: bool = True
    """False: it is only the beginning of a take that would have taken too long, and differs from the whole one."""


@dataclass(frozen=True)
class MakeLookParams:
    """A look for a worker, under an empty id. Nothing is reported of it; a run that comes meanwhile ends it."""

    job: RunParams
    pictures_folder: str
    """Absolute; the pictures go into it."""
    most_seconds: float = 0.0
    """It ends if its steps and pictures take longer than this; 0: never."""


@dataclass(frozen=True)
class MakeLookResult:
    """What a worker has made of a look."""

    seconds: PhaseSeconds
    pictures: list[str] = field(default_factory=list)
    """As those of LookResult; none if it would have taken too long."""
