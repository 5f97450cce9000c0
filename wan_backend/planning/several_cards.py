"""Settles how several cards share a take, by guidance's halves, tokens and weights; and says it, or why one makes it.

Cards that have room for the whole transformer each have it. Where one would have to move its blocks from the machine's
memory, or keep them in 8 bit for want of that, but a share of it fits, those that compute together hold one together,
if the server is asked for that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..memory.forecast import Machine
from ..memory.residency_plan import MemoryPlan, Residency
from ..protocol.messages import Plan
from ..protocol.sentences import NO_SENTENCE, Sentence
from .draft import Draft

HALVES = Sentence("Two cards make the take: one computes its prompt, the other its negative prompt.")
SHARES = Sentence("{cards} cards make the take: they compute each step together.")
SHARES_OF_HALVES = Sentence(
    "{cards} cards make the take: half of them compute its prompt together, the others its negative prompt."
)
SHARES_OF_WEIGHTS = Sentence(
    "{cards} cards make the take: each keeps a share of the transformer's weights, and they compute each step together."
)
SHARES_OF_WEIGHTS_IN_HALVES = Sentence(
    "{cards} cards make the take: half of them compute its prompt together, the others its negative prompt, and each "
    "keeps a share of the transformer's weights."
)
ONLY_LINUX = Sentence("One card makes the take: without guidance, several cards can share it on Linux only.")
EDIT = Sentence("One card makes the take: an edit isn't shared between cards.")
STEP_CACHE = Sentence("One card makes the take: its steps reuse what earlier ones computed, or are measured for that.")


MemoryOf = Callable[[int], MemoryPlan | None]
"""How the model would sit on one of so many cards that hold the transformer between them; None if it wouldn't fit.
With 1, on a card that has all of it."""


def settle_cards(draft: Draft, memory_of: MemoryOf) -> Draft:
    """Settle the number of cards, and how many of them compute a forward pass, where a take may have several."""
    machine = draft.inventory.machine
    if machine is None or machine.cards < 2:
        return draft
    reason = EDIT if draft.plan.seen_sources else _reason_for_one(draft.plan, machine)
    if reason:
        return draft.with_plan(reason)
    cards, is_guided = machine.cards, _is_guided(draft.plan)
    if not _can_share_forwards(machine):
        cards = 2
    each = cards if not is_guided or cards % 2 else cards // 2
    together = _sharing_weights(machine, memory_of, each, cards)
    if together:
        words = SHARES_OF_WEIGHTS if together == cards else SHARES_OF_WEIGHTS_IN_HALVES
        settled = {"cards": cards, "cards_per_forward": together, "shared_weights": True}
        return draft.with_plan(words.with_values(cards=cards), **settled)
    if each == cards:
        return draft.with_plan(SHARES.with_values(cards=cards), cards=cards, cards_per_forward=cards)
    note = HALVES if cards == 2 else SHARES_OF_HALVES.with_values(cards=cards)
    return draft.with_plan(note, cards=cards, cards_per_forward=each)


def _sharing_weights(machine: Machine, memory_of: MemoryOf, each: int, cards: int) -> int:
    """How many cards that compute together are to hold the transformer between them; 0 if each is to have all of it."""
    if not machine.shares_weights or not machine.is_card or not _can_share_forwards(machine):
        return 0
    whole = memory_of(1)
    if whole is None or not (whole.transformer is Residency.BLOCK_OFFLOADED or whole.eight_bit):
        return 0
    return next((number for number in (each, cards) if number > 1 and memory_of(number) is not None), 0)


def _reason_for_one(plan: Plan, machine: Machine) -> Sentence:
    if plan.reused_steps is not None or plan.calibrates:
        return STEP_CACHE
    return NO_SENTENCE if _is_guided(plan) or _can_share_forwards(machine) else ONLY_LINUX


def _is_guided(plan: Plan) -> bool:
    return max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) > 1


def _can_share_forwards(machine: Machine) -> bool:
    """Whether processes can exchange what a forward pass needs: between cards, torch has NCCL for Linux alone."""
    return not machine.is_card or sys.platform == "linux"
