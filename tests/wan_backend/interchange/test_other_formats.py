"""Cuts in the formats of other programs: what has a place there comes back, and what hasn't is said."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.wan_backend.interchange.cut_files import JOBS, cut_of, export, take
from wan_backend.frames.take_writing import Movie
from wan_backend.interchange import other_formats, process
from wan_backend.protocol.choices import MediaFormat
from wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutClip,
    CutDissolve,
    CutMarker,
    CutTrack,
    ImportTimelineParams,
    NestedCut,
    TrackKind,
)
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate

pytestmark = pytest.mark.ci

RATES = [
    pytest.param(FrameRate(24), marks=pytest.mark.long, id="24"),
    pytest.param(FrameRate(24, 1.001), marks=pytest.mark.long, id="23.976"),
    pytest.param(FrameRate(30, 1.001), id="29.97"),
    pytest.param(FrameRate(25), marks=pytest.mark.long, id="25"),
]
NAME = "Öne / 日本 🎬 <&>"


def media(folder: Path, name: str, frames: int = 100, rate: float = 0.0) -> ClipMedia:
    """A file of any content."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x")
    kind = ClipMediaKind.PICTURES if name.endswith(".png") else ClipMediaKind.FILE
    return ClipMedia(kind, "", str(folder), [name], frames, rate)


def full_cut(folder: Path, rate: FrameRate) -> Cut:
    """A cut with all that one may have."""
    one, two = media(folder, "a b ü%?#.mp4"), media(folder, "b.mp4")
    held = media(folder, "still.png", 1)
    own = media(folder, "own.mp4", 100, 25.0)
    pictures = CutTrack(
        TrackKind.VIDEO,
        "V1",
        [
            CutClip(NAME, 12, 10, [one, replace(two, job_id="a" * 32)]),
            CutClip("Two", 22, 20, [two], media_start=5),
            CutClip("Fast", 60, 10, [one], media_start=8, speed=2.0),
            CutClip("Slow", 70, 10, [one], media_start=8, speed=0.5),
            CutClip("Back", 80, 10, [one], media_start=8, speed=-2.0),
            CutClip("Held", 100, 10, [one], media_start=8, speed=0.0),
            CutClip("Still", 110, 10, [held]),
            CutClip("Own", 120, 10, [own], media_start=50, speed=25 / float(rate.exact())),
            CutClip("Waits", 150, 10, [ClipMedia(ClipMediaKind.PLACEHOLDER, "w", request="{}")]),
            CutClip("Red", 160, 5, [ClipMedia(ClipMediaKind.COLOR, "r", color=[1.0, 0.0, 0.2])]),
            CutClip("Nest", 170, 5, [ClipMedia(ClipMediaKind.NESTED, "n", nested=0)], media_start=2),
            CutClip("Muted", 180, 5, [one], enabled=False),
        ],
        [CutDissolve(0, 3, 3, "Cross")],
    )
    above = CutTrack(TrackKind.VIDEO, "V2", [CutClip("Above", 20, 10, [two])])
    sounds = CutTrack(TrackKind.AUDIO, "A1", [CutClip("Sound", 6, 30, [media(folder, "s.wav")], volume=0.5)])
    inner = NestedCut(
        [
            CutTrack(clips=[CutClip("Inside", 0, 10, [one], media_start=3)]),
            CutTrack(clips=[CutClip("Over", 4, 9, [two])]),
        ]
    )
    return Cut("Film", rate, [pictures, above, sounds], [CutMarker("Here", 4, 0, False, "a note")], 1, [inner])


def import_(file: Path, rate: FrameRate) -> tuple[Any, Cut]:
    read = file.with_name("read.json")
    result = process.import_(ImportTimelineParams(str(file), str(read), [str(file.parent)], "", rate), None)
    return result, process.read_cut(read)


def told(track: CutTrack) -> list[tuple[Any, ...]]:
    return [
        (clip.name, clip.start, clip.length, clip.media_start, clip.speed, clip.enabled, clip.media[0].kind.value)
        for clip in track.clips
    ]


def own_start(rate: FrameRate) -> int:
    """The frame of the cut's rate at which a movie of 25 frames a second is at its fiftieth."""
    return round(2 * float(rate.exact()))


@pytest.mark.parametrize("rate", RATES)
def test_final_cut_pro_xml_comes_back(tmp_path: Path, rate: FrameRate) -> None:
    (said,) = export(full_cut(tmp_path, rate), tmp_path / "film.xml").lost
    assert str(said) == (
        "Final Cut Pro XML has no place for: takes that aren't shown (1), volumes (1), held frames (1), "
        "requests of placeholders (1)."
    )
    result, cut = import_(tmp_path / "film.xml", rate)
    assert (result.lost, result.missing, cut.frame_rate) == ([], 1, rate)
    assert told(cut.tracks[0]) == [
        (NAME, 12, 10, 0, 1.0, True, "file"),
        ("Two", 22, 20, 5, 1.0, True, "file"),
        ("Fast", 60, 10, 8, 2.0, True, "file"),
        ("Slow", 70, 10, 8, 0.5, True, "file"),
        ("Back", 80, 10, 8, -2.0, True, "file"),
        ("Held", 100, 10, 8, 1.0, True, "file"),
        ("Still", 110, 10, 0, 1.0, True, "pictures"),
        ("Own", 120, 10, own_start(rate), 1.0, True, "file"),
        ("Waits", 150, 10, 0, 1.0, True, "missing"),
        ("Red", 160, 5, 0, 1.0, True, "color"),
        ("Nest", 170, 5, 2, 1.0, True, "nested"),
        ("Muted", 180, 5, 0, 1.0, False, "file"),
    ]
    assert cut.tracks[0].dissolves == [CutDissolve(0, 3, 3, "Cross")]
    assert cut.tracks[0].clips[9].media[0].color == [1.0, 0.0, 0.2]
    assert [clip.start for track in cut.tracks[1:] for clip in track.clips] == [20, 6]
    assert [told(track)[0][:4] for track in cut.nested[0].tracks] == [("Inside", 0, 10, 3), ("Over", 4, 9, 0)]
    assert cut.markers == [CutMarker("Here", 4, 0, False, "a note")]


@pytest.mark.parametrize("rate", RATES)
def test_aaf_comes_back(tmp_path: Path, rate: FrameRate) -> None:
    (said,) = export(full_cut(tmp_path, rate), tmp_path / "film.aaf").lost
    for part in (
        "speeds (3)",
        "held frames (1)",
        "markers (1)",
        "colors (1)",
        "muted clips (1)",
        "requests of placeholders (1)",
    ):
        assert part in str(said)
    result, cut = import_(tmp_path / "film.aaf", rate)
    assert (result.lost, result.missing, cut.frame_rate) == ([], 2, rate)
    assert [each[:4] for each in told(cut.tracks[0])] == [
        (NAME, 12, 10, 0),
        ("Two", 22, 20, 5),
        ("Fast", 60, 10, 8),
        ("Slow", 70, 10, 8),
        ("Back", 80, 10, 72),
        ("Held", 100, 10, 8),
        ("Still", 110, 10, 0),
        ("Own", 120, 10, own_start(rate)),
        ("Waits", 150, 10, 0),
        ("Red", 160, 5, 0),
        ("Inside", 170, 5, 5),
    ]
    assert [(each.frames_before, each.frames_after) for each in cut.tracks[0].dissolves] == [(3, 3)]
    assert [told(track)[0][:4] for track in cut.tracks[1:]] == [
        ("Over", 172, 3, 0),
        ("Above", 20, 10, 0),
        ("Sound", 6, 30, 0),
    ]
    assert all(len(clip.media) == 1 for track in cut.tracks for clip in track.clips)
    assert sorted(each.suffix for each in tmp_path.iterdir() if "film" in each.name) == [".aaf"]


@pytest.mark.parametrize("rate", RATES)
def test_an_edit_list_comes_back(tmp_path: Path, rate: FrameRate) -> None:
    (said,) = export(full_cut(tmp_path, rate), tmp_path / "film.edl").lost
    for part in (
        "tracks (2)",
        "markers (1)",
        "colors (1)",
        "muted clips (1)",
        "requests of placeholders (1)",
        "volumes (1)",
    ):
        assert part in str(said)
    text = (tmp_path / "film.edl").read_text("utf-8")
    assert ("FCM: DROP FRAME" in text) is (rate == FrameRate(30, 1.001))
    result, cut = import_(tmp_path / "film.edl", rate)
    assert [str(each)[:27] for each in result.lost] == ["An EDL names no frame rate:"]
    assert [each[:5] for each in told(cut.tracks[0])] == [
        (NAME, 12, 7, 0, 1.0),
        ("Two", 19, 23, 2, 1.0),
        ("Fast", 60, 10, 8, 2.0),
        ("Slow", 70, 10, 8, 0.5),
        ("Back", 80, 10, 0, -2.0),
        ("Held", 100, 10, 8, 0.0),
        ("Still", 110, 10, 0, 1.0),
        ("Own", 120, 10, own_start(rate), 1.0),
        ("Waits", 150, 10, 0, 1.0),
        ("Red", 160, 5, 0, 1.0),
        ("Inside", 170, 5, 5, 1.0),
    ]
    (dissolve,) = cut.tracks[0].dissolves
    assert (dissolve.clip, dissolve.frames_before, dissolve.frames_after) == (0, 0, 6)
    assert cut.tracks[0].clips[1].media[0].files == ["b.mp4"]
    assert told(cut.tracks[1]) == [("Sound", 6, 30, 0, 1.0, True, "file")]


def test_an_edit_lists_reverse_is_counted_from_the_movies_end(tmp_path: Path) -> None:
    with Movie(tmp_path / "m.mp4", MediaFormat.H264, Fraction(24), 16, 16) as made:
        made.write(np.zeros((16, 16, 3), np.uint8), list(range(48)))
    movie = ClipMedia(ClipMediaKind.FILE, "", str(tmp_path), ["m.mp4"], 48)
    back = [CutClip("Back", 0, 10, [movie], media_start=8, speed=-1.0)]
    cut = replace(cut_of(movie), tracks=[CutTrack(clips=back)])
    export(cut, tmp_path / "film.edl")
    (clip,) = import_(tmp_path / "film.edl", FrameRate(24))[1].tracks[0].clips
    assert (clip.media_start, clip.speed, clip.media[0].frames) == (8, -1.0, 48)


@pytest.mark.parametrize("ending", other_formats.ENDINGS)
def test_takes_in_pictures_leave_as_movies_beside_the_file(tmp_path: Path, ending: str) -> None:
    good = take(tmp_path / "wan", JOBS[0])  # no pictures that can be decoded: what can't be a movie is said
    result = export(cut_of(good), tmp_path / f"film{ending}")
    assert any("picture sequences (1)" in str(each) for each in result.lost)
    assert import_(tmp_path / f"film{ending}", FrameRate(24))[0].missing == 1


@pytest.mark.parametrize("ending", other_formats.ENDINGS)
def test_very_long_paths_and_names_come_back(tmp_path: Path, ending: str) -> None:
    folder = tmp_path.joinpath(*["ü" * 100] * 8)
    long = CutClip("日" * 63, 0, 10, [media(folder, "x" * 120 + ".mp4")])
    export(replace(cut_of(*long.media), tracks=[CutTrack(clips=[long])]), tmp_path / f"film{ending}")
    result, cut = import_(tmp_path / f"film{ending}", FrameRate(24))
    (clip,) = cut.tracks[0].clips
    assert (result.missing, clip.name, clip.media[0].folder) == (0, long.name, str(folder))


@pytest.mark.parametrize("ending", other_formats.ENDINGS)
def test_names_with_characters_that_no_format_has_are_told_without_them(tmp_path: Path, ending: str) -> None:
    clip = CutClip("a\x01b\ud800\uffffc", 0, 10, [media(tmp_path, "a.mp4")])
    export(replace(cut_of(*clip.media), tracks=[CutTrack(clips=[clip])]), tmp_path / f"film{ending}")
    assert import_(tmp_path / f"film{ending}", FrameRate(24))[1].tracks[0].clips[0].name == "abc"


@pytest.mark.parametrize("ending", other_formats.ENDINGS)
@pytest.mark.parametrize("rate", [FrameRate(12), FrameRate(25, 2.0), FrameRate(120)])
def test_rates_without_a_timecode_are_refused(tmp_path: Path, ending: str, rate: FrameRate) -> None:
    cut = replace(cut_of(media(tmp_path, "a.mp4")), frame_rate=rate)
    with pytest.raises(Refusal, match="has no timecode"):
        export(cut, tmp_path / f"film{ending}")
    assert not (tmp_path / f"film{ending}").exists()


@pytest.mark.parametrize("ending", other_formats.ENDINGS)
def test_a_cut_of_which_nothing_is_left_is_refused(tmp_path: Path, ending: str) -> None:
    clip = CutClip("Muted", 0, 10, [media(tmp_path, "a.mp4")], enabled=False)
    cut = replace(cut_of(*clip.media), tracks=[CutTrack(clips=[clip])])
    if ending == other_formats.XML:
        assert export(cut, tmp_path / f"film{ending}").clips == 1
        return
    with pytest.raises(Refusal, match="has a place for nothing"):
        export(cut, tmp_path / f"film{ending}")


@pytest.mark.parametrize("ending", other_formats.ENDINGS)
def test_a_dissolve_that_the_media_is_too_short_for_is_left_out(tmp_path: Path, ending: str) -> None:
    short = media(tmp_path, "a.mp4", 10)
    clips = [CutClip("One", 0, 10, [short]), CutClip("Two", 10, 10, [short])]
    cut = replace(cut_of(short), tracks=[CutTrack(clips=clips, dissolves=[CutDissolve(0, 3, 3)])])
    (said,) = export(cut, tmp_path / f"film{ending}").lost
    assert str(said).endswith("has no place for: dissolves (1).")
    found = import_(tmp_path / f"film{ending}", FrameRate(24))[1].tracks[0]
    assert ([each[1:4] for each in told(found)], found.dissolves) == ([(0, 10, 0), (10, 10, 0)], [])


def test_dissolves_one_after_another_stay_in_an_edit_list(tmp_path: Path) -> None:
    one, two = media(tmp_path, "a.mp4"), media(tmp_path, "b.mp4")
    clips = [
        CutClip(name, 20 * at, 20, [each], media_start=30)
        for at, (name, each) in enumerate((("A", one), ("B", two), ("C", one)))
    ]
    dissolves = [CutDissolve(0, 4, 2), CutDissolve(1, 5, 5)]
    cut = replace(cut_of(one), tracks=[CutTrack(clips=clips, dissolves=dissolves)])
    export(cut, tmp_path / "film.edl")
    found = import_(tmp_path / "film.edl", FrameRate(24))[1].tracks[0]
    assert [each[:4] for each in told(found)] == [("A", 0, 16, 30), ("B", 16, 19, 26), ("C", 35, 25, 25)]
    assert [(each.clip, each.frames_after) for each in found.dissolves] == [(0, 6), (1, 10)]


def test_reels_of_an_edit_list_are_plain_and_each_files_own(tmp_path: Path) -> None:
    names = ["shot one.mp4", "shot-one.mp4", "SHOTONE 2.mp4", "日本.mp4", "bars.mp4", "shot one.mov"]
    clips = [CutClip("Shot", 10 * at, 10, [media(tmp_path, name)]) for at, name in enumerate(names)]
    export(replace(cut_of(*clips[0].media), tracks=[CutTrack(clips=clips)]), tmp_path / "film.edl")
    lines = [line.split() for line in (tmp_path / "film.edl").read_text().splitlines() if line[:3].isdigit()]
    reels = [line[1] for line in lines]
    assert [len(line) for line in lines] == [8] * 6 and len(set(reels)) == 6
    assert all(reel.isalnum() and reel.isascii() and len(reel) <= 8 for reel in reels)


def test_a_file_that_plays_twice_is_one_master_clip(tmp_path: Path) -> None:
    import aaf2

    one = media(tmp_path, "a.mp4")
    clips = [CutClip("Shot", at, 10, [one], media_start=at) for at in (0, 10)]
    cut = replace(cut_of(one), tracks=[CutTrack(clips=clips)])
    masters = []
    for name in ("film.aaf", "film_v002.aaf"):
        export(cut, tmp_path / name)
        with aaf2.open(str(tmp_path / name)) as read:
            masters.append([str(each.mob_id) for each in read.content.mastermobs()])
    assert len(masters[0]) == 1 and masters[0] == masters[1]


def test_a_muted_track_of_another_program_is_muted(tmp_path: Path) -> None:
    export(cut_of(media(tmp_path, "a.mp4")), tmp_path / "film.otio")
    timeline = json.loads((tmp_path / "film.otio").read_text())
    timeline["tracks"]["children"][0]["enabled"] = False
    (tmp_path / "film.otio").write_text(json.dumps(timeline))
    assert not import_(tmp_path / "film.otio", FrameRate(24))[1].tracks[0].clips[0].enabled
