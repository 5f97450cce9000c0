"""A finished take that is to become larger: its size, its upscaling model, and why it can't be done."""

from __future__ import annotations

import dataclasses
import importlib.util
import math

from ..library import upscalers
from ..protocol.messages import (
    FINISH_FACTORS,
    Finish,
    Plan,
    Problem,
    ProblemKind,
    Role,
    Source,
    TakeRequest,
)
from ..protocol.sentences import Sentence
from ..storage import media_folder
from . import needed_sources, plan_steps
from .draft import Inventory, empty_plan

MAX_SIDE = 8192
"""Pixels; programs that cut films take no larger ones, and one picture is 200 MB in memory then."""
FLICKER_NOTE = Sentence("The upscaling model looks at each picture alone, so fine detail may flicker.")


def plan(request: TakeRequest, finish: Finish, inventory: Inventory) -> Plan:
    """What would be done to make the take larger; `problem` says why it can't be, if it can't."""
    problem = _source_problem(request, finish, inventory)
    if problem is not None:
        return empty_plan(request, problem)
    take = request.sources[0]
    size = _size(request, finish, take)
    if isinstance(size, Problem):
        return empty_plan(request, size)
    width, height = size
    made = dataclasses.replace(
        empty_plan(request, None),
        width=width,
        height=height,
        model_frames=take.frames,
        model_frame_rate=request.frame_rate,
        take_frames=request.length_frames,
        handle_before=finish.handle_before,
        handle_after=finish.handle_after,
        disk_bytes=plan_steps.files_bytes(request, width, height, take.frames),
        notes=[FLICKER_NOTE],
    )
    found = upscalers.find(finish.upscaler, inventory.models_folders)
    if isinstance(found, Problem):
        return dataclasses.replace(made, problem=found)
    if importlib.util.find_spec(upscalers.PACKAGE) is None:
        return dataclasses.replace(made, problem=upscalers.no_package())
    return dataclasses.replace(made, problem=media_folder.check(request.media_folder, made.disk_bytes))


def _source_problem(request: TakeRequest, finish: Finish, inventory: Inventory) -> Problem | None:
    """Why the take's own pictures can't be used."""
    if [source.role for source in request.sources] != [Role.FOOTAGE] or request.sources[0].pictures is None:
        return Problem(ProblemKind.BAD_SOURCE, Sentence("There is no take to make larger; select one."))
    if finish.factor not in FINISH_FACTORS:
        return Problem(
            ProblemKind.BAD_SETTING, Sentence("A take can become 2 or 4 times as large; choose one of them.")
        )
    take, handles = request.sources[0], (finish.handle_before, finish.handle_after)
    if min(handles) < 0 or take.frames != request.length_frames + sum(handles):
        words = Sentence("The take's pictures aren't as many as its length says; select the take again.")
        return Problem(ProblemKind.BAD_SOURCE, words)
    whole = dataclasses.replace(request, length_frames=take.frames)
    return needed_sources.check_footage(whole, inventory.source_problem)


def _size(request: TakeRequest, finish: Finish, take: Source) -> tuple[int, int] | Problem:
    """Width and height of the larger take, both even; or why there is none."""
    assert take.pictures is not None
    width, height = take.pictures.width, take.pictures.height
    if finish.factor:
        wanted = width * finish.factor, height * finish.factor
    else:
        share = max(request.width / width, request.height / height)
        if share <= 1:
            words = Sentence(
                "The take, {width} x {height}, is as large as the scene already; choose 2x or 4x.",
                width=width,
                height=height,
            )
            return Problem(ProblemKind.BAD_SIZE, words)
        wanted = 2 * math.ceil(width * share / 2 - 1e-6), 2 * math.ceil(height * share / 2 - 1e-6)
    if max(wanted) > MAX_SIDE:
        words = Sentence(
            "{width} x {height} is too large: a side may have {most} pixels at most. Choose a smaller size.",
            width=wanted[0],
            height=wanted[1],
            most=MAX_SIDE,
        )
        return Problem(ProblemKind.BAD_SIZE, words)
    return wanted
