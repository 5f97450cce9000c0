"""Servers for tests: started by `serve`, all ended at the end of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.server.served import Served


@pytest.fixture
def serve(tmp_path: Path, models_folder: Path) -> Iterator[Callable[..., Served]]:
    """serve(*flags, **environment) is a greeted server on the test's state folder."""
    started: list[Served] = []

    def start(*flags: str, greet: bool = True, **more: object) -> Served:
        served = Served(tmp_path / "state", models_folder, *flags, **more)
        started.append(served)
        return served.__enter__() if greet else served

    yield start
    for served in started:
        served.close()
