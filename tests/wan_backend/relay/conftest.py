"""Relays for tests: each speaks to a real server with the fake worker, as if that were on another machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wan_backend.server.served import FAKE_WORKER, ROOT, Served

SLOW_LINE = Path(__file__).with_name("slow_line.py")


@pytest.fixture
def far_command(tmp_path: Path, models_folder: Path) -> Callable[..., list[str]]:
    """far_command(*flags of serve) starts the server "over there"."""

    def command(*flags: str) -> list[str]:
        worker = json.dumps([sys.executable, str(FAKE_WORKER)])
        serve = [sys.executable, "-m", "wan_backend", "serve", "--state", str(tmp_path / "far")]
        given = ["--models-folder", str(models_folder), "--worker-command", worker, *flags]
        return ["env", f"PYTHONPATH={ROOT}", *serve, *given]

    return command


@pytest.fixture
def relay(
    tmp_path: Path, models_folder: Path, far_command: Callable[..., list[str]]
) -> Iterator[Callable[..., Served]]:
    """relay(*flags of the relay, line=flags of slow_line, serve=flags of serve) is a greeted relay."""
    started: list[Served] = []

    def start(
        *flags: str, line: tuple[str, ...] = (), serve: tuple[str, ...] = (), far: list[str] | None = None
    ) -> Served:
        command = far or far_command(*serve)
        if line:
            command = [sys.executable, str(SLOW_LINE), *line, "--", *command]
        near = [sys.executable, "-m", "wan_backend.relay", "--state", str(tmp_path / "near"), "--name", "box"]
        made = Served(tmp_path / "near", models_folder, instead=[*near, *flags, "--", *command])
        started.append(made)
        return made.__enter__()

    yield start
    for each in started:
        each.close()
