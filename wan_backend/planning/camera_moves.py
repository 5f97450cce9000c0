"""Checks the camera that a take follows: that its numbers are cameras, one for each frame."""

from __future__ import annotations

import math
from fractions import Fraction

from ..catalogue.architecture import WANTS_CAMERA
from ..protocol.messages import (
    CAMERA_NUMBERS,
    MAX_CAMERA_FRAMES,
    CameraMove,
    Fix,
    FixSetting,
    Problem,
    ProblemKind,
    Role,
    TakeRequest,
)
from ..protocol.sentences import Sentence

MAX_DISTANCE = 1e6
"""From the scene's origin, in its units."""
MIN_FOCAL, MAX_FOCAL = 0.01, 1000.0
"""As shares of the picture's width or height; those of the longest lenses there are."""
MAX_CENTER = 100.0
"""A picture's center may lie outside of it, by a shift of the lens, or where its strip is moved."""
SQUARE = 1e-3
"""How far a matrix may be from one that only turns."""
MIN_SCALE, MAX_SCALE = 1e-4, 1e4


def problem_of(request: TakeRequest) -> Problem | None:
    """Why the camera that the take follows can't be used; None if it can, or is still to come."""
    move = request.camera
    if move is None:
        return None
    if not MIN_SCALE <= move.scale <= MAX_SCALE:
        nearest = f"{min(max(move.scale, MIN_SCALE), MAX_SCALE) if math.isfinite(move.scale) else 1.0:g}"
        sentence = Sentence(
            "The camera's scale of {value} is out of range; give {minimum} to {maximum}.",
            value=f"{move.scale:g}",
            minimum=f"{MIN_SCALE:g}",
            maximum=f"{MAX_SCALE:g}",
        )
        fix = Fix(Sentence("Use {nearest}", nearest=nearest), FixSetting.CAMERA_SCALE, nearest)
        return Problem(ProblemKind.BAD_SETTING, sentence, [fix])
    if not move.numbers:
        return None if request.source(Role.CAMERA) is not None else Problem(ProblemKind.BAD_SOURCE, WANTS_CAMERA)
    if len(move.numbers) > MAX_CAMERA_FRAMES * CAMERA_NUMBERS or len(move.numbers) % CAMERA_NUMBERS:
        return _bad(Sentence("The camera's move isn't one that Blender wrote; make the take of the scene strip anew."))
    frames = len(move.numbers) // CAMERA_NUMBERS
    if frames != request.length_frames:
        sentence = Sentence(
            "The camera's move has {frames} frames, but the take should have {wanted}; both must be the same.",
            frames=frames,
            wanted=request.length_frames,
        )
        return _bad(sentence)
    wrong = next((frame for frame in range(frames) if not is_camera(_at(move, frame))), None)
    if wrong is None:
        return None
    return _bad(
        Sentence(
            "The camera at frame {frame} of the take can't be followed: it is squeezed, mirrored, infinitely far away, "
            "or has no focal length; see to its scale, its place and its lens.",
            frame=wrong + 1,
        )
    )


def is_camera(numbers: list[float]) -> bool:
    """Whether those are the numbers of a camera that can be followed."""
    if not all(map(math.isfinite, numbers)):
        return False
    rows = [numbers[start : start + 4] for start in (0, 4, 8)]
    focal, center = numbers[12:14], numbers[14:16]
    return (
        all(abs(row[3]) <= MAX_DISTANCE for row in rows)
        and _only_turns([row[:3] for row in rows])
        and all(MIN_FOCAL <= abs(each) <= MAX_FOCAL for each in focal)
        and all(abs(each) <= MAX_CENTER for each in center)
    )


def too_long(label: str, max_frames: int, rate: int, scene_rate: Fraction) -> Problem:
    """The problem of a take that is longer than a model follows a camera for."""
    most = int(Fraction(max_frames - 1, rate) * scene_rate) + 1
    sentence = Sentence(
        "{model} follows a camera for at most {seconds} s, {frames} frames here; cut the scene strip (K), and select a "
        "part of it.",
        model=label,
        seconds=f"{(max_frames - 1) / rate:g}",
        frames=most,
    )
    return Problem(ProblemKind.BAD_LENGTH, sentence)


def _at(move: CameraMove, frame: int) -> list[float]:
    return move.numbers[frame * CAMERA_NUMBERS : (frame + 1) * CAMERA_NUMBERS]


def _only_turns(rows: list[list[float]]) -> bool:
    """Whether the axes have length 1, are square to each other, and aren't mirrored."""
    for one, first in enumerate(rows):
        for other, second in enumerate(rows):
            product = sum(a * b for a, b in zip(first, second, strict=True))
            if abs(product - (one == other)) > SQUARE:
                return False
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0


def _bad(sentence: Sentence) -> Problem:
    return Problem(ProblemKind.BAD_SOURCE, sentence)
