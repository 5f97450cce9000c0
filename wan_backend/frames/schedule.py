"""Which of the model's frames each frame of the take shows. Standard library only."""

from __future__ import annotations

import math
from fractions import Fraction


def model_frame_of(take_frame: int, model_rate: Fraction, scene_rate: Fraction) -> int:
    """The model's frame nearest in time to the take's frame `take_frame` (from 0); a tie goes to the later.

    Exact at any rate, 24000/1001 as well: the take's frame i is shown at i / scene_rate seconds.
    """
    return math.floor(take_frame * model_rate / scene_rate + Fraction(1, 2))


def shown_in(take_frames: int, model_frames: int, model_rate: Fraction, scene_rate: Fraction) -> list[list[int]]:
    """For each of the model's frames, the take's frames that show it, in order; together they are all of them."""
    shown: list[list[int]] = [[] for _ in range(model_frames)]
    for take_frame in range(take_frames):
        index = min(model_frame_of(take_frame, model_rate, scene_rate), model_frames - 1)
        shown[index].append(take_frame)
    return shown
