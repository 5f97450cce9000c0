"""Which takes are stale: strips, files and scenes that change after a take was asked for, and what is no change."""

from __future__ import annotations

import json
import os
import shutil
import time

import bpy
import pytest
from fake_backend_frames import png
from stale_desk import JOB, Desk, write


def test_a_take_is_fresh_until_a_picture_of_its_source_is_replaced(desk) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    assert desk.walk(3) == {}
    write(desk.cut.folder / "0005.png", png(99))
    assert desk.reason() == "Pictures of 'Shot' were replaced."
    found = desk.look.found[JOB]
    assert (found.scene, found.strip, found.strip_id) == (
        desk.scene.name,
        "Take a",
        desk.compat.strip_named(desk.scene, "Take a")[desk.identity.STRIP],
    )


def test_a_change_counts_once_two_walks_have_found_it(desk) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    shot.transform.offset_x = 30
    assert desk.walk(1) == {}
    assert desk.walk(1) == {JOB: "The framing or the colors of 'Shot' were changed."}
    shot.transform.offset_x = 0
    assert desk.walk(1) == {}


def test_files_that_were_only_touched_are_no_change_and_are_read_once(desk) -> None:
    desk.cut.shot("Shot", 10, 34)
    strip = desk.take("RESTYLE", "Shot")
    before = strip[desk.provenance.PROPERTY]
    desk.walk()
    kept = strip[desk.provenance.PROPERTY]
    assert kept != before, "what the files hold is kept with the take"
    assert desk.provenance.of(strip).seen[0].files.content
    for path in desk.cut.folder.iterdir():
        os.utime(path, (time.time() - 10,) * 2)
    assert desk.reason() == ""


def test_a_copied_project_is_fresh(desk, tmp_path) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    other = shutil.copytree(desk.cut.folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in other.iterdir():
        os.utime(path, (time.time() - 10,) * 2)
    for strip in desk.cut.strips:
        strip.directory = str(other)
    assert desk.reason() == ""


def test_a_drive_that_is_away_is_unknown_and_not_stale(desk, tmp_path) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    os.rename(desk.cut.folder, tmp_path / "away")
    assert desk.reason() == ""
    (sentence,) = desk.look.unknown.values()
    assert sentence == "'Take a': 0000.png can't be looked at now, so whether it has changed isn't known."
    os.rename(tmp_path / "away", desk.cut.folder)
    assert desk.reason() == ""
    assert desk.look.unknown == {}


def test_a_picture_outside_the_frames_that_are_needed_does_not_count(desk) -> None:
    desk.cut.shot("Shot", 10, 100)
    desk.scene.wan_vse.extend_frames = 12
    desk.take("EXTEND", "Shot")
    desk.walk()
    write(desk.cut.folder / "0005.png", png(99))
    assert desk.reason() == ""
    write(desk.cut.folder / "0088.png", png(98))
    assert desk.reason() == "Pictures of 'Shot' were replaced."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda shot, desk: setattr(shot, "use_flip_x", True), "The framing or the colors of 'Shot' were changed."),
        (lambda shot, desk: setattr(shot, "use_reverse_frames", True), "'Shot' shows other frames there"),
        (lambda shot, desk: setattr(shot.crop, "min_x", 12), "The framing or the colors of 'Shot' were changed."),
        (lambda shot, desk: shot.modifiers.new("Bright", "BRIGHT_CONTRAST"), "The framing or the colors"),
        (lambda shot, desk: setattr(shot, "directory", str(desk.other)), "Pictures of 'Shot' were replaced."),
        (lambda shot, desk: shot.keyframe_insert("blend_alpha", frame=12), "'Shot' shows other frames there"),
    ],
)
def test_what_is_done_to_a_source_strip_counts(desk, tmp_path, change, reason) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.other = tmp_path / "other"
    desk.other.mkdir()
    for index in range(24):
        write(desk.other / f"{index:04d}.png", png(index + 50))
    desk.take("RESTYLE", "Shot")
    assert desk.walk(3) == {}
    change(shot, desk)
    assert desk.reason().startswith(reason)


def test_a_film_that_is_rendered_smaller_is_no_change(desk) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    desk.scene.render.resolution_percentage = 25
    assert desk.reason() == ""


def test_a_neighbor_that_is_dissolved_into_the_take_is_no_change(desk) -> None:
    """As handles are for; the dissolve begins behind the frames that the take was made from."""
    desk.cut.shot("Left", 10, 34)
    right = desk.cut.shot("Right", 58, 82)
    take = desk.take("FILL_GAP", "Left", "Right")
    desk.walk()
    desk.compat.set_handles(take, 34, 64)
    desk.compat.new_cross(desk.cut.strips, "Dissolve", 5, 58, 6, take, right)
    assert desk.reason() == ""


def test_the_whole_cut_moved_is_no_change(desk) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    strip = desk.take("RESTYLE", "Shot")
    desk.walk()
    for each in (strip, shot):
        desk.cut.addon("timeline.compat")
        name = "content_start" if hasattr(each, "content_start") else "frame_start"
        setattr(each, name, getattr(each, name) + 50)
    assert desk.reason() == ""


def test_a_neighbor_that_was_trimmed_away(desk) -> None:
    shot = desk.cut.shot("Shot", 10, 100)
    desk.scene.wan_vse.extend_frames = 12
    desk.take("EXTEND", "Shot")
    desk.walk()
    desk.compat.set_handles(shot, 10, 90)
    assert desk.reason() == "'Shot' was trimmed and no longer joins it."


def test_a_trimmed_source_under_a_restyle_is_no_change(desk) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    desk.compat.set_handles(shot, 15, 30)
    assert desk.reason() == ""


def test_a_source_that_is_gone_from_the_timeline_says_nothing(desk) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    desk.cut.strips.remove(shot)
    assert desk.reason() == ""


def test_what_lies_below_a_rendered_source_counts(desk) -> None:
    low = desk.cut.effect("Low", "COLOR", 10, 34, 1)
    high = desk.cut.effect("High", "COLOR", 10, 34, 2)
    high.blend_type, high.blend_alpha = "ALPHA_OVER", 0.5
    desk.take("RESTYLE", "High")
    assert desk.walk(3) == {}
    low.color = (1, 0, 0)
    assert desk.reason() == "The framing or the colors of 'Low' were changed."
    desk.cut.strips.remove(low)
    assert desk.reason() == "'Low' is no longer below it."
    desk.cut.effect("New", "COLOR", 10, 34, 1)
    assert "'New' came in below it" in desk.reason()


def kept_over(desk: Desk):
    """A take at [10, 34) that keeps two pictures of channels above it."""
    desk.cut.shot("Film", 10, 34, 1)
    for number, name in enumerate(("Storm", "Calm")):
        still = desk.cut.still(name, 15 + 8 * number, 20 + 8 * number, 8 + number)
        still.elements[0].filename = f"{40 + number:04d}.png"
        still.transform.scale_x = 0.5
    desk.scene.wan_vse.keep_pictures = True
    return desk.take("RESTYLE", "Film")


def test_a_kept_picture_is_a_source(desk) -> None:
    kept_over(desk)
    assert not desk.reason(), "the take below its pictures is none of their sources"
    write(desk.cut.folder / "0041.png", (desk.cut.folder / "0050.png").read_bytes())
    assert desk.reason() == "0041.png was replaced."


def test_a_kept_picture_that_is_framed_anew_or_another_one(desk) -> None:
    kept_over(desk)
    desk.cut.strips["Storm"].transform.scale_x = 0.6
    assert "framing or the colors of 'Storm'" in desk.reason()
    desk.cut.strips["Storm"].transform.scale_x = 0.5
    desk.cut.strips["Storm"].elements[0].filename = "0060.png"
    assert desk.reason() == "0060.png is in the place of 0040.png."


@pytest.fixture
def hat(desk):
    """A reference picture that an edit of a shot was made with."""
    desk.cut.shot("Shot", 10, 34)
    hat = desk.cut.still("Hat", 100, 140, 4)
    desk.take("EDIT", "Shot", "Hat")
    assert desk.reason() == ""
    return hat


def test_a_reference_picture_may_lie_anywhere_in_the_film_and_in_the_frame(desk, hat) -> None:
    desk.cut.shot("Below", 150, 200, 1)
    desk.compat.move_content(hat, 60)
    desk.compat.set_handles(hat, 170, 175)
    hat.channel, hat.mute = 6, True
    hat.transform.offset_x, hat.transform.scale_x, hat.transform.origin[0] = 40, 0.5, 0.2
    desk.scene.render.resolution_x += 64
    assert "Hat" not in desk.reason()
    desk.scene.render.resolution_x -= 64
    assert desk.reason() == ""


def test_of_a_reference_picture_counts_what_is_seen_of_it(desk, hat) -> None:
    hat.crop.min_x = 3
    assert desk.reason() == "The framing or the colors of 'Hat' were changed."
    hat.crop.min_x = 0
    hat.use_flip_x = True
    assert desk.reason() == "The framing or the colors of 'Hat' were changed."
    hat.use_flip_x = False
    assert desk.reason() == ""
    write(desk.cut.folder / "hat.png", (desk.cut.folder / "0007.png").read_bytes())
    hat.elements[0].filename = "hat.png"
    assert "Hat.png is in the place of 0000.png" in desk.reason()


def test_of_a_reference_that_blender_renders_the_place_in_the_frame_counts(desk) -> None:
    desk.cut.shot("Shot", 10, 34)
    hat = desk.cut.still("Hat", 100, 140, 4)
    hat.modifiers.new("Brighter", "BRIGHT_CONTRAST")
    desk.take("EDIT", "Shot", "Hat")
    desk.compat.move_content(hat, 60)
    assert desk.reason() == ""
    hat.transform.offset_x = 40
    assert desk.reason() == "The framing or the colors of 'Hat' were changed."


def test_a_kept_picture_may_move_and_be_trimmed_and_muted(desk) -> None:
    kept_over(desk)
    desk.compat.set_handles(desk.cut.strips["Storm"], 17, 19)
    desk.compat.set_handles(desk.cut.strips["Calm"], 60, 70)
    desk.cut.strips["Storm"].mute = True
    assert not desk.reason()


def test_a_source_that_is_a_take_and_shows_another_one(desk, tmp_path) -> None:
    source = desk.take("RESTYLE", desk.cut.shot("Shot", 10, 34).name, job_id="b" * 32, channel=3)
    desk.take("RESTYLE", source.name)
    assert desk.walk(3) == {}
    other = tmp_path / ("c" * 32)
    other.mkdir()
    for index in range(24):
        write(other / f"{index:04d}.png", png(index + 50))
    source.directory = str(other)
    assert desk.walk() == {JOB: "'Take b' shows another take."}


def test_a_preview_range_moves_along_with_its_take(desk) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    desk.scene.use_preview_range = True
    desk.scene.frame_preview_start, desk.scene.frame_preview_end = 12, 20
    strip = desk.take("RESTYLE")
    assert desk.walk(3) == {}
    for each in (strip, shot):
        name = "content_start" if hasattr(each, "content_start") else "frame_start"
        setattr(each, name, getattr(each, name) + 50)
    assert desk.reason() == ""
    made_from = desk.provenance.of(strip)
    target = desk.provenance.target_again(desk.scene, made_from, 62, 71, 7)
    assert (target.wanted[0].start, target.wanted[0].end_exclusive) == (62, 71), "it is made of what lies there now"


def moved_in_shot(thing) -> None:
    """Give it a move within the shot, and leave it where it was."""
    for frame, place in ((1, 0.0), (10, 2.0)):
        thing.location.x = place
        thing.keyframe_insert("location", frame=frame)
    thing.location.x = 0.0


@pytest.mark.compat
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: setattr(s.camera, "location", (1, 0, 0)), "The camera of scene 'Set' was moved or changed."),
        (lambda s: setattr(s.camera.data, "lens", 35), "The camera of scene 'Set' was moved or changed."),
        (lambda s: moved_in_shot(s.camera), "The camera of scene 'Set' was moved or changed."),
        (
            lambda s: setattr(s.objects["Table"], "location", (1, 0, -10)),
            "'Table' in scene 'Set' was moved or changed.",
        ),
        (lambda s: setattr(s.objects["Table"], "hide_render", True), "'Table' is no longer seen in scene 'Set'."),
        (lambda s: setattr(s.objects["Chair"], "location", (0, 1, -9)), "'Chair' came into view in scene 'Set'."),
        (lambda s: setattr(s.objects["Chair"], "location", (0, 1, 40)), ""),
        (lambda s: setattr(s.objects["Table"].data.vertices[0], "co", (-3, 0, 0)), "'Table' in scene 'Set'"),
        (lambda s: setattr(s.render, "resolution_x", 640), "The size, the frames or the world of scene 'Set'"),
        (lambda s: s.objects["Table"].modifiers.new("Array", "ARRAY"), "'Table' in scene 'Set' was moved or changed."),
        (lambda s: s.frame_set(7), ""),
    ],
)
def test_what_is_seen_of_a_scene_counts(desk, set_, change, reason) -> None:
    change(set_)
    assert desk.reason().startswith(reason) and bool(desk.reason()) is bool(reason)


def test_a_key_beyond_the_shot_does_not_count(desk, set_) -> None:
    table = set_.objects["Table"]
    for frame in (1, 24, 100):
        table.keyframe_insert("location", frame=frame)
    text = bpy.context.scene.sequence_editor
    strip = desk.compat.strip_named(desk.scene, "Take a")
    made_from = desk.provenance.of(strip)
    seen = desk.records.at_click(desk.scene, made_from.wanted, desk.files)
    strip[desk.provenance.PROPERTY] = desk.provenance.write(desk.records.replace(made_from, seen=seen))
    assert text and desk.reason() == ""
    table.location = (5, 0, -10)
    table.keyframe_insert("location", frame=100)
    assert desk.reason() == "" or "Table" in desk.reason()  # a bezier's handle may reach into the shot
    set_.frame_set(1)
    table.location = (5, 0, -10)
    table.keyframe_insert("location", frame=1)
    assert desk.reason() == "'Table' in scene 'Set' was moved or changed."


def test_what_a_parent_does_counts(desk, set_) -> None:
    empty = bpy.data.objects.new("Handle", None)
    set_.collection.objects.link(empty)
    set_.objects["Table"].parent = empty
    strip = desk.compat.strip_named(desk.scene, "Take a")
    made_from = desk.provenance.of(strip)
    seen = desk.records.at_click(desk.scene, made_from.wanted, desk.files)
    strip[desk.provenance.PROPERTY] = desk.provenance.write(desk.records.replace(made_from, seen=seen))
    assert desk.reason() == ""
    empty.rotation_euler.z = 1.0
    assert desk.reason() == "'Handle' in scene 'Set' was moved or changed."


STRIP = {"name": "a", "role": "b", "chosen": True, "frames": "", "look": "", "files": None, "scene": None}
STRIP |= {"nodes": "", "blender": "5.2"}
FILE = {"name": "a.png", "count": 1, "size_bytes": 1, "stamp": "", "content": ""}
SCENE = {"name": "Set", "shot": "", "camera": "", "objects": "", "by_name": [], "behind": "", "behind_by_name": []}


@pytest.mark.parametrize(
    "seen",
    [
        7,
        "x",
        {},
        {"version": 2, "strips": [7]},
        {"version": 1, "strips": []},
        {"version": 2, "strips": [{}] * 100},
        {"version": 2, "strips": [{**STRIP, "frames": "../.."}]},
        {"version": 2, "strips": [{**STRIP, "name": "\ud800"}]},
        {"version": 2, "strips": [{**STRIP, "files": {"name": "a", "count": -1}}]},
        {"version": 2, "strips": [{**STRIP, "nodes": "x" * 32}]},
        {"version": 2, "strips": [{**STRIP, "blender": "5" * 100_000}]},
        {"version": 2, "strips": [{**STRIP, "scene": {**SCENE, "files": [FILE] * 41}}]},
        {"version": 2, "strips": [{**STRIP, "scene": {**SCENE, "files": [{**FILE, "stamp": "../../etc"}]}}]},
        {"version": 2, "strips": [{**STRIP, "scene": {**SCENE, "files": [], "behind_by_name": [["a", 7]]}}]},
    ],
)
def test_hostile_words_about_sources_are_ignored(desk, seen) -> None:
    desk.cut.shot("Shot", 10, 34)
    strip = desk.take("RESTYLE", "Shot")
    values = json.loads(strip[desk.provenance.PROPERTY])
    strip[desk.provenance.PROPERTY] = json.dumps({**values, "seen": seen})
    assert desk.provenance.of(strip).seen == ()
    assert desk.provenance.of(strip).wanted
    assert desk.reason() == ""


def test_what_is_written_as_it_should_be_is_read(desk) -> None:
    desk.cut.shot("Shot", 10, 34)
    strip = desk.take("RESTYLE", "Shot")
    values = json.loads(strip[desk.provenance.PROPERTY])
    values["seen"] = {"version": 2, "strips": [{**STRIP, "files": FILE, "scene": {**SCENE, "files": [FILE]}}]}
    strip[desk.provenance.PROPERTY] = json.dumps(values)
    (seen,) = desk.provenance.of(strip).seen
    assert seen.files == seen.scene.files[0]


def test_a_file_of_an_earlier_version_says_nothing(desk) -> None:
    desk.cut.shot("Shot", 10, 34)
    strip = desk.take("RESTYLE", "Shot")
    values = json.loads(strip[desk.provenance.PROPERTY])
    del values["seen"]
    strip[desk.provenance.PROPERTY] = json.dumps(values)
    write(desk.cut.folder / "0005.png", png(99))
    assert desk.reason() == ""


def test_copies_splits_and_reopened_files_know_their_sources(desk, tmp_path) -> None:
    desk.cut.shot("Shot", 10, 34)
    desk.take("RESTYLE", "Shot")
    desk.walk()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    desk.scene = bpy.context.scene
    desk.look.opened()
    assert desk.reason() == ""
    desk.compat.strip_named(desk.scene, "Take a").split(20, "SOFT")
    write(desk.cut.folder / "0005.png", png(99))
    assert desk.walk() == {JOB: "Pictures of 'Shot' were replaced."}, "both halves show this one take"


def test_each_range_is_looked_at_in_a_step_of_its_own(desk, addon, monkeypatch) -> None:
    desk.cut.shot("Left", 10, 34)
    desk.cut.shot("Right", 46, 70)
    desk.take("FILL_GAP", "Left", "Right")
    done: list[str] = []
    for name in ("ranges", "look", "trimmed"):
        whole = getattr(desk.records, name)
        monkeypatch.setattr(
            desk.records, name, lambda *given, whole=whole, name=name: done.append(name) or whole(*given)
        )
    steps = []
    for _ in desk.look._steps():
        steps.append(done[:])
        done.clear()
    assert max(map(len, steps)) == 1
    assert [each for step in steps for each in step] == ["ranges", "look", "look", "trimmed"]


def test_a_take_that_goes_between_two_steps_says_nothing(desk) -> None:
    desk.cut.shot("Left", 10, 34)
    desk.cut.shot("Right", 46, 70)
    take = desk.take("FILL_GAP", "Left", "Right")
    desk.cut.strips["Left"].use_flip_x = True
    assert desk.reason()
    steps = desk.look._steps()
    while not next(steps):
        pass
    next(steps)
    desk.cut.strips.remove(take)
    assert list(steps) and desk.look.found == {}


@pytest.mark.long
def test_two_hundred_stale_takes_among_three_thousand_strips(desk, addon, monkeypatch) -> None:
    shot = desk.cut.shot("Shot", 10, 34)
    text = desk.take("RESTYLE", "Shot")[desk.provenance.PROPERTY]
    strips = desk.cut.strips
    for index in range(3000):
        strip = desk.compat.new_color(strips, f"Strip {index}", 20 + index % 100, 200 + 30 * (index // 100), 20)
        if index % 15 == 0:
            desk.identity.mark_take(strip, f"{index:032x}", "{}", "{}")
            strip[desk.provenance.PROPERTY] = text
    assert desk.walk(3) == {}
    shot.use_flip_x = True
    assert len(desk.walk()) == 201
    seen = []
    slice_ = desk.look._slice
    monkeypatch.setattr(desk.look, "_slice", lambda *place: seen.append(place) or slice_(*place))
    desk.look.look_again()
    steps = 0
    while steps == 0 or desk.look.busy:
        desk.look.tick(0.0)  # one step of it
        steps += 1
    assert len(seen) >= 3000 // addon("jobs.stale_takes").STRIPS_AT_ONCE, "few strips at a time"
    assert steps > len(seen) + 201, "and one take at a time"
