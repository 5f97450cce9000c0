"""A strip with three takes, and why an operator refuses: for the tests of the operators on takes."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path

import bpy
import fake_backend_frames as frames_of_fake
import pytest

A, B, C = "a" * 32, "b" * 32, "c" * 32
FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


class Shot:
    """A strip with the takes C (newest), B and A (shown), of which the request of each can be read."""

    def __init__(self, stand_in, scene, addon, folder: Path):
        self.stand_in, self.scene, self.addon, self.folder = stand_in, scene, addon, folder
        self.compat, self.identity, self.takes = (
            addon(f"timeline.{name}") for name in ("compat", "identity", "strip_takes")
        )
        self.conversion = importlib.import_module(stand_in.messages.__name__.replace("messages", "conversion"))
        kept = [self.on_disk(job_id) for job_id in (A, B, C)]
        self.name = self.put(kept[0], self.text(A), 3, 10)
        for take in kept[1:]:
            self.takes.remember(self.strip, take, self.takes.Made(self.text(take.job_id)))
        scene.sequence_editor.active_strip = self.strip
        self.strip.select = True

    def put(self, take, text: str, channel: int, start: int) -> str:
        strip = self.addon("timeline.take_strips").put_on_timeline(
            self.scene, "Shot", take.files(), channel, start, take.frames
        )
        self.identity.mark_take(strip, take.job_id, text, "{}")
        return strip.name

    def on_disk(self, job_id: str, frames: int = 24):
        folder = self.folder / job_id
        folder.mkdir()
        for index in range(frames):
            (folder / f"{index + 1:04d}.png").write_bytes(frames_of_fake.png(index))
        return self.takes.KeptTake(job_id, str(folder), "0001.png", frames, False)

    def text(self, job_id: str, **changed) -> str:
        self.stand_in.add(job_id)
        m = self.stand_in.messages
        changed = {"seed": int(job_id[0], 16), "length_frames": 24, "quality": m.Quality.DRAFT, **changed}
        return json.dumps(self.conversion.to_json(dataclasses.replace(self.stand_in.requests[job_id], **changed)))

    @property
    def strip(self):
        return self.compat.strip_named(self.scene, self.name)

    @property
    def shown(self) -> str:
        return self.strip[self.identity.JOB]

    def flip(self, direction: str = "NEXT") -> str:
        bpy.ops.wan_vse.flip_take(direction=direction)
        return self.shown[0]


def why_not(name: str) -> str:
    operator = getattr(bpy.ops.wan_vse, name)
    if operator.poll():
        return ""
    with pytest.raises(RuntimeError) as refused:
        operator()
    return str(refused.value).partition(".poll() ")[2].strip()
