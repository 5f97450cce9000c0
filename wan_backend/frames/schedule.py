"""Where the model's frames and the scene's frames lie in time. Standard library and protocol only.

A take's frame i is shown at i / scene rate seconds; the model's frames count their own rate. One class says where
a take's frame lies among the model's, and which frame of the scene a model's frame is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ..protocol.messages import Plan, Role, Source, TakeRequest


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
    """True where each of the model's frames is made after one frame of the scene (restyle, previs)."""
    after_frames: int = 0
    """How many frames the source after the take has; 0: as many as are kept."""

    @classmethod
    def of(cls, plan: Plan, request: TakeRequest) -> Schedule:
        """The schedule of a planned take."""
        after = request.source(Role.AFTER)
        return cls(
            plan.model_frame_rate.exact(),
            request.frame_rate.exact(),
            plan.take_frames,
            plan.model_frames,
            plan.kept_before,
            plan.kept_after,
            request.source(Role.FOOTAGE) is not None or request.source(Role.DEPTH) is not None,
            0 if after is None else after.frames,
        )

    @property
    def step(self) -> Fraction:
        """How many of the model's frames pass in one frame of the scene."""
        return self.model_rate / self.scene_rate

    @property
    def first_position(self) -> Fraction:
        """Where the take's first frame lies among the model's.

        The last kept frame before the take is the scene's frame before it; where only frames after it are kept,
        the first of them is the scene's frame after its last.
        """
        if self.kept_before:
            return self.kept_before - 1 + self.step
        if self.kept_after:
            return self.model_frames - self.kept_after - self.take_frames * self.step
        return Fraction(0)

    def position(self, take_frame: int) -> Fraction:
        """Where the take's frame lies among the model's frames."""
        return self.first_position + take_frame * self.step

    def nearest(self, take_frame: int) -> int:
        """The model's frame nearest in time to the take's frame; a tie goes to the later one."""
        index = math.floor(self.position(take_frame) + Fraction(1, 2))
        return min(max(index, 0), self.model_frames - 1)

    def scene_frame(self, model_frame: int) -> int:
        """The scene's frame nearest in time to a model's frame; a tie goes to the later one."""
        return math.floor((model_frame - self.first_position) / self.step + Fraction(1, 2))

    def times(self) -> list[Fraction]:
        """When the model's frames are, in frames of the scene; never falling.

        A frame that is one of the scene's (kept, or followed) is at that frame's time, the others at their own.
        """
        times = [self._time(j) for j in range(self.model_frames)]
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
        """The model's frames that are of the sources before and after the take, in order."""
        return [*range(self.kept_before), *range(self.model_frames - self.kept_after, self.model_frames)]

    def frames_of(self, source: Source) -> dict[int, int]:
        """For each model's frame that shows `source`, the source's frame in it; what is beyond its ends is held.

        Before the take, after it, or all along it, as its role says; one picture stands for itself, at frame 0.
        """
        if source.role is Role.BEFORE:
            wanted, shift = range(self.kept_before), source.frames
        elif source.role is Role.AFTER:
            wanted, shift = range(self.model_frames - self.kept_after, self.model_frames), -self.take_frames
        elif source.role in (Role.FOOTAGE, Role.DEPTH):
            wanted, shift = range(self.model_frames), 0
        else:
            wanted, shift = range(1), 0
        return {j: min(max(self.scene_frame(j) + shift, 0), source.frames - 1) for j in wanted}
