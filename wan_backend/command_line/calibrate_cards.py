"""Runs `calibrate --cards-per-take N`: measures in which way so many cards make takes of a model the quickest.

The server's plan takes each way in turn, and its worker measures the steps as of any take. So this makes takes until
each way was measured as often as counts, and throws them away. One in which the other cards came late measures nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import ModelEntry
from ..planning.measured_ways import MIN_TAKES, ONE, MeasuredWays, Way
from ..planning.several_cards import ONE_TRIED, TRIED
from ..planning.skipped_work import is_controlled
from ..protocol.errors import Refusal
from ..protocol.media import MEASURED_WAYS_FILE
from ..protocol.messages import JobParams, Plan, PlanParams, Quality, TakeRequest, Task
from . import calibrate, generate
from .calibrate import FAILED, REFUSED, Measuring
from .serve_child import ServeChild

STEPS = 6
"""Of each take, of which the first one doesn't count."""
COUNTED_STEPS = 2
"""With fewer that count, a worker says nothing of a take (`worker.steady_steps`): of each expert, the first doesn't."""
WRITTEN_SECONDS, LOOK_SECONDS = 5.0, 0.05
"""How long after a take it may come to the file what it has measured."""
IN_VAIN_TAKES, IN_VAIN_SECONDS = 4, 600.0
"""After so many takes in so long a time that measured nothing, no others are made."""
IN_VAIN = "The cards don't come to compute together; the take's notes and the logs in {state} say why."


def build_requests(options: argparse.Namespace, entry: ModelEntry, room: Path) -> Iterator[TakeRequest]:
    """The takes that are to be made in each way; raises ValueError with a sentence if there are none."""
    if Task.EDIT in entry.tasks:
        raise ValueError(f"{entry.label} edits footage, and an edit isn't shared between cards.")
    if entry.follows_camera:
        raise ValueError(f"{entry.label} makes takes of scene strips alone: its cards are measured by those.")
    if len(options.quality or []) > 1:
        raise ValueError("With --cards-per-take, give one --quality: which way is the quickest is the same for all.")
    least = COUNTED_STEPS + entry.weights.experts
    if options.steps is not None and options.steps < least:
        raise ValueError(f"So few steps measure nothing, as the first ones don't count; give --steps {least} or more.")
    quality = Quality((options.quality or [Quality.STANDARD])[0])
    steps = STEPS if options.steps is None else options.steps
    settings = {"quality": quality, "steps": steps, "flow_shift": entry.preset(quality).flow_shift}
    return calibrate.requests_of(options, entry, room, entry.max_frames, **settings)


def make_all(server: ServeChild, requests: list[TakeRequest], state: Path) -> int:
    """Make them in each way as often as counts, and say how long steps take; the exit code. Raises ProtocolError."""
    known = MeasuredWays(state / MEASURED_WAYS_FILE)
    for request in requests:
        code = _compare(server, request, known, state)
        if code:
            return code
    return 0


def _compare(server: ServeChild, request: TakeRequest, known: MeasuredWays, state: Path) -> int:
    controlled = is_controlled(request, entries.entry(request.model))
    since, in_vain = time.monotonic(), 0
    while True:
        before = known.of_all_shapes(controlled)
        code, status = calibrate.make_take(server, request)
        if code:
            return code
        made = server.call("details", JobParams(status.job_id)).plan
        if not {str(TRIED), str(ONE_TRIED)} & set(map(str, made.notes)):
            words = " ".join(map(str, made.notes))
            return generate.exit_with(
                f"There is nothing to compare: takes have one card here. {words}".strip(), REFUSED
            )
        if _grew(known, controlled, before):
            since, in_vain = time.monotonic(), 0
            sys.stderr.write(f"{in_words(_way(made))}: measured\n")
        else:
            in_vain += 1
            sys.stderr.write(f"{in_words(_way(made))}: not measured, as the other cards came late\n")
        plan: Plan = server.call("plan", PlanParams(request))
        if plan.problem is not None:
            raise Refusal(plan.problem)
        takes = known.of_all_shapes(controlled)
        if len(takes.get(_way(plan), [])) >= MIN_TAKES:
            sys.stderr.write(table(plan, takes))
            return 0
        if in_vain >= IN_VAIN_TAKES and time.monotonic() - since > IN_VAIN_SECONDS:
            return generate.exit_with(IN_VAIN.format(state=state), FAILED)


def _grew(known: MeasuredWays, controlled: bool, before: dict[Way, list[float]]) -> bool:
    """Whether something is measured that wasn't before; the server writes it beside its other work."""
    until = time.monotonic() + WRITTEN_SECONDS
    while known.of_all_shapes(controlled) == before:
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _way(plan: Plan) -> Way:
    return Way(plan.cards, plan.cards_per_forward, plan.shared_weights)


def table(plan: Plan, takes: dict[Way, list[float]]) -> str:
    """How long a step takes in each way, the quickest first."""
    steps = {way: min(each) * way.passes(plan) / max(1, plan.steps) for way, each in takes.items() if each}
    rows = sorted(steps.items(), key=lambda row: row[1])
    return "".join(f"{in_words(way)}: a step takes {seconds:.3f} s\n" for way, seconds in rows)


def in_words(way: Way) -> str:
    """What a way is called, as in docs/speed.md."""
    if way == ONE:
        return "One card"
    words = "shares of the tokens"
    if way.is_in_halves:
        words = "halves of guidance" + (f", each on {way.cards_per_forward}" if way.cards_per_forward > 1 else "")
    return f"{way.cards} cards, {words}{', and shares of the weights' if way.shared_weights else ''}"


WAYS = Measuring(build_requests, make_all, MEASURED_WAYS_FILE, MeasuredWays)
