"""When a worker counts as hung, by a clock of the test's own."""

from __future__ import annotations

import pytest

from wan_backend.protocol.messages import AliveParams, JobState, ProgressParams, WorkerState
from wan_backend.server.worker_pulse import Pulse, Signs, Timeouts

PATIENCE = Timeouts()
BUSY, READY, STARTING = WorkerState.BUSY, WorkerState.READY, WorkerState.STARTING
HOUR = 3600.0


class Watched:
    """A pulse, and a process that does what the test says."""

    def __init__(self, on_cpu: bool = False, state: WorkerState = BUSY) -> None:
        self.now = self.message_at = 100.0
        self.signs: Signs | None = Signs(1.0, 0)
        self.state = state
        self.pulse = Pulse(PATIENCE, lambda: self.signs, self.now)
        if state is BUSY:
            self.pulse.begin_job(self.now, on_cpu)

    def report(self, state: JobState, step: int = 0) -> None:
        self.message_at = self.now
        self.pulse.on_progress(ProgressParams("job", state, step, 30), self.now)

    def hangs_after(self, seconds: float, beats: bool = False, cpu: float = 0.0, moved: int = 0) -> float | None:
        """Let so many seconds go by, looked at as often as a server does; when it counted as hung, or None.

        `cpu` and `moved`: what the process uses and reads in each second.
        """
        began = self.now
        while self.now < began + seconds:
            self.now += PATIENCE.look
            if self.signs is not None:
                self.signs = Signs(
                    self.signs.cpu_seconds + cpu * PATIENCE.look,
                    self.signs.moved + int(moved * PATIENCE.look),
                    self.signs.at_disk,
                )
            if beats:
                self.message_at = self.now
            if self.pulse.is_hung(self.state, self.message_at, self.now):
                return self.now - began
        return None


def about(seconds: float):
    return pytest.approx(seconds, abs=PATIENCE.look + 0.01)


@pytest.mark.parametrize("state", [JobState.ENCODING, JobState.DENOISING, JobState.DECODING])
def test_a_worker_that_does_nothing_at_all_hangs_soon(state):
    watched = Watched()
    watched.report(state)
    assert watched.hangs_after(HOUR) == about(PATIENCE.silent)


def test_one_that_loads_gets_longer_and_one_that_starts_longest():
    assert Watched().hangs_after(HOUR) == about(PATIENCE.loading_silent)
    assert Watched(state=STARTING).hangs_after(HOUR) == about(PATIENCE.start_silent)


def test_one_with_nothing_to_do_is_told_by_its_heartbeat():
    assert Watched(state=READY).hangs_after(10 * HOUR, beats=True) is None
    assert Watched(state=READY).hangs_after(HOUR) == about(PATIENCE.silent)


def test_a_busy_interpreter_is_no_hang():
    """No message for minutes, but the processor is used: a compile, or weights that are brought to another format."""
    watched = Watched()
    watched.report(JobState.DENOISING)
    assert watched.hangs_after(600, cpu=0.5) is None
    assert watched.hangs_after(HOUR) == about(PATIENCE.silent)


def test_a_slow_share_is_no_hang():
    """No message and next to no use of the processor, but bytes come."""
    watched = Watched()
    assert watched.hangs_after(5 * HOUR, moved=10_000) is None


def test_a_share_that_does_not_answer_gets_minutes():
    watched = Watched()
    watched.report(JobState.ENCODING)
    watched.signs = Signs(1.0, 0, at_disk=True)
    assert watched.hangs_after(HOUR) == about(PATIENCE.at_disk)


def test_waking_up_only_to_wait_again_is_no_sign_of_life():
    """Threads that wait for the interpreter wake up now and then."""
    watched = Watched()
    watched.report(JobState.DENOISING)
    assert watched.hangs_after(HOUR, cpu=0.001) == about(PATIENCE.silent)


def test_where_no_signs_can_be_read_only_messages_count():
    watched = Watched()
    watched.report(JobState.DENOISING)
    watched.signs = None
    assert watched.hangs_after(HOUR) == about(PATIENCE.unseen)


def test_a_job_on_the_card_that_says_nothing_hangs_by_the_longest_step():
    """A driver that is stuck: the heartbeat goes on, and the processor is used in waiting."""
    watched = Watched()
    watched.report(JobState.DENOISING, 0)
    assert watched.hangs_after(2 * HOUR, beats=True, cpu=1.0) == about(PATIENCE.first_step)

    quick = Watched()
    for step in range(3):
        quick.report(JobState.DENOISING, step)
        quick.now += 10
    quick.report(JobState.DENOISING, 3)
    assert quick.hangs_after(2 * HOUR, beats=True, cpu=1.0) == about(PATIENCE.step)

    slow = Watched()
    for step in range(3):
        slow.report(JobState.DENOISING, step)
        slow.now += 120
    slow.report(JobState.DENOISING, 3)
    assert slow.hangs_after(2 * HOUR, beats=True, cpu=1.0) == about(PATIENCE.step_times * 120)


def test_steps_are_measured_without_the_loading_between_them():
    watched = Watched()
    watched.report(JobState.DENOISING, 0)
    watched.now += 10
    watched.report(JobState.DENOISING, 1)
    watched.now += 1
    watched.report(JobState.LOADING, 1)
    watched.now += 1000
    watched.report(JobState.DENOISING, 1)
    watched.now += 10
    watched.report(JobState.DENOISING, 2)
    assert watched.hangs_after(HOUR, beats=True) == about(PATIENCE.step)


def test_on_the_processor_its_use_is_the_job_getting_on():
    """A step there may take hours."""
    watched = Watched(on_cpu=True)
    watched.report(JobState.DENOISING)
    assert watched.hangs_after(10 * HOUR, beats=True, cpu=0.2) is None
    assert watched.hangs_after(10 * HOUR, beats=True) == about(PATIENCE.first_step)


def test_a_job_that_loads_may_read_for_hours_but_not_stand_still():
    watched = Watched()
    watched.report(JobState.LOADING)
    assert watched.hangs_after(10 * HOUR, beats=True, moved=1000) is None
    assert watched.hangs_after(HOUR, beats=True) == about(PATIENCE.loading)


def test_where_no_signs_can_be_read_the_heartbeat_tells_of_the_processor():
    watched = Watched(on_cpu=True)
    watched.report(JobState.DECODING)
    watched.signs = None
    for second in range(0, 10_000, 5):
        watched.now += 5
        watched.message_at = watched.now
        watched.pulse.on_heartbeat(AliveParams(watched.now - 100.0, 2.5 * second), watched.now)
        assert not watched.pulse.is_hung(BUSY, watched.message_at, watched.now)
    assert watched.hangs_after(2 * HOUR, beats=True) == about(PATIENCE.decoding)


def test_what_the_job_said_counts_from_when_it_was_said():
    watched = Watched()
    watched.report(JobState.DECODING)
    watched.now += 1000
    watched.pulse.on_heartbeat(AliveParams(200.0, 1.0), watched.now)
    assert watched.hangs_after(2 * HOUR, beats=True) == about(PATIENCE.decoding - 200)


def test_after_a_sleep_all_patience_begins_anew():
    watched = Watched()
    watched.report(JobState.DENOISING)
    watched.now += 8 * HOUR
    watched.pulse.reset(watched.now)
    assert watched.hangs_after(HOUR) == about(PATIENCE.silent)


def test_a_sleep_is_no_part_of_a_step():
    watched = Watched()
    for step in range(3):
        watched.report(JobState.DENOISING, step)
        watched.now += 10
    watched.now += 8 * HOUR
    watched.pulse.reset(watched.now)
    watched.report(JobState.DENOISING, 3)
    assert watched.hangs_after(2 * HOUR, beats=True) == about(PATIENCE.step)


def test_a_new_job_has_its_own_patience():
    watched = Watched()
    watched.report(JobState.DENOISING, 1)
    watched.now += 10
    watched.report(JobState.DENOISING, 2)
    watched.pulse.begin_job(watched.now, on_cpu=False)
    assert watched.pulse.doing == "it began the take"
    watched.report(JobState.DENOISING, 0)
    assert watched.hangs_after(2 * HOUR, beats=True) == about(PATIENCE.first_step)


def test_a_worker_that_was_not_heard_of_just_now_is_given_nothing():
    watched = Watched(state=READY)
    assert watched.pulse.is_fresh(watched.message_at, watched.now)
    assert not watched.pulse.is_fresh(watched.message_at, watched.now + PATIENCE.fresh + 1)


@pytest.mark.parametrize(
    ("state", "step", "words"),
    [
        (JobState.LOADING, 0, "it loaded the model"),
        (JobState.DENOISING, 0, "it made step 1 of 30"),
        (JobState.DENOISING, 30, "it made step 30 of 30"),
        (JobState.DECODING, 30, "it made the pictures"),
        (JobState.QUEUED, 0, "it worked"),
    ],
)
def test_what_it_was_at_in_words(state, step, words):
    watched = Watched()
    watched.report(state, step)
    assert watched.pulse.doing == words
