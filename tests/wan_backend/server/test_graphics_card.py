"""What a plan may reckon with: the card as it was before anything of ours was on it."""

from __future__ import annotations

import threading

import pytest

from wan_backend.memory.forecast import Machine
from wan_backend.protocol.messages import WorkerStatus
from wan_backend.server import graphics_card
from wan_backend.server.graphics_card import GraphicsCardWatch

GB = 10**9
STARTING = WorkerStatus("starting")
READY = WorkerStatus("ready", "cuda (NVIDIA L4)", "2.13", "", 24 * GB, 60 * GB)


@pytest.fixture
def free(monkeypatch) -> list[int | None]:
    """What NVIDIA's program says, one answer a question; the last one goes on."""
    answers: list[int | None] = [20 * GB]
    monkeypatch.setattr(
        graphics_card, "free_of", lambda _device, _card: answers.pop(0) if len(answers) > 1 else answers[0]
    )
    return answers


def settled(watch: GraphicsCardWatch) -> Machine | None:
    """The machine, once nobody asks any more; the question is asked beside everything else."""
    for thread in threading.enumerate():
        if thread.name == "card":
            thread.join(60)
            assert not thread.is_alive()
    return watch.machine


def test_nothing_is_known_before_a_worker_came_up(free):
    watch = GraphicsCardWatch(None)
    watch.worker_changed(STARTING)
    assert watch.machine is None


def test_what_is_free_is_asked_when_a_worker_has_come_up_and_not_while_it_works(free):
    watch = GraphicsCardWatch(None)
    watch.worker_changed(STARTING)
    watch.worker_changed(READY)
    assert settled(watch) == Machine("cuda", 20 * GB, 60 * GB, 24 * GB)
    free[:] = [1 * GB]
    for state in ("busy", "ready", "none"):
        watch.worker_changed(WorkerStatus(state, READY.device, READY.torch, "", READY.device_bytes, READY.host_bytes))
    assert settled(watch) == Machine("cuda", 20 * GB, 60 * GB, 24 * GB)


def test_where_nobody_tells_all_of_the_card_counts(free):
    free[:] = [None]
    watch = GraphicsCardWatch(None)
    watch.worker_changed(STARTING)
    watch.worker_changed(READY)
    assert settled(watch) == Machine("cuda", 24 * GB, 60 * GB, 24 * GB)


def test_nothing_is_to_be_loaded_while_it_is_asked(monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def wait(_device: str, _card: str) -> int:
        asked.set()
        assert answer.wait(60)
        return 20 * GB

    monkeypatch.setattr(graphics_card, "free_of", wait)
    watch = GraphicsCardWatch(None)
    watch.worker_changed(STARTING)
    assert not watch.is_asking
    watch.worker_changed(READY)
    assert asked.wait(60) and watch.is_asking
    answer.set()
    settled(watch)
    assert not watch.is_asking


def test_a_budget_limits_it(free):
    watch = GraphicsCardWatch(8 * GB)
    watch.worker_changed(STARTING)
    watch.worker_changed(READY)
    assert settled(watch).usable_bytes == 8 * GB


def test_a_processor_has_what_the_machine_has(free):
    watch = GraphicsCardWatch(None)
    watch.worker_changed(STARTING)
    watch.worker_changed(WorkerStatus("ready", "cpu", "2.13", "", 64 * GB, 50 * GB))
    assert watch.machine == Machine("cpu", 50 * GB, 50 * GB, 64 * GB)


def test_a_wish_for_the_processor_is_what_plans_are_for(free):
    watch = GraphicsCardWatch(None, "cpu")
    watch.worker_changed(STARTING)
    watch.worker_changed(READY)
    assert watch.machine == Machine("cpu", 60 * GB, 60 * GB, 60 * GB)
