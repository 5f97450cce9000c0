"""Checks whether a take can be written to its media folder.

It changes nothing: a plan is asked for at every key press in the panel.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..protocol.messages import Problem, ProblemKind
from .byte_sizes import existing_ancestor, size_in_words
from .disk_errors import reason

RESERVE_BYTES = 16 << 20
"""Left free beside the take, for its settings, the queue and the logs."""


def check(folder: str, needed_bytes: int) -> Problem | None:
    """Why a take of `needed_bytes` can't be written under `folder`, or None."""
    not_a_path = f"The media folder '{_shown(folder)}' is not a full path; choose another in the preferences."
    if not folder or not os.path.isabs(folder):
        return _problem(not_a_path)
    try:
        return _check_folder(Path(folder), needed_bytes)
    except ValueError:  # a zero in it, or half a character that no system has
        return _problem(not_a_path)
    except OSError as error:
        return _problem(
            f"The media folder {folder} can't be used ({reason(error)}); choose another in the preferences."
        )


def _shown(folder: str) -> str:
    return folder.replace("\0", "?").encode("utf-8", "replace").decode()


def _check_folder(folder: Path, needed_bytes: int) -> Problem | None:
    parent = existing_ancestor(folder, _is_taken)
    if not _is_taken(parent):
        return _problem(f"There is no drive or folder {folder.anchor}; choose another media folder in the preferences.")
    if not parent.is_dir():
        return _problem(
            f"The media folder {folder} can't be created: {parent} is a file; "
            "rename that file or choose another folder."
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        return _problem(
            f"The folder {parent} can't be written to; choose another media folder in the preferences "
            "or change the folder's permissions."
        )
    free_bytes = shutil.disk_usage(parent).free
    if free_bytes < needed_bytes + RESERVE_BYTES:
        return Problem(
            ProblemKind.DISK_FULL,
            f"The take needs about {size_in_words(needed_bytes + RESERVE_BYTES)} in {folder}, but only "
            f"{size_in_words(free_bytes)} are free; make room on that disk or choose another media folder.",
        )
    return None


def _is_taken(path: Path) -> bool:
    """Whether something has that name, a link to nothing too: no folder can be made there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _problem(sentence: str) -> Problem:
    return Problem(ProblemKind.FOLDER, sentence)
