"""Reads a job's files, whatever is wrong with them: a damaged one costs its own job, and that job says so.

Numbers are finite and of a size that all later code can handle.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..protocol import ProtocolError, Refusal
from ..protocol.conversion import from_json, to_json
from ..protocol.messages import (
    JobState,
    JobStatus,
    JobSummary,
    Plan,
    Problem,
    ProblemKind,
    TakeRequest,
    Task,
    as_searched,
)
from ..protocol.sentences import Sentence
from ..storage.whole_file import read_json
from .job import Job
from .store import FORMAT, PLAN_FILE, REQUEST_FILE, SETTLED_FILE, STATE_FILE

log = logging.getLogger(__name__)

MAX_STATE_BYTES = 1 << 17
"""A larger state is damaged: a job's status has to fit on one line."""
LAST_SECOND = 1e11
"""This is in the year 5138; a file with a later time is damaged."""
MAX_FOUND = 20_000
"""An answer has to fit on one line."""
LAST_ORDER = 1 << 62
NO_SUMMARY = JobSummary("", Task.TEXT_TO_VIDEO, "", 0, 1)


@dataclass
class Kept:
    """A job that was read from its files."""

    job: Job
    format: int = FORMAT
    plan: Any = None
    """The plan that a state of format 1 holds, as JSON values."""


def request_of(folder: Path) -> TakeRequest:
    """The request of the job in that folder. Raises Refusal if that can't be read, or can't be read now."""
    try:
        return from_json(TakeRequest, read_json(folder / REQUEST_FILE)["request"], REQUEST_FILE)
    except OSError as error:
        log.error("%s can't be read", folder / REQUEST_FILE, exc_info=True)
        reason = error.strerror or type(error).__name__
        sentence = Sentence(
            "The file {file} can't be read ({reason}). Check the disk, then retry the job.",
            file=folder / REQUEST_FILE,
            reason=reason,
        )
        raise Refusal.of(ProblemKind.FOLDER, sentence) from None
    except Exception:  # whatever is wrong with one file, it costs one job
        log.error("%s is damaged", folder / REQUEST_FILE, exc_info=True)
        sentence = Sentence(
            "The file {file} is damaged, so this job can't be made again; clear it from the list.",
            file=folder / REQUEST_FILE,
        )
        raise Refusal.of(ProblemKind.INTERNAL, sentence) from None


def with_text(folders: Mapping[str, Path], text: str) -> list[str]:
    """The jobs among these whose prompt has the text; what can't be read has none. At most MAX_FOUND."""
    wanted, found = as_searched(text), list[str]()
    for job_id, folder in folders.items():
        try:
            prompt = read_json(folder / REQUEST_FILE)["request"]["prompt"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue  # the job says so itself when it is asked for
        if isinstance(prompt, str) and wanted in as_searched(prompt):
            found.append(job_id)
            if len(found) == MAX_FOUND:
                break
    return found


def plan_of(folder: Path) -> Plan | None:
    """The plan of the job in that folder; None if it can't be read."""
    try:
        return from_json(Plan, read_json(folder / PLAN_FILE), PLAN_FILE)
    except Exception:  # as above; the plan is made again when the job's turn comes
        log.info("%s can't be read", folder / PLAN_FILE, exc_info=True)
        return None


def job_of(job_id: str, folder: Path) -> Kept:
    """The job in that folder, marked as broken if it can't be made again. Never raises."""
    try:
        return _read(job_id, folder)
    except Exception:  # whatever is wrong with one job, the others stand
        log.exception("The job %s can't be read", job_id)
        sentence = Sentence(
            "The folder {folder} is damaged, so this job can't be made again; clear it from the list.", folder=folder
        )
        return Kept(_broken(job_id, {}, Problem(ProblemKind.INTERNAL, sentence)))


def broken_status(status: JobStatus, problem: Problem) -> JobStatus:
    """The status of a job whose request can't be read."""
    return dataclasses.replace(status, state=JobState.FAILED, problem=problem, sentence=problem.sentence, progress=0.0)


def _read(job_id: str, folder: Path) -> Kept:
    state = _state(folder / STATE_FILE)
    written = state.get("status")
    has_summary = isinstance(written, dict) and "summary" in written
    request: TakeRequest | None = None
    if not has_summary or not isinstance(state.get("media_folder"), str):
        try:
            request = request_of(folder)
        except Refusal as damaged:
            return Kept(_broken(job_id, state, damaged.problem))
    summary = None if request is None else JobSummary.of(request)
    status = _status(job_id, state, summary)
    if status is None and summary is None:
        try:
            request = request_of(folder)
        except Refusal as damaged:
            return Kept(_broken(job_id, state, damaged.problem))
        summary = JobSummary.of(request)
    if status is None:
        assert summary is not None
        status = _lost(job_id, state, summary)
    kept_format = state.get("format")
    old = kept_format == 1 and isinstance(written, dict)
    if status.state.ended and (folder / SETTLED_FILE).exists():
        status = dataclasses.replace(status, settled=True)
    media_folder = request.media_folder if request is not None else str(state["media_folder"])
    job = _job(status, state, media_folder)
    return Kept(job, 1 if old else FORMAT, written.get("plan") if old and isinstance(written, dict) else None)


def _state(file: Path) -> dict[str, Any]:
    try:
        value = read_json(file, MAX_STATE_BYTES)
    except (OSError, ValueError) as error:
        log.error("%s can't be read: %s", file, error)
        return {}
    return value if isinstance(value, dict) else {}


def _status(job_id: str, state: dict[str, Any], summary: JobSummary | None) -> JobStatus | None:
    """The status in state.json; None if it can't be understood. A summary made of the request replaces its own."""
    written = state.get("status")
    if not isinstance(written, dict):
        return None
    known = {**written, "job_id": job_id}
    if summary is not None:
        known["summary"] = to_json(summary)
    try:
        status = from_json(JobStatus, known, STATE_FILE)
    except ProtocolError as error:
        log.error("The state of job %s can't be read: %s", job_id, error)
        return None
    return dataclasses.replace(status, created=_second(status.created), held_elsewhere=False)


def _lost(job_id: str, state: dict[str, Any], summary: JobSummary) -> JobStatus:
    written, kept_format = state.get("status"), state.get("format")
    newer = isinstance(kept_format, int) and kept_format > FORMAT
    why = (
        Sentence("was kept by another version of the backend")
        if newer or isinstance(written, dict)
        else Sentence("is damaged on disk")
    )
    sentence = Sentence("How far this job came {why}; retry it, or clear it from the list.", why=why)
    problem = Problem(ProblemKind.INTERRUPTED, sentence)
    created = _created(state)
    return JobStatus(job_id, JobState.INTERRUPTED, summary, problem=problem, sentence=sentence, created=created)


def _broken(job_id: str, state: dict[str, Any], problem: Problem) -> Job:
    status = _status(job_id, state, None)
    if status is None:
        status = JobStatus(job_id, JobState.FAILED, NO_SUMMARY, created=_created(state))
    job = _job(broken_status(status, problem), state, "")
    job.broken = True
    return job


def _job(status: JobStatus, state: dict[str, Any], media_folder: str) -> Job:
    owner, order, queued_at = state.get("owner"), state.get("order"), state.get("queued_at")
    return Job(
        status,
        owner if isinstance(owner, str) else "",
        order if isinstance(order, int) and 0 <= order < LAST_ORDER else int(status.created * 1e9),
        _second(queued_at) or status.created,
        media_folder,
    )


def _created(state: dict[str, Any]) -> float:
    written = state.get("status")
    return _second(written.get("created")) if isinstance(written, dict) else 0.0


def _second(value: Any) -> float:
    """A moment, as seconds since 1970; 0 if it can't be one."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LAST_SECOND
    return min(float(value), time.time() + 86_400.0) if good else 0.0
