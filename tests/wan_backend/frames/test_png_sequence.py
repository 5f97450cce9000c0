"""PNG files: exact, numbered, written once whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wan_backend.frames import png_sequence
from wan_backend.frames.png_sequence import PngSequence
from wan_backend.storage import whole_file


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
