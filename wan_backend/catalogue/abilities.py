"""What of a request a model of some layout can't do. Standard library and protocol only; no torch."""

from __future__ import annotations

from ..protocol.messages import Fix, FixSetting, Guide, Problem, ProblemKind, Role, TakeRequest, Task
from .architecture import Architecture

LAST_WANTED = "This model goes from a first picture to a last one; choose a last picture too, or another model."
LAST_UNKNOWN = "This model knows no last picture; leave it out, or choose a model that takes two."
KNOWS_LAST = (Architecture.CONTROL, Architecture.FIRST_AND_LAST, Architecture.PICTURES)


def architecture_problem(request: TakeRequest, architecture: Architecture | None) -> Problem | None:
    """Why a model of `layout` can't do what `request` asks of its task, or None; None, too, where it isn't known."""
    if architecture is None:
        return None
    if request.task == Task.IMAGE_TO_VIDEO:
        last = request.source(Role.LAST) is not None
        if last and architecture not in KNOWS_LAST:
            return Problem(ProblemKind.BAD_SOURCE, LAST_UNKNOWN)
        if not last and architecture is Architecture.FIRST_AND_LAST:
            return Problem(ProblemKind.BAD_SOURCE, LAST_WANTED)
    if request.task == Task.RESTYLE and architecture is not Architecture.CONTROL:
        return guide_problem(request.guide)
    return None


def guide_problem(guide: Guide) -> Problem | None:
    """Why footage that is only noised can't be kept to in that way, or None."""
    if guide in (Guide.NONE, Guide.FRAMES):
        return None
    sentence = f"This model can't keep to {guide.value}; choose no guide, or a control model (VACE)."
    return Problem(ProblemKind.BAD_SETTING, sentence, [Fix("Use no guide", FixSetting.GUIDE, Guide.NONE.value)])
