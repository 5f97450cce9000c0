"""How fast and how long: from what came of late, never made up."""

from __future__ import annotations

import pytest

from wan_backend.downloads.model_download import DownloadProgress
from wan_backend.protocol.downloads import DownloadState

RUNNING, CHECKING = DownloadState.RUNNING, DownloadState.CHECKING


@pytest.fixture
def progress():
    """The progress of 1,000 bytes under a clock that the test sets; `reported` has its statuses."""
    now, reported = [0.0], []
    made = DownloadProgress("m", 1000, "/models", reported.append, lambda: now[0])
    made.now, made.reported = now, reported
    return made


def test_the_rate_is_known_after_a_while(progress):
    for second in range(5):
        progress.now[0] = float(second)
        progress.report(RUNNING, second * 10, "Fetching the vae")
    assert [status.bytes_per_second for status in progress.reported] == [0, 0, 10, 10, 10]
    assert [status.seconds_left for status in progress.reported][:3] == [None, None, 98]


def test_it_is_not_told_too_often(progress):
    for step in range(100):
        progress.now[0] = step / 100
        progress.report(RUNNING, step, "x")
    assert len(progress.reported) == 4


def test_what_was_here_before_is_no_speed(progress):
    progress.report(RUNNING, 0, "x", at_once=True)
    progress.now[0] = 3.0
    progress.report(RUNNING, 900, "x", at_once=True)
    assert progress.reported[-1].bytes_per_second == 0 and progress.reported[-1].seconds_left is None


def test_the_rate_forgets_what_is_long_ago(progress):
    for second in range(40):
        progress.now[0] = float(second)
        progress.report(RUNNING, 500 if second < 20 else 500 + (second - 20) * 4, "x")
    assert progress.reported[-1].bytes_per_second == pytest.approx(4)


def test_files_add_up_and_checking_has_no_speed(progress):
    progress.add_finished(400)
    progress.now[0] = 5.0
    progress.report(CHECKING, 300, "Checking the vae")
    assert progress.reported[-1].done_bytes == 700 and progress.reported[-1].bytes_per_second == 0
    progress.add_finished(900)
    progress.now[0] = 6.0
    progress.report(RUNNING, 0, "x")
    assert progress.reported[-1].done_bytes == progress.reported[-1].total_bytes == 1000
    assert progress.reported[-1].sentence == "x."
