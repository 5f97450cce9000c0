"""A group of cards that doesn't go on is given up, and one that doesn't break up holds nobody up."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch

from wan_backend.worker import card_group
from wan_backend.worker.card_group import CardGroup, GroupBroken, Watch

pytestmark = pytest.mark.ci
SECONDS = 60.0
"""Until a test gives up."""


class Backend:
    """One of torch's, of a group of one; `abort` waits until it is released."""

    def __init__(self) -> None:
        self.released, self.aborted = threading.Event(), threading.Event()

    def alltoall_base(self, output, sent, _output_sizes, _sent_sizes):
        output.copy_(sent)
        return self

    def wait(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted.set()
        self.released.wait(SECONDS)


@pytest.fixture
def backend(monkeypatch):
    made = Backend()
    monkeypatch.setattr(card_group, "_backend", lambda *_: made)
    yield made
    made.released.set()


def watched(group: CardGroup, is_lost=lambda: False, patience: float = SECONDS) -> threading.Event:
    """What is set once the forward is lost."""
    lost = threading.Event()
    with Watch(group, lambda: patience, is_lost, lost.set):
        lost.wait(1.0 if patience == SECONDS and not is_lost() else SECONDS)
    return lost


def test_a_group_that_does_not_break_up_holds_nobody_up(backend, monkeypatch):
    monkeypatch.setattr(CardGroup, "_greet", lambda _self: None)
    monkeypatch.setattr(card_group, "ABORT_SECONDS", 0.05)
    group = CardGroup("", 0, 1, torch.device("cuda"))
    group.break_up()
    group.break_up()
    assert backend.aborted.wait(SECONDS) and group.is_broken
    with pytest.raises(GroupBroken):
        group(torch.empty(1), torch.empty(1), [1], [1])


def test_what_the_first_has_is_everybodys(backend):
    tensor = torch.randn(3, 5).t()
    assert torch.equal(CardGroup("", 0, 1, torch.device("cpu")).broadcast(tensor), tensor)


def test_a_group_in_which_something_else_comes_than_went_is_none(backend, monkeypatch):
    monkeypatch.setattr(Backend, "alltoall_base", lambda self, output, *_: output.fill_(7) is None or self)
    with pytest.raises(GroupBroken, match="7"):
        CardGroup("", 0, 1, torch.device("cpu"))


def test_a_forward_is_lost_where_it_does_not_go_on_or_a_process_failed(backend):
    group = CardGroup("", 0, 1, torch.device("cpu"))
    assert watched(group, patience=0.05).is_set()
    assert watched(group, is_lost=lambda: True).is_set()
    assert not watched(group).is_set()


def test_a_forward_that_was_suspended_is_not_lost_and_makes_nobody_patient(backend, monkeypatch):
    now, looked, lost = [1000.0], threading.Event(), threading.Event()
    monkeypatch.setattr(card_group, "time", SimpleNamespace(monotonic=lambda: now[0]))
    group = CardGroup("", 0, 1, torch.device("cpu"))
    with Watch(group, lambda: 15.0, looked.set, lost.set):
        now[0] += 3600.0
        for _ in range(2):  # the first look may have been before
            looked.clear()
            assert looked.wait(SECONDS) and not lost.is_set()
    for seconds, longest in ((3.0, 3.0), (3600.0, 3.0)):
        group.begin()
        now[0] += seconds
        group.go_on()
        assert group.longest_pause == longest
