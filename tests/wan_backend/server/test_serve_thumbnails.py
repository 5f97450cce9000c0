"""The server makes thumbnails beside its other work, keeps them, and sees when a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_backend.protocol.messages import Role, Source, ThumbnailsParams, ThumbnailsResult
from wan_backend.server import thumbnails as module
from wan_backend.server.thumbnails import Thumbnails


@pytest.fixture
def params(tmp_path: Path) -> ThumbnailsParams:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((36, 64, 3), 200, np.uint8))
    return ThumbnailsParams([Source(Role.FIRST, str(tmp_path), ["a.png"])], 64, 36)


def test_the_method_answers_with_files(serve, params):
    source = {"role": "first", "folder": params.sources[0].folder, "files": ["a.png"]}
    answer = serve().call("thumbnails", sources=[source], width=64, height=36)
    (picture,) = answer["pictures"]
    assert picture["role"] == "first" and Path(picture["file"]).read_bytes()[:2] == b"\xff\xd8"


def test_made_once_until_a_file_changes(tmp_path, params, monkeypatch):
    pictures = Thumbnails(tmp_path / "kept")
    first = pictures.of(params)
    assert len(first.pictures) == 1
    with monkeypatch.context() as patched:
        patched.setattr(module.subprocess, "run", None)
        assert pictures.of(params) == first
    os.utime(tmp_path / "a.png", (1, 1))
    again = pictures.of(params)
    assert again.pictures[0].file != first.pictures[0].file


def test_old_ones_make_room(tmp_path, params, monkeypatch):
    monkeypatch.setattr(module, "MOST_FOLDERS", 2)
    pictures = Thumbnails(tmp_path / "kept")
    for number in range(4):
        os.utime(tmp_path / "a.png", (number, number))
        pictures.of(params)
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_child_that_fails_is_no_picture(tmp_path, params, monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
    assert Thumbnails(tmp_path / "kept").of(params).pictures == []


def test_who_waits_behind_a_child_that_hangs_is_answered(tmp_path, monkeypatch):
    made = Thumbnails(tmp_path)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    with made._one_at_a_time:
        assert made.of(ThumbnailsParams([], 64, 36)) == ThumbnailsResult([])


def test_a_child_that_hangs_is_ended(tmp_path, monkeypatch):
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(module.sys, "executable", str(hangs))
    assert Thumbnails(tmp_path / "kept").of(ThumbnailsParams([], 64, 36)) == ThumbnailsResult([])
