"""Which `prepare` a task has on which model. May import models, protocol and the modules that prepare."""

from __future__ import annotations

from ..catalogue.architecture import Layout
from ..loading.residency import Placement
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, Problem, ProblemKind, TakeRequest, Task
from . import dedicated, text_to_video, vace_tasks
from .canvas import Canvas
from .conditions import Conditions
from .stopping import ShouldStop, never
from .text_to_video import Kept


def prepare(
    placement: Placement, request: TakeRequest, plan: Plan, canvas: Canvas, kept: Kept, should_stop: ShouldStop = never
) -> Conditions:
    """The conditions of a job; raises Refusal where the model can't do its task, or Stopped."""
    if request.task == Task.TEXT_TO_VIDEO:
        return text_to_video.prepare(placement, request, plan, kept, should_stop)
    known = request.task in tuple(Task)
    layout = placement.model.layout
    of_layout = vace_tasks.PREPARE if layout is Layout.CONTROL else dedicated.PREPARE[layout]
    of_task = of_layout.get(Task(request.task)) if known else None
    if of_task is not None:
        return of_task(placement, request, plan, canvas, kept, should_stop)
    words = request.task[:40].replace("_", " ")
    sentence = f"This model can't do {words}; choose a control model (VACE)."
    if not known:
        sentence = f"This version can't do {words}; update Wan VSE."
    raise Refusal(Problem(ProblemKind.BAD_SETTING, sentence))
