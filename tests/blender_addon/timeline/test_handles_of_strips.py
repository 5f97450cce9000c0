"""Takes with handles on the timeline: the frames that are shown are the same with them and without."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import bpy
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fake_backend_frames as frames_of_fake

A, B, C = "a" * 32, "b" * 32, "c" * 32
START, LENGTH, HANDLE = 100, 24, 12


class Shot:
    """A strip on channel 3 that shows the take A without handles, close between two others; B has handles."""

    def __init__(self, scene, addon, folder: Path):
        self.scene, self.folder = scene, folder
        self.compat, self.takes = addon("timeline.compat"), addon("timeline.strip_takes")
        self.take_strips, self.identity = addon("timeline.take_strips"), addon("timeline.identity")
        self.media = addon("timeline.strip_media")
        plain, self.long = self.on_disk(A, 0), self.on_disk(B, HANDLE)
        self.name = self.take_strips.put_on_timeline(scene, "Shot", plain.files(), 3, START, LENGTH).name
        self.identity.mark_take(self.strip, A, "", "{}")
        self.takes.remember(self.strip, self.long)
        for name, start in (("Left", START - 30), ("Right", START + LENGTH)):
            self.compat.new_color(self.compat.strips(scene.sequence_editor), name, 3, start, 30)

    def on_disk(self, job_id: str, handle: int):
        folder = self.folder / job_id
        folder.mkdir()
        for index in range(LENGTH + 2 * handle):
            (folder / f"{index + 1:04d}.png").write_bytes(frames_of_fake.png(index))
        return self.takes.KeptTake(
            job_id, str(folder), "0001.png", LENGTH + 2 * handle, False, handle_before=handle, handle_after=handle
        )

    @property
    def strip(self):
        return self.compat.strip_named(self.scene, self.name)

    def show(self, job_id: str) -> str:
        return self.takes.show(self.scene, self.strip, job_id)

    def place(self):
        strip = self.strip
        return self.compat.start(strip), self.compat.end_exclusive(strip), strip.channel

    def files(self) -> tuple[str, str]:
        """Of the first and the last frame that the strip shows."""
        first, last = self.place()[0], self.place()[1] - 1
        return tuple(self.media.names_of(self.strip, range(frame, frame + 1))[0] for frame in (first, last))


@pytest.fixture
def shot(scene, addon, tmp_path):
    return Shot(scene, addon, tmp_path)


def test_flips_between_takes_with_and_without_handles_keep_every_frame_in_its_place(shot):
    for _ in range(2):
        assert shot.show(B) == ""
        assert shot.place() == (START, START + LENGTH, 3) and shot.files() == ("0013.png", "0036.png")
        assert shot.compat.content_start(shot.strip) == START - HANDLE
        assert shot.show(A) == ""
        assert shot.place() == (START, START + LENGTH, 3) and shot.files() == ("0001.png", "0024.png")
        assert shot.compat.content_start(shot.strip) == START
    others = {strip.name: (strip.channel, shot.compat.start(strip)) for strip in shot.compat.all_strips(shot.scene)}
    assert others["Left"] == (3, START - 30) and others["Right"] == (3, START + LENGTH)


def test_a_trimmed_or_split_strip_flips_to_the_same_frames(shot):
    shot.compat.set_handles(shot.strip, START + 5, START + 20)
    assert shot.show(B) == "" and shot.files() == ("0018.png", "0032.png")
    right = shot.strip.split(frame=START + 10, split_method="SOFT")
    right[shot.identity.STRIP] = shot.identity.new_id()
    assert shot.files() == ("0018.png", "0022.png")
    shot.name = right.name
    assert shot.files() == ("0023.png", "0032.png") and shot.takes.shown_handle(right) == HANDLE
    assert shot.show(A) == "" and shot.files() == ("0011.png", "0020.png")


def test_handles_are_there_to_slip_into_and_are_missed_where_there_are_none(shot):
    shot.show(B)
    for name in ("Left", "Right"):
        shot.compat.strips(shot.scene.sequence_editor).remove(shot.compat.strip_named(shot.scene, name))
    shot.compat.set_handles(shot.strip, START - HANDLE, START + LENGTH + HANDLE)
    assert shot.files() == ("0001.png", "0048.png") and shot.compat.held_frames(shot.strip) == (0, 0)
    plain = next(take for take in shot.takes.takes_of(shot.strip) if take.job_id == A)
    assert shot.takes.held_before(shot.strip, plain) == shot.takes.held_frames(shot.strip, plain) == HANDLE
    assert shot.show(A) == "" and shot.compat.held_frames(shot.strip) == (HANDLE, HANDLE)


def test_keys_stay_where_they_are_when_a_take_with_handles_is_shown(shot):
    strip = shot.strip
    for frame, value in ((START + 2, 0.2), (START + 9, 1.0)):
        strip.blend_alpha = value
        strip.keyframe_insert("blend_alpha", frame=frame)
    assert shot.show(B) == ""
    (curve,) = shot.compat.curves(shot.scene)
    assert [point.co.x for point in curve.keyframe_points] == [START + 2, START + 9]
    assert curve.data_path.endswith('["Shot"].blend_alpha')


def test_a_strip_that_was_cut_for_good_shows_the_same_frames(shot):
    strip = shot.strip
    strip.select = True
    right = strip.split(frame=START + 10, split_method="HARD")
    right[shot.identity.STRIP] = shot.identity.new_id()
    shot.name = right.name
    before = shot.files()
    assert shot.show(B) == ""
    expected = tuple(f"{int(name[:4]) + HANDLE:04d}.png" for name in before)
    assert shot.files() == expected
    assert shot.show(A) == "" and shot.files() == before


def test_a_placeholder_becomes_exactly_its_range(scene, addon, tmp_path):
    compat, strips = addon("timeline.compat"), addon("timeline.take_strips")
    shot = Shot(scene, addon, tmp_path)
    for offset, length in ((0, LENGTH), (4, 10)):
        held = strips.add_placeholder(scene, "Held", 5, 300, LENGTH)
        addon("timeline.identity").mark_placeholder(held, C, "{}")
        compat.set_handles(held, 300 + offset, 300 + offset + length)
        (found,) = [each for each in shot.identity.marked(scene) if each.strip.name.startswith("Held")]
        made = strips.put_in_place(found, shot.long.files(), LENGTH)
        assert (compat.start(made), compat.end_exclusive(made)) == (300 + offset, 300 + offset + length)
        assert compat.content_start(made) == 300 - HANDLE and made.channel == 5
        compat.strips(scene.sequence_editor).remove(made)


@pytest.mark.parametrize("handles", [[-1, 3], [24, 24], ["1", 2], [1.5, 2], [1], {"before": 1}, None, [True, 1]])
def test_handles_that_no_take_can_have_are_none(shot, handles):
    import json

    entries = json.loads(shot.strip["wan_vse_takes"])
    entries[0]["handles"] = handles
    shot.strip["wan_vse_takes"] = json.dumps(entries)
    found = next(take for take in shot.takes.takes_of(shot.strip) if take.job_id == B)
    assert (found.handle_before, found.handle_after) == (0, 0)


def test_a_movie_moves_under_its_strip_too(scene, addon, tmp_path):
    compat, swap = addon("timeline.compat"), addon("timeline.swap_media")
    film = bpy.data.scenes.new("Film")
    film.render.resolution_x, film.render.resolution_y = 64, 64
    film.frame_end = 40
    film.render.filepath = str(tmp_path / "film.mkv")
    settings = film.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    film.render.ffmpeg.format, film.render.ffmpeg.codec = "MKV", "FFV1"
    film.sequence_editor_create()
    compat.new_color(compat.strips(film.sequence_editor), "Gray", 1, 1, 40)
    bpy.ops.render.render(animation=True, scene="Film")
    bpy.data.scenes.remove(film)
    (path,) = tmp_path.glob("film*.mkv")
    strip = compat.new_movie(compat.strips(scene.sequence_editor), "Shot", str(path), 2, 50)
    compat.set_handles(strip, 50, 70)
    swap.swap(scene, strip, str(tmp_path), (path.name,), HANDLE)
    assert (compat.start(strip), compat.end_exclusive(strip)) == (50, 70)
    assert compat.content_start(strip) == 50 - HANDLE and strip.channel == 2


def test_what_a_strip_says_of_its_take_has_its_handles(shot, addon):
    """A strip with a single take has no list of takes: its handles are in what it keeps of the take."""
    root = type(shot.long).__module__.partition(".blender_addon")[0]
    messages = sys.modules[f"{root}.wan_backend.protocol.messages"]
    take = messages.Take(
        shot.long.folder,
        "0001.png",
        messages.MediaFormat.PNG,
        48,
        64,
        64,
        messages.FrameRate(24),
        handle_before=HANDLE,
        handle_after=HANDLE,
    )
    strip = shot.take_strips.put_on_timeline(shot.scene, "One", shot.long.files(), 7, 400, LENGTH)
    to_json = sys.modules[messages.__name__.replace("messages", "conversion")].to_json
    import json

    shot.identity.mark_take(strip, B, "", json.dumps(to_json(take)))
    (only,) = shot.takes.takes_of(strip)
    assert (only.handle_before, only.handle_after) == (HANDLE, HANDLE) and shot.takes.shown_handle(strip) == HANDLE
    strip["wan_vse_take"] = json.dumps(to_json(dataclasses.replace(take, handle_before=47)))
    assert shot.takes.shown_handle(shot.compat.strip_named(shot.scene, "One")) == 0
