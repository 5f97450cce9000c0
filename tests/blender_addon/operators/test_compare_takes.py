"""Comparing takes: what is shown of which, how it ends, and that the film is as before."""

from __future__ import annotations

import dataclasses

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


def test_it_is_said_where_the_playhead_is_elsewhere(compare, strip, scene) -> None:
    scene.frame_set(40)
    assert compare.elsewhere(scene, strip) == "The playhead is not on 'A take': the comparison shows there"
    scene.frame_set(20)
    assert compare.elsewhere(scene, strip) == ""


def test_arrows_go_round_the_other_takes(compare, strip) -> None:
    bpy.ops.wan_vse.compare_takes()
    seen = []
    for _ in range(3):
        seen.append(compare.shown.second[0])
        bpy.ops.wan_vse.compare_next(step=1)
    assert seen == ["a", "c", "a"]
    bpy.ops.wan_vse.compare_end()
    assert compare.shown is None and not bpy.ops.wan_vse.compare_next.poll()


@pytest.fixture
def restyle(cut, addon, strip):
    """The strip, made from the shot below it."""
    provenance = addon("timeline.provenance")
    source = cut.shot("Shot", 10, 40, 1)
    made_from = provenance.SourceStrip(source.name, 10, 40, 10, 1)
    strip[provenance.PROPERTY] = provenance.write(provenance.Provenance("restyle", 15, 30, (made_from,)))
    assert addon("operators.compare_takes").source_strip(cut.scene, strip) == source
    return strip


def test_the_source_is_the_last_of_the_arrows(compare, restyle) -> None:
    bpy.ops.wan_vse.compare_takes()
    seen = []
    for _ in range(4):
        seen.append(compare.shown.second[:1])
        bpy.ops.wan_vse.compare_next(step=1)
    assert seen == ["a", "", "c", "a"]
    assert compare.shown.kind == "WIPE"


def test_a_gaps_neighbor_is_no_source(compare, restyle, addon, scene) -> None:
    provenance = addon("timeline.provenance")
    made_from = provenance.of(restyle)
    restyle[provenance.PROPERTY] = provenance.write(dataclasses.replace(made_from, task="fill_gap"))
    assert compare.source_strip(scene, restyle) is None
    assert compare.others(scene, restyle) == ["c" * 32, "a" * 32]


def test_the_key_wipes_a_single_take_with_its_source(compare, restyle, addon, scene) -> None:
    for letter in "ac":
        addon("timeline.strip_takes").forget(restyle, letter * 32)
    assert bpy.ops.wan_vse.compare_takes() == {"FINISHED"}
    assert (compare.shown.kind, compare.shown.second) == ("WIPE", "")
    ui = addon("ui.comparison")
    both = ui.sides(scene, restyle, compare.shown, 17)
    assert [side.strip.name for side in both] == [restyle.name, "Shot"] and both[1].caption == "Source"
    assert "arrow" not in ui.hint(scene, compare.shown, both)
    bpy.ops.wan_vse.compare_takes(kind="WIPE")
    assert compare.shown is None, "the same again ends it"


def test_another_kind_keeps_what_is_compared(compare, restyle) -> None:
    bpy.ops.wan_vse.compare_takes(kind="SOURCE")
    assert (compare.shown.kind, compare.shown.second) == ("WIPE", "")
    bpy.ops.wan_vse.compare_takes(kind="SIDE")
    assert (compare.shown.kind, compare.shown.second) == ("SIDE", "")
    bpy.ops.wan_vse.compare_takes(kind="SOURCE")
    assert compare.shown.kind == "WIPE"
    bpy.ops.wan_vse.compare_takes(kind="WIPE")
    assert compare.shown.second[:1] == "a", "from the source to a take"
    bpy.ops.wan_vse.compare_takes(kind="WIPE")
    assert compare.shown is None


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
    addon("ui.compared_pictures").pixels(side.picture._replace(path=str(cut.folder / "0007.png")))
    bpy.ops.wan_vse.compare_takes()
    assert (cut.places(), dict(strip.items()), len(bpy.data.images)) == before


def test_a_missing_file_is_no_picture(addon, tmp_path) -> None:
    picture = addon("timeline.take_pictures").Picture(str(tmp_path / "none.png"))
    assert addon("ui.compared_pictures").pixels(picture) is None


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
    ui, pictures = addon("ui.comparison"), addon("ui.compared_pictures")
    bpy.ops.wan_vse.compare_takes()
    done = []
    monkeypatch.setattr(pictures, "read", lambda picture: done.append(picture) or pictures.Read((0, 0), ()))
    both = [side.picture for side in ui.sides(bpy.context.scene, strip, compare.shown, 17)]
    pictures.want(both, [[], []], 640, 0.0)
    assert pictures._read() == 0.0 and len(done) == 1
    assert pictures._read() is None and done == both


def test_what_is_read_too_slowly_waits_until_blender_stops(compare, strip, addon, monkeypatch) -> None:
    ui, pictures = addon("ui.comparison"), addon("ui.compared_pictures")
    bpy.ops.wan_vse.compare_takes()
    scene, now = bpy.context.scene, compare.shown
    both = ui.sides(scene, strip, now, 17)
    for seconds in (1.0, 0.001, 1.0, 1.0):
        assert not pictures.is_late(both[0].picture)
        pictures.note_cost(both[0].picture, seconds)
    assert pictures.is_late(both[0].picture) and not pictures.is_late(both[1].picture)
    monkeypatch.setattr(pictures, "plays", lambda: True)
    ui._want(scene, strip, now, both, 640)
    assert not pictures._is_at_hand(both[0].picture, 480) and pictures._is_at_hand(both[1].picture, 480)
    assert "stop playing" in ui.hint(scene, now, both)
    monkeypatch.setattr(pictures, "plays", lambda: False)
    assert pictures._is_at_hand(both[0].picture, 480)


@pytest.fixture
def by_backend(compare, strip, addon, monkeypatch):
    """What is compared is large, and a backend is there; gives the module, both pictures, and the reels."""
    ui, pictures = addon("ui.comparison"), addon("ui.compared_pictures")
    reels = addon("jobs.reels").ReelQuery()
    monkeypatch.setattr(addon("jobs.session").current().server, "reels", reels)
    monkeypatch.setattr(pictures, "_has_backend", lambda: True)
    monkeypatch.setattr(pictures, "_size", lambda picture: (832, 480))
    monkeypatch.setattr(pictures, "read", lambda picture: pytest.fail("Blender reads it"))
    monkeypatch.setattr(pictures, "packed_texture", lambda width, height, rows: (width, height, rows[0]))
    bpy.ops.wan_vse.compare_takes()
    both = [side.picture for side in ui.sides(bpy.context.scene, strip, compare.shown, 17)]
    return pictures, both, reels


def reel(folder, addon, width: int, height: int, count: int) -> str:
    """A reel whose pictures are of one byte each, 1, 2, ..."""
    media = addon("jobs.reels")
    head = media.FILMSTRIP_HEAD.pack(media.REEL_MARK, width, height, count, 0)
    file = folder / f"{width}.reel"
    file.write_bytes(head + b"".join(bytes([index + 1]) * 4 * width * height for index in range(count)))
    return str(file)


def test_a_large_picture_comes_from_a_reel_in_bands(by_backend, addon, tmp_path, monkeypatch) -> None:
    pictures, both, reels = by_backend
    pictures.want(both, [[], []], 800, 0.0)
    assert reels.busy and pictures._read() == pictures.WAITING_SECONDS, "nothing is read before the backend's answer"
    asked = []
    reels.tick(type("Client", (), {"call": lambda self, *values: asked.append(values)})())
    (_, params, answered, _) = asked[0]
    assert [film.side for film in params.films] == [960, 960] and not reels._wanted
    file = reel(tmp_path, addon, 832, 480, 1)
    answered(type("Result", (), {"files": [file, ""]})())
    pictures.want(both, [[], []], 800, 0.0)
    monkeypatch.setattr(pictures, "SLICE_SECONDS", 0.0)
    assert pictures._read() == 0.0 and pictures.of(both[0]) is None, "half of it"
    assert pictures._read() == 0.0
    read = pictures.of(both[0])
    assert [band.texture[:2] for band in read.bands] == [(832, 240), (832, 240)]
    assert (read.size, read.bands[0].low, read.bands[-1].top) == ((832, 480), 0.0, 1.0)
    assert pictures._is_at_hand(both[1], 960), "what the backend can't read, Blender does"


def test_while_blender_plays_the_next_frames_are_asked_for(by_backend, compare, strip, addon, monkeypatch) -> None:
    pictures, _, reels = by_backend
    ui, scene = addon("ui.comparison"), bpy.context.scene
    monkeypatch.setattr(pictures, "plays", lambda: True)
    scene.frame_set(17)
    ui._want(scene, strip, compare.shown, ui.sides(scene, strip, compare.shown, 17), 800)
    assert [each.film.side for each in reels._wanted] == [480, 480]
    assert [len(each.frames) for each in reels._wanted] == [12, 12], "the first answer comes soon"


def test_a_reel_that_is_gone_is_asked_for_again(by_backend, addon, tmp_path) -> None:
    pictures, both, reels = by_backend
    frame = addon("jobs.reels").Frame(both[0].path, -1, 960)
    reels._keep((frame,), reel(tmp_path, addon, 832, 480, 1))
    (tmp_path / "832.reel").unlink()
    pictures.want(both, [[], []], 800, 0.0)
    pictures._read()
    assert pictures.of(both[0]) is None and not reels.is_known(frame)
