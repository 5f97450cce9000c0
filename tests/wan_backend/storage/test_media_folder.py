"""Whether a take can be written: folders of every kind, and the room on the disk."""

from __future__ import annotations

import shutil

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.protocol import take_names
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


@pytest.mark.parametrize(
    ("folder", "too_long"),
    [
        ("C:\\films\\harbor\\wan", False),
        ("\\\\nas\\projects\\harbor\\wan", False),
        ("C:\\" + "f" * 250, True),
        ("\\\\nas\\projects\\" + "harbor\\" * 30 + "wan", True),
        ("\\\\?\\C:\\" + "f" * 250, False),
        ("C:\\" + "😀" * 100, True),  # which are two characters each to Windows
        ("C:\\" + "\ud800" * 10, False),
    ],
)
def test_windows_allows_260_characters(folder, too_long):
    assert media_folder.is_too_long_for_windows(folder) is too_long


def test_a_path_that_windows_does_not_take_is_told_before_the_take_is_made(tmp_path, monkeypatch):
    deep = tmp_path / ("f" * 200)
    assert media_folder.are_long_paths_allowed() and media_folder.check(str(deep), 1000) is None
    monkeypatch.setattr(media_folder, "are_long_paths_allowed", lambda: False)
    problem = media_folder.check(str(deep), 1000)
    assert problem.kind == "folder" and "too long for Windows" in problem.sentence
    assert media_folder.check(str(tmp_path / "wan"), 1000) is None


def test_the_longest_name_that_a_take_may_have_is_counted():
    prompt = "a harbor at dusk, boats, gulls and lanterns, seen from above in the rain"
    name = take_names.numbered(take_names.MAX_NUMBER, take_names.title(take_request("/m", prompt=prompt, seed=2**63)))
    longest = max(len(name), len(f"{'a' * 32}.partial")) + len("/0001.png.part") + 1
    assert longest <= media_folder.TAKE_CHARACTERS
