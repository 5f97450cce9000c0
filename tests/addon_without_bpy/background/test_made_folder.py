"""A folder goes only if it was made for that job, and lies in the job's own."""

from __future__ import annotations

import json
import os

import pytest

JOB, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def made(addon):
    return addon("background.made_folder")


def test_what_was_made_is_removed_and_made_anew(made, tmp_path) -> None:
    folder = str(tmp_path / JOB / "footage")
    made.make(folder, JOB)
    (tmp_path / JOB / "footage" / "0001.png").write_bytes(b"x")
    assert made.is_ours(folder, JOB) and not made.is_ours(folder, OTHER) and not made.is_ours(folder, "")
    made.make(folder, JOB)
    assert os.listdir(folder) == [made.MARK]
    made.remove(folder, JOB)
    assert not os.path.exists(folder)
    made.clear(folder, JOB)


def test_an_empty_folder_in_the_way_is_none(made, tmp_path) -> None:
    (tmp_path / JOB / "footage").mkdir(parents=True)
    made.make(str(tmp_path / JOB / "footage"), JOB)


@pytest.mark.parametrize(
    "mark", [None, "{", "[" * 9000, "[" * 4000, "7", '{"job": 7}', json.dumps({"job": OTHER}), "link", "pipe"]
)
@pytest.mark.parametrize("place", [JOB, "Videos"])
def test_whatever_else_is_there_stays(made, tmp_path, mark, place) -> None:
    folder = tmp_path / place / "footage"
    folder.mkdir(parents=True)
    (folder / "rushes.mov").write_bytes(b"years of work")
    if mark == "link":
        (tmp_path / "mark").write_text(json.dumps({"job": JOB}))
        os.symlink(tmp_path / "mark", folder / made.MARK)
    elif mark == "pipe":
        os.mkfifo(folder / made.MARK)
    elif mark is not None:
        (folder / made.MARK).write_text(mark)
    _stays(made, folder)


def test_a_mark_in_another_place_says_nothing(made, tmp_path) -> None:
    folder = tmp_path / "Videos" / "footage"
    folder.mkdir(parents=True)
    (folder / "rushes.mov").write_bytes(b"years of work")
    (folder / made.MARK).write_text(json.dumps({"job": JOB}))
    _stays(made, folder)


def test_links_are_not_followed(made, tmp_path) -> None:
    (tmp_path / "Videos" / JOB).mkdir(parents=True)
    folder = tmp_path / "Videos" / JOB / "footage"
    made.make(str(folder), JOB)
    (folder / "rushes.mov").write_bytes(b"years of work")
    (tmp_path / JOB).mkdir()
    os.symlink(folder, tmp_path / JOB / "footage")
    _stays(made, tmp_path / JOB / "footage")
    (tmp_path / "film").mkdir()
    os.symlink(tmp_path / "Videos" / JOB, tmp_path / "film" / JOB)
    _stays(made, tmp_path / "film" / JOB / "footage")


def test_a_file_in_the_way_stays(made, tmp_path) -> None:
    (tmp_path / JOB).mkdir()
    (tmp_path / JOB / "footage").write_bytes(b"x")
    with pytest.raises(made.FolderInTheWay):
        made.make(str(tmp_path / JOB / "footage"), JOB)


def _stays(made, folder) -> None:
    made.remove(str(folder), JOB)
    for change in (made.make, made.clear):
        with pytest.raises(made.FolderInTheWay, match="move it away") as raised:
            change(str(folder), JOB)
        assert raised.value.template.format(raised.value.path) == str(raised.value), "it is translated elsewhere"
    assert (folder / "rushes.mov").read_bytes() == b"years of work"


@pytest.mark.parametrize("link", ["sources", f"sources/{JOB}"])
def test_nothing_is_made_where_a_link_leads(made, tmp_path, link) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(made.FolderInTheWay, match="is a link to another place"):
        made.make(str(tmp_path / "sources" / JOB / "footage"), JOB)
    assert os.listdir(tmp_path / "elsewhere") == []
