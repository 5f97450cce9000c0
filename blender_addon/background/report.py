"""Says in a file how far the rendering is, and finds out whether Blender still waits for it. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys

ABANDONED = 5
"""The exit code where nobody waits any more."""


class Refused(RuntimeError):
    """It can't be rendered, for what the message says in a whole sentence."""


class Report:
    """One JSON object in a file that is replaced whole: `done` and `of` steps, `failed` with why.

    `refused` has it instead where that is a whole sentence for a person.
    """

    def __init__(self, path: str, steps: int) -> None:
        self._path, self._done, self._steps = path, 0, steps
        self._write("")

    def step(self, *_: object) -> None:
        """One more picture is written. Ends this process where Blender is gone or has closed our stdin."""
        self._done = min(self._done + 1, self._steps)
        if _is_abandoned():
            os._exit(ABANDONED)
        self._write("")

    def fail(self, reason: str) -> None:
        """It can't be done."""
        self._write(reason)

    def refuse(self, sentence: str) -> None:
        """It can't be done, for a reason that the person can mend."""
        self._write("", sentence)

    def _write(self, failed: str, refused: str = "") -> None:
        partial = self._path + ".partial"
        with open(partial, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump({"done": self._done, "of": self._steps, "failed": failed, "refused": refused}, file)
        with contextlib.suppress(PermissionError):  # on Windows, while it's being read; the next one tells
            os.replace(partial, self._path)


def _is_abandoned() -> bool:
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        handle = ctypes.c_void_p(msvcrt.get_osfhandle(0))
        return not ctypes.windll.kernel32.PeekNamedPipe(handle, None, 0, None, None, None)
    readable, _, _ = select.select([0], [], [], 0)
    return bool(readable) and os.read(0, 1) == b""
