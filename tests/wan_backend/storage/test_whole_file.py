"""A file is whole or as it was, whatever goes wrong; and what tells it from another."""

from __future__ import annotations

import os

import pytest

from wan_backend.storage import guarded_files, whole_file


@pytest.fixture
def held(monkeypatch):
    """held(system, times): the first so many renames fail, as where a virus scanner holds the file."""
    replace, waited = os.replace, []
    monkeypatch.setattr(whole_file.time, "sleep", waited.append)

    def hold(system: str, times: int) -> list[float]:
        left = [times]

        def refuse(source, target):
            if left[0]:
                left[0] -= 1
                raise PermissionError(13, "held")
            replace(source, target)

        monkeypatch.setattr(whole_file.sys, "platform", system)
        monkeypatch.setattr(whole_file.os, "replace", refuse)
        return waited

    return hold


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(whole_file.os, "fsync", lambda d: order.append("fsync") or fsync(d))
    monkeypatch.setattr(whole_file.os, "replace", lambda *a: order.append("replace") or replace(*a))
    whole_file.write(tmp_path / "a", b"abc", flushed=True)
    whole_file.write(tmp_path / "a", memoryview(b"abcd"))
    assert order == ["fsync", "replace", "replace"]
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"abcd"]


def test_what_killed_writers_left_goes_and_nothing_else(tmp_path, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(whole_file, "write", lambda *_, **__: None)
        for name in ("kernels.json", "memory.json"):
            whole_file.write_json(tmp_path / name, {})
    old, _being_written = sorted(tmp_path.iterdir())
    others = [tmp_path / name for name in ("a.tmp", "notes.json.tmp", "kernels.json", "x.json.12345678.tmp.txt")]
    for file in (old, *others):
        file.touch()
        os.utime(file, (1000.0, 1000.0))
    before = set(tmp_path.iterdir())
    whole_file.prune(tmp_path)
    assert before - set(tmp_path.iterdir()) == {old}
    whole_file.prune(tmp_path / "nowhere")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    whole_file.write(tmp_path / "a", b"old")
    monkeypatch.setattr(whole_file.os, step, lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        whole_file.write(tmp_path / "a", b"new", flushed=True, unfinished=tmp_path / "mine.part")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_windows_tries_again_where_a_file_is_held(tmp_path, held):
    waited = held("win32", whole_file.REPLACE_TRIES - 1)
    whole_file.write(tmp_path / "a", b"abc")
    assert (tmp_path / "a").read_bytes() == b"abc" and len(waited) == whole_file.REPLACE_TRIES - 1


def test_one_that_another_server_has_renamed_meanwhile_keeps_no_other(tmp_path):
    for name in "abcdefgh":
        (tmp_path / f"{name}.json.aaaaaaaa.tmp").symlink_to(tmp_path / "gone")
        (tmp_path / f"{name}.json.bbbbbbbb.tmp").touch()
        os.utime(tmp_path / f"{name}.json.bbbbbbbb.tmp", (1, 1))
    whole_file.prune(tmp_path)
    assert [each for each in tmp_path.iterdir() if "bbbb" in each.name] == []


@pytest.mark.parametrize(("system", "waits"), [("win32", whole_file.REPLACE_TRIES - 1), ("linux", 0)])
def test_one_that_stays_held_is_an_error(tmp_path, held, system, waits):
    waited = held(system, 99)
    with pytest.raises(PermissionError):
        whole_file.write(tmp_path / "a", b"abc")
    assert len(waited) == waits and list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_synced_is_no_error(tmp_path):
    whole_file.sync_folder(tmp_path)
    whole_file.sync_folder(tmp_path / "nothing")


def test_a_stamp_is_of_the_content_a_link_leads_to(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    first = guarded_files.stamp(tmp_path / "link")
    assert first == guarded_files.stamp(tmp_path / "a") and first[0] == 3
    os.utime(tmp_path / "a", ns=(1, first[1] + 1))
    assert guarded_files.stamp(tmp_path / "link") == (3, first[1] + 1)
    with pytest.raises(FileNotFoundError):
        guarded_files.stamp(tmp_path / "nothing")
