"""Brings home what trainings over there bring: each LoRA and sample that is kept, on the way and at the end.

They come into a folder of the training's name among this machine's LoRAs, as if it had been trained here. What is
removed over there, as all but the last few are, is removed here; what a person removes here doesn't come again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..protocol import ProtocolError
from ..protocol import transfer as t
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import GONE
from ..protocol.messages import JobParams, TrainedLora, TrainingStatus
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import private_files, training_folder, whole_file
from ..storage.byte_sizes import size_in_words
from ..storage.disk_errors import write_problem
from ..storage.training_folder import SETTINGS_FILE
from .incoming import Announced, Arrivals, Course
from .line import Line
from .places import Places

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""What this machine's disk doesn't take is tried again after so long."""
OTHERS_SECONDS = 1.0
"""Where another window fetches, it is looked so often what came."""


@dataclass(frozen=True)
class Landed:
    """What is here of a training: kept in a file, for relays that come after this one."""

    folder: str = ""
    """Its folder among this machine's LoRAs; empty while it has none."""
    far_name: str = ""
    """What that folder is called over there; files are called after it."""
    files: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each file that came, by its name over there."""
    whole: bool = False
    """The training has ended, and all of it is here."""


@dataclass
class _Arrival(Announced):
    """A training of which something may be missing."""

    job_id: str
    loras_folder: str
    name: str
    far_name: str = ""
    ended: bool = False
    done: bool = False
    kept: object = None
    """What the far server says that it has, as of the last look."""


class TrainingFetcher(Arrivals[_Arrival]):
    """The trainings whose files come. For the main thread. `on_landed(job_id)` is called when more of one is here."""

    def __init__(
        self,
        line: Line,
        places: Places,
        state: Path,
        may_fetch: Callable[[], bool],
        on_landed: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(line, on_change)
        self._places, self._may_fetch = places, may_fetch
        self._arriving, self._notes = state / "arriving", state / "landed"
        self._on_landed = on_landed
        self._landed: dict[str, Landed] = {}

    def sentence_of(self, job_id: str) -> Sentence:
        """How far what a training has brought is on its way."""
        arrival = self._arrivals.get(job_id)
        if arrival is None:
            return NO_SENTENCE
        return arrival.problem or Sentence(
            "The LoRA comes from {name}: {done} of {total}.",
            name=self._line.name,
            done=size_in_words(self.done_bytes(job_id)),
            total=size_in_words(self.total_bytes(job_id)),
        )

    def is_whole(self, job_id: str) -> bool:
        """Whether all that an ended training has brought is here."""
        return self.landed(job_id).whole

    def landed(self, job_id: str) -> Landed:
        """What is here of a training."""
        if job_id not in self._landed:
            self._landed[job_id] = self._read(job_id)
        return self._landed[job_id]

    def want(self, job_id: str, loras_folder: str, name: str, status: TrainingStatus, ended: bool, done: bool) -> None:
        """Fetch what a training has brought by now; `ended`, or even `done`, it brings no more."""
        kept = status.kept, status.picture_without, ended
        arrival = self._arrivals.get(job_id)
        if self.is_whole(job_id) or (not ended and not status.kept and not status.picture_without):
            return
        if arrival is None:
            arrival = self._arrivals[job_id] = _Arrival(job_id, loras_folder, name)
        arrival.ended, arrival.done = ended, done
        arrival.far_name = self._far_name(status) or arrival.far_name
        if arrival.kept != kept:
            arrival.kept, arrival.look_at = kept, 0.0
            self._go_on()

    def near(self, job_id: str, far: TrainingStatus) -> TrainingStatus:
        """The status with this machine's paths, and of the LoRAs only those that are here."""
        kept = [near for each in far.kept if (near := self._near_lora(job_id, each)) is not None]
        return replace(far, kept=kept, picture_without=self.near_path(job_id, far.picture_without))

    def near_path(self, job_id: str, far: str) -> str:
        """Where a file, or a folder of some, lies here; empty if it isn't here."""
        names, landed = self._places.within_takes(far), self.landed(job_id)
        if not names or not landed.folder or names[0] != landed.far_name:
            return ""
        name = "/".join(names[1:])
        inside = f"{name}/" if name else ""
        if name in landed.files:
            return str(_place(landed, name))
        is_folder = any(file.startswith(inside) and file.endswith(".safetensors") for file in landed.files)
        return str(Path(landed.folder, *names[1:])) if is_folder else ""

    def again(self, job_id: str) -> None:
        """The training goes on, or is made anew: what is here stays, and what it brings comes, too."""
        self._arrivals.pop(job_id, None)
        self._incoming.drop_of(job_id)
        landed = self.landed(job_id)
        if landed.whole:
            self._note(job_id, replace(landed, whole=False))

    def forget(self, job_id: str) -> None:
        """The job is no longer known. Its LoRAs stay."""
        self._arrivals.pop(job_id, None)
        self._landed.pop(job_id, None)
        self._incoming.drop_of(job_id)
        self._file(job_id).unlink(missing_ok=True)
        shutil.rmtree(self._arriving / job_id, ignore_errors=True)

    def _far_name(self, status: TrainingStatus) -> str:
        paths = [status.picture_without, *(path for each in status.kept for path in (each.path, each.picture))]
        return next((names[0] for path in paths if (names := self._places.within_takes(path))), "")

    def _near_lora(self, job_id: str, far: TrainedLora) -> TrainedLora | None:
        path = self.near_path(job_id, far.path)
        return replace(far, path=path, picture=self.near_path(job_id, far.picture)) if path else None

    # One file after another

    def _go_on(self) -> None:
        if self._incoming.job_id or not self._line.is_open:
            return
        if not self._may_fetch():
            self._look_what_others_brought()
            return
        for arrival in sorted(self._arrivals.values(), key=lambda each: not each.ended):
            if arrival.missing and time.monotonic() >= arrival.look_at:
                self._start_file(arrival)
                return
            if not arrival.missing and not arrival.looks and time.monotonic() >= arrival.look_at:
                self._look(arrival)
                return

    def _look_what_others_brought(self) -> None:
        for job_id, arrival in list(self._arrivals.items()):
            arrival.look_at = time.monotonic() + OTHERS_SECONDS
            now = self._read(job_id)
            if now != self.landed(job_id):
                self._landed[job_id] = now
                if now.whole:
                    del self._arrivals[job_id]
                self._on_landed(job_id)

    def _look(self, arrival: _Arrival) -> None:
        """Ask which files there are now."""
        arrival.looks, arrival.look_at = True, float("inf")
        found: dict[str, t.TakeFile] = {}
        kept = arrival.kept

        def ask() -> None:
            params = t.TakeFilesParams(arrival.job_id, max(found, default=""))
            self._line.try_call("take_files", params, came, failed)

        def came(result: t.TakeFilesResult) -> None:
            if self._arrivals.get(arrival.job_id) is not arrival or not arrival.looks:
                return
            new = {
                file.name: file
                for file in result.files
                if training_folder.is_file_name(file.name) and t.is_sha256(file.sha256)
            }
            found.update(new)
            if result.more and new:
                ask()
                return
            arrival.looks = False
            if arrival.kept != kept:  # something came meanwhile
                arrival.look_at = 0.0
            else:
                self._note_files(arrival, found)
            self._go_on()
            self._on_change()

        def failed(error: ProtocolError) -> None:
            arrival.looks, arrival.look_at = False, time.monotonic() + AGAIN_SECONDS
            if error.code != GONE:
                log.warning("The files of training %s are not known: %s", arrival.job_id, error.message)

        ask()

    def _note_files(self, arrival: _Arrival, found: dict[str, t.TakeFile]) -> None:
        here = self.landed(arrival.job_id).files
        arrival.known = found
        arrival.missing = [name for name, file in found.items() if here.get(name) != file.sha256]
        arrival.look_at = 0.0
        if not arrival.missing:
            self._all_came(arrival)

    def _start_file(self, arrival: _Arrival) -> None:
        file = arrival.known[arrival.missing[0]]
        part = self._arriving / arrival.job_id / f"{file.sha256}{whole_file.UNFINISHED_SUFFIX}"

        def ended() -> None:
            try:
                self._land(arrival, file, part)
            except OSError as error:
                self._disk_failed(arrival, error)
                return
            arrival.missing.remove(file.name)
            if not arrival.missing:
                self._all_came(arrival)
            self._go_on()

        def is_other() -> None:
            arrival.known, arrival.missing = {}, []
            arrival.look_at = time.monotonic() + OTHERS_SECONDS

        course = Course(ended, is_other, lambda error: self._disk_failed(arrival, error))
        self._incoming.begin(arrival.job_id, file, part, course)

    def _land(self, arrival: _Arrival, file: t.TakeFile, part: Path) -> None:
        """Put a file that came among this machine's LoRAs. Raises OSError."""
        landed = self.landed(arrival.job_id)
        if not landed.folder or file.name == SETTINGS_FILE:
            folder = self._claimed(arrival, part if file.name == SETTINGS_FILE else None)
            landed = replace(landed, folder=str(folder), far_name=landed.far_name or arrival.far_name)
        if file.name != SETTINGS_FILE:
            place = _place(landed, file.name)
            private_files.make_open_folder(place.parent)
            unfinished = place.with_name(place.name + whole_file.UNFINISHED_SUFFIX)
            try:
                shutil.copyfile(part, unfinished)
                whole_file.replace(unfinished, place)
            except BaseException:
                with contextlib.suppress(OSError):
                    unfinished.unlink()
                raise
            private_files.open_up(place)
        part.unlink(missing_ok=True)
        self._note(arrival.job_id, replace(landed, files={**landed.files, file.name: file.sha256}))

    def _claimed(self, arrival: _Arrival, settings_file: Path | None) -> Path:
        """The training's folder here, with its settings where they have come. Raises OSError."""
        loras_folder = Path(arrival.loras_folder)
        known = training_folder.find(loras_folder, arrival.name, arrival.job_id)
        if known is not None and settings_file is None:
            return known
        settings: dict[str, object] = {"name": arrival.name}
        if settings_file is not None:
            with contextlib.suppress(ValueError, TypeError):
                came = dict(whole_file.read_json(settings_file, training_folder.MAX_SETTINGS_BYTES))
                settings |= {key: value for key, value in came.items() if key not in ("job_id", "format")}
        return training_folder.claim(loras_folder, arrival.name, arrival.job_id, settings)

    def _all_came(self, arrival: _Arrival) -> None:
        """Nothing is missing of what there was at the last look: what went over there goes here, too."""
        landed = self.landed(arrival.job_id)
        gone = {name for name in landed.files if name not in arrival.known} if arrival.known else set()
        for name in gone:
            place = _place(landed, name)
            with contextlib.suppress(OSError):
                place.unlink()
                os.rmdir(place.parent)  # only if nothing else is in it
        files = {name: digest for name, digest in landed.files.items() if name not in gone}
        arrival.problem, arrival.look_at = NO_SENTENCE, float("inf")  # until it has brought more
        try:
            self._note(arrival.job_id, replace(landed, files=files, whole=arrival.ended))
        except OSError as error:
            self._disk_failed(arrival, error)
            return
        if arrival.ended:
            del self._arrivals[arrival.job_id]
            shutil.rmtree(self._arriving / arrival.job_id, ignore_errors=True)
            if arrival.done:  # one that was stopped may go on over there
                self._line.call("take_arrived", JobParams(arrival.job_id))
        self._on_landed(arrival.job_id)

    def _disk_failed(self, arrival: _Arrival, error: OSError) -> None:
        arrival.problem = write_problem(error, Sentence("The LoRA has not come home yet")).sentence
        arrival.look_at = time.monotonic() + AGAIN_SECONDS
        log.warning("%s", arrival.problem)
        self._on_change()

    # What is kept

    def _read(self, job_id: str) -> Landed:
        with contextlib.suppress(OSError, ValueError, ProtocolError):
            return from_json(Landed, whole_file.read_json(self._file(job_id)), "landed")
        return Landed()

    def _note(self, job_id: str, landed: Landed) -> None:
        """Raises OSError."""
        whole_file.write_json(self._file(job_id), to_json(landed))
        self._landed[job_id] = landed

    def _file(self, job_id: str) -> Path:
        return self._notes / f"{job_id}.training.json"


def _place(landed: Landed, name: str) -> Path:
    """Where a file lies here: files are called after their folder, which may have another number here."""
    folder = Path(landed.folder)
    *places, file = name.split("/")
    if landed.far_name and file.startswith(landed.far_name) and file.endswith(".safetensors"):
        file = folder.name + file[len(landed.far_name) :]
    return folder.joinpath(*places, file)
