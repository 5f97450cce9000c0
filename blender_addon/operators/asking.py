"""What the operators of the six tasks share: why a task can't be asked for now, and asking.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import bpy

from ...wan_backend.protocol.messages import Plan, ProblemKind, Source, TakeRequest, Task
from .. import preferences
from ..jobs import orders, request, tracker
from ..properties import WanSettings, WithSettings, settings_in, settings_of, task_of
from ..stopwatch import timed
from ..timeline import compat, picture_files
from .refusing import Refusing, backend_refusal, timeline_refusal

PLANNED = "planned"
"""Stands for the job's id while a take is only planned."""
LOOK_SECONDS = 0.5
Settings = WithSettings | WanSettings


class Asking(Refusing):
    """An operator that asks for the takes of `task` with the panel's settings, `changed` where it says so."""

    task: ClassVar[Task]
    changed: ClassVar[dict[str, Any]] = {}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why the task can't be done now; empty where it can."""
        sentence = timeline_refusal(context) or backend_refusal()
        if sentence:
            return sentence
        scene = compat.sequencer_scene(context)
        try:
            first = wanted(scene, cls._settings(context), cls.task)[0]
            asked = planned(scene, first)
        except request.Refused as refused:
            return refused.sentence.removesuffix(".")  # Blender ends the tooltip's sentence itself
        plan = tracker.get().plan_of(asked)
        if plan is not None and may_yet_be_found(plan):
            return tracker.get().looking.removesuffix(".")
        return plan.problem.sentence.removesuffix(".") if plan is not None and plan.problem is not None else ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask for each take, show the seed of the last, and report."""
        with timed(f"operator {self.task.value}"):
            return submit(self, context, self._settings(context), self.task)

    @classmethod
    def _settings(cls, context: bpy.types.Context) -> Settings:
        settings = settings_of(context)
        return WithSettings(settings, **cls.changed) if cls.changed else settings


def wanted(scene: bpy.types.Scene, settings: Settings, task: Task) -> list[orders.Order]:
    """The takes that would be asked for now. Raises Refused."""
    return orders.orders(scene, settings, preferences.get(), task, tracker.get().model(settings.model))


def planned(scene: bpy.types.Scene, order: orders.Order) -> TakeRequest:
    """The request with its sources as they will be, to be planned. Raises Refused.

    Cheap enough for a draw: twice a second at most, a few of the files behind the strips are looked at.
    """
    global _looked_at
    if order.target is None or not order.target.wanted:
        return order.request
    key = (scene.as_pointer(), order.target.wanted, order.request.media_folder)
    if _looked_at is None or _looked_at.key != key or time.monotonic() > _looked_at.until:
        _looked_at = _look(scene, order, key)
    if _looked_at.refused is not None:
        raise _looked_at.refused
    return replace(order.request, sources=list(_looked_at.sources))


@dataclass(frozen=True)
class _Look:
    """What was found behind the strips of an order, for a moment."""

    key: tuple[Any, ...]
    until: float
    sources: tuple[Source, ...] = ()
    refused: request.Refused | None = None


_looked_at: _Look | None = None


def _look(scene: bpy.types.Scene, order: orders.Order, key: tuple[Any, ...]) -> _Look:
    until = time.monotonic() + (0.0 if bpy.app.background else LOOK_SECONDS)
    look = picture_files.look_at_all if bpy.app.background else picture_files.glance
    try:
        sources = tuple(source for _, source, _ in orders.sources_of(scene, order, PLANNED, look))
    except request.Refused as refused:
        return _Look(key, until, refused=refused)
    return _Look(key, until, sources)


def may_yet_be_found(plan: Plan) -> bool:
    """True where the model was not found, but the first look through the models folders still goes on."""
    missing = plan.problem is not None and plan.problem.kind is ProblemKind.MODEL_MISSING
    return missing and bool(tracker.get().looking)


def shown_task(context: bpy.types.Context) -> Task:
    """The task that the panel shows."""
    return task_of(settings_of(context))


def submit(operator: Any, context: bpy.types.Context, settings: Settings, task: Task) -> set[str]:
    """Ask for the takes; the operator's result."""
    scene = compat.sequencer_scene(context)
    asked: list[TakeRequest] = []
    try:
        for order in wanted(scene, settings, task):
            plan = tracker.get().plan_of(planned(scene, order))
            order = replace(order, request=request.within_plan(order.request, plan))
            tracker.get().generate(scene, order)
            asked.append(order.request)
    except request.Refused as refused:
        operator.report({"WARNING"}, refused.sentence)
        if not asked:
            return {"CANCELLED"}
    settings_in(scene).seed = asked[-1].seed
    operator.report({"INFO"}, _report(asked))
    return {"FINISHED"}


def _report(asked: list[TakeRequest]) -> str:
    if len(asked) > 1:
        return f"Asked for {len(asked)} takes, one after the other."
    origin = asked[0].origin
    end = origin.start + asked[0].length_frames
    return f"Asked for a take on channel {origin.channel}, frames {origin.start} to {end - 1}."
