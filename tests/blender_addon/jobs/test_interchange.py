"""The timeline leaves as OpenTimelineIO and comes back the same, with its takes; what is missing is said.

The backend's own process writes and reads the files; WAN_VSE_BACKEND_PYTHON names its Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import bpy
import fake_backend_frames as frames_of_fake
import pytest

from wan_backend.protocol import ProtocolError
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.cut import ExportTimelineResult, ImportTimelineResult
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
