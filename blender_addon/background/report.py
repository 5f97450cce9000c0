"""Reports progress in a file, and ends this process when the Blender that began it no longer waits."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys

ABANDONED = 5
"""The exit code of a process that nobody waits for anymore."""


class CannotRender(RuntimeError):
    """It can't be rendered; the message is a sentence for a person.

    Its template and values are reported singly: the person's Blender translates, this one has factory settings.
    """

    def __init__(self, template: str, *values: str | int) -> None:
        super().__init__(template.format(*values))
        self.template, self.values = template, values


class Report:
    """A file with one JSON object, which is always replaced whole: `done` and `of` count steps.

    `failed` is the error after a failure. `refused` is set instead if there is a sentence for a person, with `values`
    for its placeholders.
    """

    def __init__(self, path: str, steps: int) -> None:
        self._path, self._done, self._steps = path, 0, steps
        self._write("")

    def step(self, *_: object) -> None:
        """Count one more picture or camera. Ends this process if Blender has ended or closed our stdin."""
        self._done = min(self._done + 1, self._steps)
        if _is_abandoned():
            os._exit(ABANDONED)
        self._write("")

    def fail(self, reason: str) -> None:
        """Report an error."""
        self._write(reason)

    def refuse(self, reason: CannotRender) -> None:
        """Report a reason that the person can fix."""
        self._write("", reason.template, reason.values)

    def _write(self, failed: str, refused: str = "", values: tuple[str | int, ...] = ()) -> None:
        partial = self._path + ".partial"
        with open(partial, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            steps = {"done": self._done, "of": self._steps}
            json.dump({**steps, "failed": failed, "refused": refused, "values": values}, file)
        with contextlib.suppress(PermissionError):  # on Windows, while it is read; the next step reports again
            os.replace(partial, self._path)


def _is_abandoned() -> bool:
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        handle = ctypes.c_void_p(msvcrt.get_osfhandle(0))
        return not ctypes.windll.kernel32.PeekNamedPipe(handle, None, 0, None, None, None)
    readable, _, _ = select.select([0], [], [], 0)
    return bool(readable) and os.read(0, 1) == b""
