"""Which cards there are, by what NVIDIA's program says and what the environment leaves; no word of it is believed."""

from __future__ import annotations

import pytest

from wan_backend.protocol.workers import OTHER_CARDS_VARIABLE
from wan_backend.server import cards, seats
from wan_backend.server.cards import Card

GIB = 1 << 30
LISTED = """\
GPU-4b7a0000-1111-2222-3333-444455556666, 24564, 23000, 8.9, NVIDIA GeForce RTX 4090
GPU-5c8b0000-1111-2222-3333-444455556666, 2048, 1500, 3.5, NVIDIA GeForce GT 710
GPU-6d9c0000-1111-2222-3333-444455556666, 49140, 48000, 8.9, NVIDIA RTX 6000 Ada, Generation
"""


def test_cards_with_their_memory_as_they_are_listed():
    found = cards.parse(LISTED)
    assert [each.id[:8] for each in found] == ["GPU-4b7a", "GPU-5c8b", "GPU-6d9c"]
    assert found[0].total_bytes == 24564 << 20 and found[0].free_bytes == 23000 << 20 and found[0].capability == 8.9
    assert found[2].name == "NVIDIA RTX 6000 Ada, Generation"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "No devices were found",
        "0, 24564, 23000, 8.9, A",
        "GPU-../../x, 1, 1, 1, A",
        "$(reboot), 1, 1, 1, A",
        ",,,,,,",
    ],
)
def test_a_line_that_is_something_else_is_no_card(line):
    assert cards.parse(line) == []


@pytest.mark.parametrize(
    "line", ["GPU-12345678", "GPU-12345678, [N/A], [N/A], [N/A], [N/A]", "GPU-12345678, -1, x, 1e9"]
)
def test_a_card_of_which_nothing_is_told_is_one_all_the_same(line):
    (found,) = cards.parse(line)
    assert (found.id, found.total_bytes, found.free_bytes, found.capability) == ("GPU-12345678", 0, None, 0.0)


def test_by_themselves_the_largest_comes_first_and_the_screens_card_is_left_alone():
    names = [each.name for each in cards.for_takes(cards.parse(LISTED))]
    assert names == ["NVIDIA RTX 6000 Ada, Generation", "NVIDIA GeForce RTX 4090"]
    old = [Card("GPU-1111", "new", 24 * GIB, None, 8.6), Card("GPU-2222", "old", 24 * GIB, None, 6.1)]
    assert cards.for_takes(old) == old[:1]
    assert cards.for_takes(old[1:]) == old[1:], "the only one there is"
    assert cards.for_takes([]) == []


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (None, None),
        ("", []),
        ("0,1", ["0", "1"]),
        ("GPU-1111, GPU-2222 ,GPU-1111", ["GPU-1111", "GPU-2222"]),
        ("-1", []),
    ],
)
def test_what_the_environment_leaves(value, ids):
    left = cards.left_visible({} if value is None else {cards.VISIBLE: value})
    assert (left if left is None else [each.id for each in left]) == ids


def places(workers: int, found: list, *how) -> list[tuple[str, str]]:
    """The card of each place, and its second one."""
    made = seats.take_places(workers, found, *how)
    return [(each.card.id if each.card else "", ",".join(each.others)) for each in made]


def test_a_place_for_each_card_or_for_as_many_workers_as_were_asked_for():
    two = cards.named(["GPU-1111", "GPU-2222"])
    both = [("GPU-1111", ""), ("GPU-2222", "")]
    assert places(0, two) == both and places(1, two) == both[:1] and places(9, two) == both
    assert places(0, []) == [("", "")] and places(3, []) == [("", "")] * 3


def test_two_cards_for_a_take_share_a_place_and_an_odd_one_has_its_own():
    three = cards.named(["GPU-1111", "GPU-2222", "GPU-3333"])
    assert places(0, three, 2) == [("GPU-1111", "GPU-2222"), ("GPU-3333", "")]
    assert places(1, three, 2) == [("GPU-1111", "GPU-2222")]
    assert places(0, three, 4) == [("GPU-1111", "GPU-2222,GPU-3333")], "as many as there are"
    assert places(0, [], 2) == [("", "")], "without cards there is no second one"
    assert places(0, [], 2, "cpu") == [("", "cpu")], "but where it is asked for, both halves are the processor's"


def test_workers_see_their_card_alone_and_share_the_processors_cores(monkeypatch):
    monkeypatch.setattr(seats.os, "cpu_count", lambda: 8)
    around = {"PATH": "/bin", cards.VISIBLE: "0,1"}
    (one, two) = seats.environments(seats.take_places(0, cards.named(["GPU-1111", "GPU-2222"])), around)
    assert (one[cards.VISIBLE], two[cards.VISIBLE]) == ("GPU-1111", "GPU-2222") and seats.THREADS not in one
    assert [each[seats.THREADS] for each in seats.environments([seats.Place()] * 4, around)] == ["2"] * 4
    assert seats.THREADS not in seats.environments([seats.Place()], around)[0]
    assert seats.environments([seats.Place()] * 2, {seats.THREADS: "7"})[0][seats.THREADS] == "7"
    (pair,) = seats.environments(seats.take_places(0, cards.named(["GPU-1111", "GPU-2222"]), 2), around)
    assert (pair[cards.VISIBLE], pair[OTHER_CARDS_VARIABLE]) == ("GPU-1111", "GPU-2222")
    (three,) = seats.environments(seats.take_places(0, cards.named(["GPU-1111", "GPU-2222", "GPU-3333"]), 3), around)
    assert three[OTHER_CARDS_VARIABLE] == "GPU-2222,GPU-3333"
    assert seats.environments([seats.Place(None, ("cpu",))], around)[0][seats.THREADS] == "4", (
        "each half has half of them"
    )
    assert OTHER_CARDS_VARIABLE not in seats.environments([seats.Place()], {OTHER_CARDS_VARIABLE: "0"})[0]
    assert around == {"PATH": "/bin", cards.VISIBLE: "0,1"}
