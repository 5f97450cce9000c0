"""The model's frames and the scene's frames in time: which shows which, and one made from the other.

A take's frame i is shown at i / scene rate seconds; the model's frames have a rate of their own. Schedule says where a
take's frame lies among the model's, and which frame of the scene a model's frame is. Conformer makes the take's frames
from the model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..protocol.messages import Conform, KeptPicture, Plan, Role, Source, TakeRequest
from .motion import Motion


@dataclass(frozen=True)
class Schedule:
    """The times of one take, exact at any rate.

    Positions count the model's frames from its first; scene frames count from the take's first, so that those
    before the take are negative and those after it are `take_frames` or more.
    """

    model_rate: Fraction
    scene_rate: Fraction
    take_frames: int
    model_frames: int
    kept_before: int = 0
    kept_after: int = 0
    follows: bool = False
    """True if each of the model's frames follows a frame of the scene (restyle, edit, previs)."""
    after_frames: int = 0
    """How many frames the source after the take has; 0: as many as are kept."""
    lead: int = 0
    """How many handle frames the model makes before the take's first."""
    tail: int = 0
    """How many it makes after the last."""
    pictures: tuple[KeptPicture, ...] = ()
    """The pictures that the take keeps at chosen frames."""

    @classmethod
    def of(cls, plan: Plan, request: TakeRequest) -> Schedule:
        """The schedule of a planned take. Where it has a neighbor, the handle is not made: it is the neighbor's."""
        before, after = request.source(Role.BEFORE), request.source(Role.AFTER)
        return cls(
            plan.model_frame_rate.exact(),
            request.frame_rate.exact(),
            plan.take_frames,
            plan.model_frames,
            plan.kept_before,
            plan.kept_after,
            request.camera is not None or any(request.source(role) is not None for role in (Role.FOOTAGE, Role.DEPTH)),
            0 if after is None else after.frames,
            plan.handle_before if before is None else 0,
            plan.handle_after if after is None else 0,
            tuple(plan.kept_pictures),
        )

    @property
    def step(self) -> Fraction:
        """How many of the model's frames pass in one frame of the scene."""
        return self.model_rate / self.scene_rate

    @property
    def first_position(self) -> Fraction:
        """Where the take's first frame lies among the model's.

        The last kept frame before the take is the scene's frame before it; if only frames after it are kept,
        the first of them is the scene's frame after its last. With neither, the model begins with the handle.
        """
        if self.kept_before:
            return self.kept_before - 1 + self.step
        if self.kept_after:
            return self.model_frames - self.kept_after - self.take_frames * self.step
        return self.lead * self.step

    def position(self, take_frame: int) -> Fraction:
        """Where the take's frame lies among the model's frames."""
        return self.first_position + take_frame * self.step

    def nearest(self, take_frame: int) -> int:
        """The model's frame nearest in time to the take's frame; a tie goes to the later one."""
        index = math.floor(self.position(take_frame) + Fraction(1, 2))
        return min(max(index, 0), self.model_frames - 1)

    @property
    def picture_frames(self) -> dict[int, int]:
        """For each of the model's frames that is a kept picture, the take's frame."""
        return {each.model_frame: each.at_frame for each in self.pictures}

    @property
    def last_picture_start(self) -> int:
        """The model's frame from which a last picture is shown: where the take ends, and all that is behind it."""
        return max(1, math.floor(self.position(self.take_frames - 1)))

    def scene_frame(self, model_frame: int) -> int:
        """The scene's frame nearest in time to a model's frame; a tie goes to the later one."""
        return math.floor((model_frame - self.first_position) / self.step + Fraction(1, 2))

    def times(self) -> list[Fraction]:
        """The times of the model's frames, in frames of the scene; they never fall.

        A frame that is one of the scene's (kept, or followed) is at that frame's time, the others at their own.
        """
        pictures = self.picture_frames
        times = [Fraction(pictures[j]) if j in pictures else self._time(j) for j in range(self.model_frames)]
        for j in reversed(range(self.model_frames - 1)):
            times[j] = min(times[j], times[j + 1])
        return times

    def _time(self, model_frame: int) -> Fraction:
        own = (model_frame - self.first_position) / self.step
        if model_frame < self.kept_before:
            return Fraction(self.scene_frame(model_frame))
        if model_frame >= self.model_frames - self.kept_after:
            last = self.take_frames + self.after_frames - 1 if self.after_frames else self.scene_frame(model_frame)
            return Fraction(min(self.scene_frame(model_frame), last))
        if self.follows:
            return Fraction(min(self.scene_frame(model_frame), self.take_frames - 1))
        return own

    def kept(self) -> list[int]:
        """The model's frames that show the sources before and after the take, in order."""
        return [*range(self.kept_before), *range(self.model_frames - self.kept_after, self.model_frames)]

    def frames_of(self, source: Source) -> dict[int, int]:
        """For each of the model's frames that shows `source`, the source's frame; beyond its ends, the last is held.

        Its role says whether it's shown before the take, after it, or all along it; one picture is shown at frame 0,
        or where the take keeps it.
        """
        if source.role is Role.KEPT:
            return {each.model_frame: 0 for each in self.pictures if each.at_frame == source.at_frame}
        if source.role is Role.BEFORE:
            wanted, shift = range(self.kept_before), source.frames
        elif source.role is Role.AFTER:
            wanted, shift = range(self.model_frames - self.kept_after, self.model_frames), -self.take_frames
        elif source.role in (Role.FOOTAGE, Role.DEPTH):
            wanted, shift = range(self.model_frames), 0
        else:
            wanted, shift = range(1), 0
        return {j: min(max(self.scene_frame(j) + shift, 0), source.frames - 1) for j in wanted}


NEAR_ENOUGH = 1 / 32
"""A take's frame within this share of the way to one of the model's is that frame, as sharp as it is."""
SAME_RATE = Fraction(1, 100)
"""Rates that differ by less are shown frame by frame: one frame in hundreds is skipped, and none is blended."""


class Conformer:
    """Takes all of the model's frames in order, and yields each of the take's frames as soon as it can be made.

    They come with their numbers: 0 is the take's first, and the handle frames that are made before it are negative.
    """

    def __init__(self, schedule: Schedule, conform: Conform) -> None:
        self._end = schedule.take_frames + schedule.tail
        self._times = [float(time) for time in schedule.times()]
        self._nearest = conform is Conform.REPEAT or 1 <= schedule.step <= 1 + SAME_RATE
        self._next = -schedule.lead
        self._last: tuple[float, np.ndarray] | None = None

    def feed(self, model_frame: int, picture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the take's frames that can be made now that the model's next frame, uint8 (H, W, 3) RGB, is there."""
        before, here = self._last, (self._times[model_frame], picture)
        self._last = here
        motion: Motion | None = None
        while self._next < self._end and self._next <= here[0]:
            if before is None or before[0] >= here[0]:
                made = picture
            else:
                share = (self._next - before[0]) / (here[0] - before[0])
                if self._nearest:
                    share = float(share >= 0.5)
                if NEAR_ENOUGH < share < 1 - NEAR_ENOUGH:
                    motion = motion or Motion(before[1], picture)
                    made = motion.between(share)
                else:
                    made = before[1] if share < 0.5 else picture
            yield self._next, made
            self._next += 1

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the frames after the model's last one, which is held."""
        assert self._last is not None, "no frame was fed"
        while self._next < self._end:
            yield self._next, self._last[1]
            self._next += 1
