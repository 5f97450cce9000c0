"""How fast and how long: told from what came of late, never made up."""

from __future__ import annotations

import pytest

from wan_backend.downloads.download_progress import Meter
from wan_backend.protocol.downloads import DownloadState

RUNNING, CHECKING = DownloadState.RUNNING, DownloadState.CHECKING


@pytest.fixture
def meter():
    """A meter of 1,000 bytes under a clock that the test sets; `told` has what it said."""
    now, told = [0.0], []
    made = Meter("m", 1000, "/models", told.append, lambda: now[0])
    made.now, made.told = now, told
    return made


def test_the_rate_is_known_after_a_while(meter):
    for second in range(5):
        meter.now[0] = float(second)
        meter.say(RUNNING, second * 10, "Fetching the vae")
    assert [status.bytes_per_second for status in meter.told] == [0, 0, 10, 10, 10]
    assert [status.seconds_left for status in meter.told][:3] == [None, None, 98]


def test_it_is_not_told_too_often(meter):
    for step in range(100):
        meter.now[0] = step / 100
        meter.say(RUNNING, step, "x")
    assert len(meter.told) == 4


def test_what_was_here_before_is_no_speed(meter):
    meter.say(RUNNING, 0, "x", at_once=True)
    meter.now[0] = 3.0
    meter.say(RUNNING, 900, "x", at_once=True)
    assert meter.told[-1].bytes_per_second == 0 and meter.told[-1].seconds_left is None


def test_the_rate_forgets_what_is_long_ago(meter):
    for second in range(40):
        meter.now[0] = float(second)
        meter.say(RUNNING, 500 if second < 20 else 500 + (second - 20) * 4, "x")
    assert meter.told[-1].bytes_per_second == pytest.approx(4)


def test_files_add_up_and_checking_has_no_speed(meter):
    meter.finished(400)
    meter.now[0] = 5.0
    meter.say(CHECKING, 300, "Checking the vae")
    assert meter.told[-1].done_bytes == 700 and meter.told[-1].bytes_per_second == 0
    meter.finished(900)
    meter.now[0] = 6.0
    meter.say(RUNNING, 0, "x")
    assert meter.told[-1].done_bytes == meter.told[-1].total_bytes == 1000
    assert meter.told[-1].sentence == "x."
