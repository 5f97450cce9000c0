"""The queue and the takes as the page shows them: plain values, which its script puts on the screen.

The page shows every job of the server, so that one sees what is in front; it cancels, repeats and removes those alone
that were asked for on it. What a Blender asked for is that Blender's to change.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..protocol import ProtocolError
from ..protocol.media import MOVIE_FILES, SETTINGS_FILE, TRASH_FOLDER
from ..protocol.messages import (
    JobDetails,
    JobIdsParams,
    JobParams,
    JobState,
    JobStatus,
    MediaFormat,
    SubmitParams,
    Take,
    TakeRequest,
)
from ..protocol.plain_names import is_id
from . import take_form
from .server_line import ServerLine, is_mine
from .uploads import Uploads, as_data_url

log = logging.getLogger(__name__)

FILE_ADDRESS = "gradio_api/file="
MOST_TAKES = 60
MAX_PREVIEW_BYTES = 1 << 19


class Board:
    """What the page's script asks for; from any thread. What can't be done is answered with a sentence."""

    def __init__(self, line: ServerLine, uploads: Uploads, takes_folder: Path) -> None:
        self._line, self._uploads, self._takes_folder = line, uploads, takes_folder

    def board(self, asked: Any = None) -> dict[str, Any] | None:
        """What is shown now; None if nothing has changed since the version that the page has seen."""
        version = self._line.version
        if isinstance(asked, dict) and asked.get("seen") == version:
            return None
        jobs = self._line.jobs()
        waiting = [job for job in jobs if not job.state.ended]
        failed = (JobState.FAILED, JobState.INTERRUPTED)
        unsuccessful = [job for job in jobs if job.state in failed and is_mine(job)]
        takes = [row for job in jobs if is_mine(job) and (row := self._take_row(job))]
        return {
            "version": version,
            "line": self._line.sentence,
            "models": " ".join(row.model for row in self._line.models.models if row.here),
            "queue": [*map(self._job_row, waiting), *map(self._job_row, unsuccessful)],
            "takes": takes[:MOST_TAKES],
        }

    def make(self, request: TakeRequest) -> str:
        """Queue a take; the notes on it. Raises ProtocolError with a sentence."""
        job_id = uuid.uuid4().hex
        self._line.call("submit", SubmitParams(job_id, request))
        details: JobDetails = self._line.call("details", JobParams(job_id))
        return " ".join(map(str, details.plan.notes)) if details.plan else ""

    def cancel(self, asked: Any) -> str:
        """End a job; why not, if it can't be done. It is forgotten once it has ended."""
        return self._do(asked, lambda job: self._line.call("cancel", JobParams(job.job_id)))

    def repeat(self, asked: Any) -> str:
        """Queue another take like one that there is, with another seed."""
        return self._do(asked, self._repeat)

    def retry(self, asked: Any) -> str:
        """Queue a job that ended without a take once more; it goes on from its last step."""
        return self._do(asked, lambda job: self._line.call("retry", JobParams(job.job_id)))

    def remove(self, asked: Any) -> str:
        """Take a job off the page; a take's files go into the trash beside the takes."""
        return self._do(asked, self._remove)

    def picture(self, asked: Any) -> str:
        """The small picture of an upload, as a data URL; empty if it is gone."""
        upload_id = asked.get("id") if isinstance(asked, dict) else ""
        return self._uploads.thumbnail(upload_id) if isinstance(upload_id, str) and is_id(upload_id) else ""

    def request_of(self, job_id: str) -> TakeRequest | None:
        """What a job of the page was asked for."""
        details = self._line.details(job_id)
        return None if details is None else details.request

    def prune(self) -> None:
        """Remove the uploads that nothing is made from any more, if it is known which those are."""
        details = self._line.all_details()
        if details is not None and not self._line.sentence:
            sources = (source for each in details for source in each.request.sources)
            self._uploads.prune({self._uploads.id_of(source.folder) for source in sources})

    # What the buttons do

    def _do(self, asked: Any, action: Any) -> str:
        """Do it with a job of the page; empty, or a sentence that says why it wasn't done."""
        job = self._line.job(str(asked.get("id")) if isinstance(asked, dict) else "")
        if job is None:
            return "That is no longer in the list."
        if not is_mine(job):
            return "That take was asked for in Blender; change it there."
        try:
            action(job)
        except ProtocolError as error:
            return str(error.message)
        return ""

    def _repeat(self, job: JobStatus) -> None:
        request = self.request_of(job.job_id)
        if request is not None:
            self.make(take_form.another(request, self._takes_folder))

    def _remove(self, job: JobStatus) -> None:
        self._line.call("clear", JobIdsParams([job.job_id]))
        self._line.forget(job.job_id)
        folder = Path(job.take.folder) if job.take is not None else None
        if folder is not None and folder.parent == self._takes_folder and (folder / SETTINGS_FILE).is_file():
            trash = self._takes_folder / TRASH_FOLDER
            try:
                trash.mkdir(exist_ok=True)
                shutil.move(folder, trash / f"{folder.name} {job.job_id[:8]}")
            except OSError as error:
                log.warning("%s could not be put into the trash: %s", folder, error)

    # What is shown

    def _job_row(self, job: JobStatus) -> dict[str, Any]:
        mine = is_mine(job)
        ended = job.state.ended
        return {
            "id": job.job_id,
            "title": job.summary.title or take_form.TASKS.get(job.summary.task, "A take"),
            "what": str(job.problem.sentence if ended and job.problem is not None else job.sentence),
            "left": "" if ended else left_in_words(job.eta_seconds),
            "progress": round(job.progress, 4),
            "preview": _preview(job) if mine and not ended else "",
            "runs": not ended and job.state is not JobState.QUEUED,
            "ended": ended,
            "mine": mine,
        }

    def _take_row(self, job: JobStatus) -> dict[str, Any] | None:
        take, details = job.take, self._line.details(job.job_id)
        if take is None or not _is_ours(take, self._takes_folder):
            return None
        file = os.path.join(take.folder, take.first_file)
        return {
            "id": job.job_id,
            "title": job.summary.title or take_form.TASKS.get(job.summary.task, "A take"),
            "url": FILE_ADDRESS + quote(file),
            "name": f"{Path(take.folder).name}.mp4",
            "width": take.width,
            "height": take.height,
            "settings": "" if details is None else self._settings(details, take),
        }

    def _settings(self, details: JobDetails, take: Take) -> str:
        """A take's settings on one line."""
        request = details.request
        labels = {row.model: row.label for row in self._line.models.models}
        seconds = take.own_frames / float(take.frame_rate.exact())
        parts = [
            take_form.TASKS.get(request.task, ""),
            labels.get(request.model, request.model),
            request.quality.value.capitalize(),
            f"{take.width} × {take.height}",
            f"{seconds:.1f} s",
            f"seed {request.seed}",
            *(f"{Path(use.path).stem} {use.strength:g}" for use in request.loras),
            f"without {request.negative_prompt}" if request.negative_prompt else "",
        ]
        return " · ".join(part for part in parts if part)


def _is_ours(take: Take, takes_folder: Path) -> bool:
    """Whether it is a movie right in a folder of the takes, and still there."""
    folder = Path(take.folder)
    file = folder / take.first_file
    return (
        take.first_file == MOVIE_FILES[MediaFormat.H264]
        and folder.parent == takes_folder
        and file.is_file()
        and not file.is_symlink()
    )


def _preview(job: JobStatus) -> str:
    """What the take looks like so far, as a data URL; empty if there is nothing yet."""
    try:
        if job.preview and os.path.getsize(job.preview) <= MAX_PREVIEW_BYTES:
            return as_data_url(Path(job.preview))
    except OSError:
        pass
    return ""


def left_in_words(seconds: float | None) -> str:
    """How long it still takes, for a person."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {minutes // 60} h {minutes % 60} min left"
