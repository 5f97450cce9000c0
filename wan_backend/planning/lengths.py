"""How many frames the model makes for a take, and how many of them are its neighbors' own.

The autoencoder takes frame 0 alone and then groups of four, so a clip has 4k + 1 frames, and only whole groups can be
kept: 1 + 4m frames at its beginning, 4m at its end (up to three more if the numbers need it).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from ..catalogue.entries import ModelEntry
from ..protocol.messages import Role, Source, TakeRequest, Task

LONG_CLIP_FRAMES = 65
"""A clip of more frames than this keeps more of its neighbors."""
KEPT_BEFORE = {False: (9, 5, 1), True: (17, 13, 9, 5, 1)}
"""Numbers of frames to keep of what is before the take, the best first, for a short clip and for a long one."""
KEPT_AFTER = {False: (8, 4), True: (16, 12, 8, 4)}
"""Numbers of frames to keep of what is after the take, likewise."""
WINDOW_OVERLAP = 5
"""Two neighboring windows of a long take share at least this many latent frames: 17 pictures or more."""
MIN_MOTION_FRAMES = 5
"""Fewer kept frames don't show the motion: rather than keep fewer, a take is made in more than one window."""


@dataclass(frozen=True)
class ClipLengths:
    """The clip that the model makes: the number of its frames, and of those at its ends that are the neighbors' own."""

    model_frames: int
    kept_before: int = 0
    kept_after: int = 0


def choose_lengths(
    request: TakeRequest, take_frames: int, scene_rate: Fraction, entry: ModelEntry, lead: int = 0, tail: int = 0
) -> ClipLengths:
    """The clip for a take of so many frames; a source that is missing counts as one frame.

    `lead` and `tail` more frames of the scene are made before and after it, where it has no neighbor.
    """
    step = entry.frame_rate / scene_rate
    before, after = request.source(Role.BEFORE), request.source(Role.AFTER)
    if request.task is Task.FILL_GAP:
        return _fill(take_frames, step, before, after, entry.max_frames)
    if request.task is Task.EXTEND and before is None and after is not None:
        return _extend_backward(lead + take_frames, step, after, entry.max_frames)
    if request.task is Task.EXTEND:
        return _extend_forward(take_frames + tail, step, before, entry.max_frames)
    return ClipLengths(model_frames_for(lead + take_frames + tail, scene_rate, entry))


def model_frames_for(length_frames: int, scene_rate: Fraction, entry: ModelEntry) -> int:
    """The fewest frames, 4k + 1, whose last is not before the take's last; both count their time from frame 0."""
    needed = Fraction(length_frames - 1) / scene_rate * entry.frame_rate
    return max(entry.min_frames, _whole_clip(math.ceil(needed) + 1))


def latent_frames(frames: int) -> int:
    """How many latent frames `frames` pictures (4k + 1) become."""
    return (frames - 1) // 4 + 1


def window_count(latents: int, most: int) -> int:
    """In how many windows of at most `most` latent frames a take of `latents` is made; 0 is no limit."""
    if most <= 0 or latents <= most:
        return 1
    overlap = min(WINDOW_OVERLAP, most - 1)
    return math.ceil((latents - overlap) / (most - overlap))


def _whole_clip(frames: int) -> int:
    return 4 * math.ceil((frames - 1) / 4) + 1


def _fill(take_frames: int, step: Fraction, before: Source | None, after: Source | None, window: int) -> ClipLengths:
    """Between two neighbors: the first kept frame after the take is the first one at or behind its end."""
    free = math.ceil((take_frames + 1) * step) - 1
    odd = -free % 4
    choices = []
    for head in _available(KEPT_BEFORE, free + 1, before, step):
        for tail in _available({False: (8, 4), True: (8, 4)}, free + 1, after, step):
            kept_after = tail + odd if tail + odd <= 11 else tail + odd - 4
            choices.append(ClipLengths(head + free + kept_after, head, kept_after))
    return _best(choices, window)


def _extend_forward(take_frames: int, step: Fraction, before: Source | None, window: int) -> ClipLengths:
    free = math.ceil(take_frames * step)
    return _best((ClipLengths(_whole_clip(n + free), n) for n in _available(KEPT_BEFORE, free, before, step)), window)


def _extend_backward(take_frames: int, step: Fraction, after: Source, window: int) -> ClipLengths:
    free = _whole_clip(math.ceil(take_frames * step))
    kept = _available(KEPT_AFTER, free, after, step)
    return _best((ClipLengths(free + n, 0, n) for n in kept), window)


def _available(table: dict[bool, tuple[int, ...]], free: int, source: Source | None, step: Fraction) -> list[int]:
    """The numbers of frames that the source is long enough for, the best first; the smallest is always among them."""
    numbers = table[free + table[False][0] > LONG_CLIP_FRAMES]
    frames = 1 if source is None else source.frames
    enough = [n for n in numbers if math.floor((n - 1) / step + Fraction(1, 2)) < frames]
    return enough or [numbers[-1]]


def _best(choices: Iterable[ClipLengths], window: int) -> ClipLengths:
    """The first that fits into one window and still shows the motion; else the first of all."""
    every = list(choices)
    first = every[0]
    minimum = min(first.kept_before, MIN_MOTION_FRAMES)
    fitting = (one for one in every if one.model_frames <= window and one.kept_before >= minimum)
    return next(fitting, first)
