"""Settles whether a take is computed on two cards, each with one half of guidance; and says it, with the reason."""

from __future__ import annotations

from ..protocol.messages import MatrixPrecision, Plan
from ..protocol.sentences import NO_SENTENCE, Sentence
from .draft import Draft

TWO_CARDS = Sentence("Two cards make the take: one computes its prompt, the other its negative prompt.")
NO_GUIDANCE = Sentence("One card makes the take: without guidance there is nothing that the second one could do.")
STEP_CACHE = Sentence("One card makes the take: its steps reuse what earlier ones computed, or are measured for that.")
FAST_MATRICES = Sentence("One card makes the take: matrices in fast 8 bit aren't shared between two.")


def settle_cards(draft: Draft) -> Draft:
    """Settle the number of cards, where a take may have two."""
    machine = draft.inventory.machine
    if machine is None or machine.cards < 2:
        return draft
    reason = _reason_for_one(draft.plan)
    return draft.with_plan(reason) if reason else draft.with_plan(TWO_CARDS, cards=2)


def _reason_for_one(plan: Plan) -> Sentence:
    if max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) <= 1:
        return NO_GUIDANCE
    if plan.reused_steps is not None or plan.calibrates:
        return STEP_CACHE
    if plan.matrix_precision is not MatrixPrecision.EXACT:
        return FAST_MATRICES
    return NO_SENTENCE
