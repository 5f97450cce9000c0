"""Small upscaling models of random weights, in the files that such models come in; and a take to make larger."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from wan_backend.frames.marks import GENERATED, Marks, marked_png, png_chunk
from wan_backend.loading import upscaling_model
from wan_backend.protocol.media import frame_file
from wan_backend.protocol.messages import Finish, FrameRate, MediaFormat, Pictures, Role, Source, TakeRequest

NAME = "4x_small.safetensors"
SIZE = 48, 32
"""Width and height of the take."""


def tensors(scale: int = 4, channels: int = 3, blocks: int = 1, filters: int = 8) -> dict[str, torch.Tensor]:
    """The weights of an ESRGAN, the kind that Real-ESRGAN is."""
    if importlib.util.find_spec("spandrel") is None:
        pytest.skip("spandrel isn't installed: `python -m wan_backend.environment finish` adds it")
    with upscaling_model._torchvision():
        from spandrel.architectures.ESRGAN import ESRGAN
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made: Any = ESRGAN(in_nc=channels, out_nc=channels, num_filters=filters, num_blocks=blocks, scale=scale)
    weights = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    weight, bias = list(weights)[-2:]  # of the last layer: random weights paint black, louder ones gray with colors
    weights[weight] *= 60
    weights[bias][:] = 0.5
    return weights


def write(file: Path, **how: int) -> Path:
    """Write such a model as a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors(**how), file)
    return file


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: soft noise, as footage has it."""
    rough = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


def take(folder: Path, frames: int = 5) -> Source:
    """The pictures of a finished take, with the marks that it is generated."""
    folder.mkdir(parents=True, exist_ok=True)
    chunk = png_chunk(Marks(GENERATED, "embedded", "Wan VSE 1").xmp())
    for number in range(frames):
        png = cv2.imencode(".png", picture(*SIZE, seed=number))[1].tobytes()
        (folder / frame_file(number)).write_bytes(marked_png(png, chunk))
    files = [frame_file(number) for number in range(frames)]
    return Source(Role.FOOTAGE, str(folder), files, frames=frames, pictures=Pictures(*SIZE))


def request(
    folder: Path, factor: int = 2, upscaler: str = NAME, media_format: MediaFormat = MediaFormat.PNG
) -> TakeRequest:
    """The request that makes a take of five pictures larger, of which the first is a handle."""
    finish = Finish(upscaler, factor, "base", handle_before=1)
    return TakeRequest(
        "fog", "embedded", 120, 80, 4, FrameRate(24), 7, str(folder / "media"), media_format=media_format,
        sources=[take(folder / "take")], finish=finish,
    )  # fmt: skip
