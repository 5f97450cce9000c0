"""The timeline leaves as OpenTimelineIO and comes back the same, with its takes; what is missing is said.

The backend's own process writes and reads the files; WAN_VSE_BACKEND_PYTHON names its Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import wave
from pathlib import Path

import bpy
import fake_backend_frames as frames_of_fake
import pytest

from wan_backend.protocol import ProtocolError
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.cut import ExportTimelineResult, ImportTimelineResult, is_sane_cut
from wan_backend.protocol.messages import FrameRate, MediaFormat, Take, TakeRequest

BACKEND = os.environ.get("WAN_VSE_BACKEND_PYTHON", "")
ROOT = Path(__file__).parents[3]
A, B, C = "a" * 32, "b" * 32, "c" * 32
ASKED = TakeRequest("a cat", "wan-x", 64, 48, 8, FrameRate(24), 1, "/m")

pytestmark = pytest.mark.skipif(not BACKEND, reason="WAN_VSE_BACKEND_PYTHON names no backend")


class Client:
    """Answers as the server does, by the same process, and at once."""

    def call(self, method, params, answered, failed):
        kind = {"export_timeline": ExportTimelineResult, "import_timeline": ImportTimelineResult}[method]
        arguments = ["export"]
        if method == "import_timeline":
            arguments = ["import", os.path.join(params.media_folders[0], "unpacked")]
        words = [BACKEND, "-m", "wan_backend.interchange.process", *arguments]
        there = {**os.environ, "PYTHONPATH": str(ROOT)}
        order = json.dumps(to_json(params))
        said = json.loads(subprocess.run(words, input=order, capture_output=True, text=True, env=there).stdout)
        if "problem" in said:
            failed(ProtocolError(1, said["problem"]["sentence"]))
        else:
            answered(from_json(kind, said["result"], "result"))


class Desk:
    """A timeline, and what goes out of it and comes in."""

    def __init__(self, cut, addon, folder: Path, user_folder: Path):
        self.cut, self.addon, self.folder = cut, addon, folder
        self.user_folder = user_folder
        self.module = addon("jobs.interchange")
        self.identity, self.takes = addon("timeline.identity"), addon("timeline.strip_takes")
        self.wan = folder / "wan"

    def export(self, name: str) -> str:
        return self._done("begin_export", name)

    def bring(self, name: str) -> str:
        return self._done("begin_import", name)

    def _done(self, begin: str, name: str) -> str:
        work = self.module.Interchange(lambda: None)
        getattr(work, begin)(self.cut.scene, str(self.folder / name))
        assert work.busy
        for _ in range(10_000):
            work.send(Client())
            if not work.busy:
                break
            work.tick(0.0)
        assert not work.busy and not list(self.user_folder.glob("cut-*"))
        return work.sentence

    def clear(self) -> None:
        for name in sorted(strip.name for strip in self.cut.strips):  # effects go with the strips that they need
            if name in self.cut.strips:
                self.cut.strips.remove(self.cut.strips[name])

    def take(self, job_id: str, frames: int = 8):
        """A take on the disk."""
        folder = self.wan / job_id
        folder.mkdir(parents=True)
        for index in range(frames):
            (folder / f"{index + 1:04d}.png").write_bytes(frames_of_fake.png(index))
        take = Take(str(folder), "0001.png", MediaFormat.PNG, frames, 64, 48, FrameRate(24))
        (folder / "take.json").write_text(
            json.dumps({"job_id": job_id, "take": to_json(take), "request": to_json(ASKED)})
        )
        return self.takes.KeptTake(job_id, str(folder), "0001.png", frames, False)

    def take_strip(self):
        """A strip with three takes, of which it shows the middle one."""
        put, compat = self.addon("timeline.take_strips"), self.addon("timeline.compat")
        first = self.take(A)
        name = put.put_on_timeline(self.cut.scene, "Shot", first.files(), 2, 10, 8).name
        strip = compat.strip_named(self.cut.scene, name)
        self.identity.mark_take(strip, A, json.dumps(to_json(ASKED)), "{}")
        for job_id in (B, C):
            self.takes.remember(strip, self.take(job_id), self.takes.Made(json.dumps(to_json(ASKED)), "{}"))
        self.takes.set_mark(strip, C, "star")
        self.takes.set_note(strip, A, "too dark")
        assert self.takes.show(self.cut.scene, strip, B) == ""
        return strip

    def described(self):
        return self.addon("timeline.cut_description").of(self.cut.scene, "Film").cut


@pytest.fixture
def desk(cut, addon, tmp_path, user_folder):
    return Desk(cut, addon, tmp_path, user_folder)


def test_the_timeline_comes_back_as_it_was(desk, cut, addon):
    compat = addon("timeline.compat")
    one, two = cut.shot("One", 1, 40), cut.shot("Two", 30, 60, 2)
    cut.shot("Three", 70, 90).mute = True
    cut.still("Still", 90, 120)
    compat.set_handles(cut.strips["Three"], 75, 85)
    cut.strips["Three"].use_reverse_frames = True
    compat.new_cross(cut.strips, "Cross", 3, 30, 10, one, two)
    cut.effect("Red", "COLOR", 100, 130, 4).color = (1.0, 0.5, 0.25)
    cut.scene.timeline_markers.new("Here", frame=12)
    places, before = cut.places(), desk.described()
    assert desk.export("film.otio") == "'film.otio' has 5 clips with 0 takes."
    desk.clear()
    cut.scene.timeline_markers.clear()
    assert desk.bring("film.otio").startswith("'film.otio' is on the timeline: 5 strips.")
    assert cut.places() == places
    assert desk.described() == before


def test_three_takes_leave_and_come_back_as_takes_of_the_strip(desk, cut):
    desk.take_strip()
    before = desk.described()
    assert desk.export("film.otio") == "'film.otio' has 1 clip with 3 takes."
    desk.clear()
    desk.bring("film.otio")
    (strip,) = cut.strips
    takes = desk.takes.takes_of(strip)
    assert [(each.job_id, each.mark, each.note) for each in takes] == [
        (C, "star", ""),
        (B, "", ""),
        (A, "", "too dark"),
    ]
    assert desk.takes.shown_index(strip) == 1
    assert to_json(desk.identity.request_of(strip)) == to_json(ASKED)
    assert desk.takes.show(cut.scene, strip, C) == ""
    assert desk.takes.show(cut.scene, strip, B) == ""
    assert desk.described() == before


def test_a_bundle_brings_its_takes_along(desk, cut):
    desk.take_strip()
    desk.export("film.otioz")
    desk.clear()
    shutil.rmtree(desk.wan)
    desk.bring("film.otioz")
    (strip,) = cut.strips
    folders = [Path(each.folder) for each in desk.takes.takes_of(strip)]
    assert [each.name for each in folders] == [C, B, A]
    assert all((each / "0008.png").is_file() for each in folders)


def test_a_second_import_lies_above_the_first(desk, cut):
    cut.shot("One", 1, 40)
    cut.shot("Two", 10, 60, 2)
    desk.export("film.otio")
    for _ in range(2):
        desk.bring("film.otio")
    assert sorted(channel for _, _, _, channel in cut.places()) == [1, 2, 3, 4, 5, 6]


def test_what_is_missing_and_what_is_not_made_yet_start_nothing(desk, cut, addon):
    cut.shot("One", 1, 40)
    waiting = cut.effect("Waits", "COLOR", 50, 80, 1)
    desk.identity.mark_placeholder(waiting, A, json.dumps(to_json(ASKED)))
    desk.export("film.otio")
    desk.clear()
    shutil.rmtree(cut.folder)
    assert "The media of 1 clip isn't there" in desk.bring("film.otio")
    assert [name for name, *_ in cut.places()] == ["Missing: One", "Waits"]
    assert not list(desk.identity.marked(cut.scene))
    assert to_json(desk.identity.request_of(cut.strips["Waits"])) == to_json(ASKED)


def test_what_a_cut_has_no_place_for_is_said(desk, cut):
    cut.shot("One", 1, 40).transform.offset_x = 5
    cut.text("Words", 1, 20)
    assert desk.export("film.otio") == (
        "'film.otio' has 1 clip with 0 takes. Not in the file: 1 crop, position or turn, 1 text strip."
    )


def test_a_file_that_is_no_timeline_changes_nothing(desk, cut):
    cut.shot("One", 1, 40)
    places = cut.places()
    (desk.folder / "film.otio").write_text("{}")
    assert "holds no timeline" in desk.bring("film.otio")
    assert cut.places() == places


def test_nothing_is_exported_of_an_empty_timeline(desk, scene, addon):
    operator = addon("operators.interchange").WAN_VSE_OT_export_timeline
    assert operator.refusal(bpy.context) == "The timeline has no strips"


def test_more_strips_than_the_window_can_wait_for_are_refused(desk, cut, addon, monkeypatch):
    cut.shot("One", 1, 40)
    cut.shot("Two", 50, 60)
    monkeypatch.setattr(addon("timeline.cut_description"), "MAX_STRIPS", 1)
    with pytest.raises(addon("jobs.request").Refused, match="more than can be exported at once"):
        desk.export("film.otio")


def retold(desk, cut) -> str:
    """Export and import again; what was said of the export. The timeline has to be described as before."""
    places, before = cut.places(), desk.described()
    said = desk.export("film.otio")
    desk.clear()
    cut.scene.timeline_markers.clear()
    desk.bring("film.otio")
    assert cut.places() == places
    assert desk.described() == before
    return said


@pytest.mark.compat
def test_speeds_and_held_frames_come_back(desk, cut, addon):
    compat = addon("timeline.compat")
    fast, slow, held, back = (cut.shot(name, at, at + 40) for name, at in zip("ABCD", (1, 50, 100, 150), strict=True))
    compat.set_handles(fast, 5, 20)
    compat.set_handles(slow, 50, 90)
    back.use_reverse_frames = True
    for strip, speed in ((fast, 2.0), (slow, 0.5), (held, 0.0), (back, 1.5)):
        start, length = compat.start(strip), compat.length_frames(strip)
        compat.new_speed(cut.strips, "Speed", 2, start, length, strip, speed)
    next(s for s in cut.strips if s.type == "SPEED" and s.input_1.name == "C").speed_frame_number = 7
    assert retold(desk, cut) == "'film.otio' has 4 clips with 0 takes."
    clips = desk.described().tracks[0].clips
    assert [(clip.speed, clip.media_start) for clip in clips] == [(2.0, 4), (0.5, 0), (0.0, 7), (-1.5, 0)]


@pytest.mark.compat
@pytest.mark.parametrize("ending", [".xml", ".aaf", ".edl"])
def test_the_other_formats_come_back_as_far_as_they_go(desk, cut, addon, ending):
    compat = addon("timeline.compat")
    cut.still("Still", 1, 20)
    meta = compat.new_meta(cut.strips, "Meta", 1, 30)
    inside = compat.new_image(compat.strips(meta), "Inside", str(cut.folder / "0000.png"), 1, 30)
    compat.set_handles(inside, 30, 50)
    compat.set_handles(meta, 30, 50)
    cut.effect("Red", "COLOR", 60, 80, 1).color = (1.0, 0.0, 0.0)
    cut.still("Muted", 90, 100).mute = True
    desk.export(f"film{ending}")
    desk.clear()
    desk.bring(f"film{ending}")
    told = {name: (start, end) for name, start, end, _ in cut.places()}
    of_meta, of_red = ("Nested" if ending == ".xml" else "Inside"), ("Red" if ending == ".xml" else "Missing: Red")
    assert told["Still"] == (1, 20)
    assert next(told[name] for name in told if name.startswith((of_meta, "Meta"))) == (30, 50)
    assert told[of_red] == (60, 80)
    assert ("Muted" in told) is (ending == ".xml")


@pytest.mark.compat
def test_what_plays_at_a_speed_is_the_same_picture_again(desk, cut, addon):
    compat = addon("timeline.compat")
    cut.scene.render.resolution_x = cut.scene.render.resolution_y = 32
    strip = cut.shot("A", 1, 41)
    compat.set_handles(strip, 5, 20)
    compat.new_speed(cut.strips, "Speed", 2, 5, 15, strip, 2.0)
    before = [shown(cut.scene, frame, desk.folder / "before") for frame in (5, 8, 19)]
    retold(desk, cut)
    assert [shown(cut.scene, frame, desk.folder / "after") for frame in (5, 8, 19)] == before
    assert len(set(before)) == 3


def shown(scene, frame: int, folder: Path) -> bytes:
    """What Blender renders of a frame."""
    scene.frame_start = scene.frame_end = frame
    scene.render.filepath = str(folder / "####")
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "IMAGE"
    scene.render.image_settings.file_format = "PNG"
    bpy.ops.render.render(animation=True)
    picture = bpy.data.images.load(str(folder / f"{frame:04d}.png"))
    try:
        return bytes(round(255 * level) for level in picture.pixels)
    finally:
        bpy.data.images.remove(picture)


@pytest.mark.compat
def test_a_dissolve_between_two_speeds_comes_back(desk, cut, addon):
    compat = addon("timeline.compat")
    one, two = cut.shot("One", 1, 40), cut.shot("Two", 30, 60, 2)
    first = compat.new_speed(cut.strips, "Fast", 3, 1, 39, one, 2.0)
    second = compat.new_speed(cut.strips, "Slow", 4, 30, 30, two, 0.5)
    compat.new_cross(cut.strips, "Cross", 5, 30, 10, first, second)
    places = cut.places()
    assert desk.export("film.otio") == "'film.otio' has 2 clips with 0 takes."
    desk.clear()
    desk.bring("film.otio")
    assert sorted(place[1:] for place in cut.places()) == sorted(place[1:] for place in places)
    cross = next(strip for strip in cut.strips if strip.type == "CROSS")
    assert (cross.input_1.type, cross.input_2.type) == ("SPEED", "SPEED")


@pytest.mark.compat
def test_meta_strips_come_back_with_what_is_in_them(desk, cut, addon):
    compat = addon("timeline.compat")
    outer = compat.new_meta(cut.strips, "Outer", 2, 10)
    inside = compat.strips(outer)
    for name, start, channel in (("One", 10, 1), ("Two", 30, 1), ("Above", 15, 2)):
        strip = compat.new_image(inside, name, str(cut.folder / "0000.png"), channel, start)
        compat.set_handles(strip, start, start + 20)
    inner = compat.new_meta(inside, "Inner", 3, 20)
    strip = compat.new_image(compat.strips(inner), "Deep", str(cut.folder / "0001.png"), 1, 20)
    compat.set_handles(strip, 20, 35)
    compat.set_handles(inner, 22, 35)
    compat.set_handles(outer, 12, 45)
    assert retold(desk, cut) == "'film.otio' has 6 clips with 0 takes."
    inside = compat.strips(cut.strips["Outer"])
    assert sorted((each.name, compat.start(each), compat.end_exclusive(each), each.channel) for each in inside) == [
        ("Above", 15, 35, 2),
        ("Inner", 22, 35, 3),
        ("One", 10, 30, 1),
        ("Two", 30, 50, 1),
    ]


@pytest.mark.skipif(not bpy.app.build_options.audaspace, reason="this Blender knows no sound")
def test_volumes_come_back(desk, cut, addon, tmp_path):
    compat = addon("timeline.compat")
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 48000, 96000, "NONE", ""))
        sound.writeframes(bytes(2 * 96000))
    strip = compat.new_sound(cut.strips, "Sound", str(tmp_path / "a.wav"), 3, 5)
    strip.volume = 0.25
    retold(desk, cut)
    assert desk.described().tracks[0].clips[0].volume == 0.25


def test_locks_and_shots_come_back(desk, cut):
    cut.shot("One", 1, 20).lock = True
    mark = cut.effect("SH 010", "COLOR", 1, 30, 9)
    mark["kitsu"] = {"sequence_name": "SQ 1", "shot_name": "SH 010"}
    before = desk.described()
    shots = {clip.name: clip.shot for track in before.tracks for clip in track.clips}
    assert shots == {"One": "SQ 1 SH 010", "SH 010": "SQ 1 SH 010"}
    desk.export("film.otio")
    desk.clear()
    desk.bring("film.otio")
    assert desk.described() == before


def test_clips_that_lie_on_one_another_go_to_two_tracks(desk, cut):
    cut.shot("One", 1, 20)
    cut.shot("Two", 10, 30)  # Blender's own functions never lay strips so, other add-ons may
    cut.strips["Two"].channel = 1
    tracks = desk.described().tracks
    assert sum(len(track.clips) for track in tracks) == 2
    assert is_sane_cut(desk.described())


@pytest.fixture
def begun(desk, cut, monkeypatch):
    """An import that has laid a part of twelve strips."""
    monkeypatch.setattr(desk.module, "STEP_SECONDS", 0.0)
    for index in range(12):
        cut.shot(f"Shot {index}", 1 + 20 * index, 15 + 20 * index)
    desk.export("film.otio")
    desk.clear()
    bpy.ops.ed.undo_push(message="Empty")
    work = desk.module.Interchange(lambda: None)
    work.begin_import(cut.scene, str(desk.folder / "film.otio"))
    work.send(Client())
    while len(cut.strips) < 5:
        work.tick(0.0)
    assert work.laying and 0.0 < work.progress < 1.0
    return work


def test_an_import_is_one_undo_step(desk, cut):
    cut.shot("Old", 500, 520)
    bpy.ops.ed.undo_push(message="Before")
    for index in range(12):
        cut.shot(f"Shot {index}", 1 + 20 * index, 15 + 20 * index, 2)
    desk.export("film.otio")
    desk.clear()
    bpy.ops.ed.undo_push(message="Empty")
    desk.bring("film.otio")
    assert len(cut.strips) == 13
    bpy.ops.ed.undo()
    cut.scene = bpy.context.scene
    assert len(cut.strips) == 0


def test_an_import_that_a_person_ends_takes_back_what_it_laid(begun, cut):
    work = begun
    work.break_off("Ended.")
    assert (cut.places(), work.sentence, work.failed, work.busy) == ([], "Ended.", True, False)


def test_an_import_goes_on_without_the_server_and_ends_at_an_error(begun, cut, monkeypatch, addon):
    begun.give_up("The backend is gone.")
    assert begun.laying

    def broken(*_arguments):
        raise RuntimeError("no such strip")

    monkeypatch.setattr(addon("timeline.cut_layout"), "_new", broken)
    while begun.busy:
        begun.tick(0.0)
    assert (cut.places(), begun.laying, begun.failed) == ([], False, True)
    assert "see the log" in begun.sentence


def test_an_undo_amid_an_import_ends_it(begun, cut):
    work = begun
    cut.strips.remove(cut.strips["Shot 1"])
    kept = cut.shot("Mine", 900, 910)
    work.strips_changed()
    assert [name for name, *_ in cut.places()] == [kept.name]
    assert "import it again" in work.sentence and not work.busy


def test_strips_that_come_and_go_while_the_timeline_is_described_are_described(desk, cut, addon):
    for index in range(12):
        cut.shot(f"Shot {index}", 1 + 20 * index, 15 + 20 * index)
    describing = addon("timeline.cut_description").Describing(cut.scene, "Film")
    assert not describing.go_on(0.0) and not describing.go_on(0.0)
    cut.strips.remove(cut.strips["Shot 0"])
    cut.shot("New", 500, 520)
    while not describing.go_on(0.0):
        pass
    names = [clip.name for clip in describing.result.cut.tracks[0].clips]
    assert names == [*(f"Shot {index}" for index in range(1, 12)), "New"]


def test_a_timeline_that_never_rests_is_refused(desk, cut, addon):
    describing = addon("timeline.cut_description").Describing(cut.scene, "Film")
    for index in range(100):
        cut.shot(f"Shot {index}", 1 + 20 * index, 15 + 20 * index)
        if describing.go_on(0.0):
            break
    assert "changes all the time" in describing.refusal


@pytest.mark.long
def test_three_thousand_strips_leave_and_come_back(desk, cut, addon):
    for index in range(3000):
        cut.still(f"Shot {index}", 1 + 10 * index, 9 + 10 * index, 1 + index % 3)
    before = desk.described()
    assert desk.export("film.otio") == "'film.otio' has 3000 clips with 0 takes."
    for strip in list(cut.strips):
        cut.strips.remove(strip)
    desk.bring("film.otio")
    assert desk.described() == before
