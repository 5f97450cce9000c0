"""One take by one engine, phase by phase. May import torch, models.devices and the bench package."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ..loading import devices
from .engines import Engine
from .meter import Measured, Meter


@dataclass
class Course:
    """What was measured of one engine."""

    encode: Measured = field(default_factory=Measured)
    denoise: Measured = field(default_factory=Measured)
    decode: Measured = field(default_factory=Measured)
    steps: list[float] = field(default_factory=list)
    frames: np.ndarray | None = None


def one(engine: Engine, course: Course, device: torch.device) -> None:
    """One take by one engine, added to `course`."""
    with Meter(device, course.encode):
        conditions = engine.encode()
    with Meter(device, course.denoise):
        latents, steps = engine.denoise(conditions)
    course.steps += steps
    with Meter(device, course.decode):
        course.frames = engine.decode(latents)
    del conditions, latents
    devices.release(device)
