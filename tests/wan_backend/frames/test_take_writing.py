"""A take on the disk: whole or not at all; PNG files and movies: exact, and written once."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from wan_backend.frames import take_writing
from wan_backend.frames.take_writing import Movie, PngSequence
from wan_backend.protocol.messages import MediaFormat
from wan_backend.storage import take_folder, whole_file
from wan_backend.storage.take_folder import TakeFolder


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


JOB, OTHER = "a" * 32, "b" * 32
TITLE = "Harbor at dusk, seed 7"


def folder_of(media, job_id: str = JOB, title: str = TITLE) -> TakeFolder:
    return TakeFolder(media, job_id, title)


def settings_for(job_id: str = JOB, **more):
    return lambda folder: {"job_id": job_id, "folder": folder.name, **more}


def made(media, job_id: str = JOB, title: str = TITLE, content: bytes = b"new"):
    with folder_of(media, job_id, title) as take:
        (take.partial / "0001.png").write_bytes(content)
        return take.publish(settings_for(job_id))


def test_publishing_gives_the_folder_a_name_that_can_be_read(tmp_path):
    media = tmp_path / "wan é 'x'"
    with folder_of(media) as take:
        assert names(media) == [f"{JOB}.partial"]
        (take.partial / "0001.png").write_bytes(b"x")
        folder = take.publish(settings_for(prompt="é\ud800"))
    assert names(media) == ["0001 Harbor at dusk, seed 7"]
    assert folder == media / "0001 Harbor at dusk, seed 7"
    assert names(folder) == ["0001.png", "take.json"]
    written = json.loads((folder / "take.json").read_bytes())
    assert written == {"job_id": JOB, "folder": folder.name, "prompt": "é\ud800", "title": TITLE}


def test_numbers_go_up_and_none_is_that_of_a_take_in_the_trash(tmp_path):
    (tmp_path / "trash" / "0004 Fog, seed 1").mkdir(parents=True)
    (tmp_path / "0002 holiday pictures").mkdir()
    assert made(tmp_path).name == f"0005 {TITLE}"
    assert made(tmp_path, OTHER).name == f"0006 {TITLE}", "another job with the same words and seed"
    assert made(tmp_path, "c" * 32, "霧の港, seed 7").name == "0007 霧の港, seed 7"


def test_a_name_that_another_worker_takes_meanwhile_is_left_to_it(tmp_path):
    def settings(folder):
        if folder.name.startswith("0001"):
            folder.mkdir()
            (folder / "take.json").write_text("{}")
        return settings_for()(folder)

    with folder_of(tmp_path) as take:
        final = take.publish(settings)
    assert final.name == f"0002 {TITLE}"
    assert json.loads((final / "take.json").read_bytes())["folder"] == final.name
    assert (tmp_path / f"0001 {TITLE}" / "take.json").read_text() == "{}"


def test_with_no_number_left_the_folder_is_called_after_its_job(tmp_path):
    (tmp_path / "999999 Fog, seed 1").mkdir()
    assert made(tmp_path).name == JOB


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_of(tmp_path) as take:
        (take.partial / "0001.png").write_bytes(b"x")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_what_a_dead_worker_left_is_swept_away(tmp_path):
    (tmp_path / f"{JOB}.partial").mkdir()
    (tmp_path / f"{JOB}.partial" / "0099.png").write_bytes(b"x")
    with folder_of(tmp_path) as take:
        assert names(take.partial) == []


@pytest.mark.parametrize("old_name", ["", JOB])
def test_a_take_made_again_replaces_the_old_one_at_the_end(tmp_path, old_name):
    """Also one that an earlier version called after its job."""
    old = made(tmp_path, content=b"old")
    if old_name:
        old = old.rename(tmp_path / old_name)
    made(tmp_path, OTHER)
    with folder_of(tmp_path) as take:
        (take.partial / "0001.png").write_bytes(b"new")
        assert (old / "0001.png").read_bytes() == b"old"
        assert take.publish(settings_for()) == old
    assert (old / "0001.png").read_bytes() == b"new"
    assert len(names(tmp_path)) == 2


def test_the_old_take_stays_where_the_new_one_can_not_be_named(tmp_path, monkeypatch):
    old = made(tmp_path, content=b"old")
    rename = take_folder.os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise OSError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(take_folder.os, "rename", refuse)
    with pytest.raises(OSError, match="Permission"):
        made(tmp_path)
    assert names(tmp_path) == [old.name]
    assert (old / "0001.png").read_bytes() == b"old"
    with pytest.raises(OSError, match="Permission"):
        made(tmp_path, OTHER)
    assert names(tmp_path) == [old.name]


def test_what_has_the_name_and_is_no_take_is_left_alone(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / JOB).symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"0001 {TITLE}").mkdir()
    (tmp_path / f"0001 {TITLE}" / "painted.psd").write_text("years of work")
    (tmp_path / f"0002 {TITLE}").write_text("a list")
    (tmp_path / f"0003 {TITLE}").symlink_to(tmp_path / "elsewhere")
    assert made(tmp_path).name == f"0004 {TITLE}"
    assert (tmp_path / f"0001 {TITLE}" / "painted.psd").read_text() == "years of work"
    assert names(tmp_path / "elsewhere") == [] and (tmp_path / JOB).is_symlink()


@pytest.mark.parametrize("target", ["there", "gone"])
def test_a_link_in_the_place_of_the_half_made_take_is_not_followed(tmp_path, target):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "0001.png").write_text("years of work")
    (tmp_path / f"{JOB}.partial").symlink_to(tmp_path / target)
    assert names(made(tmp_path)) == ["0001.png", "take.json"]
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


def test_threads_write_the_same_files_and_all_are_there_at_the_end(tmp_path):
    with PngSequence(tmp_path) as sequence:
        for number in range(40):
            sequence.write(picture(number), [number])
    assert len(list(tmp_path.iterdir())) == 40
    for number in (0, 39):
        read = cv2.imread(str(tmp_path / f"{number + 1:04}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(read[:, :, ::-1], picture(number))


def test_what_a_thread_fails_with_is_raised_and_the_rest_is_left(tmp_path, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file, "write", full)
    written = []
    with pytest.raises(OSError, match="No space"), PngSequence(tmp_path) as sequence:
        for number in range(200):
            sequence.write(picture(), [number])
            written.append(number)
    assert len(written) < 40
    with pytest.raises(OSError, match="No space"), PngSequence(tmp_path) as sequence:
        sequence.write(picture(), [0])


def test_an_error_of_ones_own_is_not_hidden(tmp_path):
    with pytest.raises(KeyError), PngSequence(tmp_path) as sequence:
        sequence.write(picture(), [0])
        raise KeyError("stopped")


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


def test_what_a_person_put_into_a_take_outlasts_its_being_made_again(tmp_path):
    folder = made(tmp_path, content=b"old")
    (folder / "my notes.txt").write_text("keep")
    (folder / "0002.png").write_bytes(b"old")
    assert made(tmp_path) == folder
    assert names(folder) == ["0001.png", "my notes.txt", "take.json"]
    assert names(tmp_path) == [folder.name]


@pytest.mark.parametrize("died_at", [1, 2])
def test_a_worker_that_dies_between_two_names_loses_no_take(tmp_path, monkeypatch, died_at):
    folder = made(tmp_path, content=b"old")
    rename, renamed = take_folder.os.rename, []

    def dies(source, target):
        if len(renamed) >= died_at:
            raise KeyboardInterrupt
        renamed.append(source)
        rename(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(take_folder.os, "rename", dies)
        patched.setattr(
            take_folder.folder_trees, "remove", lambda *_, **__: dies(None, None) if len(renamed) > 1 else None
        )
        made(tmp_path)
    assert made(tmp_path) == folder and (folder / "0001.png").read_bytes() == b"new"
    assert names(tmp_path) == [folder.name]


def test_a_folder_that_only_ends_as_a_replaced_one_is_left_alone(tmp_path):
    folder = made(tmp_path, content=b"old")
    mine = tmp_path / f"{folder.name}.replaced"
    mine.mkdir()
    (mine / "mine.txt").write_text("keep")
    assert made(tmp_path) == folder
    assert (mine / "mine.txt").read_text() == "keep"
