"""Jobs on the disk while their sources are rendered."""

from __future__ import annotations

import os
import time

import pytest

JOB = "a" * 32


@pytest.fixture
def journal(addon, tmp_path):
    """journal() is another Blender's view of the same folder."""
    return lambda: addon("jobs.journal").Journal(tmp_path / "waiting")


@pytest.fixture
def request_(make_request):
    return make_request()


def age(tmp_path, seconds: float) -> None:
    for file in (tmp_path / "waiting").iterdir():
        os.utime(file, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("seconds", [60, -86_400])
def test_an_orphan_is_taken_over_once_its_owner_is_silent(journal, request_, tmp_path, seconds) -> None:
    owner, other = journal(), journal()
    owner.keep(JOB, request_, "asked")
    assert list(other.orphans()) == []
    age(tmp_path, seconds)
    assert list(owner.orphans()) == [], "its own is none"
    assert list(other.orphans()) == [(JOB, request_, "asked")]
    assert list(other.orphans()) == []
    other.drop(JOB)
    assert list((tmp_path / "waiting").iterdir()) == []


def test_an_owner_that_lives_says_so(journal, request_, tmp_path) -> None:
    owner = journal()
    owner.keep(JOB, request_, "")
    age(tmp_path, 60)
    assert owner.touch()
    assert not owner.touch(), "not at every tick"
    assert list(journal().orphans()) == []


def test_a_file_that_can_not_be_read_is_passed_over(journal, request_, tmp_path) -> None:
    journal().keep(JOB, request_, "")
    (tmp_path / "waiting" / f"{'b' * 32}.json").write_text("{")
    (tmp_path / "waiting" / f"{'c' * 32}.json").write_text('{"request": 7, "asked": ""}')
    (tmp_path / "waiting" / f"{'d' * 32}.json").write_text("[" * 100_000)
    age(tmp_path, 60)
    assert [job_id for job_id, _, _ in journal().orphans()] == [JOB]


def test_a_folder_that_can_not_be_written_stops_nothing(journal, request_, tmp_path) -> None:
    (tmp_path / "waiting").write_text("in the way")
    owner = journal()
    owner.keep(JOB, request_, "")
    owner.drop(JOB)
    assert list(owner.orphans()) == []
