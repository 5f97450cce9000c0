"""Files of cuts from somebody who means harm, or from a program that is wrong: a sentence, and nothing else happens."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

from tests.wan_backend.interchange.cut_files import cut_of, export, import_
from wan_backend.frames import movie_length
from wan_backend.interchange import bundle, process, reading
from wan_backend.protocol.cut import (
    MAX_CLIPS,
    MAX_NESTED_DEPTH,
    ClipMedia,
    ClipMediaKind,
    Cut,
    ImportTimelineParams,
    is_sane_cut,
)
from wan_backend.protocol.errors import Refusal
from wan_backend.server import interchange_requests


@pytest.mark.parametrize(
    "url", ["http://host/x.mov", "//host/share/x.mov", "file://host/x.mov", "/etc/passwd", "x.m3u8", "\\\\host\\x.mov"]
)
def test_nothing_is_asked_of_the_network_or_of_files_that_are_no_media(tmp_path: Path, url: str) -> None:
    export(cut_of(ClipMedia(ClipMediaKind.FILE, "", str(tmp_path), ["x.mov"], 9)), tmp_path / "film.otio")
    timeline = json.loads((tmp_path / "film.otio").read_text())
    (reference,) = timeline["tracks"]["children"][0]["children"][1]["media_references"].values()
    reference["target_url"] = url
    (tmp_path / "film.otio").write_text(json.dumps(timeline))
    (tmp_path / "x.m3u8").write_text("#EXTM3U")
    result, cut = import_(tmp_path / "film.otio", tmp_path)
    assert result.missing == 1 and cut.tracks[0].clips[0].media[0].kind is ClipMediaKind.MISSING


def hostile_zip(file: Path, name: str, content: bytes = b"x", mode: int = stat.S_IFREG) -> Path:
    """A cut's zip with one more entry."""
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as packed:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        packed.writestr(info, content)
    return file


@pytest.mark.parametrize(
    "name", ["../out.png", "/tmp/out.png", "media/../../out.png", "media/a\\..\\b.png", "media/CON.png", "C:/x.png"]
)
def test_a_zip_whose_files_would_lie_elsewhere_is_refused(film: Cut, tmp_path: Path, name: str) -> None:
    export(film, tmp_path / "film.otioz")
    hostile_zip(tmp_path / "film.otioz", name)
    with pytest.raises(Refusal, match="outside of its folder"):
        import_(tmp_path / "film.otioz", tmp_path / "new", tmp_path / "new" / "film")
    assert not (tmp_path / "new").exists() and not (tmp_path / "out.png").exists()


def test_a_zip_of_which_only_a_part_was_copied_is_called_damaged(film: Cut, tmp_path: Path) -> None:
    export(film, tmp_path / "film.otioz")
    whole = (tmp_path / "film.otioz").read_bytes()
    (tmp_path / "film.otioz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refusal, match="only a part of it was copied"):
        import_(tmp_path / "film.otioz", tmp_path / "new", tmp_path / "new" / "film")


def test_a_value_of_another_kind_is_said_by_its_line_and_no_compilers_names(film: Cut, tmp_path: Path) -> None:
    export(film, tmp_path / "film.otio")
    timeline = json.loads((tmp_path / "film.otio").read_text())
    timeline["tracks"]["children"][0]["metadata"] = "none"
    (tmp_path / "film.otio").write_text(json.dumps(timeline, indent=1))
    with pytest.raises(Refusal, match=r"what stands near line \d+ is of another kind"):
        import_(tmp_path / "film.otio", tmp_path / "new")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037"])
def test_entities_are_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    bomb = "".join(f'<!ENTITY e{at} "{f"&e{at - 1};" * 10 if at else "x" * 10}">' for at in range(10))
    text = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE xmeml [{bomb}]><xmeml><name>&e9;</name></xmeml>"
    (tmp_path / "film.xml").write_bytes(text.encode(encoding))
    params = ImportTimelineParams(str(tmp_path / "film.xml"), str(tmp_path / "read.json"), [str(tmp_path)])
    said = process.answer(lambda: process.import_(params, None), "film.xml")
    assert said["problem"]["sentence"] and not (tmp_path / "read.json").exists()


def test_a_zip_with_a_link_or_a_bomb_is_refused(film: Cut, tmp_path: Path) -> None:
    export(film, tmp_path / "film.otioz")
    linked = hostile_zip(tmp_path / "film.otioz", "media/a.png", b"/etc", stat.S_IFLNK)
    with pytest.raises(Refusal, match="link"):
        bundle.content_of(linked)
    export(film, tmp_path / "bomb.otioz")
    bomb = hostile_zip(tmp_path / "bomb.otioz", "media/a.png", bytes(80 << 20))
    with pytest.raises(Refusal, match="many times as large"):
        bundle.content_of(bomb)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"OTIO_SCHEMA": "Clip.2"}', '{"OTIO_SCHEMA": "Timeline.99", "tracks": 3}']
)
def test_a_file_that_is_no_timeline_ends_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "film.otio"
    file.write_text(text)
    params = ImportTimelineParams(str(file), str(tmp_path / "read.json"), [str(tmp_path)])
    said = process.answer(lambda: process.import_(params, None), file.name)
    assert said["problem"]["sentence"]
    assert not (tmp_path / "read.json").exists()


@pytest.mark.ci
def test_a_file_that_ends_its_process_ends_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "film.otio"
    file.write_text("[" * 1_000_000)
    with pytest.raises(Refusal, match=r"film\.otio"):
        interchange_requests.import_(ImportTimelineParams(str(file), str(tmp_path / "read.json"), [str(tmp_path)]))


def timeline_with(*items: Any) -> Any:
    """A timeline with one track."""
    timeline = otio.schema.Timeline("Film")
    track = otio.schema.Track("V1")
    for item in items:
        track.append(item)
    timeline.tracks.append(track)
    return timeline


def span(start: float, length: float, rate: float = 24.0) -> Any:
    return otio.opentime.TimeRange(otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(length, rate))


def read(timeline: Any, base: str = "/film") -> reading.Read:
    return reading.read(otio.core.serialize_json_to_string(timeline, {}, 0), base)


HUGE = [float("nan"), float("inf"), -float("inf"), 1e300, -1e300, 1 << 60, -5.0]


@pytest.mark.parametrize("rate", [24.0, 0.0, -24.0, float("nan"), float("inf"), 1e-300, 1e300])
@pytest.mark.parametrize("value", HUGE)
def test_times_that_are_none_end_in_a_sane_cut(value: float, rate: float) -> None:
    bad = [
        otio.schema.Clip("Start", source_range=span(value, 10.0, rate)),
        otio.schema.Clip("Length", source_range=span(0.0, value, rate)),
        otio.schema.Gap(source_range=span(value, value, rate)),
        otio.schema.Clip("Good", source_range=span(0.0, 10.0)),
    ]
    timeline = timeline_with(*bad)
    timeline.tracks[0].insert(
        1,
        otio.schema.Transition(
            transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve,
            in_offset=otio.opentime.RationalTime(value, rate),
            out_offset=otio.opentime.RationalTime(value, rate),
        ),
    )
    timeline.tracks.markers.append(otio.schema.Marker("Here", span(value, value, rate)))
    bad[3].effects.append(otio.schema.LinearTimeWarp(time_scalar=value))
    try:
        found = read(timeline).cut
    except Refusal:
        return
    assert is_sane_cut(found)


def test_a_million_clips_are_cut_off_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CLIPS", 50)
    found = read(timeline_with(*(otio.schema.Clip(str(at), source_range=span(0, 5)) for at in range(200))))
    assert len(found.cut.tracks[0].clips) == 50
    assert found.lost == ["Left out: clips (150)."]
    assert MAX_CLIPS <= 20_000


@pytest.mark.long
@pytest.mark.ci
def test_a_file_of_very_many_clips_ends_in_a_sentence_or_a_cut(tmp_path: Path) -> None:
    clip = '{"OTIO_SCHEMA":"Clip.1","name":"a","source_range":null}'
    file = tmp_path / "film.otio"
    with open(file, "w", encoding="ascii") as stream:
        stream.write('{"OTIO_SCHEMA":"Timeline.1","tracks":{"OTIO_SCHEMA":"Stack.1","children":[')
        stream.write('{"OTIO_SCHEMA":"Track.1","kind":"Video","children":[')
        stream.write(",".join([clip] * 300_000) + "]}]}}")
    params = ImportTimelineParams(str(file), str(tmp_path / "read.json"), [str(tmp_path)])
    try:
        assert interchange_requests.import_(params).clips <= MAX_CLIPS
    except Refusal as refusal:
        assert "film.otio" in str(refusal)


@pytest.mark.parametrize("depth", [2, 40, 200])
def test_timelines_nested_too_deeply_are_cut_off(depth: int) -> None:
    inner: Any = otio.schema.Clip("Deep", source_range=span(0, 5))
    for _ in range(depth):
        stack = otio.schema.Stack("Nest")
        stack.append(inner)
        inner = stack
    found = read(timeline_with(inner))
    assert is_sane_cut(found.cut)
    assert len(found.cut.nested) == min(depth, MAX_NESTED_DEPTH - 1)
    assert bool(found.lost) is (depth >= MAX_NESTED_DEPTH)


def test_a_request_inside_is_text_and_nothing_else(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    reference = otio.schema.GeneratorReference("Waits", "wan_vse.take", span(0, 9), {"command": f"touch {marker}"})
    request = {"prompt": "a cat", "media_folder": "/etc", "loras": [{"path": "/etc/passwd"}], "run": f"touch {marker}"}
    reference.metadata["wan_vse"] = {"request": request, "job": "../../etc", "kind": "file", "files": ["/etc/passwd"]}
    clip = otio.schema.Clip("Waits", reference, span(0, 9))
    clip.metadata["wan_vse"] = {"shot": "x" * 9999, "channel": 10**9, "volume": 1e30, "locked": "yes"}
    (found,) = read(timeline_with(clip)).cut.tracks[0].clips
    (media,) = found.media
    assert (media.kind, media.job_id, media.folder, media.files) == (ClipMediaKind.PLACEHOLDER, "", "", [])
    assert json.loads(media.request) == request
    assert (found.channel, found.volume, found.locked) == (0, 1.0, False) and len(found.shot) <= 200
    assert not marker.exists() and not list(tmp_path.iterdir())


def test_metadata_that_is_nested_too_deeply_is_left_out() -> None:
    deep: Any = {}
    for _ in range(60):
        deep = {"a": deep}
    reference = otio.schema.GeneratorReference("Waits", "wan_vse.take", span(0, 9), {})
    reference.metadata["wan_vse"] = {"request": deep}
    (found,) = read(timeline_with(otio.schema.Clip("Waits", reference, span(0, 9)))).cut.tracks[0].clips
    assert found.media[0].request == ""


@pytest.mark.parametrize("count", [0, -3, 1 << 40])
def test_sequences_of_no_or_too_many_pictures_are_missing(count: int) -> None:
    reference = otio.schema.ImageSequenceReference("file:///film/", "a", ".png", 1, 1, 24.0, 4)
    reference.available_range = span(0, float(count))
    (found,) = read(timeline_with(otio.schema.Clip("Shot", reference, span(0, 9)))).cut.tracks[0].clips
    assert found.media[0].kind is ClipMediaKind.MISSING


def test_a_link_in_a_folder_that_is_looked_in_leads_nowhere_else(film: Cut, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "a.mp4").write_text("a movie")
    (inside / "link").symlink_to(outside)
    file = inside / "film.otio"
    export(cut_of(ClipMedia(ClipMediaKind.FILE, "", "/gone", ["a.mp4"], 9)), file)
    result, _ = import_(file, tmp_path / "wan", search=inside)
    assert result.missing == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_pipes_that_are_called_like_the_media_keep_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path) -> Any:
        pytest.fail(f"{path} was opened")

    monkeypatch.setattr(movie_length, "opened", opened)
    for name in ("one", "two"):
        (tmp_path / "inside" / name).mkdir(parents=True)
        os.mkfifo(tmp_path / "inside" / name / "a.mp4")
    export(cut_of(ClipMedia(ClipMediaKind.FILE, "", "/gone", ["a.mp4"], 9)), tmp_path / "film.otio")
    result, _ = import_(tmp_path / "film.otio", tmp_path / "wan", search=tmp_path / "inside")
    assert result.missing == 1
