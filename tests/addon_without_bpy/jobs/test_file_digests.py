"""Whether a source's files are as they were: dates, contents, what can't be looked at."""

from __future__ import annotations

import os
import time

import pytest


@pytest.fixture
def digests(addon):
    return addon("jobs.file_digests")


@pytest.fixture
def seen(addon):
    return addon("timeline.seen_sources").SeenFiles


def ended(steps):
    """What the steps return."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def old(path, content: bytes, seconds: float = 1000.0):
    path.write_bytes(content)
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def known(digests, seen, folder, names, files=None):
    """What is kept of files once they were read."""
    files = files or digests.FileDigests()
    stamp = ended(files.stamp(str(folder), names))
    first = seen(names[0], len(names), stamp.size_bytes, stamp.text)
    same, kept = ended(files.is_same(first, str(folder), names))
    assert same
    return kept


def test_another_date_alone_is_no_change(digests, seen, tmp_path) -> None:
    path = old(tmp_path / "harbor.mp4", b"a film" * 1000)
    kept = known(digests, seen, tmp_path, ["harbor.mp4"])
    os.utime(path, (time.time() - 50,) * 2)
    same, again = ended(digests.FileDigests().is_same(kept, str(tmp_path), ["harbor.mp4"]))
    assert same
    assert again.stamp != kept.stamp, "the new date is kept, so that the file isn't read again"
    assert again.content == kept.content


def test_a_copied_project_is_no_change(digests, seen, tmp_path) -> None:
    old(tmp_path / "a" / "harbor.mp4" if (tmp_path / "a").mkdir() is None else tmp_path, b"a film" * 1000)
    (tmp_path / "b").mkdir()
    kept = known(digests, seen, tmp_path / "a", ["harbor.mp4"])
    old(tmp_path / "b" / "harbor.mp4", b"a film" * 1000, 20.0)
    assert ended(digests.FileDigests().is_same(kept, str(tmp_path / "b"), ["harbor.mp4"]))[0]


@pytest.mark.parametrize("content", [b"another" * 1000, b"b film" * 1000])
def test_another_content_is_a_change(digests, seen, tmp_path, content) -> None:
    path = old(tmp_path / "harbor.mp4", b"a film" * 1000)
    kept = known(digests, seen, tmp_path, ["harbor.mp4"])
    old(path, content, 30.0)
    same, again = ended(digests.FileDigests().is_same(kept, str(tmp_path), ["harbor.mp4"]))
    assert not same
    assert again == kept, "what was seen stays known"


def test_a_file_with_its_old_date_is_not_read(digests, seen, tmp_path, monkeypatch) -> None:
    old(tmp_path / "harbor.mp4", b"a film" * 1000)
    kept = known(digests, seen, tmp_path, ["harbor.mp4"])
    monkeypatch.setattr(digests.FileDigests, "content", lambda *_: pytest.fail("it was read"))
    assert ended(digests.FileDigests().is_same(kept, str(tmp_path), ["harbor.mp4"])) == (True, kept)


@pytest.mark.parametrize("seconds", [0.0, -100_000.0])
def test_a_date_that_is_too_new_or_in_the_future_is_not_trusted(digests, seen, tmp_path, seconds) -> None:
    path = old(tmp_path / "harbor.mp4", b"a film" * 1000, seconds)
    status = path.stat()
    kept = known(digests, seen, tmp_path, ["harbor.mp4"])
    path.write_bytes(b"b film" * 1000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as where both fall into one step of the disk's clock
    assert not ended(digests.FileDigests().is_same(kept, str(tmp_path), ["harbor.mp4"]))[0]


def test_a_file_that_was_too_new_to_be_known_counts_as_it_is(digests, seen, tmp_path) -> None:
    old(tmp_path / "harbor.mp4", b"a film" * 1000)
    first = seen("harbor.mp4", 1, 6000, "")
    assert ended(digests.FileDigests().is_same(first, str(tmp_path), ["harbor.mp4"]))[0]
    assert not ended(digests.FileDigests().is_same(seen("harbor.mp4", 1, 7, ""), str(tmp_path), ["harbor.mp4"]))[0]


@pytest.mark.parametrize("kind", ["gone", "no folder", "pipe"])
def test_what_is_away_is_unknown(digests, seen, tmp_path, kind) -> None:
    folder = tmp_path / "drive" if kind == "no folder" else tmp_path
    if kind == "pipe":
        os.mkfifo(tmp_path / "harbor.mp4")
    with pytest.raises(digests.Away) as away:
        ended(digests.FileDigests().is_same(seen("harbor.mp4", 1, 5, "ab", "cd"), str(folder), ["harbor.mp4"]))
    assert away.value.name == "harbor.mp4"


def test_a_disk_that_answers_slowly_is_left_alone_for_a_while(digests, seen, tmp_path, monkeypatch) -> None:
    now = [0.0]
    files = digests.FileDigests(lambda: now[0])
    old(tmp_path / "harbor.mp4", b"a film")
    stat, asked = os.stat, []

    def slow(path, **more):
        asked.append(path)
        now[0] += 3.0
        return stat(path, **more)

    monkeypatch.setattr(digests.os, "stat", slow)
    ended(files.stamp(str(tmp_path), ["harbor.mp4"]))
    with pytest.raises(digests.Away):
        ended(files.stamp(str(tmp_path), ["harbor.mp4"]))
    assert len(asked) == 1
    now[0] += digests.REST_SECONDS
    ended(files.stamp(str(tmp_path), ["harbor.mp4"]))
    assert len(asked) == 2


def test_of_a_large_file_its_end_and_its_middle_count(digests, seen, tmp_path) -> None:
    content = bytearray(digests.MOST_BYTES + 5 * digests.BLOCK_BYTES)
    path = old(tmp_path / "long.mov", bytes(content))
    kept = known(digests, seen, tmp_path, ["long.mov"])
    for place in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place : place + 300_000] = b"x" * len(changed[place : place + 300_000])
        old(path, bytes(changed), 10.0)
        assert not ended(digests.FileDigests().is_same(kept, str(tmp_path), ["long.mov"]))[0], place


def test_thousands_of_pictures_are_looked_at_a_few_at_a_time(digests, seen, tmp_path) -> None:
    names = [f"{index:04d}.png" for index in range(200)]
    for name in names:
        old(tmp_path / name, name.encode())
    files = digests.FileDigests()
    assert len(list(files.stamp(str(tmp_path), names))) == 10
    stamp = ended(files.stamp(str(tmp_path), names))
    assert len(list(files.content(str(tmp_path), names, stamp))) == 200, "one file, or a block of it, at a time"
    assert list(files.content(str(tmp_path), names, stamp)) == [], "it is known then"
    kept = known(digests, seen, tmp_path, names, files)
    old(tmp_path / names[120], b"other", 10.0)
    assert not ended(files.is_same(kept, str(tmp_path), names))[0]
