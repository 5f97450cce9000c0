"""Settles the pictures that a take keeps at chosen frames: which of the model's frames is each, or why none can be.

The model's frames and the scene's differ in rate. The nearest one is the picture, and is shown exactly at the chosen
frame (`frames.schedule`); those around it give way by less than a frame.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

from ..protocol.messages import (
    MAX_KEPT_PICTURES,
    KeptPicture,
    Plan,
    Problem,
    ProblemKind,
    Role,
    Source,
    TakeRequest,
)
from ..protocol.sentences import Sentence
from .draft import Draft


def settle(draft: Draft) -> Draft | Problem:
    """The draft with each picture's frame of the model."""
    request, plan = draft.request, draft.plan
    sources = request.kept_pictures
    if not sources:
        return draft
    problem = _problem_of(sources, plan.take_frames)
    if problem is not None:
        return problem
    kept = [KeptPicture(each.at_frame, _model_frame(request, plan, each.at_frame)) for each in sources]
    problem = _crowded(kept) or _at_an_end(request, plan, kept)
    if problem is not None:
        return problem
    return draft.with_plan(*_notes(request, plan, kept), kept_pictures=kept)


def _problem_of(sources: list[Source], take_frames: int) -> Problem | None:
    if len(sources) > MAX_KEPT_PICTURES:
        return _bad(
            Sentence(
                "A take keeps at most {most} pictures, and {count} are asked for; leave some out.",
                most=MAX_KEPT_PICTURES,
                count=len(sources),
            )
        )
    for source in sources:
        if not 0 <= source.at_frame < take_frames:
            return _bad(
                Sentence(
                    "A picture is to be kept at frame {frame}, and the take has the frames 0 to {last}; move it there.",
                    frame=source.at_frame,
                    last=take_frames - 1,
                )
            )
        if source.frames != 1:
            return _bad(
                Sentence(
                    "What is kept at frame {frame} has {count} frames; choose one picture.",
                    frame=source.at_frame,
                    count=source.frames,
                )
            )
    return None


def _crowded(kept: list[KeptPicture]) -> Problem | None:
    """Why two pictures can't both be kept; they are in the order of their frames."""
    for before, after in pairwise(kept):
        if before.at_frame == after.at_frame:
            return _bad(
                Sentence("Two pictures are to be kept at frame {frame}; move one of them.", frame=after.at_frame)
            )
        if before.model_frame == after.model_frame:
            return _bad(
                Sentence(
                    "The pictures at frames {first} and {second} fall on one frame of the model; move one of them.",
                    first=before.at_frame,
                    second=after.at_frame,
                )
            )
    return None


def _at_an_end(request: TakeRequest, plan: Plan, kept: list[KeptPicture]) -> Problem | None:
    """Why a picture can't be kept where the take begins or ends on another one, or has no frame but its neighbors'."""
    for each in kept:
        if each.model_frame == 0 and (request.source(Role.FIRST) or request.source(Role.LOOK)) is not None:
            return _bad(
                Sentence(
                    "The take begins on another picture than the one to be kept at frame {frame}; move it later.",
                    frame=each.at_frame,
                )
            )
        last = _position(request, plan, plan.take_frames - 1)
        if request.source(Role.LAST) is not None and each.model_frame >= max(1, math.floor(last)):
            return _bad(
                Sentence(
                    "The take ends on another picture than the one to be kept at frame {frame}; move it earlier.",
                    frame=each.at_frame,
                )
            )
        if not plan.kept_before <= each.model_frame < plan.model_frames - plan.kept_after:
            return _bad(
                Sentence(
                    "The take is too short to keep a picture at frame {frame} between its neighbors.",
                    frame=each.at_frame,
                )
            )
    return None


def _notes(request: TakeRequest, plan: Plan, kept: list[KeptPicture]) -> list[Sentence]:
    moved = [each for each in kept if _position(request, plan, each.at_frame) != each.model_frame]
    if not moved:
        return []
    frames = ", ".join(str(each.at_frame) for each in moved)
    return [
        Sentence(
            "The model has no frame at {frames}: its nearest one is the kept picture, and is shown there.",
            frames=frames,
        )
    ]


def _model_frame(request: TakeRequest, plan: Plan, at_frame: int) -> int:
    """The model's frame nearest to the take's, a tie going to the later one; no frame of a neighbor's."""
    nearest = math.floor(_position(request, plan, at_frame) + Fraction(1, 2))
    return max(min(nearest, plan.model_frames - plan.kept_after - 1), plan.kept_before)


def _position(request: TakeRequest, plan: Plan, take_frame: int) -> Fraction:
    """Where a frame of the take lies among the model's, as `frames.schedule` has it, which this room can't import."""
    step = plan.model_frame_rate.exact() / request.frame_rate.exact()
    if plan.kept_before:
        first = plan.kept_before - 1 + step
    elif plan.kept_after:
        first = plan.model_frames - plan.kept_after - plan.take_frames * step
    else:
        first = plan.handle_before * step
    return first + take_frame * step


def _bad(sentence: Sentence) -> Problem:
    return Problem(ProblemKind.BAD_SOURCE, sentence)
