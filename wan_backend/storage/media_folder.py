"""Checks whether a take can be written to its media folder.

It changes nothing: a plan is asked for at every key press in the panel.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

from ..protocol import take_names
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from .byte_sizes import existing_ancestor, size_in_words
from .disk_errors import reason

WINDOWS_PATH_CHARACTERS = 259
"""Windows takes no longer path, unless a person has it allow them."""
TAKE_CHARACTERS = take_names.MAX_CHARACTERS + 2 + 24
"""Room for a take's folder and for the name of a file in it, while that is written as well."""
MEDIA, LORAS = Sentence("media folder"), Sentence("folder of LoRAs")
"""What a folder is called where something is wrong with it: that of takes, and that of trainings."""
RESERVE_BYTES = 16 << 20
"""Left free beside the take, for its settings, the queue and the logs."""


def check(folder: str, needed_bytes: int, what: Sentence = MEDIA) -> Problem | None:
    """Why a take of `needed_bytes` can't be written under `folder`, or None; `what` is the folder called."""
    not_a_path = Sentence(
        "The {what} '{folder}' is not a full path; choose another in the preferences.",
        what=what,
        folder=_shown(folder),
    )
    if not folder or not os.path.isabs(folder):
        return _problem(not_a_path)
    if not are_long_paths_allowed() and is_too_long_for_windows(folder):
        return _problem(
            Sentence(
                "The path of the {what} {folder} is too long for Windows: with the files in it, it comes to "
                "more than {most} characters; choose a shorter one, or allow long paths in Windows.",
                what=what,
                folder=_shown(folder),
                most=WINDOWS_PATH_CHARACTERS,
            )
        )
    try:
        return _check_folder(Path(folder), needed_bytes, what)
    except ValueError:  # a zero in it, or half a character that no system has
        return _problem(not_a_path)
    except OSError as error:
        return _problem(
            Sentence(
                "The {what} {folder} can't be used ({reason}); choose another in the preferences.",
                what=what,
                folder=folder,
                reason=reason(error),
            )
        )


def is_too_long_for_windows(folder: str) -> bool:
    """Whether a take in that folder would have files whose paths are longer than Windows takes by itself."""
    if folder.startswith("\\\\?\\"):
        return False
    return len(folder.encode("utf-16-le", "surrogatepass")) // 2 + TAKE_CHARACTERS > WINDOWS_PATH_CHARACTERS


def are_long_paths_allowed() -> bool:
    """Whether this system takes longer paths: every one but Windows, and that where a person allows it."""
    if sys.platform != "win32":
        return True
    try:
        return bool(ctypes.WinDLL("ntdll").RtlAreLongPathsEnabled())
    except (OSError, AttributeError):
        return False


def _shown(folder: str) -> str:
    return folder.replace("\0", "?").encode("utf-8", "replace").decode()


def _check_folder(folder: Path, needed_bytes: int, what: Sentence) -> Problem | None:
    parent = existing_ancestor(folder, _is_taken)
    if not _is_taken(parent):
        return _problem(
            Sentence(
                "There is no drive or folder {drive}; choose another {what} in the preferences.",
                what=what,
                drive=folder.anchor,
            )
        )
    if not parent.is_dir():
        return _problem(
            Sentence(
                "The {what} {folder} can't be created: {parent} is a file; rename that file or choose another folder.",
                what=what,
                folder=folder,
                parent=parent,
            )
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        return _problem(
            Sentence(
                "The folder {parent} can't be written to; choose another {what} in the preferences "
                "or change the folder's permissions.",
                what=what,
                parent=parent,
            )
        )
    free_bytes = shutil.disk_usage(parent).free
    if free_bytes < needed_bytes + RESERVE_BYTES:
        return Problem(
            ProblemKind.DISK_FULL,
            Sentence(
                "The {made} needs about {needed} in {folder}, but only {free} are free; make room on that "
                "disk or choose another {what}.",
                made=Sentence("take") if what == MEDIA else Sentence("training"),
                what=what,
                needed=size_in_words(needed_bytes + RESERVE_BYTES),
                folder=folder,
                free=size_in_words(free_bytes),
            ),
        )
    return None


def _is_taken(path: Path) -> bool:
    """Whether something has that name, a link to nothing too: no folder can be made there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _problem(sentence: Sentence) -> Problem:
    return Problem(ProblemKind.FOLDER, sentence)
