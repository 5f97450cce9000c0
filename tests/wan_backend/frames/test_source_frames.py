"""Pictures of every kind are read, held and framed; what can't be read is a sentence that names the file."""

from __future__ import annotations

from fractions import Fraction

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest

from wan_backend.frames import source_frames
from wan_backend.frames.source_frames import read
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Framing, MediaFormat, Role, Source

SIZE = 96, 48


def picture(seed=0):
    wide = np.random.default_rng(seed).normal(0, 1, (SIZE[1], SIZE[0], 3))
    soft = cv2.GaussianBlur(wide, (0, 0), 6)
    return np.clip(127 + soft / soft.std() * 50, 0, 255).astype(np.uint8)


def save(file, rgb):
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    pixels = cv2.cvtColor(rgb, codes[rgb.shape[2]]) if rgb.ndim == 3 else rgb
    good, content = cv2.imencode(file.suffix, pixels)
    assert good
    file.write_bytes(content.tobytes())
    return file


def of(file, **changes):
    values = {"role": Role.FIRST, "folder": str(file.parent), "files": [file.name], **changes}
    return Source(**{"frames": len(values["files"]), **values})


def only(source, size=SIZE):
    return next(iter(read(source, [0], *size, SIZE)))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp", "ein Bild, äöü – 絵.png"])
def test_pictures_come_back_to_the_bit(tmp_path, name):
    file = tmp_path / name
    if name.endswith("webp"):
        imageio.imwrite(file, picture(), lossless=True)
    else:
        save(file, picture())
    assert np.array_equal(only(of(file)), picture())


def test_jpeg_and_tga(tmp_path):
    assert np.abs(only(of(save(tmp_path / "a.jpg", picture()))).astype(int) - picture()).mean() < 4
    imageio.imwrite(tmp_path / "a.tga", picture())
    assert np.array_equal(only(of(tmp_path / "a.tga")), picture())


def test_a_photo_turned_by_its_tag_is_read_as_blender_reads_it(tmp_path):
    """Blender takes no heed of the tag, and the strip's framing is for the picture as it lies in the file."""
    from PIL import Image

    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=tags)
    assert np.array_equal(only(of(tmp_path / "a.png")), picture())


def test_gray_deep_and_transparent(tmp_path):
    gray = picture()[..., 0]
    assert np.array_equal(only(of(save(tmp_path / "g.png", gray))), gray[..., None].repeat(3, axis=2))
    deep = picture().astype(np.uint16) * 257
    assert np.array_equal(only(of(save(tmp_path / "d.png", deep))), picture())
    assert np.array_equal(only(of(save(tmp_path / "dg.png", deep[..., 0]))), gray[..., None].repeat(3, axis=2))
    alpha = np.tile(np.arange(SIZE[0], dtype=np.uint8) * 2, (SIZE[1], 1))[..., None]
    found = only(of(save(tmp_path / "a.png", np.concatenate([picture(), alpha], axis=2))))
    assert np.abs(found - picture() * (alpha / 255.0)).max() <= 0.51


def test_sixteen_bit_fades_in_light_as_blender_does(tmp_path):
    """Half transparent white is half the light, which is the level 188 of sRGB; of 8 bit it is the level 128."""
    for kind, expected in ((np.uint16, 188), (np.uint8, 128)):
        white = np.full((48, 96, 4), np.iinfo(kind).max, kind)
        white[..., 3] = np.iinfo(kind).max // 2 + 1
        assert np.abs(only(of(save(tmp_path / "a.png", white))).astype(int) - expected).max() <= 1


def test_a_transparent_picture_is_laid_over_black_before_it_shrinks(tmp_path):
    """A white dot on what is transparent white stays a white dot: no light comes from what can't be seen."""
    rgba = np.full((48, 96, 4), 255, np.uint8)
    rgba[..., 3] = 0
    rgba[:, :48, 3] = 255
    found = only(of(save(tmp_path / "a.png", rgba)), (32, 16))
    assert (found[:, :16] == 255).all() and (found[:, 16:] == 0).all()


def test_a_row_of_pictures_with_held_ones(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png", picture(number))
    source = of(tmp_path / "0.png", files=["0.png", "1.png", "1.png", "1.png", "2.png"], role=Role.FOOTAGE)
    found = list(read(source, [0, 1, 3, 4, 4], *SIZE, SIZE))
    for shown, number in zip(found, (0, 1, 1, 2, 2), strict=True):
        assert np.array_equal(shown, picture(number))


def test_past_the_end_of_a_row_its_last_picture_is_held(tmp_path):
    names = [save(tmp_path / f"{seed}.png", picture(seed)).name for seed in range(3)]
    shown = list(read(of(tmp_path / names[0], files=names), [1, 2, 3, 7], *SIZE, SIZE))
    assert [next(seed for seed in range(3) if np.array_equal(found, picture(seed))) for found in shown] == [1, 2, 2, 2]


def test_pictures_of_several_sizes_in_one_row(tmp_path):
    save(tmp_path / "0.png", picture())
    save(tmp_path / "1.png", cv2.resize(picture(), (192, 96), interpolation=cv2.INTER_NEAREST))
    source = of(tmp_path / "0.png", files=["0.png", "1.png"], role=Role.FOOTAGE)
    assert all(np.array_equal(found, picture()) for found in read(source, [0, 1], *SIZE, SIZE))


def test_a_framing_is_heeded(tmp_path):
    lies = Framing(96, 48, 48.0, 0.0, 48.0, 48.0, crop_left=48.0)
    found = only(of(save(tmp_path / "a.png", picture()), framing=lies))
    assert (found[:, :48] == 0).all() and np.array_equal(found[:, 48:], picture()[:, 48:])


@pytest.mark.parametrize("movie", [False, True])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is missing"),
        (b"", "can't be used"),
        (b"no picture", "can't be used"),
        ("folder", "can't be used"),
    ],
)
def test_what_can_not_be_read_is_a_sentence(tmp_path, movie, content, says):
    file = tmp_path / ("a.mp4" if movie else "a.png")
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(Refusal) as refused:
        only(of(file, is_movie=movie))
    problem = refused.value.problem
    assert problem.kind == "bad_source" and str(file) in problem.sentence and says in problem.sentence
    assert problem.sentence.endswith(".") and "\n" not in problem.sentence and "Errno" not in problem.sentence


def test_a_half_written_png_is_a_sentence(tmp_path):
    file = save(tmp_path / "a.png", picture())
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(Refusal, match=r"a\.png can't be used"):
        only(of(file))


def test_sound_alone_is_a_sentence(tmp_path):
    import av

    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    with pytest.raises(Refusal, match="it has no picture track"):
        only(of(tmp_path / "a.wav", is_movie=True))


def test_it_says_how_a_movie_is_read(tmp_path, caplog):
    with Movie(tmp_path / "a.mp4", MediaFormat.H264, Fraction(24), 64, 48) as movie:
        movie.write(np.full((48, 64, 3), 120, np.uint8), [0])
    with caplog.at_level("INFO"):
        list(read(Source(Role.FIRST, str(tmp_path), ["a.mp4"], is_movie=True), [0], 32, 24, (64, 48)))
    assert "a.mp4: 64 x 48 yuv420p, bt709, limited range, read as 32 x 24" in caplog.text


def test_no_files_and_a_crop_of_everything(tmp_path):
    file = save(tmp_path / "a.png", picture())
    with pytest.raises(Refusal, match="has no files"):
        only(of(file, files=[]))
    with pytest.raises(Refusal, match="the crop leaves nothing"):
        only(of(file, framing=Framing(96, 48, 0.0, 0.0, 96.0, 48.0, crop_left=96.0)))


@pytest.mark.ci
def test_edges_are_the_embedded_models_own():
    import torch

    from tools.embedded_model import world

    clip = np.random.default_rng(0).integers(0, 256, (3, 40, 64, 3), dtype=np.uint8)
    frames = torch.from_numpy(clip).float().permute(3, 0, 1, 2)[None] / 255
    theirs = world.edges(frames)[0].permute(1, 2, 3, 0).mul(255).round().byte().numpy()
    ours = np.stack([source_frames.edges(picture) for picture in clip])
    assert ours.dtype == np.uint8 and np.abs(ours.astype(int) - theirs).max() <= 1


def test_edges_of_nothing_are_black_and_of_a_step_a_line():
    assert (source_frames.edges(np.full((9, 9, 3), 77, np.uint8)) == 0).all()
    step = np.zeros((9, 9, 3), np.uint8)
    step[:, 5:] = 255
    lines = source_frames.edges(step)
    assert (lines[:, 4:6] == 255).all() and (lines[:, :4] == 0).all() and (lines[:, 6:] == 0).all()
