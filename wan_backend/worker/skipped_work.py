"""The work that a job leaves out, as its plan says, and what a job that calibrates the step cache has measured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ..loading.wan_model import WanModel
from ..pipelines import guidance_interval
from ..pipelines.denoise import SkippedWork
from ..pipelines.guidance_interval import GuidedSteps
from ..pipelines.step_cache import EVERY_STEP_COMPUTED, CachedSteps, MagnitudeRatios
from ..planning.calibrations import Branch, Calibration, CalibrationKey, Calibrations, model_identity
from ..planning.skipped_work import CHAINED_BESIDE
from ..protocol.media import CALIBRATIONS_FILE
from ..protocol.messages import Plan, RunParams
from ..protocol.sentences import Sentence

log = logging.getLogger(__name__)

CALIBRATED = Sentence("The step cache is calibrated for these settings.")
NOT_WHOLE = Sentence("The take was resumed, so the step cache wasn't calibrated; make another take for that.")
NOT_KEPT = Sentence("The step cache's calibration can't be written; see the state folder in the log.")


def skipped_work_of(plan: Plan) -> SkippedWork:
    """What is skipped, and the place for what is measured."""
    guided, reused = plan.guided_steps, plan.reused_steps
    branches: dict[Branch, Sequence[int]] = {}
    if reused is not None:
        branches = {Branch.PROMPT: reused.prompt, Branch.NEGATIVE: reused.negative}
    return SkippedWork(
        None if guided is None else GuidedSteps(guided.first, guided.end_exclusive),
        CachedSteps({branch: frozenset(steps) for branch, steps in branches.items()}) if any(branches.values())
        else EVERY_STEP_COMPUTED,
        MagnitudeRatios() if plan.calibrates else None,
    )  # fmt: skip


def passes_in(plan: Plan, step: int, cards: int) -> float:
    """How many passes that step, counted from 0, takes each of the cards; one that is reused takes next to no time.

    `cards` is the number that makes the step, which may be fewer than planned.
    """
    return passes_at_once(plan, step, cards) / (max(1, plan.cards_per_forward) if cards > 1 else 1)


def passes_at_once(plan: Plan, step: int, cards: int) -> int:
    """How many passes of that step come one after another: those that cards compute at once count as one."""
    skipped = skipped_work_of(plan)
    scale = max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0)
    is_guided = guidance_interval.apply(skipped.guided, scale, step) > 1
    if is_guided and plan.seen_sources > 1:  # on one card, and nothing is reused
        return 1 + CHAINED_BESIDE
    branches = (Branch.PROMPT, Branch.NEGATIVE) if is_guided else (Branch.PROMPT,)
    computed = sum(not skipped.cached.skips(branch, step) for branch in branches)
    in_halves = cards > 1 and max(1, plan.cards_per_forward) < plan.cards
    return min(1, computed) if in_halves else computed


def keep_calibration(params: RunParams, model: WanModel, controlled: bool, measured: MagnitudeRatios) -> Sentence:
    """Keep what was measured for later takes; returns what came of it, in a sentence."""
    plan, every = params.plan, range(params.plan.steps)
    if any(set(row) != set(every) for row in measured.ratios.values()):
        return NOT_WHOLE
    ratios = {branch: [row[step] for step in every] for branch, row in measured.ratios.items()}
    key = CalibrationKey.of(plan, model_identity(model.component_files), controlled)
    file = Path(params.state_folder, CALIBRATIONS_FILE) if params.state_folder else None
    try:
        Calibrations(file).record(key, Calibration(ratios, measured.starts))
    except (OSError, ValueError) as error:  # of a take whose numbers ran over, which are none
        log.warning("%s can't be written: %s", file, error)
        return NOT_KEPT
    return CALIBRATED
