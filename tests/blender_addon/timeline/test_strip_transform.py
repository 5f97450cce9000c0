"""A plain strip's Framing says where Blender shows its pictures."""

from __future__ import annotations

import pictures
import pytest

SIZE = (480, 270)
SIZES = [(480, 270), (640, 360), (321, 243), (1023, 429)]
TRANSFORMS = {
    "as it is": {},
    "smaller": {"scale_x": 0.6, "scale_y": 0.6},
    "larger": {"scale_x": 1.7, "scale_y": 1.7},
    "stretched and moved": {"scale_x": 0.7, "scale_y": 1.3, "offset_x": 31, "offset_y": -12},
    "about a corner": {"scale_x": 0.5, "scale_y": 0.8, "origin": (0.0, 1.0), "offset_x": -20.5},
    "cropped": {"min_x": 20, "max_x": 5, "min_y": 3, "max_y": 40},
    "cropped, scaled and mirrored": {
        "min_x": 20, "max_x": 50, "min_y": 60, "max_y": 10, "scale_x": 0.8, "scale_y": 0.9, "offset_x": 40,
        "offset_y": 22, "use_flip_x": True,
    },
    "over the first edge by a half": {"scale_x": 1.5, "scale_y": 1.5, "offset_x": 0.5, "origin": (0.0, 0.0)},
    "upside down": {"use_flip_y": True, "offset_y": 30, "min_y": 20},
}  # fmt: skip


def transform(strip, values: dict) -> None:
    for name, value in values.items():
        owner = next(o for o in (strip.transform, strip.crop, strip) if hasattr(o, name))
        setattr(owner, name, value)


@pytest.mark.parametrize("how", TRANSFORMS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_framing_says_where_blender_shows_a_picture(scene, addon, tmp_path, size, how):
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    picture = pictures.drawn(*size)
    file = pictures.write_png(tmp_path / "picture.png", picture)
    compat = addon("timeline.compat")
    strip = compat.strips(scene.sequence_editor).new_image("Still", str(file), 1, 1, fit_method="ORIGINAL")
    transform(strip, TRANSFORMS[how])
    strip_transform = addon("timeline.strip_transform")
    assert strip_transform.is_plain(scene, strip) and strip_transform.can_be_framed(strip, size)
    shown = pictures.render(scene, 1, tmp_path / "render")
    lies = strip_transform.framing_of(scene, strip, size)
    expected = pictures.laid(picture, lies)
    assert pictures.psnr(shown, expected) >= 45, lies
