"""A share whose server is gone: whoever looks at anything in it waits, until it comes back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CALLS = ("stat", "lstat", "listdir", "scandir", "open", "access", "statvfs")
PATIENCE_SECONDS = 60.0


class DeadMount:
    """Stands for one; it answers until it dies."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder = folder
        self._seen_at = [folder]
        self.waiting: list[str] = []
        """The names of the threads that wait for it, or did."""
        self._answers = threading.Event()
        self._answers.set()
        for name in filter(lambda name: hasattr(os, name), CALLS):
            monkeypatch.setattr(os, name, self._patient(getattr(os, name)))

    def die(self) -> None:
        """From now on, who looks at it waits."""
        self._answers.clear()

    def come_back(self) -> None:
        """Everything goes on."""
        self._answers.set()

    def also_at(self, link: Path) -> None:
        """It is seen at `link`, too."""
        link.symlink_to(self.folder, target_is_directory=True)
        self._seen_at.append(link)

    def _patient(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            path = arguments[0] if arguments and isinstance(arguments[0], str | os.PathLike) else "."
            if not self._answers.is_set() and any(map(Path(path).is_relative_to, self._seen_at)):
                self.waiting.append(threading.current_thread().name)
                assert self._answers.wait(PATIENCE_SECONDS)
            return real(*arguments, **more)

        return call


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadMount]:
    """A share, mounted in the test's folder, that can die."""
    from wan_backend.storage import unresponsive_folders

    made = DeadMount(tmp_path / "mount", monkeypatch)
    yield made
    made.come_back()
    unresponsive_folders.set_unresponsive(())
