"""What a card waits for is known, whatever came before it."""

from __future__ import annotations

import pytest
import torch

from wan_backend.pipelines import transfers
from wan_backend.worker.exchange_ledger import Ledger

pytestmark = pytest.mark.ci


class Event:
    """A CUDA event."""

    def __init__(self) -> None:
        self.is_there = False

    def query(self) -> bool:
        return self.is_there


def test_the_first_that_is_not_there_is_awaited_though_others_were_asked_for_after_it(monkeypatch):
    events = [Event() for _ in range(3)]
    coming = iter(events)
    monkeypatch.setattr(transfers, "record", lambda _device: next(coming))
    ledger = Ledger(torch.device("cuda"))
    for what in ("weights", "tokens", "tokens"):
        ledger.add(what, 8)
        ledger.was_asked_for()
    assert ledger.there == 0 and ledger.awaited == "weights of 8 bytes, exchange 1 of 3 so far"
    events[1].is_there = True
    assert ledger.there == 0
    events[0].is_there = True
    assert ledger.there == 2 and ledger.awaited == "tokens of 8 bytes, exchange 3 of 3 so far"
    events[2].is_there = True
    assert ledger.awaited == "nothing, after 3 exchanges"


def test_what_a_processor_waits_for_is_being_asked_for():
    ledger = Ledger(torch.device("cpu"))
    ledger.add("tokens", 4)
    ledger.was_asked_for()
    ledger.add("weights", 16)
    assert ledger.order == [("tokens", 4), ("weights", 16)] and ledger.there == 1
    assert ledger.awaited == "weights of 16 bytes, being asked for, exchange 2 of 2 so far"
    ledger.begin()
    assert ledger.order == [] and ledger.awaited == "nothing, after 0 exchanges"


def test_a_card_that_failed_says_nothing_and_no_one_dies_of_it(monkeypatch):
    class Failed(Event):
        def query(self) -> bool:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(transfers, "record", lambda _device: Failed())
    ledger = Ledger(torch.device("cuda"))
    ledger.add("tokens", 4)
    ledger.was_asked_for()
    assert ledger.there == 0 and "tokens" in ledger.awaited
