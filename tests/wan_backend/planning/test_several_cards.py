"""How several cards share a take, and what is said where one makes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.catalogue import entries
from wan_backend.library.locate import LocatedModel
from wan_backend.memory.forecast import Machine
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.planning import machine_steps, several_cards
from wan_backend.planning.draft import Draft, Inventory
from wan_backend.planning.plan_steps import plan
from wan_backend.protocol.messages import MatrixPrecision, Plan, ReusedSteps

REQUEST = take_request("/tmp", model="embedded", guidance_scale=5.0)
ENTRY = entries.entry("embedded")
WHOLE = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "linux")


def settled(cards: int = 2, kind: str = "cuda", **planned) -> Plan:
    machine = Machine(kind, 1 << 40, 1 << 40, cards=cards)
    draft = Draft(REQUEST, ENTRY, dataclasses.replace(plan(REQUEST, ENTRY), **planned), [], Inventory(machine=machine))
    return several_cards.settle_cards(draft, lambda _shares: WHOLE).plan


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
    ],
)
def test_what_one_card_makes_says_why(planned, reason, scale):
    made = settled(guidance_scale=scale, **planned)
    assert shared(made) == (1, 1) and reason in made.notes


def test_fast_matrices_are_shared_as_exact_ones_are():
    fast = {"matrix_precision": MatrixPrecision.FAST_8_BIT}
    assert shared(settled(**fast)) == (2, 1) and shared(settled(guidance_scale=1.0, **fast)) == (2, 2)


def test_where_a_take_has_one_card_nothing_is_said():
    assert settled(1) == plan(REQUEST, ENTRY) and settled(1).cards == 1


GIB = 1 << 30
LARGE = entries.entry("wan2.1-t2v-14b")


def on_cards(gib: int, cards: int = 2, host_gib: int = 64, entry=LARGE, share=True, **asked) -> Plan:
    """A take of 720p on so many cards of which so much is there, and which are to share weights."""
    usable = int((gib * 0.95 - 0.5) * GIB)
    values = {"width": 1280, "height": 720, "resolution": "720p", "length_frames": 81, "model": entry.id, **asked}
    machine = Machine("cuda", usable, host_gib * GIB, cards=cards, shares_weights=share)
    inventory = Inventory(lambda _entry: LocatedModel(Path("/nowhere")), machine=machine)
    made = machine_steps.plan_on_machine(take_request("/tmp", **values), inventory)
    assert made.problem is None
    return made


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_two_cards_hold_between_them_what_one_of_them_does_not(scale):
    made = on_cards(24, guidance_scale=scale)
    assert shared(made) == (2, 2) and made.shared_weights
    assert several_cards.SHARES_OF_WEIGHTS.with_values(cards=2) in made.notes
    assert "share of the transformer stays on each of 2 cards" in made.memory and made.memory_bytes < 24 * GIB
    whole = on_cards(48, guidance_scale=scale)
    assert not whole.shared_weights and "share" not in whole.memory
    assert shared(whole) == ((2, 1) if scale > 1 else (2, 2))
    alone = on_cards(24, cards=1, guidance_scale=scale)
    assert shared(alone) == (1, 1) and not alone.shared_weights and "block by block" in alone.memory


def test_weights_are_shared_where_that_is_asked_for_alone():
    made = on_cards(24, guidance_scale=1.0, share=False)
    assert shared(made) == (2, 2) and not made.shared_weights and "block by block" in made.memory


def test_four_cards_have_halves_of_guidance_if_two_of_them_hold_it_and_else_all_four_do():
    halves = on_cards(24, cards=4, guidance_scale=5.0)
    assert shared(halves) == (4, 2) and halves.shared_weights
    assert several_cards.SHARES_OF_WEIGHTS_IN_HALVES.with_values(cards=4) in halves.notes
    small = on_cards(16, cards=4, guidance_scale=5.0)
    assert shared(small) == (4, 4) and small.shared_weights
    assert several_cards.SHARES_OF_WEIGHTS.with_values(cards=4) in small.notes


def test_weights_stay_exact_where_the_machine_would_hold_them_in_8_bit_only():
    made = on_cards(32, host_gib=24)
    assert made.shared_weights and "8 bit" not in made.memory
    assert "8 bit" in on_cards(32, cards=1, host_gib=24).memory


def test_cards_without_room_for_their_share_have_the_blocks_visit_each():
    made = on_cards(12)
    assert shared(made) == (2, 1) and not made.shared_weights and "block by block" in made.memory


def test_no_weights_are_shared_where_cards_cannot_compute_a_forward_together(monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "win32")
    made = on_cards(24, guidance_scale=5.0)
    assert shared(made) == (2, 1) and not made.shared_weights
