"""What an error of the disk is told as: what it is, and what helps."""

from __future__ import annotations

import errno
import os

import pytest

from wan_backend.protocol.sentences import Sentence
from wan_backend.storage import disk_errors

NOT_KEPT = Sentence("The answer was not kept")


@pytest.mark.parametrize(("free", "words"), [(0, "is full; make room"), (10**9, "holds as many files as it can")])
def test_a_disk_that_has_bytes_and_no_room_for_files_is_not_told_as_full(tmp_path, monkeypatch, free, words):
    monkeypatch.setattr(disk_errors, "free_bytes_at", lambda _: free)
    file = str(tmp_path / "not there" / "transformers.json")
    problem = disk_errors.write_problem(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file), NOT_KEPT)
    assert problem.kind == "disk_full" and words in problem.sentence and file in problem.sentence


@pytest.mark.parametrize("file", [None, "state.json"])
def test_a_disk_that_can_not_be_asked_is_told_as_full(file):
    problem = disk_errors.write_problem(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file), NOT_KEPT)
    assert "is full; make room" in problem.sentence
