"""Jobs on the disk while their sources are rendered."""

from __future__ import annotations

import json
import os
import time

import pytest

JOB = "a" * 32


@pytest.fixture
def journal(addon, tmp_path):
    """journal() is another Blender's view of the same folder."""
    made = []

    def another():
        made.append(addon("jobs.journal").Journal(tmp_path / "waiting"))
        return made[-1]

    yield another
    for each in made:
        each.release()


@pytest.fixture
def request_(make_request):
    return make_request()


def age(tmp_path, seconds: float) -> None:
    for file in (tmp_path / "waiting").glob("*.json"):
        os.utime(file, (time.time() - seconds,) * 2)


def test_an_orphan_is_taken_over_once_its_owner_is_dead(journal, request_, tmp_path) -> None:
    owner, other, third = journal(), journal(), journal()
    owner.keep(JOB, request_, "asked")
    age(tmp_path, 3600)
    assert list(other.orphans()) == [], "it may be busy for as long as it likes"
    assert other.held_elsewhere(JOB) and not owner.held_elsewhere(JOB)
    owner.release()
    assert not other.held_elsewhere(JOB)
    assert list(other.orphans()) == [(JOB, request_, "asked")]
    assert list(other.orphans()) == [] and list(third.orphans()) == [], "one has it"
    assert third.held_elsewhere(JOB)
    other.drop(JOB)
    assert list((tmp_path / "waiting").glob("*.json")) == []


@pytest.mark.ci
def test_a_killed_process_gives_its_jobs_up(journal, request_, tmp_path) -> None:
    child = os.fork()
    if child == 0:
        journal().keep(JOB, request_, "asked")
        os._exit(0)
    os.waitpid(child, 0)
    assert [job_id for job_id, _, _ in journal().orphans()] == [JOB]


@pytest.mark.parametrize("seconds", [60, -86_400])
def test_who_names_no_owner_is_told_by_the_clock(journal, request_, tmp_path, seconds) -> None:
    journal().keep(JOB, request_, "")
    file = tmp_path / "waiting" / f"{JOB}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "owner": ""}))
    assert list(journal().orphans()) == []
    age(tmp_path, seconds)
    assert [job_id for job_id, _, _ in journal().orphans()] == [JOB]


def test_an_owner_that_lives_says_so(journal, request_, tmp_path) -> None:
    owner = journal()
    owner.keep(JOB, request_, "")
    age(tmp_path, 60)
    assert owner.touch()
    assert not owner.touch(), "not at every tick"
    assert list(journal().orphans()) == []


def test_a_file_that_can_not_be_read_is_passed_over(journal, request_, tmp_path) -> None:
    dead = journal()
    dead.keep(JOB, request_, "")
    dead.release()
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
