"""Jobs that a .blend names and that neither this session nor its server knows: anybody may have written them.

The request of such a job is used, but with this project's own folders and origin. Of its sources, only pictures are
read that were rendered for this film or that its strips play: any other path may lead to private files.
"""

from __future__ import annotations

import os
from dataclasses import replace

import bpy

from ...wan_backend.protocol.media import job_folder
from ...wan_backend.protocol.messages import (
    JobState,
    JobStatus,
    JobSummary,
    Problem,
    ProblemKind,
    Source,
    TakeRequest,
    Task,
)
from ...wan_backend.protocol.plain_names import is_below
from ...wan_backend.protocol.sentences import Sentence
from ..timeline import compat, footage, provenance, strip_media
from . import folders, placing, planned_takes, project, request, sourcing

UNKNOWN = Sentence("The backend does not have this take's job")
STRIPS_UNKNOWN = Problem(
    ProblemKind.BAD_SOURCE,
    Sentence(
        "The backend does not have this take's job, and the strips that it is made from are no longer known: delete "
        "this placeholder, select the strips, and make the take again."
    ),
)
HELD = Problem(
    ProblemKind.BUSY, Sentence("Another Blender window has this job: its take appears here once it is made there.")
)
UNREADABLE = Problem(
    ProblemKind.INTERNAL, Sentence("The request of this placeholder can't be read: delete it, and make the take again.")
)


def with_own_folders(asked: TakeRequest, job_id: str) -> TakeRequest:
    """The request with this project's folders, for its take and for what is rendered for it."""
    own = _with_own_origin(asked)
    folder = planned_takes.sources_folder(own, job_id)
    sources = [
        source if not source.rendered and may_be_read(source) else _to_be_rendered(source, folder)
        for source in asked.sources
    ]
    return replace(own, sources=sources)


def _with_own_origin(asked: TakeRequest) -> TakeRequest:
    """The request with this project's media folder and origin, and its sources unchanged."""
    origin = replace(asked.origin, project=project.path(), project_id=project.id_to_be())
    return replace(asked, media_folder=own_folder(), origin=origin)


def may_be_read(source: Source, now: bool = False) -> bool:
    """Whether its files are the film's: in a folder of its takes, or played by a strip of the open file.

    Files beside the .blend are not enough: one in the downloads folder has all other downloads beside it. `now` for a
    strip that may have come a moment ago.
    """
    beside = [os.path.join(os.path.dirname(project.path()), request.MEDIA_FOLDER)] if project.path() else []
    if is_below(source.folder, [own_folder(), str(folders.user_folder() / "media"), *beside]):
        return True
    return not source.rendered and strip_media.is_played(source.folder, source.files, source.is_movie, now)


def _to_be_rendered(source: Source, folder: str) -> Source:
    """The source in the folder that it is rendered into; if it isn't there, it is rendered again from the strips.

    What it shows is looked up then: paths that a file names are not to be read.
    """
    place = os.path.join(folder, footage.name_of(source))
    source = replace(source, shown_files=[])
    return source if source.folder == place else replace(source, folder=place, rendered=True, is_movie=False)


def unknown(
    job_id: str, asked: TakeRequest, state_folder: str = "", remembered: provenance.Provenance | None = None
) -> tuple[JobStatus, TakeRequest]:
    """The job as it is shown: done if its take is in a folder of this film's takes, else interrupted.

    A job in the server's `state_folder` that the server doesn't know is another window's. `remembered` is what its
    strip keeps of the strips that the take is made from; sources that aren't on the disk are rendered from these.
    """
    made = done(job_id, asked)
    if made is not None:
        return made
    own = with_own_folders(asked, job_id)
    if state_folder and job_folder(state_folder, job_id).is_dir():
        why = HELD
    elif not _can_be_made(own, remembered):
        why = STRIPS_UNKNOWN
    else:
        sentence = Sentence("{unknown}: press Retry to make it, in {folder}.", unknown=UNKNOWN, folder=own.media_folder)
        why = Problem(ProblemKind.INTERRUPTED, sentence)
    return JobStatus(job_id, JobState.INTERRUPTED, JobSummary.of(own), sentence=why.sentence, problem=why), own


def done(job_id: str, asked: TakeRequest) -> tuple[JobStatus, TakeRequest] | None:
    """The job with its take, if that is in a folder of this film's takes; None if it isn't (yet)."""
    take = placing.take_on_disk(job_id, asked, _places(asked, _with_own_origin(asked)))
    if take is None:
        return None
    own = with_own_folders(asked, job_id)
    return JobStatus(job_id, JobState.DONE, JobSummary.of(own), progress=1.0, take=take), own


def _can_be_made(own: TakeRequest, remembered: provenance.Provenance | None) -> bool:
    """Whether each of its sources is on the disk, or may be rendered."""
    gone = {footage.name_of(each) for each in own.sources if not sourcing.is_there(each)}
    known = set() if remembered is None else set(map(footage.name_of, remembered.wanted))
    return gone <= known and (not gone or compat.own_scene(own.origin.scene) is not None)


def is_to_be_made(status: JobStatus) -> bool:
    """Whether the job is one that `unknown` offers to make."""
    problem = status.problem
    return problem is not None and problem.kind is ProblemKind.INTERRUPTED and problem.sentence.startswith(UNKNOWN)


def retry_refusal(status: JobStatus) -> str:
    """Why there is nothing that could be tried again; empty where there may be."""
    problem = status.problem
    return problem.sentence if problem is not None and problem in (UNREADABLE, STRIPS_UNKNOWN) else ""


def unreadable(job_id: str) -> tuple[JobStatus, None]:
    """A job of which nothing can be read: it is shown and can be cleared."""
    summary = JobSummary("", Task.TEXT_TO_VIDEO, "", 0, 1)
    return JobStatus(job_id, JobState.FAILED, summary, sentence=UNREADABLE.sentence, problem=UNREADABLE), None


def own_folder() -> str:
    """Where this project's takes go now."""
    return request.media_folder(folders.preferences())


def _places(asked: TakeRequest, own: TakeRequest) -> list[str]:
    """The folders that a take of this film may be in; the request's own counts only if it is below one of ours."""
    beside = bpy.path.abspath("//wan") if bpy.data.filepath else own.media_folder
    roots = [own.media_folder, beside, str(folders.user_folder() / "media"), os.path.dirname(beside)]
    named = [asked.media_folder] if is_below(asked.media_folder, roots) else []
    return [own.media_folder, os.path.abspath(beside), *named]
