"""The requests of looks: a take as a small draft, whole where that is quick, else the beginning of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from ..catalogue.entries import ModelEntry
from ..protocol.messages import Quality, Role, StepCache, TakeRequest, Task
from ..protocol.sentences import Sentence

LIVE_SECONDS = 8.0
"""A look that takes longer than this isn't live any more."""
BEGINNING_FRAMES = (17, 5)
"""The model's frames of a beginning: a second of motion, and the fewest that any model makes."""
OF_OPEN_END = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.EXTEND)
"""Tasks whose take may end anywhere, so that its beginning alone can be made."""
TOO_SLOW = Sentence("A look would take about {seconds} s on this machine, which is too slow to be live.")
TOO_SLOW_UNMEASURED = Sentence("A look takes more than {seconds} s on this machine, which is too slow to be live.")


def requests(request: TakeRequest, entry: ModelEntry) -> list[TakeRequest]:
    """What may be looked at in place of the take, the best first: the whole of it, then shorter and shorter beginnings.

    The size is the least that the model makes, the quality Draft; the rest is as it was asked for.
    """
    cache = StepCache.OFF if request.step_cache is StepCache.CALIBRATE else request.step_cache
    whole = replace(request, quality=Quality.DRAFT, least_size=True, step_cache=cache)
    found = [whole]
    for frames in BEGINNING_FRAMES if _may_end_anywhere(request) else ():
        length = _take_frames(max(frames, entry.min_frames), request, entry)
        if 1 <= length < found[-1].length_frames:
            reached = [each for each in request.sources if each.role is not Role.KEPT or each.at_frame < length]
            found.append(replace(whole, length_frames=length, sources=reached))
    return found


def _may_end_anywhere(request: TakeRequest) -> bool:
    forward = request.source(Role.LAST) is None and request.source(Role.AFTER) is None
    return request.task in OF_OPEN_END and forward


def _take_frames(model_frames: int, request: TakeRequest, entry: ModelEntry) -> int:
    """So many frames of the scene lie within the model's; 0 if the scene's rate can't be meant."""
    try:
        return int(Fraction(model_frames - 1) / entry.frame_rate * request.frame_rate.exact()) + 1
    except ZeroDivisionError:
        return 0
