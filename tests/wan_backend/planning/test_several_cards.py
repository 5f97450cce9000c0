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
from wan_backend.planning.measured_ways import MIN_TAKES, ONE, MeasuredWays, Way
from wan_backend.planning.plan_steps import plan
from wan_backend.protocol.messages import MatrixPrecision, Plan, ReusedSteps, SteadySteps

REQUEST = take_request("/tmp", model="embedded", guidance_scale=5.0)
ENTRY = entries.entry("embedded")
CARD = "cuda (a card)"
NOTHING = Inventory()
WHOLE = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)


@pytest.fixture(autouse=True)
def linux(monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "linux")


def settled(cards: int = 2, kind: str = "cuda", known: Inventory = NOTHING, **planned) -> Plan:
    machine = Machine(kind, 1 << 40, 1 << 40, cards=cards, card=CARD)
    inventory = dataclasses.replace(known, machine=machine)
    draft = Draft(REQUEST, ENTRY, dataclasses.replace(plan(REQUEST, ENTRY), **planned), [], inventory)
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


HALVES, TOKENS = Way(2, 1), Way(2, 2)


@pytest.mark.parametrize(
    ("seconds", "way", "note"),
    [
        ({}, HALVES, several_cards.UNMEASURED),
        ({HALVES: 1.0}, HALVES, several_cards.UNMEASURED),
        ({ONE: 1.0, TOKENS: 0.5}, HALVES, several_cards.UNMEASURED),  # its next takes measure it
        ({ONE: 2.0, HALVES: 1.0}, HALVES, several_cards.GAINS.with_values(times="2.0")),
        ({ONE: 2.0, HALVES: 1.0, TOKENS: 0.97}, HALVES, several_cards.GAINS.with_values(times="2.0")),
        ({ONE: 2.0, HALVES: 1.5, TOKENS: 1.0}, TOKENS, several_cards.GAINS.with_values(times="2.0")),
        ({HALVES: 1.5, TOKENS: 1.0}, TOKENS, several_cards.QUICKEST),
        ({ONE: 1.12, HALVES: 1.0}, HALVES, several_cards.GAINS.with_values(times="1.12")),
        ({ONE: 1.04, HALVES: 1.0}, ONE, several_cards.GAINS_NOTHING.with_values(times="1.04")),
        ({ONE: 1.0, HALVES: 1.5, TOKENS: 2.0}, ONE, several_cards.GAINS_NOTHING.with_values(times="0.67")),
        ({ONE: 1.0, HALVES: 1.5, TOKENS: 0.9}, TOKENS, several_cards.GAINS.with_values(times="1.11")),
    ],
)
def test_what_was_measured_goes_before_the_rule_but_for_what_may_be_chance(seconds, way, note):
    assert several_cards.chosen(HALVES, seconds) == (way, note)


def known_of(tmp_path, **seconds: float) -> Inventory:
    """What takes of the request have taken a pass, by one card, halves and tokens."""
    ways, made = MeasuredWays(tmp_path / "ways.json"), plan(REQUEST, ENTRY)
    for name, each in seconds.items():
        way = {"one": ONE, "halves": HALVES, "tokens": TOKENS}[name]
        for _ in range(MIN_TAKES):
            ways.record(
                dataclasses.replace(made, **dataclasses.asdict(way)), CARD, SteadySteps(each, 0.0, controlled=True)
            )
    return Inventory(ways=ways)


def test_the_plan_follows_what_takes_on_these_cards_took(tmp_path):
    """Cards without a quick link: what they exchange within a pass costs more than the share of it gains."""
    known = known_of(tmp_path, one=1.0, halves=1.05, tokens=1.2)
    guided = settled(known=known)
    assert shared(guided) == (2, 1) and several_cards.HALVES in guided.notes
    assert several_cards.GAINS.with_values(times="1.9") in guided.notes, "both passes in little more time than one"
    alone = settled(known=known, guidance_scale=1.0, forwards=8, all_forwards=8)
    assert shared(alone) == (1, 1) and several_cards.GAINS_NOTHING.with_values(times="0.83") in alone.notes
    fast = known_of(tmp_path, one=1.0, halves=1.05, tokens=0.51)
    assert shared(settled(known=fast)) == (2, 1), "by the rule, as tokens gain no more than chance would"
    assert shared(settled(known=fast, guidance_scale=1.0, forwards=8, all_forwards=8)) == (2, 2)
    unknown = settled(known=known, guidance_scale=1.0, matrix_precision=MatrixPrecision.FAST_8_BIT)
    assert shared(unknown) == (2, 2) and several_cards.UNMEASURED in unknown.notes


def test_one_card_reads_nothing_of_what_several_took(tmp_path):
    class Unread(MeasuredWays):
        def pass_seconds(self, *_):
            raise AssertionError

    assert settled(1, known=Inventory(ways=Unread(), tries_ways=True)) == plan(REQUEST, ENTRY)


def test_to_measure_all_ways_each_has_its_turn(tmp_path):
    known = dataclasses.replace(known_of(tmp_path), tries_ways=True)
    turns = []
    for _ in range(3 * MIN_TAKES):
        made = settled(known=known)
        turns.append(shared(made))
        assert several_cards.ONE_TRIED in made.notes or several_cards.TRIED in made.notes
        known.ways.record(made, CARD, SteadySteps(1.0, 0.0, controlled=True))
    assert turns == [(2, 1), (2, 2), (1, 1)] * MIN_TAKES
    assert shared(settled(known=known)) == (2, 1)
    assert shared(settled(3, known=known)) == (3, 3) and shared(settled(4, known=known)) == (4, 2)


GIB = 1 << 30
LARGE = entries.entry("wan2.1-t2v-14b")


def on_cards(
    gib: int, cards: int = 2, host_gib: int = 64, entry=LARGE, share=True, known: Inventory = NOTHING, **asked
) -> Plan:
    """A take of 720p on so many cards of which so much is there, and which are to share weights."""
    usable = int((gib * 0.95 - 0.5) * GIB)
    values = {"width": 1280, "height": 720, "resolution": "720p", "length_frames": 81, "model": entry.id, **asked}
    machine = Machine("cuda", usable, host_gib * GIB, cards=cards, shares_weights=share, card=CARD)
    inventory = dataclasses.replace(known, find=lambda _entry: LocatedModel(Path("/nowhere")), machine=machine)
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


@pytest.mark.parametrize(("tokens", "way"), [(1.0, (2, 2)), (2.4, (2, 1))])
def test_shares_of_the_weights_are_measured_beside_blocks_from_ram_but_not_beside_8_bit(tmp_path, tokens, way):
    ways = MeasuredWays(tmp_path / "ways.json")
    made = on_cards(24, guidance_scale=5.0)
    for each, seconds in ((Way(2, 2, True), tokens), (HALVES, 2.2), (ONE, 4.0)):
        for _ in range(MIN_TAKES):
            ways.record(dataclasses.replace(made, **dataclasses.asdict(each)), CARD, SteadySteps(seconds, 0.0))
    found = on_cards(24, guidance_scale=5.0, known=Inventory(ways=ways))
    assert shared(found) == way and found.shared_weights is (way == (2, 2))
    exact = on_cards(32, host_gib=24, guidance_scale=5.0, known=Inventory(ways=ways))
    assert exact.shared_weights and several_cards.UNMEASURED in exact.notes


def test_cards_without_room_for_their_share_have_the_blocks_visit_each():
    made = on_cards(12)
    assert shared(made) == (2, 1) and not made.shared_weights and "block by block" in made.memory


def test_no_weights_are_shared_where_cards_cannot_compute_a_forward_together(monkeypatch):
    monkeypatch.setattr(several_cards.sys, "platform", "win32")
    made = on_cards(24, guidance_scale=5.0)
    assert shared(made) == (2, 1) and not made.shared_weights
