"""A file that was found unusable is named by each plan, until it is another file."""

from __future__ import annotations

import dataclasses
import os

import pytest

from tests.wan_backend.frames.asked import asked, source
from wan_backend.catalogue import entries
from wan_backend.planning import plan_steps, unusable_files
from wan_backend.planning.draft import Draft, Inventory, empty_plan, run_steps
from wan_backend.planning.unusable_files import FileState, UnusableFiles
from wan_backend.protocol.messages import FrameRate, Problem, ProblemKind, Role

DAMAGED = Problem(ProblemKind.BAD_SOURCE, "It is damaged.")


@pytest.fixture
def pictures(tmp_path):
    names = [f"{n:04}.png" for n in range(200)]
    for name in names:
        (tmp_path / name).write_bytes(b"a picture")
    return source(Role.FOOTAGE, 200, folder=str(tmp_path), files=names, is_movie=False, rendered=False)


def planned(found: UnusableFiles, *sources):
    request = dataclasses.replace(asked("restyle", 200, FrameRate(24)), sources=list(sources))
    entry = entries.entry("embedded")
    draft = Draft(request, entry, empty_plan(request), inventory=Inventory(source_problem=found.problem))
    return run_steps(draft, plan_steps.REQUEST_STEPS).plan.problem


def test_each_of_many_pictures_counts_until_it_is_another_one(pictures):
    found = UnusableFiles()
    assert planned(found, pictures) is None
    found.note(FileState.of(pictures, "0101.png"), DAMAGED)
    assert planned(found, pictures) == DAMAGED
    assert planned(found, dataclasses.replace(pictures, rendered=True)) is None, "it is made anew"
    with open(os.path.join(pictures.folder, "0101.png"), "ab") as stream:
        stream.write(b", whole")
    assert planned(found, pictures) is None


def test_a_file_that_was_replaced_while_it_was_read_is_not_accused(pictures):
    found, before = UnusableFiles(), FileState.of(pictures, "0000.png")
    os.utime(os.path.join(pictures.folder, "0000.png"), (1, 1))
    found.note(before, DAMAGED)
    assert found.problem(pictures) is None


def test_of_a_movie_only_the_part_that_was_looked_at_is_known(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"a movie")
    part = source(Role.FOOTAGE, 24, folder=str(tmp_path), files=["a.mp4"], is_movie=True, first_frame=10)
    found = UnusableFiles()
    found.note(FileState.of(part, "a.mp4"), DAMAGED)
    assert found.problem(part) == DAMAGED
    assert found.problem(dataclasses.replace(part, first_frame=500)) is None


def test_a_file_that_is_gone_is_not_called_damaged(pictures):
    found = UnusableFiles()
    gone = dataclasses.replace(pictures, files=["gone.png"])
    found.note(FileState.of(gone, "gone.png"), DAMAGED)
    assert found.problem(gone) is None


def test_old_ones_are_forgotten(pictures, monkeypatch):
    monkeypatch.setattr(unusable_files, "MAX_KEPT", 3)
    found = UnusableFiles()
    for name in pictures.files[:5]:
        found.note(FileState.of(pictures, name), DAMAGED)
    known = [name for name in pictures.files if found.problem(dataclasses.replace(pictures, files=[name]))]
    assert known == pictures.files[2:5]
