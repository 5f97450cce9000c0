"""Files are read in the order in which they are needed, and no longer than there is any use in it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from wan_backend.loading import read_ahead
from wan_backend.loading.read_ahead import ReadAhead

PIECE = 1000
WAIT_SECONDS = 60.0


class Pieces:
    """Stands for files: says which piece of which is read, and waits there where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(read_ahead, "PIECE_BYTES", PIECE)
        self.read: list[str] = []
        self.stop_at = ""
        self.there, self.go_on = threading.Event(), threading.Event()
        self._folder = tmp_path
        opened = read_ahead._opened
        monkeypatch.setattr(read_ahead, "_opened", lambda place: _Noted(self, place.name, opened(place)))

    def file(self, name: str, pieces: int) -> Path:
        (self._folder / name).write_bytes(bytes(pieces * PIECE))
        return self._folder / name

    def note(self, name: str) -> None:
        self.read.append(name)
        if f"{name}{self.read.count(name)}" == self.stop_at:
            self.there.set()
            assert self.go_on.wait(WAIT_SECONDS)


class _Noted:
    def __init__(self, pieces: Pieces, name: str, stream) -> None:
        self._pieces, self._name, self._stream = pieces, name, stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()

    def readinto(self, buffer) -> int:
        count = self._stream.readinto(buffer)
        if count:
            self._pieces.note(self._name)
        return count


@pytest.fixture
def pieces(monkeypatch, tmp_path) -> Pieces:
    return Pieces(monkeypatch, tmp_path)


def plenty() -> int:
    return 1 << 40


def test_all_is_read_in_order(pieces):
    files = [("text_encoder", [pieces.file("a", 2), pieces.file("b", 1)]), ("transformer", [pieces.file("c", 3)])]
    with ReadAhead(files, free_bytes=plenty) as ahead:
        ahead.join(WAIT_SECONDS)
        assert not ahead.is_reading
    assert pieces.read == [*"aa", "b", *"ccc"] and ahead.read_bytes == 6 * PIECE


def test_no_more_is_read_than_half_of_the_free_memory_holds(pieces):
    with ReadAhead([("vae", [pieces.file("a", 9)])], free_bytes=lambda: 9 * PIECE) as ahead:
        ahead.join(WAIT_SECONDS)
    assert pieces.read == ["a"] * 4


@pytest.mark.parametrize("how", ["cancel", "leave"])
def test_it_ends_with_the_job(pieces, how):
    canceled = threading.Event()
    pieces.stop_at = "a2"
    with ReadAhead([("vae", [pieces.file("a", 9)])], canceled.is_set, plenty) as ahead:
        assert pieces.there.wait(WAIT_SECONDS)
        if how == "cancel":
            canceled.set()
            pieces.go_on.set()
            ahead.join(WAIT_SECONDS)
        else:
            ahead._ended.set()
            pieces.go_on.set()
    ahead.join(WAIT_SECONDS)
    assert not ahead.is_reading and pieces.read == ["a", "a"]


def test_what_is_loaded_is_passed_over(pieces):
    pieces.stop_at = "a2"
    files = [("text_encoder", [pieces.file("a", 9)]), ("vae", [pieces.file("b", 2)])]
    with ReadAhead(files, free_bytes=plenty) as ahead:
        assert pieces.there.wait(WAIT_SECONDS)
        ahead.pass_over("text_encoder")
        pieces.go_on.set()
        ahead.join(WAIT_SECONDS)
    assert pieces.read == [*"aa", *"bb"]


def test_a_file_that_is_gone_stops_neither_it_nor_anybody(pieces, tmp_path):
    with ReadAhead([("a", [tmp_path / "gone"]), ("b", [pieces.file("b", 1)])], free_bytes=plenty) as ahead:
        ahead.join(WAIT_SECONDS)
    assert pieces.read == ["b"]


def test_where_nothing_is_to_be_read_there_is_no_thread():
    before = threading.active_count()
    with ReadAhead([("vae", [])]) as ahead:
        assert threading.active_count() == before and not ahead.is_reading
