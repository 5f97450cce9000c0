"""PNG files: exact, numbered, written once whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wan_backend.frames import png_sequence
from wan_backend.frames.png_sequence import PngSequence, write_whole


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
    monkeypatch.setattr(png_sequence.cv2, "imencode", lambda *a: calls.append(1) or encode(*a))
    sequence = PngSequence(tmp_path)
    sequence.write(picture(), [0, 1, 2])
    sequence.write(picture(), [])
    assert len(calls) == 1


def test_a_failed_write_leaves_no_file_of_that_name(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(png_sequence.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "0001.png", b"abc")
    assert not (tmp_path / "0001.png").exists()


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = png_sequence.os.fsync, png_sequence.os.replace
    monkeypatch.setattr(png_sequence.os, "fsync", lambda d: order.append("fsync") or fsync(d))
    monkeypatch.setattr(png_sequence.os, "replace", lambda *a: order.append("replace") or replace(*a))
    write_whole(tmp_path / "a", b"abc")
    assert order == ["fsync", "replace"]
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
