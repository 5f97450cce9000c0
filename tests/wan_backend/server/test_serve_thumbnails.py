"""The server makes thumbnails beside its other work, keeps them, and sees when a file has changed."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.server.in_process import inside
from tests.wan_backend.server.served import request
from wan_backend.protocol.messages import Role, Source, ThumbnailsParams, ThumbnailsResult
from wan_backend.server import thumbnail_requests as module
from wan_backend.server.thumbnail_requests import Thumbnails

__all__ = ["inside"]


@pytest.fixture
def params(tmp_path: Path) -> ThumbnailsParams:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((36, 64, 3), 200, np.uint8))
    return ThumbnailsParams([Source(Role.FIRST, str(tmp_path), ["a.png"])], 64, 36)


def test_the_method_answers_with_files(serve, params):
    source = {"role": "first", "folder": params.sources[0].folder, "files": ["a.png"]}
    answer = serve().call("thumbnails", sources=[source], width=64, height=36)
    (picture,) = answer["pictures"]
    assert picture["role"] == "first" and Path(picture["file"]).read_bytes()[:2] == b"\xff\xd8"


def planned(server, folder: Path, name: str, **more) -> dict | None:
    """The problem of a plan that is made from that file."""
    sources = [{"role": "first", "folder": str(folder), "files": [name], **more}]
    return server.call("plan", request=request(folder, task="image_to_video", sources=sources))["problem"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.mp4"])
def test_a_damaged_source_is_said_by_the_plan_until_it_is_replaced(inside, tmp_path, name):
    """Not before somebody looked, since a plan opens no file; also by the next server, and never of a whole one."""
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0 nothing that anybody can show " * 40)
    more = {"is_movie": True} if name.endswith("mp4") else {}
    sources = [{"role": "first", "folder": str(tmp_path), "files": [name], **more}]
    for again in (False, True):
        server = inside()
        assert planned(server, tmp_path, name, **more) is None
        answer = server.call("thumbnails", sources=sources, width=64, height=36)
        assert answer["pictures"] == [] and [each["file"] for each in answer["problems"]] == [name]
        found = planned(server, tmp_path, name, **more)
        assert found["kind"] == "bad_source" and str(tmp_path / name) in found["sentence"]
        if not again:
            server.leave()
    cv2.imwrite(str(tmp_path / "whole.png"), np.full((36, 64, 3), 200, np.uint8))
    os.replace(tmp_path / "whole.png", tmp_path / name)
    assert planned(server, tmp_path, name, **more) is None


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
    monkeypatch.setattr(module, "MAX_FOLDERS", 2)
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


def test_a_child_that_hangs_is_ended(tmp_path, params, monkeypatch):
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    with monkeypatch.context() as hanging:
        hanging.setattr(module.sys, "executable", str(hangs))
        assert Thumbnails(tmp_path / "kept").of(params) == ThumbnailsResult([])
    monkeypatch.undo()
    assert len(Thumbnails(tmp_path / "kept").of(params).pictures) == 1, "and it's tried again"


CHILD = """#!{python}
import os, sys
sys.argv[1:3] = []
from wan_backend.frames import source_frames, thumbnail_process
read = source_frames.read
def bad(source, *rest):
    if source.files[0] == "kills.png":
        os.kill(os.getpid(), 9)
    if source.files[0] == "hangs.png":
        import time; time.sleep(600)
    if source.files[0] == "eats.png":
        return iter([bytearray(1 << 40)])
    return read(source, *rest)
source_frames.read = bad
thumbnail_process.SOURCE_SECONDS = 3.0
sys.exit(thumbnail_process.main())
"""


@pytest.mark.skipif(os.name == "nt", reason="writes a program with a first line")
@pytest.mark.parametrize("bad", ["kills.png", "hangs.png", "eats.png"])
def test_one_that_ends_its_reader_takes_no_other_with_it(tmp_path, params, monkeypatch, bad):
    program = tmp_path / "child"
    program.write_text(CHILD.format(python=module.sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))
    (good,) = params.sources
    sources = [good, Source(Role.LOOK, good.folder, [bad]), Source(Role.LAST, good.folder, ["a.png"])]
    asked = ThumbnailsParams(sources, 64, 36)
    kept = Thumbnails(tmp_path / "kept")
    made = kept.of(asked).pictures
    assert [picture.role for picture in made] == ["first", "last"]
    assert all(Path(picture.file).read_bytes()[:2] == b"\xff\xd8" for picture in made)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a named pipe")
def test_a_pipe_and_a_bomb_are_no_pictures(tmp_path, params):
    from tests.world.pictures import png_head

    os.mkfifo(tmp_path / "pipe.png")
    png_head("bomb.png", 60_000, 60_000)(tmp_path)
    (good,) = params.sources
    asked = [Source(Role.LOOK, good.folder, [name]) for name in ("pipe.png", "bomb.png")]
    made = Thumbnails(tmp_path / "kept").of(ThumbnailsParams([*asked, good], 64, 36)).pictures
    assert [picture.role for picture in made] == ["first"]
