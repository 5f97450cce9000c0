"""Pictures for the tests: drawn, written as PNG, read back and rendered by Blender, laid as a Framing says."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def drawn(width: int, height: int, time: float = 0.0) -> np.ndarray:
    """A smooth picture (H, W, 3, uint8) without symmetry, another one at each time."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    red = 120 + 100 * np.sin(x / 37 + time * 0.7) * np.cos(y / 51)
    green = 130 + 80 * np.sin((x + 2 * y) / 83 - time * 0.3) + 40 * x / width
    blue = 60 + 120 * y / height + 50 * np.cos(np.hypot(x - width * 0.3, y - height * 0.6) / 29 + time)
    return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write a picture of 3 or 4 channels, 8 bits each."""
    height, width, channels = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], 1)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def read(path: Path) -> np.ndarray:
    """An image file's values from 0 to 1 (H, W, 3), rows from the top."""
    import bpy

    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(len(image.pixels), dtype=np.float32)
    image.pixels.foreach_get(values)
    width, height = image.size
    picture = values.reshape(height, width, image.channels)[::-1, :, :3]
    bpy.data.images.remove(image)
    return picture


def render(scene, frame: int, folder: Path) -> np.ndarray:
    """The frame as Blender renders the timeline, in Standard view (H, W, 3, uint8)."""
    return render_range(scene, range(frame, frame + 1), folder)[0]


def render_range(scene, frames: range, folder: Path) -> list[np.ndarray]:
    """The frames as Blender renders the timeline in one go, in Standard view (each H, W, 3, uint8)."""
    import bpy

    render, settings = scene.render, scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    settings.color_management = "FOLLOW_SCENE"
    scene.view_settings.view_transform = "Standard"
    render.dither_intensity = 0.0
    scene.frame_start, scene.frame_end = frames.start, frames.stop - 1
    folder.mkdir(exist_ok=True)
    render.filepath = str(folder / "frame_####")
    files = [Path(render.frame_path(frame=frame)) for frame in frames]
    for file in files:
        file.unlink(missing_ok=True)
    bpy.ops.render.render(animation=True, scene=scene.name)
    return [np.rint(read(file) * 255).astype(np.uint8) for file in files]


def laid(picture: np.ndarray, framing, around: int = 3) -> np.ndarray:
    """The picture in the scene's frame as the Framing says, with values between pixels read linearly."""
    height, width = picture.shape[:2]
    step = (np.arange(around) + 0.5) / around - 0.5
    f = framing
    lines = []
    for size, begin, length, low, high, whole, mirrored in (
        (f.canvas_width, f.x, f.width, f.crop_left, f.crop_right, width, f.mirror_x),
        (f.canvas_height, f.y, f.height, f.crop_top, f.crop_bottom, height, f.mirror_y),
    ):
        pixel = np.arange(size)
        covered = np.minimum(pixel + 1, begin + length) - np.maximum(pixel, begin)
        place = (pixel[:, None] + 0.5 + step) - begin
        place = (length - place if mirrored else place).clip(0, length)
        lines.append((place / length * (whole - low - high) + low, covered.clip(0, 1)))
    (x, over_x), (y, over_y) = lines
    result = np.zeros((f.canvas_height, f.canvas_width, 3))
    for column in range(around):
        for row in range(around):
            result += _between(picture, x[:, column], y[:, row]) / around**2
    result *= over_y[:, None, None] * over_x[None, :, None]
    return np.rint(result).clip(0, 255).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Decibels; infinite if they are equal."""
    error = np.square(one.astype(float) - other.astype(float)).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def _between(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - 0.5, y - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    along, down = (x - left)[None, :, None], (y - top)[:, None, None]

    def at(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        rows, columns = row.clip(0, picture.shape[0] - 1), column.clip(0, picture.shape[1] - 1)
        return picture[rows][:, columns].astype(float)

    upper = at(top, left) * (1 - along) + at(top, left + 1) * along
    lower = at(top + 1, left) * (1 - along) + at(top + 1, left + 1) * along
    return upper * (1 - down) + lower * down
