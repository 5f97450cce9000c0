"""Jobs whose sources are rendered before the server gets them. They can be canceled and retried, and none is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import bpy

from ...wan_backend.protocol.messages import (
    JobState,
    JobStatus,
    JobSummary,
    Origin,
    Problem,
    ProblemKind,
    Source,
    TakeRequest,
)
from ...wan_backend.protocol.sentences import NO_SENTENCE, Sentence, as_sentence
from ..stopwatch import timed
from ..timeline import compat, footage, identity, picture_files, provenance, strip_takes
from . import planned_takes, source_records, written_camera
from .file_digests import FileDigests
from .job_list import JobList
from .journal import Journal
from .outbox import Outbox
from .rendering import Renderer, remove_rendered
from .request import Refused

RENDERING = Sentence("Rendering the source.")
"""The sentence of a job while its sources are rendered."""
LOOKING_AT_CAMERA = Sentence("Looking at the scene's camera.")
"""That of a job for which nothing but a camera's move is to be written down."""
STRIPS_UNKNOWN = "The strips that this take was made from are no longer known: select them, and make the take again."
PICTURES_GONE = "The pictures that this LoRA was trained from are gone: put the strips on the list, and train it again."
ORPHAN = Problem(
    ProblemKind.INTERRUPTED,
    Sentence("Blender ended while the source was being rendered: press Retry to render it again."),
)
HELD = Problem(
    ProblemKind.BUSY,
    Sentence("Another Blender window is rendering the source of this job: wait for it, or cancel it there."),
)

Rendered = list[tuple[footage.FootageRange, Source]]


class Sourcing:
    """Has sources rendered (jobs.rendering), and puts jobs whose sources are complete into the outbox."""

    def __init__(self, jobs: JobList, outbox: Outbox, user_folder: Callable[[], Path], on_change: Callable[[], None]):
        self._jobs = jobs
        self._outbox = outbox
        self._on_change = on_change
        self._user_folder = user_folder
        self._renderer = Renderer(lambda: user_folder() / "run", self._ready, self._failed)
        self._waiting: dict[str, TakeRequest] = {}
        self._at_server: set[str] = set()
        """Jobs that wait for sources and that the server has already, from an earlier try."""
        self._changed: set[str] = set()
        """Those of them whose request differs from the one that the server has."""
        self._rendered_unasked: set[str] = set()
        self._provenance_texts: dict[str, str] = {}
        """The provenance texts by job; kept here, too, because an undo may remove the placeholder."""
        self._journal: Journal | None = None
        self._files = FileDigests()

    @property
    def busy(self) -> bool:
        """True while a source is rendered."""
        return bool(self._waiting)

    def provenance_text(self, job_id: str) -> str:
        """What the job's placeholder remembers of the strips that its take is made from, as far as it is known here."""
        return self._provenance_texts.get(job_id, "")

    def waits(self, job_id: str) -> bool:
        """True while the job waits for sources to be rendered."""
        return job_id in self._waiting

    def send(self, job_id: str, scene: bpy.types.Scene, take: planned_takes.PlannedTake) -> str:
        """Send the job to the server once its sources are rendered; returns the provenance text for its placeholder.

        Call it before the placeholder is added, which would be in the copy that is rendered. Raises Refused.
        """
        if take.target is None:  # once more with the sources of an earlier take
            provenance_text = take.provenance_text
            if take.request.finish is None:  # else its one source is the take, whose sources stay as they were
                provenance_text = source_records.once_more(provenance_text, take.request.sources, self._files)
            self._send(job_id, scene, take.request, provenance_text, [])
            return provenance_text
        made = planned_takes.sources_of(scene, take, job_id, picture_files.look_at_many)
        if isinstance(made, str):
            raise Refused(made)
        request, to_render = _with_sources(scene, take.request, made)
        made_from = provenance.remember(scene, take.target)
        if request.training is not None:  # no strip shows what comes of it, which nothing could make stale
            provenance_text = provenance.write(made_from)
        else:
            provenance_text = self._written(scene, made_from) if made else ""
        self._send(job_id, scene, request, provenance_text, to_render)
        return provenance_text

    def _send(
        self, job_id: str, scene: bpy.types.Scene, request: TakeRequest, provenance_text: str, to_render: Rendered
    ) -> None:
        if provenance_text:
            self._provenance_texts[job_id] = provenance_text
        if not to_render:
            self._hand_on(job_id, request)
            return
        with timed("operator: of which the copy to render from"):
            self._renderer.ask(job_id, scene, to_render)
        self._waiting[job_id] = request
        self._open_journal().keep(job_id, request, provenance_text)
        self._jobs.add_queued(job_id, request, LOOKING_AT_CAMERA if request.renders_camera_alone else RENDERING)

    def cancel(self, job_id: str) -> bool:
        """End a job that the server hasn't got; False if it has."""
        if job_id not in self._waiting:
            return False
        del self._waiting[job_id]
        self._at_server.discard(job_id)
        self._changed.discard(job_id)
        self._renderer.cancel(job_id)
        self._open_journal().drop(job_id)
        self._jobs.end(job_id, JobState.CANCELED)
        return True

    def remove_rendered(self, job_id: str, origin: Origin) -> None:
        """Remove what was rendered for a training of the open film, which nobody will ask for once more.

        That of a take stays: another take may be made from it. `origin` says where the film was, should it have been
        saved elsewhere since.
        """
        for folder in planned_takes.clips_folders(job_id, origin):
            remove_rendered(folder, job_id)

    def retry(self, job_id: str, request: TakeRequest, belongs_here: bool) -> bool:
        """Render again what is not on the disk; False if everything is there and the server may retry at once."""
        if self._open_journal().held_elsewhere(job_id):
            self._jobs.add_queued(job_id, request, NO_SENTENCE)
            self._jobs.end(job_id, JobState.INTERRUPTED, HELD)
            return True
        status = self._jobs.get(job_id)
        problem = status.problem if status is not None else None
        render_all = problem is not None and problem.kind is ProblemKind.RENDER_FIRST
        # Its numbers are those of the camera as it was, which a person may have mended since.
        camera_anew = problem is not None and problem.kind is ProblemKind.BAD_SOURCE and request.camera is not None
        if (
            not render_all
            and not camera_anew
            and not written_camera.is_waited_for(request)
            and all(is_there(source) for source in request.sources)
        ):
            return False
        try:
            if not belongs_here:
                raise Refused("The strips of this job are in another file: open it, then press Retry.")
            self._render_again(job_id, request, render_all)
        except Refused as refused:
            self._jobs.add_queued(job_id, request, NO_SENTENCE)
            self._jobs.end(job_id, JobState.FAILED, Problem(ProblemKind.BAD_SOURCE, as_sentence(refused.sentence)))
        return True

    def pop_to_render(self) -> list[str]:
        """The jobs that failed as their sources have to be rendered first, each once, if their strips are known."""
        came = self._jobs.pop_to_render() - self._rendered_unasked
        found = [job_id for job_id in came if self._remembered(job_id) is not None]
        self._rendered_unasked.update(found)
        return found

    def tick(self, deadline: float) -> bool:
        """Look after the renderer until `deadline`; True if something changed."""
        changed = self._renderer.tick(deadline)
        job_id = self._renderer.at_work
        if job_id in self._waiting:
            changed |= self._jobs.rendered(job_id, self._renderer.progress(job_id) or 0.0)
        if self._open_journal().touch():
            changed |= self._look_after_journal()
        return changed

    def close(self, patience_seconds: float) -> None:
        """Blender ends; what is still to be rendered stays in the journal."""
        self._renderer.close(patience_seconds)
        if self._journal is not None:
            self._journal.release()

    def _render_again(self, job_id: str, asked_before: TakeRequest, render_all: bool) -> None:
        """Raises Refused."""
        made_from = self._remembered(job_id)
        scene = compat.own_scene(asked_before.origin.scene)
        if made_from is None or scene is None:
            raise Refused(STRIPS_UNKNOWN if asked_before.training is None else PICTURES_GONE)
        folder = planned_takes.sources_folder(asked_before, job_id)
        wanted_now = provenance.wanted_now(scene, made_from)
        look = picture_files.look_at_many
        straight = (
            set() if render_all else {footage.name_of(each) for each in asked_before.sources if not each.rendered}
        )
        made = []
        for wanted in wanted_now:
            source = footage.source_or_render(scene, wanted, folder, look, footage.name_of(wanted) in straight)
            if isinstance(source, str):
                raise Refused(source)
            made.append((wanted, *source))
        request, to_render = _with_sources(scene, asked_before, made)
        if self._jobs.is_on_server(job_id):
            self._at_server.add(job_id)
            if request.sources != asked_before.sources or written_camera.is_waited_for(request):
                self._changed.add(job_id)
        seen_now = asked_before.training is None
        provenance_text = self._written(scene, made_from, wanted_now) if seen_now else provenance.write(made_from)
        for found in identity.all_marked():
            strip_takes.set_provenance(found.strip, job_id, provenance_text)
        self._send(job_id, scene, request, provenance_text, to_render)

    def _written(
        self,
        scene: bpy.types.Scene,
        made_from: provenance.Provenance,
        wanted: Sequence[footage.FootageRange] | None = None,
    ) -> str:
        """The provenance text, with what the sources are now; `wanted` are their ranges now, if they were moved."""
        seen = source_records.at_click(scene, made_from.wanted if wanted is None else wanted, self._files)
        return provenance.write(replace(made_from, seen=seen))

    def _remembered(self, job_id: str) -> provenance.Provenance | None:
        texts = (strip_takes.provenance_text(found.strip, job_id) for found in identity.all_marked())
        kept = next((read for text in texts if text and (read := provenance.read(text)) is not None), None)
        return kept or provenance.read(self._provenance_texts.get(job_id, ""))

    def _ready(self, job_id: str) -> None:
        request = self._waiting.pop(job_id, None)
        if request is not None:
            self._hand_on(job_id, request)
            self._on_change()

    def _failed(self, job_id: str, sentence: str) -> None:
        if self._waiting.pop(job_id, None) is not None:
            self._jobs.end(job_id, JobState.FAILED, Problem(ProblemKind.BAD_SOURCE, as_sentence(sentence)))
            self._on_change()

    def _hand_on(self, job_id: str, request: TakeRequest) -> None:
        try:
            request = written_camera.with_numbers(request)
        except Refused as refused:
            self._jobs.end(job_id, JobState.FAILED, Problem(ProblemKind.BAD_SOURCE, as_sentence(refused.sentence)))
            return
        at_server, changed = job_id in self._at_server, job_id in self._changed
        self._at_server.discard(job_id)
        self._changed.discard(job_id)
        if changed:
            self._outbox.resubmit(job_id, request)
        elif at_server:
            self._outbox.retry_at_server(job_id, request)
        else:
            self._outbox.submit(job_id, request)

    def _look_after_journal(self) -> bool:
        """Drop the jobs that the server has; take over those of a Blender that ended."""
        for job_id in list(self._open_journal().mine):
            if self._jobs.is_on_server(job_id) or self._jobs.get(job_id) is None:
                self._open_journal().drop(job_id)
        changed = False
        for job_id, request, provenance_text in self._open_journal().orphans():
            self._provenance_texts[job_id] = provenance_text
            if self._jobs.get(job_id) is None:
                summary = JobSummary.of(request)
                self._jobs.keep(
                    JobStatus(job_id, JobState.INTERRUPTED, summary, sentence=ORPHAN.sentence, problem=ORPHAN), request
                )
                changed = True
        return changed

    def _open_journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self._user_folder() / "waiting")
        return self._journal


def is_there(source: Source) -> bool:
    """True if what the server would read is on the disk. Of many pictures, the first and the last are looked at."""
    if not source.rendered:
        return True  # the person's own media: the server reports what is wrong with it
    return all(os.path.isfile(os.path.join(source.folder, name)) for name in {source.files[0], source.files[-1]})


def _with_sources(
    scene: bpy.types.Scene, request: TakeRequest, made: list[tuple[footage.FootageRange, Source, bool]]
) -> tuple[TakeRequest, Rendered]:
    """The request with what it is made from, and those of its sources that are to be rendered."""
    sources, to_render = [], []
    for wanted, source, render in made:
        if render:
            source = replace(source, shown_files=footage.shown_files(scene, wanted))
            to_render.append((wanted, source))
        sources.append(source)
    return replace(request, sources=sources), to_render
