"""Settles how several cards share a take, by guidance's halves, tokens and weights; and says it, or why one makes it.

Cards that have room for the whole transformer each have it. Where one would have to move its blocks from the machine's
memory, or keep them in 8 bit for want of that, but a share of it fits, those that compute together hold one together,
if the server is asked for that.

Which way is the quickest differs with the cards and how they are connected. So a way is chosen by a rule, and another
one in its place once takes on these cards were quicker that way; one card alone, if several gained next to nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from ..memory.forecast import Machine
from ..memory.residency_plan import MemoryPlan, Residency
from ..protocol.messages import Plan
from ..protocol.sentences import NO_SENTENCE, Sentence
from . import skipped_work
from .draft import Draft
from .measured_ways import MIN_TAKES, ONE, Kind, Shape, Way

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
GAINS_NOTHING = Sentence(
    "One card makes the take: measured on these cards, several together are {times} times as fast. With one card for "
    "each take, the others make takes of their own."
)
GAINS = Sentence("That was measured on these cards: {times} times as fast as one.")
QUICKEST = Sentence("That was the quickest of what was measured on these cards.")
UNMEASURED = Sentence("Whether that is the quickest way on these cards has not been measured yet.")
TRIED = Sentence("It is measured how quick that is on these cards.")
ONE_TRIED = Sentence("One card makes the take: it is measured how quick that is, beside several.")
MARGIN = 1.05
"""What is not so many times as fast may be as slow: takes differ by some percent from one another."""

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
    rule = _by_rule(draft.plan, machine, memory_of)
    possible = _possible(draft.plan, machine, memory_of, rule)
    kind = Kind.of(draft.plan, machine.card, skipped_work.is_controlled(draft.request, draft.entry))
    shape, ways = Shape.of(draft.plan), draft.inventory.ways
    if draft.inventory.tries_ways:
        takes = ways.takes(kind, shape)
        way = min(possible, key=lambda each: min(takes.get(each, 0), MIN_TAKES))
        notes = [ONE_TRIED] if way == ONE else [_words(way), TRIED]
        return draft.with_plan(*notes, **asdict(way))
    found = ways.pass_seconds(kind, shape, possible)
    way, measured = chosen(rule, {each: seconds * each.passes(draft.plan) for each, seconds in found.items()})
    notes = [measured] if way == ONE else [_words(way), measured]
    return draft.with_plan(*notes, **asdict(way))


def chosen(rule: Way, seconds: dict[Way, float]) -> tuple[Way, Sentence]:
    """The way that a take is to be made, by the rule's and by how long it takes in those that were measured.

    What wasn't measured isn't displaced: its next takes measure it.
    """
    if rule not in seconds or len(seconds) < 2:
        return rule, UNMEASURED
    several = min((each for each in seconds if each != ONE), key=lambda each: seconds[each])
    if seconds[rule] <= seconds[several] * MARGIN:
        several = rule
    if ONE not in seconds:
        return several, QUICKEST
    times = seconds[ONE] / seconds[several]
    words = f"{times:.1f}" if times >= 1.15 else f"{times:.2f}"
    return (
        (ONE, GAINS_NOTHING.with_values(times=words)) if times < MARGIN else (several, GAINS.with_values(times=words))
    )


def _by_rule(plan: Plan, machine: Machine, memory_of: MemoryOf) -> Way:
    """The way by what was measured elsewhere (docs/speed.md)."""
    cards, is_guided = machine.cards if _can_share_forwards(machine) else 2, _is_guided(plan)
    each = cards if not is_guided or cards % 2 else cards // 2
    together = _sharing_weights(machine, memory_of, each, cards)
    return Way(cards, together, True) if together else Way(cards, each)


def _possible(plan: Plan, machine: Machine, memory_of: MemoryOf, rule: Way) -> list[Way]:
    """All ways in which the take comes out as by the rule, that one first."""
    whole = memory_of(1)
    if rule.shared_weights and (whole is None or whole.eight_bit):
        return [rule]  # only so are its weights exact
    ways = [rule]
    if _is_guided(plan) and rule.cards % 2 == 0:
        ways.append(Way(rule.cards, rule.cards // 2))
    if _can_share_forwards(machine):
        ways.append(Way(rule.cards, rule.cards))
    return list(dict.fromkeys([*ways, ONE]))


def _words(way: Way) -> Sentence:
    """What is said of a way with several cards."""
    if way.shared_weights:
        words = SHARES_OF_WEIGHTS_IN_HALVES if way.is_in_halves else SHARES_OF_WEIGHTS
    elif not way.is_in_halves:
        words = SHARES
    else:
        words = HALVES if way.cards == 2 else SHARES_OF_HALVES
    return words if words is HALVES else words.with_values(cards=way.cards)


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
