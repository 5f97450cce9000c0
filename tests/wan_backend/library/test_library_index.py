"""Who waits for a refresh gets one that began after the request, however many were given up before."""

from __future__ import annotations

import threading

import pytest

from wan_backend.library import library_index
from wan_backend.library.library_index import LibraryIndex
from wan_backend.library.survey import Survey

PATIENCE_SECONDS = 60.0


class Disks:
    """Surveys that go on until they are let go, one after another."""

    def __init__(self):
        self.begun = []
        self._changed = threading.Condition()

    def survey(self, *_):
        with self._changed:
            number = len(self.begun)
            self.begun.append(threading.Event())
            self._changed.notify_all()
        assert self.begun[number].wait(PATIENCE_SECONDS)
        return Survey(tokenizers=(number,))

    def until_begun(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, PATIENCE_SECONDS)


@pytest.fixture
def disks(monkeypatch):
    made = Disks()
    monkeypatch.setattr(library_index, "survey", made.survey)
    yield made
    for each in made.begun:
        each.set()


def test_a_request_during_a_refresh_is_met_by_the_next(disks):
    index = LibraryIndex([])
    index.request_refresh()
    disks.until_begun(1)
    asked = index.request_refresh()
    disks.begun[0].set()
    disks.until_begun(2)
    assert index.is_ready and not index.wait(asked, 0)
    disks.begun[1].set()
    assert index.wait(asked, PATIENCE_SECONDS) and index.known().tokenizers == (1,)


@pytest.mark.parametrize("given_up", [1, 3])
def test_a_request_during_the_refresh_that_replaced_one_is_met_by_the_next(disks, given_up):
    index = LibraryIndex([])
    index.request_refresh()
    disks.until_begun(1)
    for number in range(given_up):
        index.abandon_refresh()
        disks.until_begun(number + 2)
    asked = index.request_refresh()
    disks.begun[given_up].set()
    disks.until_begun(given_up + 2)
    assert index.is_ready and not index.wait(asked, 0), "what was found had begun before the request"
    disks.begun[given_up + 1].set()
    assert index.wait(asked, PATIENCE_SECONDS) and index.known().tokenizers == (given_up + 1,)


def test_what_a_given_up_refresh_finds_late_is_ignored(disks):
    index = LibraryIndex([])
    index.request_refresh()
    disks.until_begun(1)
    asked = index.abandon_refresh()
    disks.until_begun(2)
    disks.begun[1].set()
    assert index.wait(asked, PATIENCE_SECONDS)
    disks.begun[0].set()
    assert index.known().tokenizers == (1,)
