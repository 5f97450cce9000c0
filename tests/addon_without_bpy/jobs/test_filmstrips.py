"""What is in view is asked for first, a few at once, and read with suspicion."""

from __future__ import annotations

import struct
import zlib

import pytest


class Client:
    """Remembers what it is asked."""

    def __init__(self) -> None:
        self.calls: list = []

    def call(self, method, params=None, answered=None, failed=None) -> None:
        self.calls.append((params, answered, failed))


@pytest.fixture
def module(addon):
    return addon("jobs.filmstrips")


@pytest.fixture
def take(addon):
    listed = addon("jobs.take_library").ListedTake
    return lambda number: listed(f"{number:032x}", f"/takes/{number}", 0, "0001.png", 8, 64, 36)


FAR = float("inf")
WHOLE = 32 * b"."


def file_of(pixels: bytes, width: int = 2, height: int = 1, count: int = 1, mark: bytes = b"WVF1") -> bytes:
    return struct.pack("<4sHHHH", mark, width, height, count, 0) + zlib.compress(pixels)


def test_a_whole_file_is_read(module, tmp_path) -> None:
    file = tmp_path / "a.film"
    file.write_bytes(file_of(WHOLE))
    assert module.read(str(file)) == module.Filmstrip(2, 1, 1, WHOLE)


BAD = {
    "empty": b"",
    "short": file_of(b"RGBA"),
    "other": file_of(WHOLE, mark=b"OTHE"),
    "large": file_of(WHOLE, width=60000),
    "cut": file_of(WHOLE)[:-9],
    "none": file_of(b"", count=0),
}


@pytest.mark.parametrize("kind", BAD)
def test_another_is_not(module, tmp_path, kind) -> None:
    file = tmp_path / "a.film"
    file.write_bytes(BAD[kind])
    assert module.read(str(file)) is None


def test_the_newest_in_view_come_first(module, messages, take, tmp_path) -> None:
    file = tmp_path / "a.film"
    file.write_bytes(file_of(WHOLE))
    query, client = module.FilmstripQuery(), Client()
    for number in range(10):
        assert query.of(take(number)) is None
    query.tick(client, FAR)
    query.tick(client, FAR)
    (params, answered, _), *others = client.calls
    assert not others, "one question at a time"
    assert [film.source.folder for film in params.films] == [f"/takes/{number}" for number in range(9, 1, -1)]
    assert params.films[0].source.files[-1] == "0008.png"
    answered(messages.FilmstripsResult([str(file), "", str(tmp_path / "lost"), *[str(file)] * 5]))
    query.tick(client, FAR)
    assert query.of(take(9)) is not None and query.of(take(8)) is None
    assert query.of(take(6)) is not None and len(client.calls) == 2


def test_nothing_is_asked_for_who_looks_away(module, take) -> None:
    query, client = module.FilmstripQuery(), Client()
    query.of(take(1))
    query.want_none()
    query.tick(client, FAR)
    assert not client.calls and not query.busy


def test_a_server_that_dies_is_asked_again(module, take) -> None:
    query, client = module.FilmstripQuery(), Client()
    query.of(take(1))
    query.tick(client, FAR)
    query.forget()
    query.of(take(1))
    query.tick(client, FAR)
    assert len(client.calls) == 2


def test_a_tick_that_has_no_time_reads_nothing(module, messages, take) -> None:
    query, client = module.FilmstripQuery(), Client()
    query.of(take(1))
    query.tick(client, FAR)
    client.calls[0][1](messages.FilmstripsResult(["/lost"]))
    query.tick(client, 0.0)
    assert query.busy
    query.tick(client, FAR)
    assert not query.busy
