"""Brings takes home: their files as they are written, each checked by its hash, then the whole under a name of its own.

What has come lies in this machine's state until the take is whole; a broken line, and a Blender that is closed, lose
nothing of it. Of several windows one fetches, the others wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..protocol import ProtocolError, take_names
from ..protocol import transfer as t
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import GONE
from ..protocol.media import PREVIEW_FILE, PREVIEW_PIXELS_FILE, SETTINGS_FILE
from ..protocol.messages import JobParams, JobStatus, Problem, ProblemKind, Take, TakeRequest
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import file_locks, private_files, whole_file
from ..storage.byte_sizes import size_in_words
from ..storage.disk_errors import write_problem
from ..storage.take_folder import OF_TAKE, TakeFolder
from .asked import AskedFor
from .incoming import Announced, Arrivals, Course, digest_of
from .line import Line
from .places import Places

log = logging.getLogger(__name__)

EARLY_SECONDS = 1.0
"""From one look for new files of a take that is still made to the next."""
PREVIEW_SECONDS = 0.5
AGAIN_SECONDS = 10.0
"""A take that this machine's disk doesn't take is tried again after so long."""


@dataclass
class _Arrival(Announced):
    """A take that is on its way."""

    job_id: str
    media_folder: str
    take: Take | None = None
    """As the far server has it, once it is whole there."""


class Fetcher(Arrivals[_Arrival]):
    """The takes that come. For the main thread. `on_landed(job_id)` is called once a take is in its media
    folder, or will never be."""

    def __init__(
        self,
        line: Line,
        places: Places,
        asked: AskedFor,
        state: Path,
        on_landed: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(line, on_change)
        self._places, self._asked = places, asked
        self._arriving, self._landed_notes, self._previews = state / "arriving", state / "landed", state / "previews"
        for folder in (self._arriving, self._landed_notes, self._previews):
            private_files.make_folder(folder)
        self._lock_file = private_files.opened(state / "fetching.lock", "ab")
        self._fetches = False
        self._on_landed = on_landed
        self._gone: dict[str, Problem] = {}
        """Takes that were made and can't be fetched any more."""
        self._preview_at: dict[str, float] = {}
        self._preview_steps: dict[str, int] = {}

    @property
    def sentence(self) -> Sentence:
        """What is on its way; empty if nothing is."""
        whole = [arrival for arrival in self._arrivals.values() if arrival.take is not None]
        if not whole:
            return NO_SENTENCE
        return self.sentence_of(whole[0].job_id)

    def sentence_of(self, job_id: str) -> Sentence:
        """How far a take is that is whole over there."""
        arrival = self._arrivals.get(job_id)
        if arrival is None:
            return NO_SENTENCE
        return arrival.problem or Sentence(
            "The take comes from {name}: {done} of {total}.",
            name=self._line.name,
            done=size_in_words(self.done_bytes(job_id)),
            total=size_in_words(arrival.total_bytes),
        )

    def landed(self, job_id: str) -> Take | None:
        """The take as it lies here; None if it isn't here."""
        try:
            return from_json(Take, whole_file.read_json(self._note(job_id)))
        except (OSError, ValueError, ProtocolError):
            return None

    def gone(self, job_id: str) -> Problem | None:
        """Why the take will not come, if it won't."""
        return self._gone.get(job_id)

    def forget(self, job_id: str) -> None:
        """The take is made anew, or its job is no longer known: what came of it goes."""
        self._arrivals.pop(job_id, None)
        self._gone.pop(job_id, None)
        self._incoming.drop_of(job_id)
        self._note(job_id).unlink(missing_ok=True)
        shutil.rmtree(self._arriving / job_id, ignore_errors=True)
        shutil.rmtree(self._previews / job_id, ignore_errors=True)

    def want(self, job_id: str, far_take: Take, media_folder: str) -> None:
        """Fetch a take that is whole over there."""
        arrival = self._arrivals.setdefault(job_id, _Arrival(job_id, media_folder))
        if arrival.take is None:
            arrival.take, arrival.look_at = far_take, 0.0
            arrival.known.clear()  # what came before may have been replaced
            arrival.missing.clear()
            self._incoming.drop_of(job_id)
            self._go_on()

    def early(self, job_id: str, media_folder: str) -> None:
        """A take is being written over there: fetch what is there of it."""
        arrival = self._arrivals.setdefault(job_id, _Arrival(job_id, media_folder))
        if arrival.take is None and time.monotonic() >= arrival.look_at:
            self._go_on()

    def not_made(self, job_id: str) -> None:
        """The job ended without a take."""
        arrival = self._arrivals.pop(job_id, None)
        if arrival is not None:
            self._incoming.drop_of(job_id)

    def line_opened(self) -> None:
        """There is a line again: go on."""
        self._preview_at.clear()
        super().line_opened()

    def preview(self, status_step: int, job_id: str) -> str:
        """The path of the preview that is here; the one of that step is asked for."""
        file = self._previews / job_id / PREVIEW_FILE
        now = time.monotonic()
        if self._preview_steps.get(job_id) != status_step and now >= self._preview_at.get(job_id, 0.0):
            self._preview_at[job_id] = now + 600.0  # until it has come
            self._ask_preview(job_id, PREVIEW_PIXELS_FILE, status_step)
        return str(file) if job_id in self._preview_steps and file.is_file() else ""

    def _ask_preview(self, job_id: str, name: str, step: int) -> None:
        def came(result: t.TakeReadResult) -> None:
            content = t.piece_bytes(result.piece)
            if len(content) != result.size_bytes:
                return  # a picture so large is none
            with contextlib.suppress(OSError):
                private_files.make_folder(self._previews / job_id)
                whole_file.write(self._previews / job_id / name, content)
            if name == PREVIEW_PIXELS_FILE:
                self._ask_preview(job_id, PREVIEW_FILE, step)
            else:
                self._preview_steps[job_id] = step
                self._preview_at[job_id] = time.monotonic() + PREVIEW_SECONDS

        def failed(error: ProtocolError) -> None:
            self._preview_at[job_id] = time.monotonic() + PREVIEW_SECONDS

        self._line.try_call("take_read", t.TakeReadParams(job_id, name), came, failed)

    # One file after another

    def _go_on(self) -> None:
        if self._incoming.job_id or not self._line.is_open:
            return
        if not self.may_fetch():
            self._look_what_others_brought()
            return
        due = sorted(self._arrivals.values(), key=lambda arrival: arrival.take is None)  # whole ones first
        for arrival in due:
            if arrival.missing:
                self._start_file(arrival)
                return
            if not arrival.looks and time.monotonic() >= arrival.look_at:
                self._look(arrival)
                return

    def may_fetch(self) -> bool:
        """Whether it is this window that fetches."""
        if not self._fetches:
            try:
                self._fetches = file_locks.lock(self._lock_file)
            except OSError:  # no locks on that disk: then there is hardly another window on it
                self._fetches = True
        return self._fetches

    def _look_what_others_brought(self) -> None:
        for job_id, arrival in list(self._arrivals.items()):
            arrival.look_at = time.monotonic() + EARLY_SECONDS
            if arrival.take is not None and self.landed(job_id) is not None:
                del self._arrivals[job_id]
                self._on_landed(job_id)

    def _look(self, arrival: _Arrival) -> None:
        """Ask which files there are beyond those that are known."""
        arrival.looks = True
        after = max(arrival.known, default="")
        wants_whole = arrival.take is not None

        def came(result: t.TakeFilesResult) -> None:
            if self._arrivals.get(arrival.job_id) is not arrival:
                return
            arrival.looks = False
            arrival.look_at = time.monotonic() + EARLY_SECONDS
            if wants_whole != (arrival.take is not None):
                arrival.look_at = 0.0
            else:
                self._note_files(arrival, result.files)
                if result.more:
                    arrival.look_at = 0.0
                elif arrival.take is not None and not arrival.missing:
                    self._finish(arrival, result.whole)
            self._go_on()
            self._on_change()

        def failed(error: ProtocolError) -> None:
            arrival.looks = False
            arrival.look_at = time.monotonic() + AGAIN_SECONDS
            if error.code != GONE:
                log.warning("The files of take %s are not known: %s", arrival.job_id, error.message)

        self._line.try_call("take_files", t.TakeFilesParams(arrival.job_id, after), came, failed)

    def _note_files(self, arrival: _Arrival, files: list[t.TakeFile]) -> None:
        for file in files:
            if OF_TAKE.fullmatch(file.name) and t.is_sha256(file.sha256):
                arrival.known[file.name] = file
                if not self._has(arrival, file):
                    arrival.missing.append(file.name)

    def _has(self, arrival: _Arrival, file: t.TakeFile) -> bool:
        path = self._arriving / arrival.job_id / file.name
        try:
            return path.stat().st_size == file.size_bytes and digest_of(path).hexdigest() == file.sha256
        except OSError:
            return False

    def _start_file(self, arrival: _Arrival) -> None:
        file = arrival.known[arrival.missing[0]]
        part = self._part(arrival.job_id, file)

        def ended() -> None:
            try:
                whole_file.replace(part, part.with_name(file.name))
            except OSError as error:
                self._disk_failed(arrival, error)
                return
            arrival.missing.remove(file.name)
            arrival.problem = NO_SENTENCE
            if not arrival.missing:
                arrival.look_at = 0.0
            self._go_on()

        def is_other() -> None:
            arrival.known.clear()
            arrival.missing.clear()
            arrival.look_at = time.monotonic() + EARLY_SECONDS

        course = Course(ended, is_other, lambda error: self._disk_failed(arrival, error))
        self._incoming.begin(arrival.job_id, file, part, course)

    def _finish(self, arrival: _Arrival, whole: bool) -> None:
        """All files are here: put the take into its media folder."""
        take = arrival.take
        names = sorted(arrival.known)
        if take is None or not whole or SETTINGS_FILE not in names or take.first_file not in names:
            sentence = Sentence("The take is no longer whole on {name}: retry its job.", name=self._line.name)
            log.warning("%s", sentence)
            self._gone[arrival.job_id] = Problem(ProblemKind.NOT_FOUND, sentence)
            del self._arrivals[arrival.job_id]
            self._on_landed(arrival.job_id)
            return
        try:
            landed = self._published(arrival, take, names)
            whole_file.write_json(self._note(arrival.job_id), to_json(landed))
        except (OSError, ValueError, KeyError, TypeError, ProtocolError) as error:
            self._disk_failed(arrival, error if isinstance(error, OSError) else OSError(str(error)))
            return
        del self._arrivals[arrival.job_id]
        shutil.rmtree(self._arriving / arrival.job_id, ignore_errors=True)
        self._line.call("take_arrived", JobParams(arrival.job_id))
        self._on_landed(arrival.job_id)

    def _published(self, arrival: _Arrival, take: Take, names: list[str]) -> Take:
        arriving = self._arriving / arrival.job_id
        settings = whole_file.read_json(arriving / SETTINGS_FILE)
        asked = from_json(TakeRequest, settings["request"], "request")
        title = str(settings.get(take_names.TITLE_KEY) or take_names.title(asked))
        with TakeFolder(Path(arrival.media_folder), arrival.job_id, title) as folder:
            for name in names:
                if name != SETTINGS_FILE:
                    shutil.copyfile(arriving / name, folder.partial / name)
            final = folder.publish(lambda at: self._settings(arrival.job_id, settings, take, at))
        return replace(take, folder=str(final))

    def _settings(self, job_id: str, settings: dict[str, Any], take: Take, folder: Path) -> dict[str, Any]:
        """The take's settings as they would be had it been made here."""
        near = dict(settings)
        asked = self._asked.request(job_id)
        near["request"] = self._places.paths_here(near["request"]) if asked is None else to_json(asked)
        if isinstance(near.get("plan"), dict):
            near["plan"] = self._places.paths_here(near["plan"])
        near["take"] = to_json(replace(take, folder=str(folder)))
        return near

    def _disk_failed(self, arrival: _Arrival, error: OSError) -> None:
        self._incoming.drop_of(arrival.job_id)
        arrival.problem = write_problem(error, Sentence("The take has not come home yet")).sentence
        arrival.look_at = time.monotonic() + AGAIN_SECONDS
        log.warning("%s", arrival.problem)
        self._on_change()

    def _part(self, job_id: str, file: t.TakeFile) -> Path:
        return self._arriving / job_id / f"{file.name}.{file.sha256[:16]}{whole_file.UNFINISHED_SUFFIX}"

    def _note(self, job_id: str) -> Path:
        return self._landed_notes / f"{job_id}.json"


def is_ours(status: JobStatus, places: Places) -> str:
    """The media folder here that the job's take is for; empty if it is no job of this machine's."""
    return "" if status.take is None else places.near_of_take(status.take.folder)
