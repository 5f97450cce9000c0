"""From the decoded pictures to the take's media: true kept frames, seams that can't be seen, at the scene's rate.

Pictures come in as they are decoded. Where the frames after the take are kept, what is made can be corrected only once
those are decoded, too. Until then it lies in a file, because a long film is more than memory should hold.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ..frames.marks import Marks
from ..frames.schedule import Conformer, Schedule
from ..frames.seam import EASED_FRAMES, ColorMatch, Seam
from ..frames.take_writing import Movie, PngSequence
from ..protocol.media import first_file
from ..protocol.messages import Jump, MediaFormat, Plan, Role, TakeRequest
from ..protocol.sentences import Sentence
from . import picture_seams

SPOOL_FILE = "decoded.part"


Advance = Callable[[int, int, Sentence], None]


def write(
    decoded: Iterator[np.ndarray],
    kept: dict[int, np.ndarray],
    handles: dict[int, np.ndarray],
    request: TakeRequest,
    plan: Plan,
    folder: Path,
    advance: Advance,
    marks: Marks | None = None,
) -> dict[Role, Jump]:
    """Write the media of the take into `folder`, and return how it joins the neighbors before and after it.

    `handles` are the frames of the neighbors that are written before the take's first and after its last (Canvas); the
    rest is as of `of_take`. Raises OSError.
    """
    jumps: dict[Role, Jump] = {}
    given = [(picture, [frame]) for frame, picture in sorted(handles.items())]
    before, after = ([each for each in given if (each[1][0] < 0) is is_before] for is_before in (True, False))
    with writer_of(request, plan, folder, marks) as writer:
        own = of_take(decoded, kept, request, plan, folder, advance, jumps)
        for picture, frames in itertools.chain(before, own, after):
            writer.write(picture, [plan.handle_before + frame for frame in frames])
    return jumps


def of_take(
    decoded: Iterator[np.ndarray],
    kept: dict[int, np.ndarray],
    request: TakeRequest,
    plan: Plan,
    folder: Path,
    advance: Advance,
    jumps: dict[Role, Jump] | None = None,
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """The take's pictures, each with the consecutive frames that show it; `folder` is for what has to wait in a file.

    Frames are counted from the take's first: those of a handle that is made before it are negative. `decoded` are
    (N, H, W, 3) pictures, `kept` the frames that are given, and `jumps` gets those at the seams.
    `advance(done, total, sentence)` is called twice for each picture: when it is decoded, and when it is finished. What
    it raises ends the work. Raises OSError.
    """
    frames, done = plan.model_frames, 0
    schedule = Schedule.of(plan, request)
    conformer = Conformer(schedule, request.conform)
    times = [float(time) for time in schedule.times()] if plan.kept_before or plan.kept_after else None

    def counted(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal done
        for number, picture in enumerate(pictures, start=1):
            done += 1
            advance(done, 2 * frames, Sentence("Frame {number} of {frames}", number=number, frames=frames))
            yield picture

    def take_pictures() -> Iterator[tuple[int, np.ndarray]]:
        made = counted(picture for some in decoded for picture in some)
        seamless = finished(made, frames, kept, folder / SPOOL_FILE, times, jumps, schedule.picture_frames)
        for number, picture in enumerate(counted(seamless)):
            yield from conformer.feed(number, picture)
        yield from conformer.finish()

    return runs(take_pictures())


def writer_of(
    request: TakeRequest, plan: Plan, folder: Path, marks: Marks | None
) -> AbstractContextManager[PngSequence | Movie]:
    """What writes the take's pictures into `folder`, in the format that was asked for."""
    if request.media_format is MediaFormat.PNG:
        return PngSequence(folder, marks)
    file = folder / first_file(request.media_format)
    return Movie(file, request.media_format, request.frame_rate.exact(), plan.width, plan.height, marks)


SEAM_FRAMES = 4
"""The color at a seam is measured on this many kept frames beside it: about a latent frame."""

Pair = tuple[np.ndarray, np.ndarray]


def finished(
    made: Iterable[np.ndarray],
    frames: int,
    kept: Mapping[int, np.ndarray],
    spool_file: Path,
    times: Sequence[float] | None = None,
    jumps: dict[Role, Jump] | None = None,
    pictures: Collection[int] = (),
) -> Iterator[np.ndarray]:
    """The model's `frames` pictures in order: the kept ones as their source has them, the made ones eased into them.

    `made` yields every decoded picture in order, the kept ones too. `times` are the times of the frames where the kept
    ones are footage, whose motion goes on at the seams; None if they are stills. `spool_file` exists only meanwhile.
    `jumps` gets the jump at each seam that is measured, by the role of the neighbor. `pictures` are those of the kept
    frames that the take keeps at chosen times.
    Raises OSError if the disk is full.
    """
    neighbors = {number: picture for number, picture in kept.items() if number not in pictures}
    joined = _joined(made, frames, neighbors, spool_file, times, jumps)
    for _, picture in picture_seams.eased(enumerate(joined), kept, pictures, frames):
        yield picture


def _joined(
    made: Iterable[np.ndarray],
    frames: int,
    kept: Mapping[int, np.ndarray],
    spool_file: Path,
    times: Sequence[float] | None,
    jumps: dict[Role, Jump] | None,
) -> Iterator[np.ndarray]:
    """`finished` without the pictures kept at chosen times."""
    before, after = leading(kept), trailing(kept, frames)
    if not kept:
        yield from made
    elif after:
        with Spool(spool_file) as spool:
            near = {*before[-SEAM_FRAMES:], *after[:SEAM_FRAMES]}
            pairs = {n: (picture, kept[n]) for n, picture in spool.filled(made) if n in near}
            finisher = Finisher(pairs, before, after, frames, kept, times, jumps)
            yield from finisher.finish(spool.pictures())
    else:
        yield from _from_before(iter(made), before, frames, kept, times, jumps)


def runs(pictures: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Each picture with the consecutive frames of the take that show it."""
    last: np.ndarray | None = None
    indices: list[int] = []
    for index, picture in pictures:
        if last is not None and picture is not last:
            yield last, indices
            indices = []
        last = picture
        indices.append(index)
    if last is not None:
        yield last, indices


def leading(kept: Mapping[int, np.ndarray]) -> range:
    """The kept frames at the beginning."""
    end = 0
    while end in kept:
        end += 1
    return range(end)


def trailing(kept: Mapping[int, np.ndarray], frames: int) -> range:
    """The kept frames at the end, without those that belong to the beginning."""
    start = frames
    while start - 1 in kept and start > len(leading(kept)):
        start -= 1
    return range(start, frames)


class Spool:
    """Pictures of one size in a file that exists as long as the context.

    The file is written, not mapped into memory, so that a full disk is an OSError and no crash.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._shape: tuple[int, ...] = ()
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Spool:
        self._stream = open(self._file, "w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stream is not None
        with suppress(OSError):  # of a full disk, which has been raised already
            self._stream.close()
        self._file.unlink(missing_ok=True)

    def filled(self, pictures: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Write `pictures`, and yield each with its number."""
        assert self._stream is not None
        for number, picture in enumerate(pictures):
            self._shape = picture.shape
            self._stream.write(np.ascontiguousarray(picture).data)
            yield number, picture

    def pictures(self) -> Iterator[np.ndarray]:
        """What was written, in order."""
        assert self._stream is not None
        self._stream.seek(0)
        size = int(np.prod(self._shape))
        while len(content := self._stream.read(size)) == size and size:
            yield np.frombuffer(content, np.uint8).reshape(self._shape)


def _from_before(
    made: Iterator[np.ndarray],
    before: range,
    frames: int,
    kept: Mapping[int, np.ndarray],
    times: Sequence[float] | None,
    jumps: dict[Role, Jump] | None,
) -> Iterator[np.ndarray]:
    """`finished` with kept frames only at the beginning: each picture is finished as it comes."""
    pairs: dict[int, Pair] = {}
    for number in before:
        pairs[number] = (next(made), kept[number])
        pairs.pop(number - SEAM_FRAMES, None)
        yield kept[number]
    finisher = Finisher(pairs, before, range(frames, frames), frames, kept, times, jumps)
    yield from finisher.finish(made, len(before))


class Finisher:
    """Corrects the made frames between two seams so that they meet the kept frames there."""

    def __init__(
        self,
        pairs: Mapping[int, Pair],
        before: range,
        after: range,
        frames: int,
        kept: Mapping[int, np.ndarray],
        times: Sequence[float] | None,
        jumps: dict[Role, Jump] | None = None,
    ) -> None:
        """`pairs` are the decoded and the true pictures of the kept frames next to the seams; `jumps` gets theirs."""
        self._jumps = {} if jumps is None else jumps
        self._pairs, self._before, self._after, self._kept, self._times = pairs, before, after, kept, times
        first, last = before[-1] if before else 0, after[0] if after else frames - 1
        sides = [[pairs[n] for n in side] for side in (before[-SEAM_FRAMES:], after[:SEAM_FRAMES])]
        self._match = ColorMatch.measured(sides[0], sides[1], first, last)
        self._made = range(len(before), after[0] if after else frames)
        self._eased = min(EASED_FRAMES, len(self._made) // (2 if before and after else 1))

    def finish(self, pictures: Iterable[np.ndarray], start: int = 0) -> Iterator[np.ndarray]:
        """The decoded pictures from number `start` on, finished."""
        numbered = self._corrected(pictures, start)
        if self._before:
            numbered = self._out_of_before(numbered)
        if self._after:
            numbered = self._into_after(numbered)
        for _, picture in numbered:
            yield picture

    def _corrected(self, pictures: Iterable[np.ndarray], start: int) -> Iterator[tuple[int, np.ndarray]]:
        for number, picture in enumerate(pictures, start):
            true = self._kept.get(number)
            yield number, self._match.apply(number, picture) if true is None else true

    def _out_of_before(self, numbered: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        seam: Seam | None = None
        for number, picture in numbered:
            distance = number - self._made.start
            if 0 <= distance < max(self._eased, 1):
                seam = seam or self._seam(self._before[-1], Role.BEFORE, picture)
                picture = seam.apply(distance, picture)
            yield number, picture

    def _into_after(self, numbered: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """Ease the last made frames; they wait for one another, because the seam is measured at the very last."""
        waiting: deque[tuple[int, np.ndarray]] = deque()
        for number, picture in numbered:
            if number < self._made.stop - max(self._eased, 1) or number >= self._made.stop:
                yield number, picture
                continue
            waiting.append((number, picture))
            if number == self._made.stop - 1:
                seam = self._seam(self._after[0], Role.AFTER, picture)
                while waiting:
                    early, made = waiting.popleft()
                    yield early, seam.apply(number - early, made)

    def _seam(self, near: int, side: Role, beside: np.ndarray) -> Seam:
        """The seam at `near`, the kept frame of the neighbor on that side; its jump is noted if it is measured."""
        outwards = -1 if side is Role.BEFORE else 1
        far, made = near + outwards, near - outwards
        times = self._times
        if times is None or far not in self._kept:
            decoded, true = self._pairs[near]
            return Seam.of_detail(true, self._match.apply(near, decoded), beside, self._eased)
        gap, step = abs(times[near] - times[far]), abs(times[made] - times[near])
        ratio = step / gap if gap else 0.0
        seam = Seam.going_on(self._kept[far], self._kept[near], ratio, beside, self._eased)
        if seam.jump is not None:
            self._jumps[side] = seam.jump
        return seam
