"""One job that makes a finished take larger: its pictures, one after another, and a take on the disk.

Pictures that are made are kept in the job's work folder, so that a job that was stopped or died goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import __version__
from ..frames import source_frames
from ..frames.marks import Marks
from ..loading import devices, upscaling_model
from ..pipelines.stopping import ShouldStop, check
from ..pipelines.upscaling import Upscaler, tile_for
from ..protocol import take_names
from ..protocol.conversion import to_json
from ..protocol.errors import Refusal
from ..protocol.media import frame_file
from ..protocol.messages import (
    Component,
    JobState,
    PhaseSeconds,
    ProblemKind,
    ProgressParams,
    RunParams,
    RunResult,
)
from ..protocol.sentences import Sentence
from ..storage import byte_sizes, disk_errors, media_folder, whole_file
from ..storage.guarded_files import stamp
from ..storage.take_folder import TakeFolder
from . import take_pictures, take_record, take_signing
from .progress import Progress
from .source_reader import Read

log = logging.getLogger(__name__)

SHARES = (0.02, 0.0, 0.0, 0.98)
"""Of the bar: loading, and making the pictures."""
KEPT_FOLDER, KEPT_FILE = "finished", "of.json"


def make_larger(
    params: RunParams,
    report: Callable[[ProgressParams], None],
    should_stop: ShouldStop,
    read: Read = source_frames.read,
    on_read: Callable[[str], None] = lambda _place: None,
) -> RunResult:
    """Make the larger take, whole on the disk. Raises Refusal, Stopped, OSError, or what the libraries raise.

    `read` reads the take; `on_read(place)` is called before any other file is read, and with "" after it.
    """
    request, plan, began = params.request, params.plan, time.monotonic()
    progress = Progress(params.job_id, 0, report, shares=SHARES)
    progress.phase(JobState.LOADING, Sentence("Loading the upscaling model"))
    problem = media_folder.check(request.media_folder, plan.disk_bytes)
    if problem is not None:
        raise Refusal(problem)
    file = next(Path(each.place) for each in params.model_parts if each.part is Component.UPSCALER)
    device = devices.choose(params.device)
    on_read(str(file))
    try:
        model = upscaling_model.load(file, device)
    finally:
        on_read("")
    free_bytes = devices.free_bytes(device)
    if params.memory_budget_bytes is not None:
        free_bytes = min(free_bytes, params.memory_budget_bytes)
    upscaler = Upscaler(model, tile_for(model, free_bytes), should_stop)
    marks = Marks.of(request, __version__, on_read)
    loaded = time.monotonic()
    work = Path(params.work_folder) if params.work_folder else None
    kept = KeptPictures(work, _facts(params, file), plan.all_frames, plan.disk_bytes)
    with TakeFolder(Path(request.media_folder), params.job_id, take_names.title(request)) as take_folder:
        progress.phase(JobState.DECODING, Sentence("Making the pictures larger"))
        with take_pictures.writer_of(request, plan, take_folder.partial, marks) as writer:
            for number, picture in enumerate(_pictures(params, upscaler, kept, read)):
                check(should_stop)
                writer.write(picture, [number])
                words = Sentence("Picture {number} of {count}", number=number + 1, count=plan.all_frames)
                progress.advance(number + 1, plan.all_frames, words)
        check(should_stop)
        marks, note = take_signing.sign(request, marks, take_folder.partial)
        notes = [note] if note else []
        seconds = PhaseSeconds(load=loaded - began, decode=time.monotonic() - loaded)

        def result(folder: Path) -> RunResult:
            return RunResult(take_record.take_of(request, plan, folder), seconds, notes)

        final = take_folder.publish(lambda folder: take_record.settings_of(params, plan, result(folder), marks, device))
        kept.remove()
        return result(final)


class KeptPictures:
    """The pictures that this or an earlier try of the job made; a disk that fails, or fills, costs these alone."""

    def __init__(self, folder: Path | None, facts: dict[str, Any], count: int, take_bytes: int) -> None:
        """`facts` are all that a picture depends on: those of another job are forgotten.

        They make way for the take, of `count` pictures and so many bytes, which may be on the same disk.
        """
        self._folder = None if folder is None else folder / KEPT_FOLDER
        self._count, self._take_bytes = count, take_bytes
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        if self._folder is None:
            return
        try:
            if _known(self._folder / KEPT_FILE) != digest:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir(parents=True)
                whole_file.write_json(self._folder / KEPT_FILE, {"of": digest}, flushed=False)
        except OSError as error:
            log.warning("finished pictures can't be kept in %s: %s", self._folder, error)
            self._folder = None

    def find(self, number: int, width: int, height: int) -> np.ndarray | None:
        """uint8 (height, width, 3), or None if it is yet to be made."""
        file = None if self._folder is None else self._folder / frame_file(number)
        if file is None or not file.is_file():
            return None
        bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if bgr is None or bgr.shape != (height, width, 3):
            return None
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def keep(self, number: int, picture: np.ndarray) -> None:
        """Write it, quickly rather than small."""
        if self._folder is None or not self._has_room(number):
            return
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        good, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        try:
            if good:
                whole_file.write(self._folder / frame_file(number), png.data, flushed=False)
        except OSError as error:
            log.warning("a finished picture can't be kept in %s: %s", self._folder, error)
            self._folder = None

    def _has_room(self, number: int) -> bool:
        """Whether there is room beside the take from that picture on; without it, none is kept."""
        assert self._folder is not None
        try:
            free_bytes = byte_sizes.free_bytes_at(self._folder)
        except OSError:  # whether it can be written, the writing says
            return True
        left = self._count - number + 1  # with the one that is to be kept
        if free_bytes >= self._take_bytes * left // max(1, self._count) + media_folder.RESERVE_BYTES:
            return True
        log.warning("finished pictures are not kept: %d bytes are free for the take", free_bytes)
        self.remove()
        self._folder = None
        return False

    def remove(self) -> None:
        """A whole take needs them no more."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _known(file: Path) -> str:
    with suppress(OSError, ValueError, AttributeError):
        return str(whole_file.read_json(file, 10_000).get("of"))
    return ""


def _facts(params: RunParams, file: Path) -> dict[str, Any]:
    """What a larger picture depends on: the take's files, the model's, and the size. Raises Refusal."""
    take = params.request.sources[0]
    names = dict.fromkeys(take.files)
    try:
        stamps = [list(stamp(Path(take.folder) / name)) for name in names]
    except OSError as error:
        words = Sentence(
            "Pictures of the take {folder} can't be read ({reason}); put its files back, or make the take again.",
            folder=take.folder,
            reason=disk_errors.reason(error),
        )
        raise Refusal.of(ProblemKind.BAD_SOURCE, words) from error
    return {
        "take": to_json(take),
        "files": stamps,
        "upscaler": [str(file), *stamp(file)],
        "size": [params.plan.width, params.plan.height],
        "version": __version__,
    }


def _pictures(params: RunParams, upscaler: Upscaler, kept: KeptPictures, read: Read) -> Iterator[np.ndarray]:
    """All pictures of the larger take, in order: those that are kept, then those that are made."""
    plan, take = params.plan, params.request.sources[0]
    size = plan.width, plan.height
    count = 0
    while count < plan.all_frames and (known := kept.find(count, *size)) is not None:
        yield known
        count += 1
    assert take.pictures is not None
    smaller = take.pictures.width, take.pictures.height
    for number, picture in enumerate(read(take, list(range(count, plan.all_frames)), *smaller, smaller), count):
        made = upscaler.enlarge(picture, *size)
        kept.keep(number, made)
        yield made
