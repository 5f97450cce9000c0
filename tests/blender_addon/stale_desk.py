"""A cut with a take whose sources change, and a scene that such a take is made from."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import bpy
import pytest

JOB = "a" * 32


class Desk:
    """A cut with a take, as if it had landed, with short methods."""

    def __init__(self, addon, cut, scene) -> None:
        self.addon, self.cut, self.scene, self.compat = addon, cut, scene, cut.compat
        self.identity, self.provenance = addon("timeline.identity"), addon("timeline.provenance")
        self.records = addon("jobs.source_records")
        self.look = addon("jobs.stale_takes").StaleTakes()
        self.files = addon("jobs.file_digests").FileDigests()
        for path in self.cut.folder.iterdir():
            os.utime(path, (time.time() - 1000,) * 2)

    def take(
        self, task: str, *names: str, start: int = 10, end: int = 34, job_id: str = JOB, channel: int = 7, **settings
    ):
        """A take strip over [start, end) that was made from the strips of those names."""
        tasks, panel = self.addon("properties.task").Task, self.scene.wan_vse
        panel.model_id = "embedded"
        panel.gap_prompt = panel.extend_prompt = panel.restyle_prompt = panel.previs_prompt = panel.edit_prompt = "fog"
        self.cut.select(*names)
        planned = self.addon("jobs.planned_takes")
        (found,) = planned.takes_now(self.scene, panel, SimpleNamespace(media_folder=""), tasks[task])
        made_from = self.provenance.remember(self.scene, found.target)
        seen = self.records.at_click(self.scene, made_from.wanted, self.files)
        assert seen
        target = found.target
        strip = self.cut.shot(f"Take {job_id[:1]}", target.start, target.end_exclusive, channel)
        self.identity.mark_take(strip, job_id, "{}", "{}")
        strip[self.provenance.PROPERTY] = self.provenance.write(
            self.addon("jobs.source_records").replace(made_from, seen=seen)
        )
        return strip

    def walk(self, times: int = 2) -> dict[str, str]:
        """The reasons by job, after so many walks."""
        for _ in range(times):
            self.look.look_again()
            self.look.tick(time.perf_counter())
            while self.look.busy:
                self.look.tick(time.perf_counter() + 1)
        return {job_id: found.reason for job_id, found in self.look.found.items()}

    def reason(self) -> str:
        return self.walk().get(JOB, "")


@pytest.fixture
def desk(addon, cut, scene) -> Desk:
    return Desk(addon, cut, scene)


def write(path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (time.time() - 100,) * 2)


@pytest.fixture
def set_(desk):
    """A scene strip 'Set' with a camera, a table in its view, and a chair behind it."""
    strip = desk.cut.scene_strip("Set", 10, 34)
    shown = strip.scene
    mesh = bpy.data.meshes.new("Box")
    mesh.from_pydata([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], [], [(0, 1, 3, 2)])
    for name, depth in (("Table", -10.0), ("Chair", 30.0)):  # the camera looks along -Z
        thing = bpy.data.objects.new(name, mesh)
        thing.location = (0, 0, depth)
        shown.collection.objects.link(thing)
    desk.take("PREVIS", "Set")
    assert desk.walk(3) == {}
    return shown
