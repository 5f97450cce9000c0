"""What strips wait for: a placeholder for its own job and for others at the same place, a strip for one more take.

It reads and changes strips that `open_file` has found, and knows of jobs only whether they go on.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...wan_backend.protocol.messages import JobState
from ..timeline import identity, strip_takes, untrusted
from .job_list import JobList


def jobs_on(marked: Iterable[identity.Marked]) -> set[str]:
    """Every job that one of these strips shows, keeps a take of, or waits for."""
    return {job_id for found in marked for job_id in strip_takes.jobs_on(found.strip)}


def waited_for(marked: Iterable[identity.Marked]) -> set[str]:
    """The jobs whose takes these strips wait for."""
    waiting: set[str] = set()
    for found in marked:
        if found.is_placeholder:
            waiting.add(found.job_id)
        waiting.update(strip_takes.pending(found.strip))
    return waiting


def all_asked(marked: Iterable[identity.Marked]) -> list[tuple[str, str, str]]:
    """What these strips wait for: job id, request and what is remembered of the strips that the take is made from."""
    asked = (each for found in marked for each in strip_takes.asked_besides(found.strip, ""))
    return [(each.job_id, each.request, each.asked) for each in asked]


def add(found: identity.Marked, job_id: str, request_json: str, provenance_text: str) -> None:
    """Let a placeholder or a strip with takes wait for one more.

    Of the takes of a placeholder, the first to be done takes its place, and the others are kept beside it.
    """
    shown = "" if found.is_placeholder else untrusted.id_in(found.strip, identity.JOB)
    asked = strip_takes.Asked(job_id, shown, request_json, provenance_text)
    strip_takes.set_asked(found.strip, [*strip_takes.asked_for(found.strip), asked])


def drop(marked: Iterable[identity.Marked], job_ids: set[str]) -> None:
    """Let no strip wait for these jobs; a placeholder's own job stays."""
    for found in marked:
        asked = strip_takes.asked_for(found.strip)
        left = [each for each in asked if each.job_id not in job_ids]
        if len(left) < len(asked):
            strip_takes.set_asked(found.strip, left)


def lead_with_living(marked: list[identity.Marked], jobs: JobList) -> None:
    """Let each strip that waits for several jobs show how far one is that goes on, and not one that ended badly.

    A strip with takes no longer waits for what a person canceled.
    """
    for index, found in enumerate(marked):
        others = strip_takes.pending(found.strip)
        if not others:
            continue
        living = [job_id for job_id in others if _goes_on(job_id, jobs)]
        if not found.is_placeholder:
            ended = [job_id for job_id in others if job_id not in living and not _is_canceled(job_id, jobs)]
            if (*living, *ended) != others:
                strip_takes.set_pending(found.strip, [*living, *ended])
        elif living and not _goes_on(found.job_id, jobs):
            strip_takes.lead_with(found.strip, living[0])
            marked[index] = found._replace(job_id=living[0])


def decline(found: identity.Marked, placed: set[str]) -> None:
    """Note on a placeholder that its takes were placed and that this was undone: they don't come back by themselves."""
    if found.job_id in placed:
        found.strip[identity.DECLINED] = True
    drop([found], placed)


def _goes_on(job_id: str, jobs: JobList) -> bool:
    status = jobs.get(job_id)
    return status is not None and not status.state.ended


def _is_canceled(job_id: str, jobs: JobList) -> bool:
    status = jobs.get(job_id)
    return status is not None and status.state is JobState.CANCELED
