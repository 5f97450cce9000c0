"""From the model's decoded pictures to the take's media: finished, at the scene's rate, written.

May import torch, frames and protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from ..frames.conform import Conformer
from ..frames.movie import Movie
from ..frames.png_sequence import PngSequence
from ..frames.schedule import Schedule
from ..protocol.media import first_file
from ..protocol.messages import MediaFormat, Plan, TakeRequest
from .pictures import finished, runs

SPOOL_FILE = "decoded.part"


def write(
    decoded: Iterator[np.ndarray],
    kept: dict[int, np.ndarray],
    request: TakeRequest,
    plan: Plan,
    folder: Path,
    advance: Callable[[int, int, str], None],
) -> None:
    """Write the media of the take into `folder`. `decoded` are (N, H, W, 3) pictures, `kept` those of the footage.

    `advance(done, total, sentence)` is called for each picture twice: when it is decoded, and when it is finished;
    what it raises ends the work. Raises OSError.
    """
    frames, done = plan.model_frames, 0
    schedule = Schedule.of(plan, request)
    conformer = Conformer(schedule, request.conform)
    times = [float(time) for time in schedule.times()] if plan.kept_before or plan.kept_after else None

    def counted(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal done
        for number, picture in enumerate(pictures, start=1):
            done += 1
            advance(done, 2 * frames, f"Frame {number} of {frames}")
            yield picture

    def take_pictures() -> Iterator[tuple[int, np.ndarray]]:
        made = counted(picture for some in decoded for picture in some)
        for number, picture in enumerate(counted(finished(made, frames, kept, folder / SPOOL_FILE, times))):
            yield from conformer.feed(number, picture)
        yield from conformer.finish()

    with _writer(request, plan, folder) as writer:
        for picture, indices in runs(take_pictures()):
            writer.write(picture, indices)


def _writer(request: TakeRequest, plan: Plan, folder: Path) -> AbstractContextManager[PngSequence | Movie]:
    if request.media_format is MediaFormat.PNG:
        return PngSequence(folder)
    file = folder / first_file(request.media_format)
    return Movie(file, request.media_format, request.frame_rate.exact(), plan.width, plan.height)
