"""A rate is that of what came lately, and unknown rather than guessed."""

from __future__ import annotations

import pytest

from wan_backend.storage.transfer_rate import TransferRate


@pytest.fixture
def at():
    """Notes bytes at a second; returns the rate, of 10 s and known after 2."""
    now = [0.0]
    rate = TransferRate(10.0, 2.0, lambda: now[0])

    def note(second: float, done_bytes: int) -> TransferRate:
        now[0] = second
        rate.note(done_bytes)
        return rate

    return note


def test_before_anything_came_nothing_is_known():
    rate = TransferRate(10.0, 2.0)
    assert rate.bytes_per_second == 0 and rate.seconds_left(100) is None


def test_what_was_here_at_first_does_not_count(at):
    assert at(0.0, 700).bytes_per_second == at(1.0, 750).bytes_per_second == 0
    rate = at(2.0, 800)
    assert rate.bytes_per_second == 50 and rate.seconds_left(100) == 2


def test_what_is_long_ago_does_not_count(at):
    for second in range(31):
        rate = at(second, 100 * min(second, 15))
    assert rate.bytes_per_second == 0 and rate.seconds_left(1) is None


def test_after_forgetting_it_begins_anew(at):
    at(0.0, 0)
    at(5.0, 500).forget()
    assert at(6.0, 900).bytes_per_second == 0
    assert at(8.0, 1000).bytes_per_second == 50


def test_a_file_that_was_begun_again_has_no_negative_rate(at):
    at(0.0, 500)
    assert at(4.0, 100).bytes_per_second == 0
