"""Part of a long cut after weeks of work: takes that fill gaps, with measured seams, all of them stale. bpy.

The strips are told by their own properties alone, as in a film that was opened; the walk for stale takes finds out that
the sources are other pictures than the takes were made from.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import bpy

FRAMES = 8
STRIPS_OF_ONE = 3
"""The take and its two neighbors."""
FIRST_CHANNEL, LAST_CHANNEL = 6, 20


class MarkedCut:
    """Puts such takes on the timeline of a scene, above what is there."""

    def __init__(self, package: str, scene: bpy.types.Scene, folder: Path) -> None:
        self.scene, self.picture = scene, folder / "neighbor.png"
        names = ("compat", "identity", "provenance", "seen_sources", "footage", "seam_retry", "strip_takes")
        for name in names:
            setattr(self, name, importlib.import_module(f"{package}.blender_addon.timeline.{name}"))
        _write_picture(self.picture)
        self.jobs: list[str] = []

    def add(self, count: int, begin: int) -> None:
        """So many takes with their neighbors, from that frame on."""
        channels = LAST_CHANNEL - FIRST_CHANNEL
        for number in range(count):
            self._add_one(number, begin + 40 * (number // channels), FIRST_CHANNEL + number % channels)

    def retry_last(self) -> None:
        """Let a search for a better seam of the last one go on."""
        identity, job_id = self.identity, self.jobs[-1]
        strip = next(each for each in self.compat.all_strips(self.scene) if each.get(identity.JOB) == job_id)
        waited = f"{(1 << 123):032x}"
        retry = self.seam_retry.Retry(f"{1:032x}", job_id, 2.4, 8, True, True, (waited,))
        self.seam_retry.write(strip, retry)
        self.strip_takes.set_asked(strip, [self.strip_takes.Asked(waited, job_id, "{}")])

    def _add_one(self, number: int, start: int, channel: int) -> None:
        names = f"Before {number}", f"After {number}"
        places = (start, start + 2 * FRAMES)
        neighbors = [self._put(*each, channel) for each in zip(names, places, strict=True)]
        take = self._put(f"Take {number}", start + FRAMES, channel)
        job_id = f"{(1 << 122) + number:032x}"
        self.jobs.append(job_id)
        self.identity.mark_take(take, job_id, "{}", json.dumps(self._told()))
        take[self.provenance.PROPERTY] = self.provenance.write(self._made_from(neighbors, start + FRAMES))

    def _told(self) -> dict[str, Any]:
        jump, worse = ({"motion": motion, "level": 0.8, "color": 0.1} for motion in (0.4, 2.4))
        rest = {"media_format": "png", "width": 64, "height": 36, "frame_rate": {"fps": 24, "fps_base": 1.0}}
        file = {"folder": str(self.picture.parent), "first_file": "0001.png", "frames": FRAMES}
        return {**file, **rest, "start_jump": jump, "end_jump": worse}

    def _made_from(self, neighbors: list[Any], start: int) -> Any:
        end, roles = start + FRAMES, self.footage.Role
        sources = tuple(map(self.provenance.source_of, neighbors))
        ranges = ((roles.BEFORE, start - FRAMES, start), (roles.AFTER, end, end + FRAMES))
        wanted = tuple(
            self.footage.FootageRange(*each, (strip.name,)) for each, strip in zip(ranges, neighbors, strict=True)
        )
        other = self.seen_sources.SeenFiles(self.picture.name, 1, 1, "", "0" * 32)
        seen = tuple(
            self.seen_sources.SeenStrip(each.strip_names[0], each.role.value, True, "", "", other) for each in wanted
        )
        return self.provenance.Provenance("fill_gap", start, end, sources, wanted, seen)

    def _put(self, name: str, start: int, channel: int) -> Any:
        collection = self.compat.strips(self.scene.sequence_editor)
        strip = self.compat.new_image(collection, name, str(self.picture), channel, start)
        self.compat.set_handles(strip, start, start + FRAMES)
        return strip


def _write_picture(file: Path) -> None:
    image = bpy.data.images.new(file.stem, 64, 36)
    image.filepath_raw, image.file_format = str(file), "PNG"
    image.save()
    bpy.data.images.remove(image)
