"""Fixtures of the add-on's tests: the fake backend, and a session that the test pumps."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_backend_frames import png

FAKE = Path(__file__).with_name("fake_backend.py")


@pytest.fixture
def user_folder(extension: str, addon) -> Iterator[Path]:
    """The extension's own folder, emptied around the test."""
    folder = addon("jobs.folders").user_folder()
    shutil.rmtree(folder, ignore_errors=True)
    yield addon("jobs.folders").user_folder()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fake_backend(scene, addon, user_folder: Path) -> None:
    """The preferences name the fake backend."""
    preferences = addon("jobs.folders").preferences()
    preferences.backend_command = f"{shlex.quote(sys.executable)} {shlex.quote(str(FAKE))}"


@pytest.fixture
def pumped(fake_backend, addon) -> Iterator[SimpleNamespace]:
    """A new session with the fake backend and what tests do with it."""
    import bpy

    module = addon("jobs.session")
    module.unregister()
    module.register()
    bpy.ops.ed.undo_push(message="Before")
    yield SimpleNamespace(
        session=module.current(),
        until=lambda condition, seconds=60.0: pump(module.current(), condition, seconds),
        ask=lambda scene, prompt="fog", start=10, frames=8, channel=1: ask(
            addon, module.current(), scene, prompt, start, frames, channel
        ),
    )
    module.unregister()
    addon("jobs.folders").preferences().backend_command = ""
    module.register()


def pump(session, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Tick until `condition()` holds; otherwise fails with the state of the session."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{session.server.status} {[(j.state, j.sentence) for j in session.queue()]}"
        session.tick()
        time.sleep(0.01)


def ask(addon, session, scene, prompt: str, start: int, frames: int, channel: int) -> str:
    """Generate, as the operator does, and push the undo step that the operator's would be."""
    import bpy

    settings = SimpleNamespace(
        prompt_source="FIELD",
        prompt=prompt,
        prompt_text=None,
        negative_prompt="",
        model="embedded",
        quality="STANDARD",
        length_mode="FRAMES",
        length_frames=frames,
        length_seconds=1.0,
        seed=7,
        seed_locked=True,
        resolution="144p",
        media_format="PNG",
        matrix_precision="EXACT",
        guidance_in_part=False,
        step_cache="OFF",
        handles=False,
        loras=[],
    )
    scene.frame_set(start)
    request = addon("jobs.request").build(scene, settings, SimpleNamespace(media_folder=""))
    job_id = session.generate(scene, addon("jobs.planned_takes").PlannedTake(request))
    bpy.ops.ed.undo_push(message="Generate")
    return job_id


@pytest.fixture
def put_take(addon, extension, tmp_path):
    """put_take(number) is a listed take whose files are on the disk."""
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    to_json = importlib.import_module(f"{extension}.wan_backend.protocol.conversion").to_json

    def make(number: int, place: Path | None = None, **changes):
        folder = (place or tmp_path / "wan") / f"{number:032x}"
        folder.mkdir(parents=True)
        plain = messages.TakeRequest("fog", "embedded", 64, 36, 4, messages.FrameRate(24), 7, str(folder.parent))
        request = dataclasses.replace(plain, **changes)
        for index in range(4):
            (folder / f"{index + 1:04d}.png").write_bytes(png(index))
        take = messages.Take(str(folder), "0001.png", messages.MediaFormat.PNG, 4, 64, 36, messages.FrameRate(24))
        content = {"job_id": folder.name, "request": to_json(request), "take": to_json(take)}
        (folder / "take.json").write_text(json.dumps(content))
        return addon("jobs.take_library").read_take(folder, number)

    return make
