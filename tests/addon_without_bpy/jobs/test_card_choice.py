"""The cards that may be used are a text of UUIDs; a click on one adds or takes it away, never the last one."""

from __future__ import annotations

import pytest

ONE, TWO, GONE = "GPU-1111-a", "GPU-2222-b", "GPU-3333-c"


@pytest.fixture
def choice(addon):
    return addon("jobs.card_choice")


@pytest.mark.parametrize(
    ("text", "cards"),
    [
        ("", []),
        (f" {ONE},{TWO};{ONE}\n", [ONE, TWO]),
        ("0 1", ["0", "1"]),
        (f"--online {ONE} $(reboot) GPU-", [ONE]),
        ("MIG-1234-5678", ["MIG-1234-5678"]),
    ],
)
def test_what_is_no_card_is_passed_over(choice, text, cards):
    assert choice.parsed(text) == cards


@pytest.mark.parametrize(
    ("text", "card", "then"),
    [
        ("", ONE, TWO),
        (TWO, ONE, ""),
        (ONE, ONE, ONE),
        (f"{ONE} {TWO}", TWO, ONE),
        (f"{ONE} {GONE}", ONE, f"{ONE} {GONE}"),
        (f"{GONE}", ONE, f"{GONE} {ONE}"),
    ],
)
def test_a_click_on_a_card(choice, text, card, then):
    assert choice.toggled(text, card, [ONE, TWO]) == then
