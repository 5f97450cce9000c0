"""A job is held only after a look through all strips that was begun for it, which goes on in ticks."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

JOBS = ["a" * 32, "b" * 32]


@pytest.fixture
def held(addon, extension):
    """look() is one round; `file.waiting` are the jobs that a strip waits for; `asked` is what the server was asked."""
    module = addon("jobs.placeholder_holds")
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    status = {job: SimpleNamespace(job_id=job, hold=messages.Hold.NONE, held_elsewhere=False) for job in JOBS}
    file = SimpleNamespace(history=SimpleNamespace(seen=set(JOBS)), looking=False, waiting=set(), looks=0)
    file.waits_for = lambda job: job in file.waiting

    def look_again() -> None:
        assert not file.looking, "one at a time"
        file.looking, file.looks = True, file.looks + 1

    file.look_again = look_again
    asked: list[str] = []
    outbox = SimpleNamespace(hold=lambda job, _: asked.append(job), resume=lambda job: asked.append(f"resume {job}"))
    now = [0.0]
    holds = module.PlaceholderHolds(
        SimpleNamespace(unended=set(JOBS), get=status.get), file, outbox, clock=lambda: now[0]
    )

    def look() -> list[str]:
        holds.look(lambda job: True)
        return sorted(asked)

    look.file, look.now, look.seconds = file, now, module.GONE_SECONDS
    return look


def test_one_look_in_ticks_answers_for_all_jobs(held) -> None:
    held()
    held.now[0] = held.seconds + 0.1
    assert held() == [] and held.file.looking
    assert held() == [], "it is not known before all strips were looked at"
    held.file.looking = False
    assert held() == JOBS and held.file.looks == 1
    assert held() == JOBS


def test_a_look_that_went_on_already_does_not_count(held) -> None:
    held()
    held.now[0] = held.seconds + 0.1
    held.file.looking = True
    assert held() == []
    held.file.looking = False
    assert held() == [] and held.file.looks == 1


def test_a_job_whose_strip_the_look_finds_is_not_held(held) -> None:
    held()
    held.now[0] = held.seconds + 0.1
    held()
    held.file.looking, held.file.waiting = False, {JOBS[0]}
    assert held() == [JOBS[1]]
