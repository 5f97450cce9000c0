"""A disk without room, for the folder in which a verb's server keeps its queue: a sentence, and nothing is left."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from wan_backend.command_line import arguments, calibrate

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp")
VERBS = {
    "generate": ["generate", "fog"],
    "calibrate": ["calibrate", "wan2.1-i2v-14b-480p", "--quality", "best"],
}


@pytest.fixture(params=VERBS)
def run(request, tmp_path, monkeypatch, capsys):
    """run(what fails, and where) is what the verb says; all that it writes is in `tmp_path`."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    flags = {"generate": ["-o", str(tmp_path / "take.mp4")], "calibrate": ["--state", str(tmp_path / "state")]}

    def fails(place, name: str) -> str:
        real = getattr(place, name)

        def full(*given, **more):
            if place is Path and given[0].name != calibrate.PICTURE_FILE:
                return real(*given, **more)
            raise FULL

        monkeypatch.setattr(place, name, full)
        assert arguments.run([*VERBS[request.param], *flags[request.param]]) == 3
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "No space left on device" in said
        assert list(tmp_path.iterdir()) == []
        return said

    fails.verb = request.param
    return fails


def test_no_folder_can_be_made(run):
    assert "have TMPDIR name another folder" in run(tempfile, "mkdtemp")


def test_the_picture_of_a_calibration_can_not_be_written(run):
    if run.verb == "generate":
        return
    assert "have TMPDIR name another folder" in run(Path, "write_bytes")


def test_the_server_can_not_be_started(run, monkeypatch):
    def fails(*_given, **_more):
        raise FULL

    monkeypatch.setattr(subprocess, "Popen", fails)
    assert "The backend can't be started: /tmp (No space left on device)." in run(Path, "write_text")
