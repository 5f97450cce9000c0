"""What the heartbeat says of a job, by a clock of the test's own."""

from __future__ import annotations

from wan_backend.protocol.messages import AliveParams
from wan_backend.worker.heartbeat import Heartbeat


def test_it_says_how_long_the_job_was_silent():
    now, told = [100.0], []
    heartbeat = Heartbeat(lambda method, message: told.append((method, message)), lambda: now[0])

    def silent() -> float:
        heartbeat.beat()
        method, message = told[-1]
        assert method == "alive" and isinstance(message, AliveParams)
        return message.busy_seconds

    assert silent() == 0.0
    heartbeat.job_spoke()
    now[0] += 5
    assert silent() == 5.0
    heartbeat.job_spoke()
    now[0] += 2
    assert silent() == 2.0
    heartbeat.job_ended()
    now[0] += 60
    assert silent() == 0.0


def test_it_says_what_was_used_of_the_processor():
    told = []
    heartbeat = Heartbeat(lambda _method, message: told.append(message.cpu_seconds))
    heartbeat.beat()
    while len(told) < 2 or told[-1] == told[0]:
        sum(range(100_000))
        heartbeat.beat()
    assert told[-1] > told[0] > 0
