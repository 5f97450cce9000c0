"""When a server counts as dead: when it answers no ping while its output is read, and in no other case."""

from __future__ import annotations

import pytest


@pytest.fixture
def heart(addon):
    return Heart(addon("backend.connection"))


class Heart:
    """A pulse with a clock and the pings that it sent."""

    def __init__(self, module) -> None:
        self.module, self.now, self.pings = module, 1000.0, []
        self.pulse = module.Heartbeat(self.pings.append)

    def run(self, seconds: float, behind: bool = False, step: float = 0.5) -> bool:
        """True if it was called hung."""
        end = self.now + seconds
        while self.now < end:
            if self.pulse.tick(self.now, behind):
                return True
            self.now += step
        return False


def test_it_pings_now_and_then(heart, messages) -> None:
    heart.run(1)
    assert len(heart.pings) == 1
    heart.run(10)
    assert len(heart.pings) == 1, "one at a time"
    heart.pings[0](messages.PingResult())
    heart.run(10)
    assert len(heart.pings) == 2


def test_silence_is_death(heart) -> None:
    assert not heart.run(heart.module.HUNG_SECONDS - 2)
    assert heart.run(10)


def test_each_answer_begins_a_new_patience(heart, messages) -> None:
    for _ in range(10):
        assert not heart.run(heart.module.HUNG_SECONDS - 2)
        heart.pings[-1](messages.PingResult())
    assert heart.run(60)


def test_blenders_own_silence_is_not_the_servers(heart) -> None:
    heart.run(1)
    for _ in range(5):  # five renders of an hour, with a tick between them
        heart.now += 3600
        assert not heart.pulse.tick(heart.now, False)
    assert heart.run(60)


def test_an_answer_that_may_lie_in_what_is_not_read_yet_is_waited_for(heart) -> None:
    assert not heart.run(600, behind=True)
    assert heart.run(60)


def test_one_that_is_busy_says_so_and_lives(heart, messages) -> None:
    for seconds, sentence in (
        (70.4, "The backend has been busy with list for 70 s."),
        (5.0, ""),
    ):
        heart.run(10)
        heart.pings[-1](messages.PingResult(seconds, "list"))
        assert heart.pulse.busy == sentence
    heart.run(10)
    heart.pings[-1](messages.PingResult(3600.0))
    assert heart.pulse.busy == "The backend has been busy for 3600 s."
