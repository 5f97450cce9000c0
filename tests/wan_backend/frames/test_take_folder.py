"""A take is there whole or not at all."""

from __future__ import annotations

import json

import pytest

from wan_backend.frames import take_folder
from wan_backend.frames.take_folder import TakeFolder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_publishing_gives_the_folder_its_name(tmp_path):
    with TakeFolder(tmp_path / "wan é 'x'", "job") as take:
        assert names(tmp_path / "wan é 'x'") == ["job.partial"]
        (take.partial / "0001.png").write_bytes(b"x")
        folder = take.publish({"format": 1, "prompt": "é\ud800"})
    assert names(tmp_path / "wan é 'x'") == ["job"]
    assert folder == tmp_path / "wan é 'x'" / "job"
    assert names(folder) == ["0001.png", "take.json"]
    assert json.loads((folder / "take.json").read_bytes()) == {"format": 1, "prompt": "é\ud800"}


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), TakeFolder(tmp_path, "job") as take:
        (take.partial / "0001.png").write_bytes(b"x")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_what_a_dead_worker_left_is_swept_away(tmp_path):
    (tmp_path / "job.partial").mkdir()
    (tmp_path / "job.partial" / "0099.png").write_bytes(b"x")
    with TakeFolder(tmp_path, "job") as take:
        assert names(take.partial) == []


def test_a_take_made_again_replaces_the_old_one_at_the_end(tmp_path):
    for content in (b"old", b"new"):
        with TakeFolder(tmp_path, "job") as take:
            (take.partial / "0001.png").write_bytes(content)
            if content == b"new":
                assert (tmp_path / "job" / "0001.png").read_bytes() == b"old"
            take.publish({})
    assert (tmp_path / "job" / "0001.png").read_bytes() == b"new"
    assert names(tmp_path) == ["job"]


def test_the_old_take_stays_where_the_new_one_can_not_be_named(tmp_path, monkeypatch):
    with TakeFolder(tmp_path, "job") as take:
        (take.partial / "0001.png").write_bytes(b"old")
        take.publish({})
    rename = take_folder.os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise OSError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(take_folder.os, "rename", refuse)
    with pytest.raises(OSError, match="Permission"), TakeFolder(tmp_path, "job") as take:
        take.publish({})
    assert names(tmp_path) == ["job"]
    assert (tmp_path / "job" / "0001.png").read_bytes() == b"old"


def test_what_is_in_the_way_and_is_no_take_is_kept(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for number in range(3):
        if number < 2:
            (tmp_path / "job").mkdir()
            (tmp_path / "job" / "painted.psd").write_text("years of work")
        else:
            (tmp_path / "job").symlink_to(tmp_path / "elsewhere")
        with TakeFolder(tmp_path, "job") as take:
            (take.partial / "0001.png").write_bytes(b"new")
            take.publish({})
        assert names(tmp_path / "job") == ["0001.png", "take.json"]
        if number < 2:
            assert (tmp_path / f"job.kept-{number + 1}" / "painted.psd").read_text() == "years of work"
            (tmp_path / "job").rename(tmp_path / f"done-{number}")
    assert names(tmp_path / "elsewhere") == []
    assert (tmp_path / "job.kept-3").is_symlink()


@pytest.mark.parametrize("target", ["there", "gone"])
def test_a_link_in_the_place_of_the_half_made_take_is_not_followed(tmp_path, target):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "0001.png").write_text("years of work")
    (tmp_path / "job.partial").symlink_to(tmp_path / target)
    with TakeFolder(tmp_path, "job") as take:
        (take.partial / "0001.png").write_bytes(b"new")
        take.publish({})
    assert names(tmp_path / "job") == ["0001.png", "take.json"]
    assert names(tmp_path / "there") == ["0001.png"]
    assert (tmp_path / "there" / "0001.png").read_text() == "years of work"
    assert not (tmp_path / "gone").exists()
