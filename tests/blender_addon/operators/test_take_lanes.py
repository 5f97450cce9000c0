"""Takes as lanes, one of them seen, and back to one strip that keeps them all."""

from __future__ import annotations

import bpy
import pytest
from fake_backend_frames import png


@pytest.fixture
def in_sequencer():
    """An area in which the sequencer's own operators run, if this Blender has one without a window."""
    windows = bpy.context.window_manager.windows
    if not len(windows):
        pytest.skip("no window")
    area = windows[0].screen.areas[0]
    was = area.type
    area.type = "SEQUENCE_EDITOR"
    region = next(each for each in area.regions if each.type == "WINDOW")
    with bpy.context.temp_override(window=windows[0], area=area, region=region):
        yield
    area.type = was


def test_to_lanes_and_back(cut, addon, scene, in_sequencer) -> None:
    identity, takes, compat = addon("timeline.identity"), addon("timeline.strip_takes"), addon("timeline.compat")
    strip = cut.shot("A take", 10, 30, 2)
    identity.mark_take(strip, "b" * 32, "{}", "{}")
    for letter in "abc":
        folder = cut.folder if letter == "b" else cut.folder.parent / letter
        folder.mkdir(exist_ok=True)
        for index in range(20):
            (folder / f"{index + 1:04d}.png").write_bytes(png(index))
        takes.remember(strip, takes.KeptTake(letter * 32, str(folder), "0001.png", 20, False))
    strip.select, scene.sequence_editor.active_strip = True, strip
    assert bpy.ops.wan_vse.takes_as_lanes() == {"FINISHED"}
    meta = compat.active_strip(scene)
    lanes = addon("operators.take_lanes").lanes_of(meta)
    assert meta.type == "META" and (compat.start(meta), compat.end_exclusive(meta)) == (10, 30)
    assert sorted(lane["wan_vse_job"][0] for lane in lanes) == ["a", "b", "c"]
    assert [lane["wan_vse_job"][0] for lane in lanes if not lane.mute] == ["b"]
    assert bpy.ops.wan_vse.solo_lane() == {"FINISHED"}
    chosen = next(lane["wan_vse_job"] for lane in lanes if not lane.mute)
    assert chosen[0] != "b"
    assert bpy.ops.wan_vse.lanes_as_strip() == {"FINISHED"}
    (strip,) = cut.strips
    assert strip["wan_vse_job"] == chosen and len(takes.takes_of(strip)) == 3 and not strip.mute
    assert (strip.channel, compat.start(strip), compat.end_exclusive(strip)) == (2, 10, 30)
