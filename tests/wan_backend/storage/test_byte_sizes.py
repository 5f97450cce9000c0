"""Sizes in bytes: the folder that is asked for room, and words."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_backend.storage import byte_sizes


@pytest.mark.parametrize(
    ("size_bytes", "words"), [(0, "1 MB"), (3.5e8, "350 MB"), (999_999_999, "1000 MB"), (28.9e9, "28.9 GB")]
)
def test_a_size_in_words(size_bytes, words):
    assert byte_sizes.size_in_words(size_bytes) == words


def test_the_nearest_folder_that_is_there_is_asked_for_room(tmp_path):
    assert byte_sizes.existing_ancestor(tmp_path) == tmp_path
    assert byte_sizes.existing_ancestor(tmp_path / "not" / "yet") == tmp_path
    assert byte_sizes.free_bytes_at(tmp_path / "not" / "yet") > 0


def test_on_a_missing_drive_the_search_ends():
    folder = Path("models") / "deeper"
    assert byte_sizes.existing_ancestor(folder, lambda _path: False) == folder
