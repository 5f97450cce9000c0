"""Folders are made and removed however deeply they are nested."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_backend.storage import folder_trees, private_files
from wan_backend.storage.media_folder import check
from wan_backend.storage.take_folder import TakeFolder

DEEP = 1500


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A path of so many folders that functions can't call themselves for each."""
    yield tmp_path.joinpath(*["a"] * DEEP)
    folder = tmp_path
    while (folder / "a").is_dir():  # pytest removes folders by functions that call themselves
        folder = folder / "a"
    while folder != tmp_path:
        for each in folder.iterdir():
            each.rmdir()
        folder = folder.parent


@pytest.mark.skipif(sys.platform == "win32", reason="has no such paths")
def test_a_media_folder_may_lie_as_deep_as_the_disk_allows(deep):
    assert check(str(deep), 1) is None
    with pytest.raises(KeyError), TakeFolder(deep, "1" * 32, "fog") as take:
        assert take.partial.is_dir()
        raise KeyError
    assert deep.is_dir() and not take.partial.exists()


def test_those_that_were_missing_are_named_itself_first(tmp_path):
    wanted = tmp_path / "a" / "b"
    assert folder_trees.make(wanted) == [wanted, tmp_path / "a"]
    assert folder_trees.make(wanted) == []
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        folder_trees.make(tmp_path / "file")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such paths")
def test_what_is_nested_too_deeply_to_be_removed_is_an_error_of_the_disk(deep, tmp_path):
    private_files.make_open_folder(deep)
    try:
        folder_trees.remove(tmp_path / "a")
    except OSError as error:  # which of the limits is met first is the machine's
        assert str(error)
        folder_trees.remove(tmp_path / "a", ignore_errors=True)
    else:
        assert not os.path.lexists(tmp_path / "a")
