"""A cut for the tests of the seven tasks: real pictures, and strips of every kind, with short methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_backend_frames import png


class Cut:
    """Puts strips on the timeline of one scene; nothing is selected until `select`."""

    def __init__(self, scene, addon, folder: Path) -> None:
        self.scene, self.addon, self.folder = scene, addon, folder
        self.compat, self.selection = addon("timeline.compat"), addon("timeline.selection")
        self.folder.mkdir(exist_ok=True)
        for index in range(120):
            (self.folder / f"{index:04d}.png").write_bytes(png(index))

    @property
    def strips(self):
        """The strips of the timeline that is shown."""
        return self.compat.shown_strips(self.scene)

    def shot(self, name: str, start: int, end: int, channel: int = 1):
        """An image sequence with as many pictures as frames."""
        strip = self.still(name, start, start + 1, channel)
        for index in range(1, end - start):
            strip.elements.append(f"{index % 120:04d}.png")
        self.compat.set_handles(strip, start, end)
        return strip

    def still(self, name: str, start: int, end: int, channel: int = 1):
        """One picture, held."""
        strip = self.strips.new_image(
            name=name, filepath=str(self.folder / "0000.png"), channel=channel, frame_start=start, fit_method="FILL"
        )
        self.compat.set_handles(strip, start, end)
        return self._left(strip)

    def effect(self, name: str, kind: str, start: int, end: int, channel: int = 3):
        """A text, color or adjustment strip."""
        parameters = self.strips.bl_rna.functions["new_effect"].parameters
        length = {"length": end - start} if "length" in parameters else {"frame_end": end}
        strip = self.strips.new_effect(name=name, type=kind, channel=channel, frame_start=start, **length)
        return self._left(strip)

    def text(self, words: str, start: int, end: int, channel: int = 5):
        """A text strip of that name and text."""
        strip = self.effect(words or "empty", "TEXT", start, end, channel)
        strip.text = words
        return strip

    def scene_strip(self, name: str, start: int, end: int, channel: int = 1, camera: bool = True):
        """A strip of another scene."""
        import bpy

        shown = bpy.data.scenes.new(name)
        shown.frame_start, shown.frame_end = 1, end - start
        if camera:
            shown.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
            shown.collection.objects.link(shown.camera)
        strip = self.strips.new_scene(name=name, scene=shown, channel=channel, frame_start=start)
        self.compat.set_handles(strip, start, end)
        return self._left(strip)

    def select(self, *names: str):
        """Select only these strips; returns the add-on's Selection."""
        for strip in self.strips:
            strip.select = strip.name in names
        return self.read()

    def read(self):
        """The add-on's Selection."""
        return self.selection.read(self.scene)

    def places(self) -> list[tuple[str, int, int, int]]:
        """Name, start, end_exclusive and channel of every strip."""
        start, end = self.compat.start, self.compat.end_exclusive
        return sorted((strip.name, start(strip), end(strip), strip.channel) for strip in self.strips)

    def _left(self, strip):
        strip.select = False
        return strip


@pytest.fixture
def cut(scene, addon, tmp_path) -> Cut:
    """An empty cut."""
    return Cut(scene, addon, tmp_path / "shots")
