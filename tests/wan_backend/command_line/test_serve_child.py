"""The folder of what helps later takes: one that somebody named and that can't be written is an error, said at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wan_backend.command_line import arguments, generate, serve_child


@pytest.fixture
def no_server(monkeypatch):
    """The commands with which a server would have been started."""
    commands: list[list[str]] = []

    def started(command, **_more):
        commands.append(command)
        raise OSError(1, "enough")

    monkeypatch.setattr(subprocess, "Popen", started)
    return commands


@pytest.fixture(params=["a file", "in a file", "closed"])
def unusable(request, tmp_path) -> Path:
    if request.param == "closed":
        if sys.platform == "win32" or os.geteuid() == 0:
            pytest.skip("no folder is closed to this user")
        (tmp_path / "closed").mkdir(mode=0o500)
        return tmp_path / "closed"
    (tmp_path / "file").touch()
    return tmp_path / "file" if request.param == "a file" else tmp_path / "file" / "deeper"


def test_one_that_was_named_is_an_error(unusable, tmp_path, capsys, no_server):
    output = tmp_path / "take.mp4"
    flags = ["generate", "fog", "-o", str(output), "--state", str(unusable)]
    assert arguments.run(flags) == generate.NOT_STARTED
    said = capsys.readouterr().err
    assert f"--state {unusable} can't be used" in said and said.count("\n") == 1
    assert not no_server and not output.exists()


def test_the_persons_own_costs_a_sentence_and_no_take(unusable, tmp_path, capsys, no_server, monkeypatch):
    for module in ("wan_backend.server.serve", "wan_backend.command_line.arguments", serve_child.__name__):
        monkeypatch.setattr(f"{module}.own_state_folder", lambda: unusable)
    assert arguments.run(["generate", "fog", "-o", str(tmp_path / "take.mp4")]) == generate.NOT_STARTED
    said = capsys.readouterr().err
    assert f"{unusable} can't be written" in said and "nothing is kept that would help later takes" in said
    (command,) = no_server
    assert "--findings" not in command


def test_one_that_is_still_to_be_made_is_used_as_it_is(tmp_path, no_server):
    folder = tmp_path / "new" / "state"
    assert arguments.run(["generate", "fog", "-o", str(tmp_path / "take.mp4"), "--state", str(folder)]) == 3
    (command,) = no_server
    assert command[-2:] == ["--findings", str(folder)] and not folder.exists(), "the server makes it"
