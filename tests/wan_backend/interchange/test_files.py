"""Files of cuts: OpenTimelineIO's own tools read them, an .otioz carries media, and what is hostile does nothing."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.interchange.cut_files import JOBS, cut_of, export, import_, take, tool
from wan_backend.frames import movie_length
from wan_backend.frames.marks import GENERATED, Marks, mark_of, marked_png, png_chunk
from wan_backend.frames.take_writing import Movie
from wan_backend.interchange import process
from wan_backend.protocol import cut_file
from wan_backend.protocol.choices import MediaFormat
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
from wan_backend.server import interchange_requests


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


def test_a_film_of_three_thousand_clips_is_written_and_read(tmp_path: Path) -> None:
    media = take(tmp_path / "wan", JOBS[0])
    clips = [CutClip(f"Shot {index}", 3 * index, 3, [media], channel=1) for index in range(3000)]
    cut = dataclasses.replace(cut_of(media), tracks=[CutTrack(clips=clips)])
    export(cut, tmp_path / "film.otio")
    assert import_(tmp_path / "film.otio", tmp_path / "wan")[1].tracks == cut.tracks


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


def movie(file: Path, frames: int) -> ClipMedia:
    """A movie of so many frames, and what a cut says of it where it lay before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with Movie(file, MediaFormat.H264, Fraction(24), 16, 16) as made:
        made.write(np.zeros((16, 16, 3), np.uint8), list(range(frames)))
    return ClipMedia(ClipMediaKind.FILE, "", "/gone/reel", [file.name], frames)


@pytest.mark.ci
def test_of_two_movies_of_one_name_the_one_as_long_as_the_cut_says_is_taken(tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    movie(footage / "day 1" / "A001.mp4", 24)
    wanted = movie(footage / "day 2" / "A001.mp4", 48)
    movie(footage / "day 3" / "A001.mp4", 72)
    export(cut_of(wanted), tmp_path / "film.otio")
    assert import_(tmp_path / "film.otio", tmp_path / "wan")[0].missing == 1
    result, cut = import_(tmp_path / "film.otio", tmp_path / "wan", search=footage)
    assert (result.missing, result.lost) == (0, [f"Media that was found in {footage}: 1."])
    assert cut.tracks[0].clips[0].media[0].folder == str(footage / "day 2")


def test_a_take_that_has_moved_is_found_by_its_folder_and_is_a_take_again(film: Cut, tmp_path: Path) -> None:
    export(film, tmp_path / "film.otio")
    (tmp_path / "wan").rename(tmp_path / "elsewhere")
    (clip,) = import_(tmp_path / "film.otio", tmp_path / "no", search=tmp_path)[1].tracks[0].clips
    assert [each.folder for each in clip.media] == [str(tmp_path / "elsewhere" / job) for job in JOBS]
    assert [each.job_id for each in clip.media] == JOBS


def pictures(folder: Path, count: int, side: int) -> ClipMedia:
    """A take in pictures that can be decoded, marked as generated."""
    folder.mkdir(parents=True)
    names = [f"{index + 1:04d}.png" for index in range(count)]
    chunk = png_chunk(Marks(GENERATED, "wan-x", "Wan VSE").xmp())
    for index, name in enumerate(names):
        _, png = cv2.imencode(".png", np.full((side, side, 3), 40 * index, np.uint8))
        (folder / name).write_bytes(marked_png(png.tobytes(), chunk))
    return ClipMedia(ClipMediaKind.PICTURES, "", str(folder), names, count, job_id=folder.name)


@pytest.mark.ci
@pytest.mark.parametrize("ending", [".otio", ".otioz"])
def test_pictures_leave_as_movies_that_say_that_they_were_generated(tmp_path: Path, ending: str) -> None:
    good, odd = pictures(tmp_path / "wan" / JOBS[0], 5, 16), pictures(tmp_path / "wan" / JOBS[1], 3, 15)
    result = export(cut_of(good, odd), tmp_path / f"film{ending}", as_movies=True)
    assert len(result.lost) == 1 and str(result.lost[0]).endswith("there was no time: 1.")
    unpacked = tmp_path / "new" / "film" if ending == ".otioz" else None
    (clip,) = import_(tmp_path / f"film{ending}", tmp_path / "wan", unpacked)[1].tracks[0].clips
    first, second = clip.media
    assert (first.kind, first.files, first.frames) == (ClipMediaKind.FILE, [f"{JOBS[0]}.mp4"], 5)
    assert second.kind is ClipMediaKind.PICTURES
    file = Path(first.folder, first.files[0])
    assert round(movie_length.seconds_of(file) * 24) == 5
    mark = mark_of(file)
    assert mark is not None and mark.digital_source_type == GENERATED
    left = [each.name for each in tmp_path.iterdir() if "movies" in each.name]
    assert left == ([] if ending == ".otioz" else ["film_movies"])
