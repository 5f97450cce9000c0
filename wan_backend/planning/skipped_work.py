"""Settles the work that a take leaves out: guidance in part of the steps, and steps that reuse what others computed.

What can't be done, or would do nothing, is left off with the reason in the plan, by which the panel grays its switch.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from ..catalogue.entries import DISTILLED_SAMPLERS, ModelEntry
from ..library.component_files import ComponentFiles
from ..library.locate import LocatedModel
from ..protocol.errors import Refusal
from ..protocol.messages import (
    Fix,
    FixSetting,
    GuidanceInterval,
    Plan,
    Problem,
    ProblemKind,
    ReusedSteps,
    StepCache,
    StepRange,
    TakeRequest,
    Task,
)
from ..protocol.sentences import NO_SENTENCE, Sentence
from .calibrations import Branch, Calibration, CalibrationKey, model_identity
from .draft import Draft
from .lengths import latent_frames, window_count
from .step_cache_schedule import skipped_steps
from .step_counts import held_steps, steps_left_out

NO_GUIDANCE = Sentence("There is no guidance with these settings, so it can't be left out.")
FEW_STEPS = Sentence("A model that was distilled to few steps has none that could be skipped.")
OF_AN_EDIT = Sentence("All steps of an edit are computed: what the step cache leaves out wasn't measured for edits.")
PART_OF_THE_STEPS = Sentence(
    "At this strength, the take makes only its last steps; calibrate the step cache with another take."
)
USE = Fix(Sentence("Use the Step Cache"), FixSetting.STEP_CACHE, StepCache.ON.value)
CHAINED_BESIDE = 3
"""Forward passes beside the prompt's in a guided step of an edit with reference pictures: with nothing, with the
footage, and with the pictures too."""
MIN_CALIBRATED_STEPS = 6
"""With fewer steps, those that are always computed leave nothing to skip."""


def settle_guidance(draft: Draft) -> Draft | Problem:
    """Settle the steps with guidance; the problem if the request's interval is none."""
    request, plan = draft.request, draft.plan
    interval = request.guidance_interval
    if interval is not None and not 0 <= interval.start < interval.end <= 1:
        sentence = Sentence(
            "Guidance from {start} to {end} of the steps is none; give a start and a later end, from 0 to 1.",
            start=f"{interval.start:g}",
            end=f"{interval.end:g}",
        )
        return Problem(ProblemKind.BAD_SETTING, sentence)
    guided, refusal = None, NO_SENTENCE if _is_guided(plan) else NO_GUIDANCE
    if interval is not None and interval != GuidanceInterval():
        if refusal:
            draft = draft.with_plan(refusal)
        else:
            guided = _steps_of(interval, plan.steps)
    return _count(draft.with_plan(guided_steps=guided, no_guidance_interval=refusal))


def settle_step_cache(draft: Draft) -> Draft:
    """Settle the steps that reuse what earlier ones computed, by the calibration of the model on this machine."""
    asked, plan = draft.request.step_cache, draft.plan
    refusal = FEW_STEPS if plan.sampler in DISTILLED_SAMPLERS else _too_few(plan)
    if plan.seen_sources:
        refusal = OF_AN_EDIT
    if refusal:
        notes = [] if asked is StepCache.OFF else [refusal]
        return draft.with_plan(*notes, no_step_cache=refusal)
    whole = _first_step(draft.request, plan) == 0
    draft = draft.with_plan(can_calibrate=whole)
    calibration = _find_calibration(draft)
    if asked is StepCache.CALIBRATE:
        if not whole:
            return draft.with_plan(PART_OF_THE_STEPS)
        exact = draft.with_plan(
            Sentence("All steps are computed, and the step cache is calibrated by them."),
            calibrates=True,
            guided_steps=None,
            no_step_cache=NO_SENTENCE if calibration else _not_calibrated(draft),
            fixes=[*draft.plan.fixes, *([USE] if calibration else [])],
        )
        return _count(exact)
    if calibration is None:
        refusal = _not_calibrated(draft)
        draft = draft.with_plan(no_step_cache=refusal)
        if asked is StepCache.OFF:
            return draft
        fixes = (
            [Fix(Sentence("Calibrate with This Take"), FixSetting.STEP_CACHE, StepCache.CALIBRATE.value)]
            if whole
            else []
        )
        return draft.with_plan(refusal, fixes=[*draft.plan.fixes, *fixes])
    reused = _reused(draft.request, plan, calibration)
    if not reused.prompt and not reused.negative:
        refusal = Sentence(
            "In {steps} steps, none is near enough to the one before to reuse anything.", steps=plan.steps
        )
        notes = [] if asked is StepCache.OFF else [refusal]
        return draft.with_plan(*notes, no_step_cache=refusal)
    return _count(draft.with_plan(reused_steps=reused)) if asked is StepCache.ON else draft


def kept_residuals(plan: Plan) -> int:
    """How many of the transformer's results the step cache keeps at once: for each branch of guidance and window."""
    reused = plan.reused_steps
    if reused is None:
        return 0
    return (bool(reused.prompt) + bool(reused.negative)) * window_count(
        latent_frames(plan.model_frames), latent_frames(plan.window_frames) if plan.window_frames else 0
    )


def compute_every_step(draft: Draft, reason: Sentence) -> Draft:
    """Leave the step cache off, for a reason that is said."""
    return _count(draft.with_plan(reason, reused_steps=None, no_step_cache=reason))


def _is_guided(plan: Plan) -> bool:
    return max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) > 1


def _steps_of(interval: GuidanceInterval, steps: int) -> StepRange | None:
    """The steps that begin within the interval, at least one; None if these are all."""
    first = min(steps - 1, math.floor(interval.start * steps + 0.5))
    end = max(first + 1, math.floor(interval.end * steps + 0.5))
    return None if (first, end) == (0, steps) else StepRange(first, end)


def _too_few(plan: Plan) -> Sentence:
    if plan.steps >= MIN_CALIBRATED_STEPS:
        return NO_SENTENCE
    return Sentence(
        "In {steps} steps there is nothing to skip; the step cache needs {least} or more.",
        steps=plan.steps,
        least=MIN_CALIBRATED_STEPS,
    )


def _find_calibration(draft: Draft) -> Calibration | None:
    model = draft.model
    assert isinstance(model, LocatedModel)
    try:
        identity = model_identity(ComponentFiles(model.folder, model.components))
    except (Refusal, OSError):  # loading the file says what is wrong with it
        return None
    key = CalibrationKey.of(draft.plan, identity, is_controlled(draft.request, draft.entry))
    found = draft.inventory.calibrations.find(key)
    if found is None or (_is_guided(draft.plan) and Branch.NEGATIVE not in found.ratios):
        return None
    return found


def is_controlled(request: TakeRequest, entry: ModelEntry) -> bool:
    """True if the model gets a control, as `pipelines.text_to_video` decides."""
    of_words = request.task is Task.TEXT_TO_VIDEO and not request.kept_pictures
    return entry.is_control and not (of_words and entry.trunk_makes_text)


def _not_calibrated(draft: Draft) -> Sentence:
    entry, steps = draft.entry, draft.plan.steps
    return Sentence(
        "The step cache isn't calibrated for {model} with {steps} steps; make one take with Calibrate first.",
        model=entry.label,
        steps=steps,
    )


def _reused(request: TakeRequest, plan: Plan, calibration: Calibration) -> ReusedSteps:
    """What the calibration allows: nothing is kept across two transformers, or two controls of a previs."""
    made = range(_first_step(request, plan), plan.steps)
    computed = {*calibration.starts, *_changes_of_control(request, plan)}
    guided = plan.guided_steps or StepRange(0, plan.steps)
    beside = range(max(made.start, guided.first), guided.end_exclusive) if _is_guided(plan) else range(0)
    prompt, negative = (
        skipped_steps(calibration.ratios[branch], steps, computed) if steps else []
        for branch, steps in ((Branch.PROMPT, made), (Branch.NEGATIVE, beside))
    )
    return ReusedSteps(prompt, negative)


def _first_step(request: TakeRequest, plan: Plan) -> int:
    return steps_left_out(plan.steps, request.strength) if request.task is Task.RESTYLE else 0


def _changes_of_control(request: TakeRequest, plan: Plan) -> Collection[int]:
    """The steps whose control is another than that of the step before: it ends within a step of a previs."""
    if request.task is not Task.PREVIS or request.camera is not None:
        return ()
    held = held_steps(plan.steps, request.strength)
    return {math.floor(held), math.ceil(held)}


def _count(draft: Draft) -> Draft:
    """Count the forward passes."""
    plan = draft.plan
    steps = plan.steps - _first_step(draft.request, plan)
    if not _is_guided(plan):
        every = left = steps
    else:
        beside = CHAINED_BESIDE if plan.seen_sources > 1 else 1
        every = (1 + beside) * steps
        guided = plan.guided_steps or StepRange(0, plan.steps)
        left = steps + beside * len(range(max(guided.first, plan.steps - steps), guided.end_exclusive))
    if plan.reused_steps is not None:
        left -= len(plan.reused_steps.prompt) + len(plan.reused_steps.negative)
    return replace(draft, plan=replace(plan, forwards=left, all_forwards=every))
