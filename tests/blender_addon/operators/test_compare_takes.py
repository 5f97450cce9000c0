"""Comparing takes: what is shown of which, how it ends, and that the film is as before."""

from __future__ import annotations

import bpy
import pytest


@pytest.fixture
def strip(cut, addon):
    """A strip of 20 frames, trimmed by 5 at its start, with the takes a, b and c, of which it shows b."""
    identity, takes = addon("timeline.identity"), addon("timeline.strip_takes")
    made = cut.shot("A take", 10, 30, 2)
    cut.compat.set_handles(made, 15, 30)
    identity.mark_take(made, "b" * 32, "{}", "{}")
    for letter in "abc":
        folder = str(cut.folder) if letter == "b" else str(cut.folder.parent / letter)
        takes.remember(made, takes.KeptTake(letter * 32, folder, "0001.png", 20, False))
    cut.scene.sequence_editor.active_strip = made
    made.select = True
    return made


@pytest.fixture
def compare(addon):
    module = addon("operators.compare_takes")
    yield module
    module.show(None)


def test_the_key_begins_and_ends(compare, strip) -> None:
    assert bpy.ops.wan_vse.compare_takes() == {"FINISHED"}
    assert compare.shown.kind == "WIPE" and compare.shown.second == "a" * 32
    assert bpy.ops.wan_vse.compare_takes(kind="SIDE") == {"FINISHED"}
    assert compare.shown.kind == "SIDE"
    assert bpy.ops.wan_vse.compare_takes() == {"FINISHED"}
    assert compare.shown is None


def test_arrows_go_round_the_other_takes(compare, strip) -> None:
    bpy.ops.wan_vse.compare_takes()
    seen = []
    for _ in range(3):
        seen.append(compare.shown.second[0])
        bpy.ops.wan_vse.compare_next(step=1)
    assert seen == ["a", "c", "a"]
    bpy.ops.wan_vse.compare_end()
    assert compare.shown is None and not bpy.ops.wan_vse.compare_next.poll()


def test_both_sides_show_the_frame_under_the_playhead(compare, strip, addon, scene) -> None:
    ui = addon("ui.comparison")
    bpy.ops.wan_vse.compare_takes()
    both = ui.sides(scene, strip, compare.shown, 17)
    assert [side.picture.path.replace("\\", "/").rsplit("/", 1)[1] for side in both] == ["0008.png", "0008.png"]
    assert [side.caption for side in both] == ["Take 2 of 3", "Take 1 of 3"]
    assert ui.sides(scene, strip, compare.shown, 40) == []


def test_nothing_of_the_film_changes(compare, strip, addon, cut, scene) -> None:
    ui, before = addon("ui.comparison"), (cut.places(), dict(strip.items()), len(bpy.data.images))
    bpy.ops.wan_vse.compare_takes()
    side = ui.sides(scene, strip, compare.shown, 17)[0]
    ui.pixels(side.picture._replace(path=str(cut.folder / "0007.png")))
    bpy.ops.wan_vse.compare_takes()
    assert (cut.places(), dict(strip.items()), len(bpy.data.images)) == before


def test_a_missing_file_is_no_picture(addon, tmp_path) -> None:
    picture = addon("timeline.take_pictures").Picture(str(tmp_path / "none.png"))
    assert addon("ui.comparison").pixels(picture) is None


def test_a_lost_take_ends_it(compare, strip, addon) -> None:
    bpy.ops.wan_vse.compare_takes()
    addon("timeline.strip_takes").forget(strip, "a" * 32)
    assert compare.takes_compared(strip, compare.shown) is None


def test_another_file_ends_it(compare, strip) -> None:
    bpy.ops.wan_vse.compare_takes()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert compare.shown is None


def test_names_count_up(addon) -> None:
    counted = addon("timeline.take_pictures").counted
    assert counted("0001.png", 41) == "0042.png" and counted("take.mkv", 3) == "take.mkv"


def test_a_tick_reads_one_picture(compare, strip, addon, monkeypatch) -> None:
    ui = addon("ui.comparison")
    bpy.ops.wan_vse.compare_takes()
    done = []
    monkeypatch.setattr(ui, "read", lambda picture: done.append(picture) or ui.Read((0, 0), None))
    monkeypatch.setattr(
        ui, "_asked", dict.fromkeys(side.picture for side in ui.sides(bpy.context.scene, strip, compare.shown, 17))
    )
    assert ui._read() == 0.0 and len(done) == 1
    assert ui._read() is None and len(done) == 2


def test_what_is_read_too_slowly_waits_until_blender_stops(compare, strip, addon, monkeypatch) -> None:
    ui = addon("ui.comparison")
    monkeypatch.setattr(ui, "_slow", {})
    bpy.ops.wan_vse.compare_takes()
    scene, now = bpy.context.scene, compare.shown
    both = ui.sides(scene, strip, now, 17)
    for seconds in (1.0, 0.001, 1.0, 1.0):
        assert not ui.is_slow(both[0].picture)
        ui.note_cost(both[0].picture, seconds)
    assert ui.is_slow(both[0].picture) and not ui.is_slow(both[1].picture)
    monkeypatch.setattr(ui, "_plays", lambda: True)
    ui._want(scene, strip, now, both)
    assert both[0].picture not in ui._asked and both[1].picture in ui._asked
    assert "stop playing" in ui.hint(scene, now, both)
    monkeypatch.setattr(ui, "_plays", lambda: False)
    ui._want(scene, strip, now, both)
    assert both[0].picture in ui._asked
