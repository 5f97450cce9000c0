"""Frames and seconds at the scene's rate."""

from __future__ import annotations

from fractions import Fraction

import pytest


@pytest.mark.parametrize(
    ("fps", "base", "exact"),
    [(24, 1.0, "24"), (24, 1.001, "24000/1001"), (30, 1.001, "30000/1001"), (60, 1.001, "60000/1001"), (25, 1.0, "25")],
)
def test_the_rate_is_exact_although_blender_keeps_it_as_a_short_float(scene, addon, fps, base, exact):
    scene.render.fps, scene.render.fps_base = fps, base
    assert addon("timeline.scene_format").rate_of(scene).exact() == Fraction(exact)


def test_seconds_and_frames(scene, addon):
    scene_format = addon("timeline.scene_format")
    scene.render.fps, scene.render.fps_base = 24, 1.001
    rate = scene_format.rate_of(scene)
    assert scene_format.frames_of(1.0, rate) == 24
    assert scene_format.frames_of(1000.0, rate) == 23976
    assert scene_format.frames_of(0.0, rate) == 1
    assert scene_format.frames_of(1e9, rate) == scene_format.MAX_FRAMES
    for frames in (1, 7, 81, 250, 5000):
        assert scene_format.frames_of(scene_format.seconds_of(frames, rate), rate) == frames
