"""What the tests of the environment share: a server of files, a machine without settings, the uv that is pinned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wan_backend.environment.local_index import Server
from wan_backend.environment import make, uv_tool
from wan_backend.environment.causes import SetupFailed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """A server of the folder `tmp_path/served`."""
    (tmp_path / "served").mkdir()
    server = Server(tmp_path / "served")
    yield server
    server.close()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine says how the network is reached."""
    for name in list(os.environ):
        if name.upper().startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="session")
def uv() -> Path:
    """The uv that is pinned, where build.py keeps it."""
    try:
        return uv_tool.bring(ROOT / "build" / "tools", make.way(isolated=False, hashed=True), lambda *_: None)
    except (uv_tool.NoTool, SetupFailed) as error:
        pytest.skip(f"uv can't be had here: {error}")
