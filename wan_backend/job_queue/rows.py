"""The order in which jobs are listed, kept as they change, and its pages."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator

from ..protocol import ProtocolError
from ..protocol.errors import INVALID_PARAMS
from ..protocol.messages import JobStatus

_Place = tuple[int, float, str]
"""0 where the job has not ended; seconds before 1970, so that the newest is first; the id."""


class Rows:
    """First the jobs that have not ended, then the others, the newest first.

    A page goes on where the one before it ended by place and not by number, so jobs may come, change and go between.
    """

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def add(self, status: JobStatus) -> None:
        """A job is there."""
        bisect.insort(self._places, _place(status))

    def remove(self, status: JobStatus) -> None:
        """A job is gone; `status` as it was added."""
        place = _place(status)
        at = bisect.bisect_left(self._places, place)
        if at < len(self._places) and self._places[at] == place:
            del self._places[at]

    def change(self, before: JobStatus, after: JobStatus) -> None:
        """A job's status changed."""
        if _place(before) != _place(after):
            self.remove(before)
            self.add(after)

    def after(self, cursor: str) -> Iterator[tuple[str, str]]:
        """The ids after that cursor (empty: all), each with the cursor that stands for it."""
        at = bisect.bisect_right(self._places, _read(cursor)) if cursor else 0
        for index in range(at, len(self._places)):
            ended, before_1970, job_id = self._places[index]
            yield job_id, f"{ended} {before_1970!r} {job_id}"


def _place(status: JobStatus) -> _Place:
    return int(status.state.ended), -status.created, status.job_id


def _read(cursor: str) -> _Place:
    try:
        ended, before_1970, job_id = cursor[:200].split(" ")
        place = int(ended), float(before_1970), job_id
        if math.isnan(place[1]):
            raise ValueError("no number")
    except ValueError:
        raise ProtocolError(INVALID_PARAMS, "params.after must be the 'next' of another page.") from None
    return place
