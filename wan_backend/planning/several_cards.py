"""Settles how several cards share a take, by guidance's halves and by tokens; and says it, or why one card makes it."""

from __future__ import annotations

import sys

from ..memory.forecast import Machine
from ..protocol.messages import MatrixPrecision, Plan
from ..protocol.sentences import NO_SENTENCE, Sentence
from .draft import Draft

HALVES = Sentence("Two cards make the take: one computes its prompt, the other its negative prompt.")
SHARES = Sentence("{cards} cards make the take: they compute each step together.")
SHARES_OF_HALVES = Sentence(
    "{cards} cards make the take: half of them compute its prompt together, the others its negative prompt."
)
ONLY_LINUX = Sentence("One card makes the take: without guidance, several cards can share it on Linux only.")
STEP_CACHE = Sentence("One card makes the take: its steps reuse what earlier ones computed, or are measured for that.")
FAST_MATRICES = Sentence("One card makes the take: matrices in fast 8 bit aren't shared between several.")


def settle_cards(draft: Draft) -> Draft:
    """Settle the number of cards, and how many of them compute a forward pass, where a take may have several."""
    machine = draft.inventory.machine
    if machine is None or machine.cards < 2:
        return draft
    reason = _reason_for_one(draft.plan, machine)
    if reason:
        return draft.with_plan(reason)
    cards, is_guided = machine.cards, _is_guided(draft.plan)
    if not _can_share_forwards(machine):
        cards = 2
    if not is_guided or cards % 2:
        return draft.with_plan(SHARES.with_values(cards=cards), cards=cards, cards_per_forward=cards)
    note = HALVES if cards == 2 else SHARES_OF_HALVES.with_values(cards=cards)
    return draft.with_plan(note, cards=cards, cards_per_forward=cards // 2)


def _reason_for_one(plan: Plan, machine: Machine) -> Sentence:
    if plan.reused_steps is not None or plan.calibrates:
        return STEP_CACHE
    if plan.matrix_precision is not MatrixPrecision.EXACT:
        return FAST_MATRICES
    return NO_SENTENCE if _is_guided(plan) or _can_share_forwards(machine) else ONLY_LINUX


def _is_guided(plan: Plan) -> bool:
    return max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) > 1


def _can_share_forwards(machine: Machine) -> bool:
    """Whether processes can exchange what a forward pass needs: between cards, torch has NCCL for Linux alone."""
    return not machine.is_card or sys.platform == "linux"
