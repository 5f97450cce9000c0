"""What a strip keeps of takes that are made until its worst seam is better: how far that is, and how it ended.

It is a custom property, so that it is saved with the film and a later session goes on. What a .blend holds there may
have been written by anybody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.plain_names import is_id
from ...wan_backend.protocol.takes import MAX_JUMP
from . import compat, identity, seams, strip_takes, untrusted

MAX_TAKES = 8
BETTER, NOT_BETTER, CANCELED, FAILED, REFUSED = "better", "not_better", "canceled", "failed", "refused"
ENDS = (BETTER, NOT_BETTER, CANCELED, FAILED, REFUSED)


@dataclass(frozen=True)
class Retry:
    """One such search."""

    retry_id: str
    first: str
    """The job whose take was shown when it began."""
    before: float
    """The figure of the worst seam then."""
    most: int
    """At most so many takes are made."""
    at_start: bool
    """Whether the strip's start joins a neighbor, and so counts."""
    at_end: bool
    jobs: tuple[str, ...] = ()
    """The jobs that were asked for, in order."""
    end: str = ""
    """One of ENDS; empty while it goes on."""
    after: float = 0.0
    """The figure of the take that is shown at the end."""

    def figure(self, strip: compat.Strip, job_id: str) -> float:
        """That of the worst end of one of the strip's takes; the largest there is, where it isn't measured."""
        found = seams.of_take(strip, job_id)
        ends = [jump for jump, counts in zip(found, (self.at_start, self.at_end), strict=True) if counts]
        return max((MAX_JUMP if jump is None else jump.number for jump in ends), default=MAX_JUMP)

    def best(self, strip: compat.Strip) -> tuple[str, float]:
        """The take that joins best among the first and those that came, with its figure; the earlier one of equals."""
        kept = {take.job_id for take in strip_takes.takes_of(strip)}
        rated = [(self.figure(strip, job_id), job_id) for job_id in (self.first, *self.jobs) if job_id in kept]
        figure, job_id = min(rated, key=lambda row: row[0], default=(MAX_JUMP, self.first))
        return job_id, figure

    def came(self, strip: compat.Strip) -> int:
        """How many of its takes have come."""
        kept = {take.job_id for take in strip_takes.takes_of(strip)}
        return sum(job_id in kept for job_id in self.jobs)


def of(strip: compat.Strip) -> Retry | None:
    """The strip's; None if it has none, or none that can have been written here."""
    text = untrusted.text_in(strip, identity.SEARCH)
    try:
        values = bounds.parsed(text) if text else None
        return _read(values) if isinstance(values, dict) else None
    except (ValueError, TypeError, KeyError):
        return None


def write(strip: compat.Strip, retry: Retry) -> None:
    """Let the strip keep it."""
    strip[identity.SEARCH] = json.dumps(asdict(retry))


def drop(strip: compat.Strip) -> None:
    """Let the strip keep none."""
    if strip.get(identity.SEARCH) is not None:
        del strip[identity.SEARCH]


def _read(values: dict[str, Any]) -> Retry:
    jobs, end, most = values["jobs"], values["end"], values["most"]
    ids = (values["retry_id"], values["first"], *(jobs if isinstance(jobs, list) else ()))
    if not isinstance(jobs, list) or len(jobs) > MAX_TAKES or not all(map(is_id, ids)):
        raise ValueError("no jobs")
    if end not in ("", *ENDS) or not untrusted.is_frame(most) or not 1 <= most <= MAX_TAKES:
        raise ValueError("no end")
    before, after = (_figure(values[name]) for name in ("before", "after"))
    counts = values["at_start"] is True, values["at_end"] is True
    return Retry(ids[0], ids[1], before, most, *counts, tuple(jobs), end, after)


def _figure(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_JUMP:
        raise ValueError("no figure")
    return float(value)
