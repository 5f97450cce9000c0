"""Sources that are missing or wrong: a sentence each, that says what to do."""

from __future__ import annotations

import dataclasses
import math
import os

import pytest

from tests.wan_backend.frames.asked import TASKS, asked, source
from wan_backend.catalogue import entries
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import MAX_TAKE_FRAMES, FrameRate, Framing, Problem, Role

EMBEDDED = entries.entry("embedded")
FRAMING = Framing(1920, 1080, 0.0, 0.0, 1920.0, 1080.0)


def problem_of(name, **changes) -> Problem | None:
    request = dataclasses.replace(asked(name, 24, FrameRate(24)), **changes)
    found = plan_steps.plan(request, EMBEDDED).problem
    assert found is None or (found.kind == "bad_source" and found.sentence.endswith(".") and len(found.sentence) < 300)
    return found


@pytest.mark.parametrize("name", TASKS)
def test_every_task_with_what_it_needs_is_planned(name):
    assert problem_of(name) is None


@pytest.mark.parametrize(
    ("name", "left", "says"),
    [
        ("image", [Role.LAST], "no first picture"),
        ("restyle", [], "nothing to restyle"),
        ("fill", [Role.BEFORE], "nothing after the gap"),
        ("fill", [Role.AFTER], "nothing before the gap"),
        ("extend", [], "extends one strip"),
        ("extend", [Role.BEFORE, Role.AFTER], "extends one strip"),
        ("previs", [Role.LOOK], "no depth"),
        ("fill", [Role.BEFORE, Role.AFTER, Role.AFTER], "the same role"),
    ],
)
def test_what_is_missing_is_said(name, left, says):
    assert says in problem_of(name, sources=[source(role, 24) for role in left]).sentence


@pytest.mark.parametrize("name", TASKS)
def test_a_prompt_may_be_empty_where_a_picture_says_what_is_seen(name):
    found = plan_steps.plan(dataclasses.replace(asked(name, 24, FrameRate(24)), prompt=" "), EMBEDDED).problem
    if name in ("text", "restyle"):
        assert found.kind == "bad_prompt"
    else:
        assert found is None


def test_a_depth_alone_says_nothing_of_the_look():
    request = dataclasses.replace(asked("previs", 24, FrameRate(24)), prompt="", sources=[source(Role.DEPTH, 24)])
    assert plan_steps.plan(request, EMBEDDED).problem.kind == "bad_prompt"


def test_an_end_and_a_look_may_be_left_out():
    assert problem_of("image", sources=[source(Role.FIRST, 1)]) is None
    assert problem_of("previs", sources=[source(Role.DEPTH, 24)]) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 0},
        {"frames": -3},
        {"files": []},
        {"first_frame": -1},
        {"folder": ""},
        {"folder": "relative/place"},
        {"folder": "/with\0null"},
        {"is_movie": False, "files": ["1.png", "2.png"], "frames": 24},
        {"framing": dataclasses.replace(FRAMING, width=0.0)},
        {"framing": dataclasses.replace(FRAMING, x=math.inf)},
        {"framing": dataclasses.replace(FRAMING, canvas_height=0)},
        {"rendered": False, "folder": "/nowhere/at/all"},
    ],
)
def test_a_source_that_can_not_be_used(changes):
    sources = [source(Role.BEFORE, **{"frames": 24, **changes}), source(Role.AFTER, 24)]
    assert problem_of("fill", sources=sources) is not None


def test_footage_of_another_length_has_a_fix():
    found = problem_of("restyle", sources=[source(Role.FOOTAGE, 30)])
    assert (found.fixes[0].setting, found.fixes[0].value) == ("length_frames", "30")
    assert problem_of("restyle", sources=[source(Role.FOOTAGE, 30)], length_frames=30) is None


def test_files_are_looked_for_unless_they_are_rendered_for_the_take(tmp_path):
    names = [f"{n:04}.png" for n in range(24)]
    for name in names:
        (tmp_path / name).write_bytes(b"a picture")
    pictures = source(Role.FOOTAGE, 24, folder=str(tmp_path), files=names, is_movie=False, rendered=False)
    assert problem_of("restyle", sources=[pictures]) is None
    (tmp_path / names[7]).unlink()
    found = problem_of("restyle", sources=[pictures]).sentence
    assert names[7] in found and "no longer there" in found
    (tmp_path / names[7]).mkdir()
    found = problem_of("restyle", sources=[pictures]).sentence
    assert names[7] in found and "not a plain file" in found
    assert problem_of("restyle", sources=[dataclasses.replace(pictures, rendered=True)]) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("empty", "is empty (0 bytes)"),
        ("pipe", "not a plain file"),
        ("a folder", "not a plain file"),
        ("link to nothing", "no longer there"),
        ("below a file", "no longer there"),
        ("locked", "permission denied"),
        ("in a locked folder", "permission denied"),
    ],
)
@pytest.mark.parametrize("is_movie", [False, True])
def test_what_the_file_system_says_is_said_before_the_click(tmp_path, monkeypatch, wrong, says, is_movie):
    folder, file = tmp_path, tmp_path / "a.mp4"
    if wrong == "empty":
        file.touch()
    elif wrong == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("makes a named pipe")
        os.mkfifo(file)
    elif wrong == "a folder":
        file.mkdir()
    elif wrong == "link to nothing":
        file.symlink_to(tmp_path / "nothing")
    elif wrong == "below a file":
        folder = tmp_path / "a file"
        folder.write_bytes(b"no folder")
    else:  # whoever runs the tests may be allowed everything
        file.write_bytes(b"a movie")
        if wrong == "locked":
            monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(file))
        else:
            plain = os.stat

            def refused(path, *more, **options):
                if str(path) == str(file):
                    raise PermissionError(13, "Permission denied")
                return plain(path, *more, **options)

            monkeypatch.setattr(os, "stat", refused)
    first = source(Role.FIRST, 1, folder=str(folder), files=["a.mp4"], is_movie=is_movie, rendered=False)
    assert says in problem_of("image", sources=[first]).sentence


def test_a_strength_beyond_its_range_is_refused_with_a_fix():
    for strength, nearest in ((-0.1, "0"), (1.5, "1")):
        request = dataclasses.replace(asked("restyle", 24, FrameRate(24)), strength=strength)
        found = plan_steps.plan(request, EMBEDDED).problem
        assert (found.kind, found.fixes[0].setting, found.fixes[0].value) == ("bad_setting", "strength", nearest)


def test_a_take_that_is_too_long_is_refused_before_a_disk_is_looked_at(tmp_path, monkeypatch):
    names = [f"{n:05}.png" for n in range(MAX_TAKE_FRAMES + 1)]
    pictures = source(Role.FOOTAGE, len(names), folder=str(tmp_path), files=names, is_movie=False, rendered=False)
    request = dataclasses.replace(asked("restyle", 24, FrameRate(24)), sources=[pictures], length_frames=len(names))

    def looked(*_):
        raise AssertionError("a disk was looked at")

    for name in ("stat", "lstat", "scandir", "listdir", "access"):
        monkeypatch.setattr(os, name, looked)
    found = plan_steps.plan(request, EMBEDDED).problem
    assert found.kind == "bad_length" and f"{MAX_TAKE_FRAMES + 1:,} frames" in found.sentence
