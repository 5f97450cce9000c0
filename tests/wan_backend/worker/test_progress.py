"""The bar goes forward, is full only at the end, and its time left comes from what was measured."""

from __future__ import annotations

import pytest

from wan_backend.protocol.messages import JobState, PhaseSeconds
from wan_backend.worker.progress import MeasuredPace, Progress, TakeWork


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def whole_job(clock: Clock, expected=None, step_seconds=2.0, frame_seconds=1.0):
    sent = []
    progress = Progress("job", 4, sent.append, expected, clock)
    progress.phase(JobState.LOADING, "loading")
    progress.phase(JobState.ENCODING, "encoding")
    progress.phase(JobState.LOADING, "loading again")
    progress.phase(JobState.DENOISING, "step 0")
    clock.now += 10  # the first step warms things up
    progress.advance(1, 4, "step 1")
    for step in (2, 3, 4):
        clock.now += step_seconds
        progress.advance(step, 4, f"step {step}")
    progress.phase(JobState.DECODING, "decoding")
    for frame in range(1, 6):
        clock.now += frame_seconds
        progress.advance(frame, 5, f"frame {frame}")
    return sent


def test_the_bar_never_runs_back_and_is_never_full(clock):
    sent = whole_job(clock)
    shown = [report.progress for report in sent]
    assert shown == sorted(shown)
    assert 0.99 < shown[-1] < 1
    assert [report.step for report in sent][-1] == 4


def test_time_left_leaves_the_slow_first_step_out(clock):
    reports = {report.sentence: report for report in whole_job(clock)}
    assert reports["loading"].eta_seconds is None
    in_denoising = reports["step 3"].eta_seconds
    assert 2.0 <= in_denoising < 2.0 + 16  # one more step, and a share for the decode
    assert reports["frame 3"].eta_seconds == pytest.approx(2.0)
    assert reports["frame 5"].eta_seconds == 0


def test_what_was_learnt_is_scaled_to_the_work(clock):
    pace = MeasuredPace()
    assert pace.expected(TakeWork(10, 10)) is None
    pace.learn(PhaseSeconds(0, 9, 1, 20, 5), TakeWork(tokens=10, passes=10))
    assert pace.expected(TakeWork(tokens=20, passes=5)) == (0, 1, pytest.approx(20), pytest.approx(10))


def test_a_warm_model_knows_the_time_from_the_start(clock):
    reports = whole_job(clock, expected=(0.0, 1.0, 20.0, 5.0))
    assert reports[0].eta_seconds == pytest.approx(26)
    by_sentence = {report.sentence: report for report in reports}
    assert by_sentence["step 4"].eta_seconds == pytest.approx(5)


@pytest.mark.parametrize("expected", [None, (0.0, 1.0, 20.0, 5.0)])
def test_a_late_first_picture_does_not_say_that_all_come_late(clock, expected):
    sent = whole_job(clock, expected)
    at_last_step = next(report for report in sent if report.sentence == "step 4").eta_seconds
    progress = Progress("job", 4, sent.append, expected, clock)
    progress.phase(JobState.DENOISING, "step 0")
    for step in range(1, 5):
        clock.now += 2
        progress.advance(step, 4, f"step {step}")
    progress.phase(JobState.DECODING, "decoding")
    clock.now += 3  # the autoencoder's work, before the first picture
    progress.advance(1, 60, "first picture")
    assert sent[-1].sentence == "first picture"
    assert sent[-1].eta_seconds <= at_last_step


def test_events_are_no_flood(clock):
    sent = whole_job(clock, step_seconds=0.001, frame_seconds=0.001)
    assert len(sent) < 10
    assert sent[-1].sentence == "frame 5"


def test_zero_seconds_are_no_error():
    clock = Clock()
    sent = []
    progress = Progress("job", 1, sent.append, (0.0, 0.0, 0.0, 0.0), clock)
    progress.phase(JobState.DENOISING, "")
    progress.advance(1, 1, "")
    assert sent[-1].progress < 1


def test_time_left_is_counted_from_where_a_phase_goes_on_after_loading(clock):
    sent = []
    progress = Progress("job", 10, sent.append, None, clock)
    progress.phase(JobState.DENOISING, "step 0")
    for step in (1, 2, 3):
        clock.now += 2
        progress.advance(step, 10, f"step {step}")
    progress.phase(JobState.LOADING, "the second transformer")
    clock.now += 60
    progress.phase(JobState.DENOISING, "going on")
    etas = {}
    for step in range(4, 11):
        clock.now += 2
        progress.advance(step, 10, f"step {step}")
        etas[step] = sent[-1].eta_seconds
    assert 12 <= etas[4] <= 12 + 8 and 10 <= etas[5] <= 10 + 8  # and a share for the decode
    assert [report.progress for report in sent] == sorted(report.progress for report in sent)


def test_steps_that_were_made_before_do_not_count_as_fast_ones(clock):
    sent = []
    progress = Progress("job", 30, sent.append, None, clock)
    progress.phase(JobState.LOADING, "loading")
    progress.go_on(12, 30, "Going on at step 13 of 30")
    assert (sent[-1].state, sent[-1].step, sent[-1].steps) == (JobState.DENOISING, 12, 30)
    assert sent[-1].eta_seconds is None and sent[-1].progress > 0.3
    clock.now += 10  # the first step warms things up
    progress.advance(13, 30, "step 13")
    clock.now += 2
    progress.preview = "/tmp/preview.jpg"
    progress.advance(14, 30, "step 14")
    assert sent[-1].eta_seconds == pytest.approx(16 * 2 + (12 + 16 * 2) / 0.75 * 0.15)
    assert sent[-1].preview == "/tmp/preview.jpg"


def test_pictures_in_tiles_fill_the_bar_once_and_are_counted_in_the_time_left(clock):
    sent = []
    progress = Progress("job", 4, sent.append, None, clock)
    for done in range(9):
        progress.tiled(done, 8, f"tiles {done}")
        clock.now += 4.0
    for done in range(1, 11):
        progress.written(done, 10, f"frame {done}")
        clock.now += 1.0
    reports = {report.sentence: report for report in sent}
    shown = [report.progress for report in sent]
    assert shown == sorted(shown) and shown[-1] > 0.99
    assert reports["tiles 4"].progress < reports["tiles 8"].progress < 0.98
    assert reports["tiles 4"].eta_seconds == pytest.approx(4.0 * 6)  # four, and a quarter of eight to write
    assert reports["frame 10"].eta_seconds == 0


def test_after_a_try_in_tiles_pictures_without_any_count_from_the_start(clock):
    sent = []
    progress = Progress("job", 4, sent.append, None, clock)
    progress.tiled(1, 8, "tiles")
    progress.phase(JobState.LOADING, "less memory")
    progress.phase(JobState.DECODING, "tiny")
    for done in (1, 2):
        clock.now += 1.0
        progress.written(done, 4, f"frame {done}")
    assert sent[-1].eta_seconds == pytest.approx(2.0)


def test_the_number_of_steps_is_that_of_the_footage_from_the_first_report_of_them_on(clock):
    sent = []
    progress = Progress("job", 4, sent.append, None, clock)
    progress.phase(JobState.DENOISING, "Step 0 of 2", 2)
    progress.advance(1, 2, "Step 1 of 2")
    progress.advance(2, 2, "Step 2 of 2")
    assert {report.steps for report in sent} == {2}
