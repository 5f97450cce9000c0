"""Has the server wait in the middle of something, as with a disk that does not answer. Standard library only.

Its folder goes before all others into PYTHONPATH.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any


def _wait_for(name: str) -> None:
    while name in os.environ and not Path(os.environ[name]).exists():
        time.sleep(0.02)


def _change(module: Any) -> None:
    if module.__name__ == "wan_backend.job_queue.reading":
        read = module.job_of
        module.job_of = lambda *given: (_wait_for("SLOW_READING_UNTIL"), read(*given))[1]
    if module.__name__ == "wan_backend.server.handlers":
        leave = module.Handlers.shutdown
        module.Handlers.shutdown = lambda *given: (_wait_for("SLOW_SHUTDOWN_UNTIL"), leave(*given))[1]


class _Finder(importlib.abc.MetaPathFinder):
    """Changes modules once they are loaded."""

    def find_spec(self, name: str, path: Any, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith("wan_backend."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_change(module: ModuleType) -> None:
                load(module)
                _change(module)

            spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Finder())
