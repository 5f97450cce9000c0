"""A take on the disk: whole or not at all; PNG files and movies: exact, and written once."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from wan_backend.frames import take_writing
from wan_backend.frames.take_writing import Movie, PngSequence, TakeFolder
from wan_backend.protocol.messages import MediaFormat
from wan_backend.storage import whole_file


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_publishing_gives_the_folder_its_name(tmp_path):
    with TakeFolder(tmp_path / "wan é 'x'", "job") as take:
        assert names(tmp_path / "wan é 'x'") == ["job.partial"]
        (take.partial / "0001.png").write_bytes(b"x")
        folder = take.publish({"format": 1, "prompt": "é\ud800"})
    assert names(tmp_path / "wan é 'x'") == ["job"]
    assert folder == tmp_path / "wan é 'x'" / "job"
    assert names(folder) == ["0001.png", "take.json"]
    assert json.loads((folder / "take.json").read_bytes()) == {"format": 1, "prompt": "é\ud800"}


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), TakeFolder(tmp_path, "job") as take:
        (take.partial / "0001.png").write_bytes(b"x")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_what_a_dead_worker_left_is_swept_away(tmp_path):
    (tmp_path / "job.partial").mkdir()
    (tmp_path / "job.partial" / "0099.png").write_bytes(b"x")
    with TakeFolder(tmp_path, "job") as take:
        assert names(take.partial) == []


def test_a_take_made_again_replaces_the_old_one_at_the_end(tmp_path):
    for content in (b"old", b"new"):
        with TakeFolder(tmp_path, "job") as take:
            (take.partial / "0001.png").write_bytes(content)
            if content == b"new":
                assert (tmp_path / "job" / "0001.png").read_bytes() == b"old"
            take.publish({})
    assert (tmp_path / "job" / "0001.png").read_bytes() == b"new"
    assert names(tmp_path) == ["job"]


def test_the_old_take_stays_where_the_new_one_can_not_be_named(tmp_path, monkeypatch):
    with TakeFolder(tmp_path, "job") as take:
        (take.partial / "0001.png").write_bytes(b"old")
        take.publish({})
    rename = take_writing.os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise OSError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(take_writing.os, "rename", refuse)
    with pytest.raises(OSError, match="Permission"), TakeFolder(tmp_path, "job") as take:
        take.publish({})
    assert names(tmp_path) == ["job"]
    assert (tmp_path / "job" / "0001.png").read_bytes() == b"old"


def test_what_is_in_the_way_and_is_no_take_is_kept(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for number in range(3):
        if number < 2:
            (tmp_path / "job").mkdir()
            (tmp_path / "job" / "painted.psd").write_text("years of work")
        else:
            (tmp_path / "job").symlink_to(tmp_path / "elsewhere")
        with TakeFolder(tmp_path, "job") as take:
            (take.partial / "0001.png").write_bytes(b"new")
            take.publish({})
        assert names(tmp_path / "job") == ["0001.png", "take.json"]
        if number < 2:
            assert (tmp_path / f"job.kept-{number + 1}" / "painted.psd").read_text() == "years of work"
            (tmp_path / "job").rename(tmp_path / f"done-{number}")
    assert names(tmp_path / "elsewhere") == []
    assert (tmp_path / "job.kept-3").is_symlink()


@pytest.mark.parametrize("target", ["there", "gone"])
def test_a_link_in_the_place_of_the_half_made_take_is_not_followed(tmp_path, target):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "0001.png").write_text("years of work")
    (tmp_path / "job.partial").symlink_to(tmp_path / target)
    with TakeFolder(tmp_path, "job") as take:
        (take.partial / "0001.png").write_bytes(b"new")
        take.publish({})
    assert names(tmp_path / "job") == ["0001.png", "take.json"]
    assert names(tmp_path / "there") == ["0001.png"]
    assert (tmp_path / "there" / "0001.png").read_text() == "years of work"
    assert not (tmp_path / "gone").exists()


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_frames_come_back_bit_for_bit(tmp_path):
    frame = picture()
    PngSequence(tmp_path).write(frame, [0, 1, 41])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0001.png", "0002.png", "0042.png"]
    for file in tmp_path.iterdir():
        read = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert read.dtype == np.uint8 and np.array_equal(read[:, :, ::-1], frame)


def test_a_frame_is_encoded_once_however_often_it_is_shown(tmp_path, monkeypatch):
    calls, encode = [], cv2.imencode
    monkeypatch.setattr(take_writing.cv2, "imencode", lambda *a: calls.append(1) or encode(*a))
    sequence = PngSequence(tmp_path)
    sequence.write(picture(), [0, 1, 2])
    sequence.write(picture(), [])
    assert len(calls) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_each_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, fails):
    def fsync(_descriptor):
        assert not (tmp_path / "0001.png").exists()
        if fails:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", fsync)
    if fails:
        with pytest.raises(OSError, match="No space"):
            PngSequence(tmp_path).write(picture(), [0])
    else:
        PngSequence(tmp_path).write(picture(), [0])
    assert [file.name for file in tmp_path.iterdir()] == ([] if fails else ["0001.png"])


NTSC = Fraction(24000, 1001)


def pictures(count: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        cv2.resize(random.integers(0, 256, (6, 8, 3), dtype=np.uint8), (128, 96), interpolation=cv2.INTER_CUBIC)
        for _ in range(count)
    ]


def write(file, media_format, frames, rate=NTSC, each=1):
    height, width = frames[0].shape[:2]
    with Movie(file, media_format, rate, width, height) as movie:
        for number, frame in enumerate(frames):
            movie.write(frame, list(range(number * each, (number + 1) * each)))


def test_ffv1_keeps_every_bit(tmp_path):
    frames = pictures()
    write(tmp_path / "take.mkv", MediaFormat.FFV1, frames)
    with av.open(str(tmp_path / "take.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == len(frames)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(frames, read, strict=True))


@pytest.mark.parametrize(("media_format", "name"), [(MediaFormat.FFV1, "take.mkv"), (MediaFormat.H264, "take.mp4")])
@pytest.mark.parametrize("rate", [NTSC, Fraction(25), Fraction(30000, 1001), Fraction(60)])
def test_the_rate_is_exact_and_frames_repeat(tmp_path, media_format, name, rate):
    write(tmp_path / name, media_format, pictures(3), rate, each=2)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].average_rate == rate
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([float(i / rate) for i in range(6)], abs=0.001)


def test_h264_is_bt709_with_limited_range(tmp_path):
    red, green, blue = 200, 60, 40
    flat = np.full((96, 128, 3), (red, green, blue), np.uint8)
    write(tmp_path / "take.mp4", MediaFormat.H264, [flat] * 3)
    with av.open(str(tmp_path / "take.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.color_range, context.colorspace, context.color_primaries, context.color_trc)
        planes = next(container.decode(video=0)).to_ndarray(format="yuv420p")
    assert tags == (1, 1, 1, 1)  # limited; BT.709 thrice
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert planes[0, 0] == pytest.approx(16 + 219 * light / 255, abs=1)
    assert planes[-1, 0] == pytest.approx(128 + 224 * (red - light) / 1.5748 / 255, abs=1)


def test_frames_out_of_order_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="where 0 was due"):
        write_second_first(tmp_path / "take.mkv")


def write_second_first(file):
    with Movie(file, MediaFormat.FFV1, NTSC, 128, 96) as movie:
        movie.write(pictures(1)[0], [1])


@pytest.mark.parametrize("written", [0, 1])
@pytest.mark.parametrize("media_format", [MediaFormat.FFV1, MediaFormat.H264])
def test_the_error_that_stopped_a_movie_is_the_one_that_is_heard(tmp_path, media_format, written):
    """Closing the unfinished file used to raise its own error in its place."""
    with pytest.raises(ZeroDivisionError), Movie(tmp_path / "take", media_format, NTSC, 128, 96) as movie:
        for number, frame in enumerate(pictures(written)):
            movie.write(frame, [number])
        raise ZeroDivisionError
