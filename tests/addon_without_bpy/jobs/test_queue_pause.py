"""A pause is kept on the disk; a disk that can't keep it costs that alone."""

from __future__ import annotations

import pytest


@pytest.fixture
def pause_in(addon):
    return lambda folder: addon("jobs.queue_pause").QueuePause(lambda: folder)


def test_it_is_kept_until_it_is_taken_back(pause_in, tmp_path) -> None:
    first = pause_in(tmp_path)
    assert not first.paused
    first.set(True)
    assert first.paused and pause_in(tmp_path).paused
    first.set(False)
    assert not first.paused and not pause_in(tmp_path).paused


def test_another_window_has_its_own_until_it_ends(pause_in, tmp_path) -> None:
    one, other = pause_in(tmp_path), pause_in(tmp_path)
    assert not one.paused and not other.paused
    one.set(True)
    assert not other.paused


def test_where_it_cant_be_kept_it_holds_for_now(pause_in, tmp_path) -> None:
    (tmp_path / "file").touch()
    pause = pause_in(tmp_path / "file")
    pause.set(True)
    assert pause.paused
