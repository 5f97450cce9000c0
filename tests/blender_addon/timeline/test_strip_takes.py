"""The takes that a strip keeps: which there are, showing another in place, and what a stranger's file may hold."""

from __future__ import annotations

import collections
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fake_backend_frames as frames_of_fake

A, B, C = "a" * 32, "b" * 32, "c" * 32


class Stack:
    """A strip on channel 3 with the take A of 40 pictures from frame 10 on, and takes on the disk for it."""

    def __init__(self, scene, addon, folder: Path):
        self.scene, self.folder = scene, folder
        self.compat, self.identity = addon("timeline.compat"), addon("timeline.identity")
        self.takes, self.take_strips = addon("timeline.strip_takes"), addon("timeline.take_strips")
        first = self.on_disk(A, 40)
        self.name = self.take_strips.put_on_timeline(scene, "Shot", first.files(), 3, 10, 40).name
        self.identity.mark_take(self.strip, A, '{"of": "A"}', '{"take": "A"}')

    @property
    def strip(self):
        """Found again by its name, as an undo moves it in memory."""
        return self.compat.strip_named(self.scene, self.name)

    def on_disk(self, job_id: str, frames: int, size_of: int | None = None):
        folder = self.folder / job_id
        folder.mkdir()
        for index in range(frames):
            (folder / f"{index + 1:04d}.png").write_bytes(frames_of_fake.png(index))
        return self.takes.KeptTake(job_id, str(folder), "0001.png", frames, False)

    def add(self, job_id: str, frames: int = 40):
        take = self.on_disk(job_id, frames)
        self.takes.remember(self.strip, take, self.takes.Made(f'{{"of": "{job_id[0]}"}}'))
        return take

    def show(self, job_id: str) -> str:
        return self.takes.show(self.scene, self.strip, job_id)

    def jobs(self) -> list[str]:
        return [take.job_id for take in self.takes.takes_of(self.strip)]

    def place(self):
        strip = self.strip
        return self.compat.start(strip), self.compat.end_exclusive(strip), self.compat.content_start(strip)

    def file_at(self, frame: int) -> str:
        from bl_ext.user_default.wan_vse.blender_addon.timeline import strip_media

        return strip_media.names_of(self.strip, range(frame, frame + 1))[0]


@pytest.fixture
def stack(scene, addon, tmp_path):
    return Stack(scene, addon, tmp_path)


def test_a_take_strip_has_one_take_until_more_are_remembered(stack):
    (only,) = stack.takes.takes_of(stack.strip)
    assert (only.job_id, only.folder, only.frames) == (A, str(stack.folder / A), 40)
    assert stack.takes.shown_index(stack.strip) == 0
    stack.add(B)
    stack.add(C)
    assert stack.jobs() == [C, B, A]
    assert stack.takes.shown_index(stack.strip) == 2
    stack.takes.remember(stack.strip, stack.takes.takes_of(stack.strip)[1])
    assert stack.jobs() == [C, B, A]


def test_a_strip_that_is_no_take_has_none(stack):
    other = stack.compat.new_color(stack.compat.strips(stack.scene.sequence_editor), "other", 1, 1, 10)
    assert stack.takes.takes_of(other) == () and stack.takes.shown_index(other) is None


def test_showing_another_take_leaves_the_strip_as_it_is(stack):
    stack.add(B)
    strip = stack.strip
    stack.compat.set_handles(strip, 17, 41)
    neighbors = stack.compat.strips(stack.scene.sequence_editor)
    stack.compat.new_color(neighbors, "before", 3, 1, 16)
    stack.compat.new_color(neighbors, "after", 3, 41, 20)
    strip.color_tag, strip.mute, strip.blend_alpha, strip.transform.scale_x = "COLOR_04", True, 0.5, 1.25
    strip.transform.rotation, strip.crop.min_x, strip.color_saturation = 0.25, 4, 0.5
    strip.keyframe_insert("blend_alpha", frame=20)
    strip.modifiers.new("Curves", "CURVES")
    before, kept = stack.place(), strip.as_pointer()
    assert stack.show(B) == ""
    strip = stack.strip
    assert stack.place() == before and strip.as_pointer() == kept
    assert (strip.name, strip.channel, strip.color_tag, strip.mute) == ("Shot", 3, "COLOR_04", True)
    assert (strip.blend_alpha, strip.transform.scale_x, strip.transform.rotation) == (0.5, 1.25, 0.25)
    assert (strip.crop.min_x, strip.color_saturation, len(strip.modifiers)) == (4, 0.5, 1)
    assert stack.takes.takes_of(strip)[stack.takes.shown_index(strip)].job_id == B
    assert strip.directory.rstrip("/\\").endswith(B) and stack.file_at(17) == "0008.png"


def test_the_settings_go_with_the_take_that_is_shown(stack):
    stack.add(B)
    stack.show(B)
    assert stack.strip[stack.identity.REQUEST] == '{"of": "b"}'
    assert stack.takes.made_of(stack.strip, A).take == '{"take": "A"}'
    stack.show(A)
    assert stack.strip[stack.identity.REQUEST] == '{"of": "A"}'
    assert stack.takes.made_of(stack.strip, B).request == '{"of": "b"}'


@pytest.mark.parametrize("frames", [8, 20, 81])
def test_a_take_of_another_length_is_fitted_and_nothing_is_lost(stack, frames):
    stack.compat.set_handles(stack.strip, 15, 45)
    neighbors = stack.compat.strips(stack.scene.sequence_editor)
    stack.compat.new_color(neighbors, "after", 3, 45, 20)
    stack.add(B, frames)
    before = stack.place()
    assert stack.show(B) == ""
    assert stack.place() == before and stack.strip.channel == 3 and len(stack.strip.elements) == frames
    assert stack.file_at(44) == f"{min(frames, 35):04d}.png"
    take = stack.takes.takes_of(stack.strip)[0]
    assert stack.takes.held_frames(stack.strip, take) == max(0, 35 - frames)
    assert stack.show(A) == ""
    assert stack.place() == before and len(stack.strip.elements) == 40 and stack.file_at(44) == "0035.png"


def test_pictures_of_another_size_lie_where_the_others_lay(stack, monkeypatch, addon):
    swap = addon("timeline.swap_media")
    sizes = {A: (64, 36), B: (128, 72)}
    monkeypatch.setattr(swap, "_size_in", lambda path, is_movie: sizes[Path(path).parent.name])
    strip = stack.strip
    strip.transform.scale_x, strip.transform.scale_y, strip.crop.min_x = 30.0, 15.0, 8
    stack.add(B)
    stack.show(B)
    assert (stack.strip.transform.scale_x, stack.strip.transform.scale_y, stack.strip.crop.min_x) == (15.0, 7.5, 16)
    stack.show(A)
    assert (stack.strip.transform.scale_x, stack.strip.transform.scale_y, stack.strip.crop.min_x) == (30.0, 15.0, 8)


def test_movies_are_swapped_in_place(scene, addon, tmp_path):
    takes, identity = addon("timeline.strip_takes"), addon("timeline.identity")
    compat, take_strips = addon("timeline.compat"), addon("timeline.take_strips")
    kept = []
    black = compat.new_color(compat.strips(scene.sequence_editor), "black", 1, 1, 24)
    for job, frames in ((A, 24), (B, 24), (C, 9)):
        (tmp_path / job).mkdir()
        render_movie(scene, tmp_path / job / "take.mkv", frames)
        kept.append(takes.KeptTake(job, str(tmp_path / job), "take.mkv", frames, True))
    compat.strips(scene.sequence_editor).remove(black)
    name = take_strips.put_on_timeline(scene, "Shot", kept[0].files(), 3, 10, 24).name
    strip = compat.strip_named(scene, name)
    identity.mark_take(strip, A, "{}", "{}")
    for take in kept[1:]:
        takes.remember(strip, take)
    compat.set_handles(strip, 13, 30)
    for job, frames in ((B, 24), (C, 9), (A, 24), (C, 9), (B, 24)):
        assert takes.show(scene, strip, job) == ""
        assert (compat.start(strip), compat.end_exclusive(strip), compat.content_start(strip)) == (13, 30, 10)
        assert strip.filepath.endswith(str(Path(job) / "take.mkv")) and compat.content_frames(strip) == frames


def render_movie(scene, path: Path, frames: int) -> None:
    """A movie of nothing, by Blender itself."""
    import bpy

    scene.frame_start, scene.frame_end = 1, frames
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MKV", "FFV1"
    scene.render.filepath, scene.render.use_file_extension = str(path), False
    bpy.ops.render.render(animation=True)


def test_a_retimed_strip_keeps_its_speed(stack):
    strip = stack.strip
    if not hasattr(strip, "retiming_keys"):
        pytest.skip("this version retimes no pictures")
    import bpy

    editor = stack.scene.sequence_editor
    editor.active_strip = strip
    strip.select = True
    with bpy.context.temp_override(scene=stack.scene, strip=strip, selected_strips=[strip], active_strip=strip):
        if not bpy.ops.sequencer.retiming_segment_speed_set.poll():
            pytest.skip("no retiming without a window")
        bpy.ops.sequencer.retiming_segment_speed_set(speed=200.0)
    stack.add(B, 20)
    before, keys = stack.place(), [key.timeline_frame for key in stack.strip.retiming_keys]
    assert stack.show(B) == ""
    assert stack.place() == before and [key.timeline_frame for key in stack.strip.retiming_keys] == keys


def test_what_cannot_be_shown_says_why_and_changes_nothing(stack):
    stack.add(B)
    shutil.rmtree(stack.folder / B)
    assert "make the take again" in stack.show(B)
    movie = stack.takes.KeptTake(C, str(stack.folder / C), "take.mkv", 40, True)
    stack.takes.remember(stack.strip, movie)
    assert "movie" in stack.show(C)
    assert "doesn't have" in stack.show("d" * 32)
    assert stack.takes.shown_index(stack.strip) == 2 and stack.strip.directory.rstrip("/\\").endswith(A)


def test_marks_and_notes_stay_with_their_take(stack):
    stack.add(B)
    stack.takes.set_mark(stack.strip, B, "star")
    stack.takes.set_note(stack.strip, A, "the\nhand is wrong \ud800" + "x" * 2000)
    stack.show(B)
    newest, oldest = stack.takes.takes_of(stack.strip)
    assert (newest.mark, oldest.mark) == ("star", "")
    assert oldest.note.startswith("the hand is wrong") and len(oldest.note) <= 1000
    with pytest.raises(ValueError, match="no mark"):
        stack.takes.set_mark(stack.strip, B, "best")


def test_the_takes_beside_the_shown_one_are_found_where_it_lies(stack):
    """As after Save As into another folder, or after the whole project was moved: Blender keeps one path right."""
    stack.add(B)
    moved = stack.folder / "moved"
    moved.mkdir()
    for job in (A, B):
        shutil.move(stack.folder / job, moved / job)
    stack.strip.directory = str(moved / A)
    assert [take.folder for take in stack.takes.takes_of(stack.strip)] == [str(moved / B), str(moved / A)]
    assert stack.show(B) == ""


def test_a_take_that_lies_elsewhere_is_found_after_a_flip(stack, tmp_path):
    far = tmp_path / "far"
    far.mkdir()
    stack.add(B)
    shutil.move(stack.folder / B, far / B)
    stack.takes.set_folders(stack.strip, {str(stack.folder / B): str(far / B)})
    for job in (B, A, B):
        assert stack.show(job) == ""
        assert sorted(take.folder for take in stack.takes.takes_of(stack.strip)) == [
            str(stack.folder / A),
            str(far / B),
        ]


def test_a_flip_looks_neither_at_each_take_s_pictures_nor_at_each_take_s_folder(stack, monkeypatch):
    jobs, folders = [f"{index:032x}" for index in range(200)], []
    stack.on_disk(B, 241)
    for job in jobs:
        stack.takes.remember(
            stack.strip,
            stack.takes.KeptTake(job, str(stack.folder / B), "0001.png", 241, False),
            stack.takes.Made("{}"),
        )
    assert len(stack.jobs()) == 201
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (folders.append(folder), scandir(folder))[1])
    for job in (A, *jobs[:5]):
        folders.clear()
        assert calls_in(lambda job=job: stack.show(job)) < 150 * 241  # with half of that it does what it has to
        assert len(folders) <= 1


def calls_in(work) -> int:
    """How many functions `work()` calls, in Python or beyond."""
    events = collections.Counter()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: events.update([event]))
    try:
        assert work() == ""
    finally:
        sys.setprofile(before)
    return events["call"] + events["c_call"]


def test_hostile_properties_are_left_out(stack):
    folder = str(stack.folder / B)
    good = {"job": B, "folder": B, "first_file": "0001.png", "frames": 40, "movie": False, "mark": "", "note": ""}
    bad = [
        {"job": "../../etc"},
        {"folder": "../../etc"},
        {"folder": f"{folder}/../x"},
        {"folder": 5},
        {"first_file": "/etc/passwd"},
        {"frames": 10**9},
        {"frames": True},
        {"frames": 0},
        {"movie": True},
    ]
    entries = [{**good, "job": f"{index:032x}", **wrong} for index, wrong in enumerate(bad)]
    stack.strip[stack.takes.TAKES] = json.dumps([good, good, 7, None, [], *entries])
    assert stack.jobs() == [A, B]
    stack.strip[stack.takes.TAKES] = json.dumps([{**good, "mark": ["x"], "note": 5}])
    assert (stack.takes.takes_of(stack.strip)[1].mark, stack.takes.takes_of(stack.strip)[1].note) == ("", "")
    for text in ("[" * 100_000, '{"a": 1}', "nan", "x" * (1 << 21), 7, json.dumps([good] * 100_000)):
        stack.strip[stack.takes.TAKES] = text
        stack.strip[stack.takes.MADE] = stack.strip[stack.takes.PENDING] = text
        assert stack.jobs()[0] == A or stack.jobs() == [B]
        stack.takes.pending(stack.strip), stack.takes.made_of(stack.strip, B)


def test_more_takes_than_are_kept_lose_the_oldest_that_nobody_wants(stack, addon, monkeypatch):
    monkeypatch.setattr(stack.takes, "MAX_TAKES", 4)
    for index, job in enumerate((B, C, "d" * 32, "e" * 32, "f" * 32)):
        stack.takes.remember(stack.strip, stack.takes.KeptTake(job, str(stack.folder / job), "0001.png", 1, False))
        if not index:
            stack.takes.set_mark(stack.strip, B, "star")
    assert stack.jobs() == ["f" * 32, "e" * 32, B, A]


def test_pending_jobs_keep_their_order_and_what_is_known_of_them(stack):
    strip, takes = stack.strip, stack.takes
    assert takes.pending(strip) == ()
    takes.set_asked(strip, [takes.Asked(B, A, "{}", ""), takes.Asked(C)])
    assert takes.pending(strip) == (B, C)
    takes.set_pending(strip, ["d" * 32, B])
    assert takes.asked_for(strip) == (takes.Asked("d" * 32), takes.Asked(B, A, "{}", ""))
    takes.set_pending(strip, [])
    assert takes.pending(strip) == () and strip.get(takes.PENDING) is None


def test_an_undo_in_the_middle_of_flipping_loses_nothing(stack):
    import bpy

    stack.add(B)
    stack.add(C)
    bpy.ops.ed.undo_push(message="Takes")
    for job in (B, C):
        stack.show(job)
        bpy.ops.ed.undo_push(message="Flip")
    stack.scene = bpy.context.scene
    bpy.ops.ed.undo()
    stack.scene = bpy.context.scene
    assert stack.jobs() == [C, B, A] and stack.takes.shown_index(stack.strip) == 1
    assert stack.strip.directory.rstrip("/\\").endswith(B)
    bpy.ops.ed.redo()
    stack.scene = bpy.context.scene
    assert stack.takes.shown_index(stack.strip) == 0


def test_what_strips_keep_is_parsed_once(scene, addon, tmp_path, monkeypatch) -> None:
    stack = Stack(scene, addon, tmp_path)
    stack.add(B)
    takes, parsed = stack.takes, []
    whole = takes.bounds.parsed
    monkeypatch.setattr(takes.bounds, "parsed", lambda text: parsed.append(text) or whole(text))
    stack.strip[takes.PENDING] = json.dumps([{"job_id": C}])
    for _ in range(3):
        assert takes.jobs_on(stack.strip) == (A, B, A, C)
        assert takes.shown_index(stack.strip) == 1 and takes.badge_of(stack.strip, A).pending == (C,)
        assert [take.folder for take in takes.takes_of(stack.strip)] == [str(tmp_path / B), str(tmp_path / A)]
    assert len(parsed) <= 2


def test_a_shown_take_that_the_property_lacks_is_the_first(scene, addon, tmp_path) -> None:
    stack = Stack(scene, addon, tmp_path)
    stack.add(B)
    stack.strip[stack.takes.TAKES] = json.dumps([json.loads(stack.strip[stack.takes.TAKES])[0]])
    assert stack.jobs() == [A, B] and stack.takes.shown_index(stack.strip) == 0


def test_a_crop_and_a_scale_come_back_whole_from_a_smaller_take(stack, monkeypatch, addon):
    sizes = {A: (96, 54), B: (64, 36), C: (100, 50)}
    monkeypatch.setattr(addon("timeline.swap_media"), "_size_in", lambda path, is_movie: sizes[Path(path).parent.name])
    strip = stack.strip
    strip.crop.min_x, strip.crop.max_x, strip.crop.min_y, strip.crop.max_y = 5, 1, 7, 4
    stack.add(B), stack.add(C)
    for job_id in (B, C, B, A):
        assert not stack.show(job_id)
    crop = stack.strip.crop
    assert (crop.min_x, crop.max_x, crop.min_y, crop.max_y) == (5, 1, 7, 4)
    stack.show(B)
    stack.strip.crop.min_x = 10  # by hand: what was kept of the crop before is no longer so
    stack.show(A)
    assert stack.strip.crop.min_x == 15
    for hostile in ("abcd", [1.0], [float("nan")] * 4, [1e30] * 4, 7):
        stack.strip[addon("timeline.swap_media").CROP] = hostile
        assert not stack.show(B) and not stack.show(A)


@pytest.mark.parametrize("animated", ["blend_alpha", "transform.scale_x"])
def test_only_a_scale_that_is_animated_stays(stack, monkeypatch, addon, animated):
    sizes = {A: (64, 36), B: (128, 72)}
    monkeypatch.setattr(addon("timeline.swap_media"), "_size_in", lambda path, is_movie: sizes[Path(path).parent.name])
    strip = stack.strip
    strip.transform.scale_x = 30.0
    owner = strip.transform if "." in animated else strip
    owner.keyframe_insert(animated.rpartition(".")[2], frame=12)
    stack.add(B)
    stack.show(B)
    assert stack.strip.transform.scale_x == (30.0 if "." in animated else 15.0)


def test_a_property_that_would_break_every_redraw_is_left_out(stack):
    good = {"job": B, "folder": B, "first_file": "0001.png", "frames": 40, "movie": False, "mark": "", "note": ""}
    for wrong in ({"first_file": []}, {"first_file": {}}, {"frames": 1e400}, {"movie": []}):
        stack.strip[stack.takes.TAKES] = json.dumps([{**good, **wrong}])
        assert stack.jobs() == [A]
    stack.strip[stack.takes.TAKES] = json.dumps([{**good, "note": chr(0xD800)}])
    assert stack.takes.takes_of(stack.strip)[1].note == ""


def test_takes_with_long_notes_are_never_all_lost(stack, addon):
    kept = [
        stack.takes.KeptTake(f"{number:032x}", f"/wan/{number:032x}", "0001.png", 40, False, "", "\N{HERB}" * 1000)
        for number in range(200)
    ]
    stack.takes._write_takes(stack.strip, [*kept, *stack.takes.takes_of(stack.strip)])
    assert 50 < len(stack.jobs()) < 200 and A in stack.jobs() and f"{0:032x}" in stack.jobs()


def test_a_take_in_a_folder_whose_name_is_no_text_is_said_plainly(stack):
    import bpy

    lost = stack.takes.KeptTake(B, "/gone/" + chr(0xDCFF), "0001.png", 40, False)
    stack.takes.remember(stack.strip, lost)
    sentence = stack.show(B)
    assert "/gone/" in sentence
    bpy.context.scene.name = sentence[:20] + sentence[-20:].encode("utf-8").decode()
