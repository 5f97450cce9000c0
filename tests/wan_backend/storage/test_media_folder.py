"""Whether a take can be written: folders of every kind, and the room on the disk."""

from __future__ import annotations

import shutil

import pytest

from wan_backend.storage import media_folder


def test_a_folder_that_is_not_there_yet_is_fine_and_not_made(tmp_path):
    folder = tmp_path / "a b" / "'ü\"" / "wan"
    assert media_folder.check(str(folder), 1000) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "wan").write_text("")
    for folder in (tmp_path / "wan", tmp_path / "wan" / "deeper" / "still"):
        problem = media_folder.check(str(folder), 1000)
        assert problem.kind == "folder" and f"{tmp_path / 'wan'} is a file" in problem.sentence


@pytest.mark.parametrize(
    "folder", ["", "relative/wan", "//blend/relative"[2:], "/with\0nul", "/half \ud800", "/" + "x" * 5000]
)
def test_what_is_no_folder(folder):
    problem = media_folder.check(folder, 1000)
    assert problem.kind == "folder" and problem.sentence.endswith(".") and "\0" not in problem.sentence
    assert problem.sentence.encode()


def test_a_folder_that_can_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(media_folder.os, "access", lambda *_: False)
    assert "can't be written" in media_folder.check(str(tmp_path / "wan"), 1000).sentence


def test_too_little_room_is_said_with_both_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    problem = media_folder.check(str(tmp_path), 300_000_000)
    assert problem.kind == "disk_full"
    assert "needs about 317 MB" in problem.sentence and "only 1 MB are free" in problem.sentence


def test_a_name_that_is_no_unicode(tmp_path):
    assert media_folder.check(str(tmp_path / "\udcff"), 1000) is None


def test_a_link_to_nothing_is_in_the_way(tmp_path):
    (tmp_path / "wan").symlink_to(tmp_path / "gone")
    assert f"{tmp_path / 'wan'} is a file" in media_folder.check(str(tmp_path / "wan" / "deeper"), 1000).sentence


def test_a_missing_drive_is_named(monkeypatch):
    monkeypatch.setattr(media_folder, "_is_taken", lambda _path: False)
    assert media_folder.check("/takes/deeper", 1000).sentence.startswith("There is no drive or folder /;")
