"""A look through all strips of the open file, which finds out which jobs they stand for, keep takes of and wait for.

Of thousands of strips, it takes several ticks. What it holds are ids and texts, and no strip.
"""

from __future__ import annotations

from ..timeline import identity, strip_takes
from . import pending_takes
from .job_list import JobList


class StripLook:
    """What it has found so far."""

    def __init__(self, replaced: bool = False, others: bool = True, asks: bool = True) -> None:
        """`others`: there may be other strips than at the last look, with other takes. `asks`: `asked` is wanted."""
        self.sweep = identity.Sweep(replaced)
        self.others = others
        self.asked: list[tuple[str, str, str]] | None = [] if asks else None
        """What strips wait for, as `pending_takes.all_asked` has it; None if it isn't wanted."""
        self._clear()

    def _clear(self) -> None:
        self.waited_for: set[str] = set()
        self.on_strips: set[str] = set()
        self.waiting: dict[str, list[str]] = {}
        """By job that is waited for, the ids of the strips."""
        if self.asked:
            self.asked.clear()

    def go_on(self, jobs: JobList | None, deadline: float) -> bool:
        """Look at more strips until `deadline`; True once all were looked at."""
        if not self.sweep.is_current():
            self._clear()
        for marked in self.sweep.run(deadline):
            if jobs is not None:
                pending_takes.lead_with_living(marked, jobs)
            if self.others:
                self.on_strips |= pending_takes.jobs_on(marked)
            waiting = [found for found in marked if found.is_placeholder or strip_takes.pending(found.strip)]
            for found in waiting:
                for job_id in pending_takes.waited_for([found]):
                    self.waiting.setdefault(job_id, []).append(found.strip_id)
            self.waited_for.update(self.waiting)
            if self.asked is not None:
                self.asked += pending_takes.all_asked(waiting)
        return self.sweep.done

    def pop_asked(self) -> list[tuple[str, str, str]] | None:
        """What strips wait for, if it was read and nobody has asked yet."""
        asked, self.asked = self.asked, None
        return asked
