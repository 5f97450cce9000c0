"""Cuts in the other formats, as programs read them that know nothing of ours.

OpenTimelineIO's own tools do; for AAF, pyaaf2; for lists, pycmx; and for XML the importer of OpenShot, as Debian's
package openshot-qt ships it. The last two are asked where they are installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wan_backend.interchange.cut_files import export, tool
from tests.wan_backend.interchange.test_other_formats import NAME, full_cut
from wan_backend.interchange import other_formats
from wan_backend.protocol.messages import FrameRate

OPENSHOT = Path(os.environ.get("OPENSHOT_QT", "/usr/lib/python3/dist-packages/openshot_qt"))
NTSC = FrameRate(30, 1.001)


@pytest.mark.ci
@pytest.mark.parametrize("ending", other_formats.ENDINGS)
def test_its_own_tools_read_it(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"film{ending}"
    export(full_cut(tmp_path, FrameRate(24)), file)  # they ask for no rate, and read a list at 24
    track = json.loads(tool("otiocat", file))["tracks"]["children"][0]["children"]
    names = [each["name"] for each in track if each["OTIO_SCHEMA"].startswith("Clip")]
    assert names[:4] == [NAME, "Two", "Fast", "Slow"]
    assert any(each["OTIO_SCHEMA"].startswith("Transition") for each in track)
    said = tool("otiotool", "-i", file, "--list-clips", "--list-media", "--list-tracks")
    assert "Own" in said and "own.mp4" in said


@pytest.mark.ci
def test_pyaaf2_reads_the_aaf(tmp_path: Path) -> None:
    aaf2 = pytest.importorskip("aaf2")
    export(full_cut(tmp_path, NTSC), tmp_path / "film.aaf")
    with aaf2.open(str(tmp_path / "film.aaf")) as read:
        (film,) = read.content.toplevel()
        slots = [slot for slot in film.slots if slot.segment.media_kind in ("Picture", "Sound")]
        first = slots[0]
        parts = [(type(each).__name__, each.length) for each in first.segment.components]
        assert (film.name, len(slots), str(first.edit_rate)) == ("Film", 4, "30000/1001")
        # the clips of a dissolve are as long as they are seen, and the transition lies over both
        assert parts[:5] == [("Filler", 12), ("SourceClip", 13), ("Transition", 6), ("SourceClip", 23), ("Filler", 18)]
        dissolve = first.segment.components[2]
        assert (dissolve["CutPoint"].value, dissolve["OperationGroup"].value.operation.name) == (3, "Video Dissolve")
        names = {each.name for each in read.content.mastermobs()}
        assert {NAME, "Two", "Inside", "Over", "Sound"} <= names
        urls = [
            locator["URLString"].value
            for mob in read.content.sourcemobs()
            for locator in mob.descriptor.get("Locator", [])
        ]
        assert (tmp_path / "own.mp4").as_uri() in urls


def test_pycmx_reads_the_list(tmp_path: Path) -> None:
    pycmx = pytest.importorskip("pycmx")
    export(full_cut(tmp_path, NTSC), tmp_path / "film.edl")
    with open(tmp_path / "film.edl", encoding="utf-8") as lines:
        read = pycmx.parse_cmx3600(lines)
    events = list(read.events)
    assert (read.title, len(events)) == ("Film", 12)
    first, dissolved, fast = events[0].edits[0], events[1].edits, events[2].edits[0]
    assert (first.clip_name, first.source_out, first.record_in) == (NAME, "00:00:00;07", "00:00:00;12")
    assert first.source_file == "a b ü%?#.mp4"
    assert (dissolved[1].transition.dissolve, int(dissolved[1].transition.operand)) == (True, 6)
    assert (fast.source_in, fast.source_out) == ("00:00:00;08", "00:00:00;28")  # as much of the media as it plays
    assert events[-1].edits[0].channels.a1 and not events[-1].edits[0].channels.video


RUN = """
import importlib, json, sys, types
from unittest.mock import MagicMock
kept, file, root = [], *sys.argv[1:]
class Data:
    id = "1"
    def __init__(self): self.data = {}
    def save(self): kept.append(self.data)
    @staticmethod
    def get(**_): return None
app = MagicMock()
app.project.get = lambda name: {"fps": {"num": 24, "den": 1}, "layers": [{"number": 0}]}[name]
app.project.current_filepath = ""
app._tr = str
clip = MagicMock()
clip.return_value.Json.return_value = "{}"
clip.return_value.Reader.return_value.Json.return_value = '{"has_video": true, "has_audio": true, "id": "1"}'
given = {
    "openshot": {"Clip": clip},
    "PyQt5": {}, "PyQt5.QtWidgets": {"QFileDialog": MagicMock(getOpenFileName=lambda *_: (file, ""))},
    "classes": {"info": MagicMock(HOME_PATH="/", PATH="/", THUMBNAIL_PATH="/")},
    "classes.app": {"get_app": lambda: app}, "classes.logger": {"log": MagicMock()},
    "classes.image_types": {"is_image": lambda _: False},
    "classes.query": {"Clip": type("Clip", (Data,), {}), "Track": type("Track", (Data,), {}),
                      "File": type("File", (Data,), {})},
    "windows": {}, "windows.views": {}, "windows.views.find_file": {"find_missing_file": lambda path: (path, 0, 0)},
}
for name, values in given.items():
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(values)
sys.modules["classes"].__path__ = [root + "/classes"]
importlib.import_module("classes.importers.final_cut_pro").import_xml()
print(json.dumps([each for each in kept if "position" in each]))
"""
"""OpenShot's importer without its window: what it puts on the timeline."""


@pytest.mark.ci
@pytest.mark.skipif(not (OPENSHOT / "classes/importers").is_dir(), reason="openshot-qt is not installed")
def test_openshot_imports_the_xml(tmp_path: Path) -> None:
    file = tmp_path / "film.xml"
    export(full_cut(tmp_path, FrameRate(24)), file)
    words = [sys.executable, "-c", RUN, str(file), str(OPENSHOT)]
    clips = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    found = {round(each["position"] * 24): (each["start"] * 24, each["end"] * 24) for each in clips}
    # it takes a file where it is told in full, once
    assert found[110] == pytest.approx((0, 10)) and found[120] == pytest.approx((48, 58))
    assert found[6] == pytest.approx((0, 30))
