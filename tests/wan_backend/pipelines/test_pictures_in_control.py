"""Pictures kept at chosen times in the control of a VACE model: which frames show them, and where the mask keeps."""

from __future__ import annotations

import numpy as np
import pytest

from wan_backend.pipelines.vace_control import held, latent_mask, latent_of

FRAMES = 33


def pictures(*frames: int) -> dict[int, np.ndarray]:
    return {frame: np.full((2, 2, 3), frame, np.uint8) for frame in frames}


def shown(*frames: int) -> dict[int, int]:
    """For each frame of the control that shows a picture, whose it is."""
    return {frame: int(picture[0, 0, 0]) for frame, picture in held(pictures(*frames)).items()}


def test_a_picture_fills_its_own_latent_frame():
    assert shown(0) == {0: 0}
    assert shown(10) == dict.fromkeys(range(9, 13), 10)
    assert shown(12) == dict.fromkeys(range(9, 13), 12)
    assert shown(13) == dict.fromkeys(range(13, 17), 13)
    assert shown() == {}


def test_two_in_one_latent_frame_share_it():
    assert shown(9, 12) == {9: 9, 10: 9, 11: 12, 12: 12}
    assert shown(10, 13) == {**dict.fromkeys(range(9, 13), 10), **dict.fromkeys(range(13, 17), 13)}


@pytest.mark.parametrize("frame", range(FRAMES))
def test_the_mask_keeps_that_latent_frame_and_no_other(frame):
    """VACE's own rule looks at a frame of another group in places: it would keep gray ones."""
    mask = latent_mask(FRAMES, (), [frame])
    assert [index for index, value in enumerate(mask) if value == 0] == [latent_of(frame)]
    assert latent_mask(FRAMES, range(5), [frame])[latent_of(frame)] == 0
    assert latent_mask(FRAMES, range(5), [frame])[0] == 0
