"""The add-on's parts that need no Blender, under plain Python.

The package's own `__init__` imports bpy and is not run: `blender_addon` is put there as a bare package.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "wan_vse"


def _bare_package(name: str, folder: Path) -> None:
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules.setdefault(name, package)


_bare_package(PACKAGE, ROOT)
_bare_package(f"{PACKAGE}.blender_addon", ROOT / "blender_addon")


@pytest.fixture(scope="session")
def addon() -> Callable[[str], ModuleType]:
    """addon("jobs.outbox") is that module of the add-on."""
    return lambda name: importlib.import_module(f"{PACKAGE}.blender_addon.{name}")


@pytest.fixture(scope="session")
def messages() -> ModuleType:
    """The messages as the add-on has them."""
    return importlib.import_module(f"{PACKAGE}.wan_backend.protocol.messages")


@pytest.fixture(scope="session")
def errors() -> ModuleType:
    """The errors as the add-on has them."""
    return importlib.import_module(f"{PACKAGE}.wan_backend.protocol.errors")


@pytest.fixture(scope="session")
def make_request(messages: ModuleType) -> Callable[..., object]:
    """make_request(prompt, **more) is a TakeRequest."""
    rate = messages.FrameRate(24)
    usual = {"width": 64, "height": 36, "length_frames": 9, "frame_rate": rate, "seed": 7, "media_folder": "/tmp/wan"}
    return lambda prompt="fog", **more: messages.TakeRequest(prompt, "embedded", **{**usual, **more})


@pytest.fixture(scope="session")
def make_status(messages: ModuleType, make_request) -> Callable[..., object]:
    """make_status(job_id, state, **more) is a JobStatus."""
    summary = messages.JobSummary.of(make_request())
    return lambda job_id, state="queued", **more: messages.JobStatus(
        job_id, messages.JobState(state), **{"summary": summary, **more}
    )
