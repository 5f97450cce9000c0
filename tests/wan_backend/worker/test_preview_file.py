"""The picture of a take that is being made: small, whole at any moment, and no reason to fail."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
import torch

from wan_backend.pipelines.denoise import DenoisingStep
from wan_backend.pipelines.preview import LatentColors
from wan_backend.protocol.media import PREVIEW_FILE, PREVIEW_PIXELS_FILE
from wan_backend.worker.preview_file import MAX_BYTES, PreviewFile, encode_jpeg

COLORS = LatentColors(torch.eye(3), torch.zeros(3))


def step(level: float, references: int = 0) -> DenoisingStep:
    """The middle frame is of that level, the others are black; no velocity, so that the estimate is what is there."""
    latents = torch.full((1, 3, references + 5, 6, 8), -1.0)
    latents[:, :, references + 2] = level
    return DenoisingStep(1, latents, latents, torch.zeros_like(latents), torch.tensor(0.5), references, None)


@pytest.mark.parametrize("references", [0, 1])
def test_the_middle_of_the_take_is_shown_and_replaced(tmp_path, references):
    preview = PreviewFile(tmp_path / "work", COLORS)
    assert preview.path == ""
    for level, gray in ((0.0, 128), (0.5, 191)):
        preview.show(step(level, references).copy(with_checkpoint=False).clean)
        assert preview.path == str(tmp_path / "work" / PREVIEW_FILE)
        picture = cv2.imread(preview.path)
        assert picture.shape == (288, 384, 3) and abs(int(picture.mean()) - gray) <= 2
    assert {file.name for file in (tmp_path / "work").iterdir()} == {PREVIEW_FILE, PREVIEW_PIXELS_FILE}


def test_what_an_earlier_try_left_is_shown_at_once(tmp_path):
    PreviewFile(tmp_path, COLORS).show(step(0.0).clean(2))
    later = PreviewFile(tmp_path, COLORS)
    assert later.path == ""
    later.go_on()
    assert later.path == str(tmp_path / PREVIEW_FILE)
    nothing = PreviewFile(tmp_path / "other", COLORS)
    nothing.go_on()
    assert nothing.path == ""


def test_the_pixels_beside_it_are_rgba_from_the_lowest_row(tmp_path):
    colors = LatentColors(torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]), torch.tensor([0.0, -1.0, 1.0]))
    latents = torch.full((1, 3, 1, 6, 8), -1.0)
    latents[:, 0, :, 3:] = 1.0  # the lower half is red, too
    PreviewFile(tmp_path, colors).show(latents[0, :, 0])
    content = (tmp_path / PREVIEW_PIXELS_FILE).read_bytes()
    assert struct.unpack_from("<II", content) == (384, 288) and len(content) == 8 + 4 * 384 * 288
    assert list(content[8:12]) == [255, 0, 255, 255] and list(content[-4:]) == [0, 0, 255, 255]


def test_even_noise_is_small_enough():
    noise = np.random.default_rng(0).integers(0, 256, (384, 384, 3), np.uint8)
    assert 10_000 < len(encode_jpeg(noise)) <= MAX_BYTES


def test_where_nothing_can_be_shown_nothing_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for preview in (PreviewFile(None, COLORS), PreviewFile(tmp_path, None), PreviewFile(tmp_path / "file", COLORS)):
        preview.show(step(0.0).clean(2))
        preview.show(step(0.0).clean(2))
        assert preview.path == ""
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
