"""Files of cuts: OpenTimelineIO's own tools read them, an .otioz carries media, and what is hostile does nothing."""

from __future__ import annotations

import dataclasses
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from wan_backend.interchange import bundle, process
from wan_backend.protocol import cut_file
from wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutClip,
    CutTrack,
    ExportTimelineParams,
    ImportTimelineParams,
)
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate
from wan_backend.server import interchange_requests

JOBS = [digit * 32 for digit in "abc"]


def take(media: Path, job: str, frames: int = 3) -> ClipMedia:
    """A take's files, and what a cut says of it."""
    folder = media / job
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index + 1:04d}.png" for index in range(frames)]
    for name in (*names, "take.json"):
        (folder / name).write_text(job + name)
    return ClipMedia(ClipMediaKind.PICTURES, "", str(folder), names, frames, job_id=job, mark="star")


def cut_of(*media: ClipMedia, active: int = 0) -> Cut:
    """A cut with one clip."""
    clip = CutClip("Shot", 4, 3, list(media), active, channel=2)
    return Cut("Film", FrameRate(24), [CutTrack(clips=[clip])], first_frame=1)


@pytest.fixture
def film(tmp_path: Path) -> Cut:
    """A cut of one clip with three takes, the middle one shown."""
    return cut_of(*(take(tmp_path / "wan", job) for job in JOBS), active=1)


def export(cut: Cut, file: Path) -> Any:
    order = file.with_name("cut.json")
    order.write_text("".join(cut_file.lines_of(cut)))
    return process.export(ExportTimelineParams(str(order), str(file)))


def import_(file: Path, media: Path, folder: Path | None = None) -> tuple[Any, Cut]:
    read = media.parent / "read.json"
    result = process.import_(ImportTimelineParams(str(file), str(read), [str(media)]), folder)
    return result, process.read_cut(read)


def tool(name: str, *arguments: object) -> str:
    """What one of OpenTimelineIO's own tools says."""
    words = [sys.executable, "-m", f"opentimelineio.console.{name}", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.ci
@pytest.mark.parametrize("ending", [".otio", ".otioz"])
def test_its_own_tools_read_three_takes_on_one_clip(film: Cut, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"film{ending}"
    result = export(film, file)
    assert (result.clips, result.takes, result.lost) == (1, 3, [])
    (clip,) = json.loads(tool("otiocat", file))["tracks"]["children"][0]["children"][1:]
    assert list(clip["media_references"]) == ["take 001", "take 002", "take 003"]
    assert clip["active_media_reference_key"] == "take 002"
    assert "Shot" in tool("otiotool", "-i", file, "--list-clips")


def test_a_bundle_carries_its_media(film: Cut, tmp_path: Path) -> None:
    export(film, tmp_path / "film.otioz")
    target = tmp_path / "other" / "film"
    result, cut = import_(tmp_path / "film.otioz", tmp_path / "other", target)
    assert (result.missing, result.lost) == (0, [])
    (clip,) = cut.tracks[0].clips
    assert [each.job_id for each in clip.media] == JOBS
    for each in clip.media:
        assert each.folder == str(target / "media" / each.job_id)
        assert Path(each.folder, "0003.png").read_text() == each.job_id + "0003.png"
        assert Path(each.folder, "take.json").is_file()


def test_media_is_found_by_its_path_then_beside_the_file(film: Cut, tmp_path: Path) -> None:
    file = tmp_path / "film.otio"
    export(film, file)
    assert import_(file, tmp_path / "wan")[1].tracks == film.tracks
    moved = tmp_path / "moved"
    (tmp_path / "wan").rename(moved)
    file = file.rename(moved / "film.otio")
    found = import_(file, tmp_path / "no")[1].tracks[0].clips[0]
    assert [each.folder for each in found.media] == [str(moved / job) for job in JOBS]
    assert [each.job_id for each in found.media] == JOBS


def test_a_take_that_lies_elsewhere_is_a_clip_like_any_other(film: Cut, tmp_path: Path) -> None:
    file = tmp_path / "there" / "film.otio"
    file.parent.mkdir()
    export(film, file)
    found = import_(file, tmp_path / "no")[1].tracks[0].clips[0]
    assert [each.job_id for each in found.media] == [""] * 3


def test_missing_media_is_said_and_keeps_its_place(film: Cut, tmp_path: Path) -> None:
    file = tmp_path / "film.otio"
    export(film, file)
    Path(film.tracks[0].clips[0].media[1].folder, "0002.png").unlink()
    Path(film.tracks[0].clips[0].media[2].folder, "0001.png").unlink()
    result, cut = import_(file, tmp_path / "wan")
    (clip,) = cut.tracks[0].clips
    assert result.missing == 1 and result.lost == ["Other takes of clips that weren't found: 1."]
    assert [each.kind for each in clip.media] == [ClipMediaKind.PICTURES, ClipMediaKind.MISSING]
    assert (clip.active, clip.start, clip.length) == (1, 4, 3)


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


def test_a_film_of_three_thousand_clips_is_written_and_read(tmp_path: Path) -> None:
    media = take(tmp_path / "wan", JOBS[0])
    clips = [CutClip(f"Shot {index}", 3 * index, 3, [media], channel=1) for index in range(3000)]
    cut = dataclasses.replace(cut_of(media), tracks=[CutTrack(clips=clips)])
    export(cut, tmp_path / "film.otio")
    assert import_(tmp_path / "film.otio", tmp_path / "wan")[1].tracks == cut.tracks


@pytest.mark.ci
def test_a_file_that_ends_its_process_ends_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "film.otio"
    file.write_text("[" * 1_000_000)
    with pytest.raises(Refusal, match=r"film\.otio"):
        interchange_requests.import_(ImportTimelineParams(str(file), str(tmp_path / "read.json"), [str(tmp_path)]))


@pytest.mark.ci
def test_the_server_writes_and_reads(film: Cut, tmp_path: Path) -> None:
    order, file = tmp_path / "cut.json", tmp_path / "film.otioz"
    order.write_text("".join(cut_file.lines_of(film)))
    assert interchange_requests.export(ExportTimelineParams(str(order), str(file))).takes == 3
    media = tmp_path / "new"
    params = ImportTimelineParams(str(file), str(order), [str(media)])
    for name in ("film", "film-2"):  # the second overwrites nothing
        assert interchange_requests.import_(params).missing == 0
        found = process.read_cut(order).tracks[0].clips[0].media[0]
        assert found.folder == str(media / name / "media" / JOBS[0])
    assert sorted(each.name for each in media.iterdir()) == ["film", "film-2"]
    with pytest.raises(Refusal, match=r"must end in \.otio"):
        interchange_requests.export(ExportTimelineParams(str(order), str(tmp_path / "film.txt")))
