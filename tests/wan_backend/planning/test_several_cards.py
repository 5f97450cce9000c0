"""How several cards share a take, and what is said where one makes it."""

from __future__ import annotations

import dataclasses

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.memory.forecast import Machine
from wan_backend.planning import several_cards
from wan_backend.planning.draft import Draft, Inventory
from wan_backend.planning.plan_steps import plan
from wan_backend.protocol.messages import MatrixPrecision, Plan, ReusedSteps

REQUEST = take_request("/tmp", model="embedded", guidance_scale=5.0)
ENTRY = entries.entry("embedded")


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "linux")


def settled(cards: int = 2, kind: str = "cuda", **planned) -> Plan:
    machine = Machine(kind, 1 << 40, 1 << 40, cards=cards)
    draft = Draft(REQUEST, ENTRY, dataclasses.replace(plan(REQUEST, ENTRY), **planned), [], Inventory(machine=machine))
    return several_cards.settle_cards(draft).plan


def shared(made: Plan) -> tuple[int, int]:
    return made.cards, made.cards_per_forward


def test_of_two_cards_each_has_a_half_of_guidance():
    made = settled()
    assert shared(made) == (2, 1) and several_cards.HALVES in made.notes
    assert shared(settled(guidance_scale=1.0, low_noise_guidance_scale=4.0)) == (2, 1), "the low-noise expert has it"


@pytest.mark.parametrize("cards", [2, 3, 8])
def test_without_guidance_all_cards_compute_each_forward_together(cards):
    made = settled(cards, guidance_scale=1.0)
    assert shared(made) == (cards, cards) and several_cards.SHARES.with_values(cards=cards) in made.notes


def test_more_than_two_have_both_and_an_odd_number_goes_by_tokens_alone():
    made = settled(4)
    assert shared(made) == (4, 2) and several_cards.SHARES_OF_HALVES.with_values(cards=4) in made.notes
    assert shared(settled(6)) == (6, 3) and shared(settled(3)) == (3, 3)


def test_cards_compute_a_forward_together_on_linux_only(monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "win32")
    assert shared(settled(4)) == (2, 1), "the halves of guidance need nothing of it"
    made = settled(4, guidance_scale=1.0)
    assert shared(made) == (1, 1) and several_cards.ONLY_LINUX in made.notes
    assert shared(settled(2, "cpu", guidance_scale=1.0)) == (2, 2)


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize(
    ("planned", "reason"),
    [
        ({"reused_steps": ReusedSteps([3], [3])}, several_cards.STEP_CACHE),
        ({"calibrates": True}, several_cards.STEP_CACHE),
        ({"matrix_precision": MatrixPrecision.FAST_8_BIT}, several_cards.FAST_MATRICES),
    ],
)
def test_what_one_card_makes_says_why(planned, reason, scale):
    made = settled(guidance_scale=scale, **planned)
    assert shared(made) == (1, 1) and reason in made.notes


def test_where_a_take_has_one_card_nothing_is_said():
    assert settled(1) == plan(REQUEST, ENTRY) and settled(1).cards == 1
