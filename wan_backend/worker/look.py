"""A look: a small draft of what somebody is looking at. It is made as a take is, but no file of a take comes of it.

Its finished latents stay in the look's folder. A job for the same request finds them there, and decodes what was seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ..frames import source_frames
from ..pipelines.stopping import ShouldStop, Stopped, check
from ..protocol.looks import MakeLookParams, MakeLookResult
from ..protocol.messages import JobState, Jump, PhaseSeconds, Plan, ProgressParams, Role, TakeRequest
from ..storage import private_files, whole_file
from . import take_pictures
from .kept_steps import KeptSteps
from .preview_file import PreviewFile, pack_pixels
from .progress import Progress
from .source_reader import Read
from .take_job import TakeJob, make_pictures
from .warm_model import WarmModel

log = logging.getLogger(__name__)

MOST_PICTURES = 12
MOST_SIDE = 256
"""Pixels; a panel shows no more."""
COUNTED = (JobState.DENOISING, JobState.DECODING)
"""What a look may not do for too long. Loading its model is done once, and reading a prompt once for each prompt."""


class Limit:
    """Says that a look has to stop: as it makes way, or as its steps and pictures take too long."""

    def __init__(self, make_way: ShouldStop, most_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._make_way, self._most_seconds, self._clock = make_way, most_seconds, clock
        self._began: float | None = None

    def __call__(self) -> bool:
        """Whether it has to stop now."""
        return self._make_way() or self.is_passed

    @property
    def is_passed(self) -> bool:
        """Whether it takes too long."""
        return 0 < self._most_seconds < (self._clock() - self._began if self._began is not None else 0.0)

    def follow(self, report: ProgressParams) -> None:
        """Note when the first step begins."""
        if self._began is None and report.state in COUNTED:
            self._began = self._clock()


def make_look(
    params: MakeLookParams,
    warm: WarmModel,
    make_way: ShouldStop,
    read_for: Callable[[ShouldStop], Read] = lambda _: source_frames.read,
    on_read: Callable[[str], None] = lambda _place: None,
) -> MakeLookResult:
    """Make the look; no pictures if it would have taken too long. Raises as `make_take`, and Stopped at `make_way()`.

    `read_for(should_stop)` gives what reads the sources.
    """
    job, plan = params.job, params.job.plan
    check(make_way)
    warm.keep_prompts(job)
    limit = Limit(make_way, params.most_seconds)
    folder, work = Path(params.pictures_folder), Path(job.work_folder) if job.work_folder else None
    private_files.make_folder(folder)
    steps, progress = KeptSteps(work), Progress("", plan.steps, limit.follow)
    pictures: list[str] = []
    write = partial(_write, pictures)
    look = TakeJob(job, warm, progress, steps, PreviewFile(None, None), limit, read_for(limit), on_read, write)
    try:
        with steps:
            state, _ = make_pictures(look, folder)
    except Stopped:
        if make_way() or not limit.is_passed:
            raise
        log.info("a look of %d frames takes longer than %.0f s", plan.model_frames, params.most_seconds)
        return MakeLookResult(PhaseSeconds())
    seconds = PhaseSeconds(0.0, **state.seconds)
    if state.resumed is not None:  # some of its steps were made before: these seconds say nothing of another look
        seconds = replace(seconds, denoise=0.0)
    return MakeLookResult(seconds, pictures)


def _write(
    written: list[str],
    decoded: Iterator[np.ndarray],
    kept: dict[int, np.ndarray],
    _handles: dict[int, np.ndarray],
    request: TakeRequest,
    plan: Plan,
    folder: Path,
    advance: take_pictures.Advance,
) -> dict[Role, Jump]:
    """Write a few of the take's pictures, small, as Blender takes them; `written` gets their files."""
    wanted = chosen(plan.take_frames)
    written.clear()
    for picture, frames in take_pictures.of_take(decoded, kept, request, plan, folder, advance):
        for frame in sorted(wanted.intersection(frames)):
            file = folder / f"{frame + 1:04d}.rgba"
            whole_file.write(file, pack_pixels(small(picture)), flushed=False)
            written.append(str(file))
    return {}  # nobody asks how it joins


def chosen(frames: int) -> set[int]:
    """The frames of a take that its look shows: the first, the last, and some at equal distances."""
    count = min(frames, MOST_PICTURES)
    return {round(number * (frames - 1) / max(1, count - 1)) for number in range(count)}


def small(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, no larger than a panel shows it."""
    height, width = picture.shape[:2]
    share = MOST_SIDE / max(height, width)
    if share >= 1:
        return picture
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
