"""When two cards make a take, and what is said where one does."""

from __future__ import annotations

import dataclasses

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.memory.forecast import Machine
from wan_backend.planning import two_cards
from wan_backend.planning.draft import Draft, Inventory
from wan_backend.planning.plan_steps import plan
from wan_backend.protocol.messages import MatrixPrecision, ReusedSteps

REQUEST = take_request("/tmp", model="embedded", guidance_scale=5.0)
ENTRY = entries.entry("embedded")


def settled(cards: int = 2, **planned):
    machine = Machine("cuda", 1 << 40, 1 << 40, cards=cards)
    draft = Draft(REQUEST, ENTRY, dataclasses.replace(plan(REQUEST, ENTRY), **planned), [], Inventory(machine=machine))
    return two_cards.settle_cards(draft).plan


def test_guidance_has_a_card_for_each_half():
    made = settled()
    assert made.cards == 2 and two_cards.TWO_CARDS in made.notes
    assert settled(guidance_scale=1.0, low_noise_guidance_scale=4.0).cards == 2, "the low-noise expert has guidance"


@pytest.mark.parametrize(
    ("planned", "reason"),
    [
        ({"guidance_scale": 1.0}, two_cards.NO_GUIDANCE),
        ({"reused_steps": ReusedSteps([3], [3])}, two_cards.STEP_CACHE),
        ({"calibrates": True}, two_cards.STEP_CACHE),
        ({"matrix_precision": MatrixPrecision.FAST_8_BIT}, two_cards.FAST_MATRICES),
    ],
)
def test_what_one_card_makes_says_why(planned, reason):
    made = settled(**planned)
    assert made.cards == 1 and reason in made.notes


def test_where_a_take_has_one_card_nothing_is_said():
    assert settled(1) == plan(REQUEST, ENTRY) and settled(1).cards == 1
