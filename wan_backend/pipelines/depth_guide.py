"""The depth of footage, estimated by Depth Anything, as a guide to restyle it by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..library import extras
from ..protocol.errors import Refusal
from .stopping import ShouldStop, check, never

SHORT_SIDE = 518
"""The shorter side, in pixels, of the pictures that Depth Anything was trained on."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The mean and the standard deviation of ImageNet's channels, by which the model's input is normalized."""
OUTLIERS_PERCENT = 0.5
"""This share of the nearest and of the farthest pixels may be clipped, so that those between keep their range."""


def estimate_depth(film: np.ndarray, model_folder: Path, device: str, should_stop: ShouldStop = never) -> np.ndarray:
    """Depth of `film` (T, H, W, 3, uint8 RGB) as gray levels in its shape; what is near is bright.

    One range holds for the whole film, so that its brightness doesn't flicker. Raises Refusal if there is no depth
    model, and Stopped.
    """
    folder = extras.find_depth_model(model_folder)
    if folder is None:
        raise Refusal(extras.no_depth_model())
    model = _load(folder, device)
    near = np.stack([_nearness(model, picture, should_stop) for picture in film])
    low, high = np.percentile(near, (OUTLIERS_PERCENT, 100 - OUTLIERS_PERCENT))
    levels = np.clip((near - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.repeat(np.rint(levels).astype(np.uint8)[..., None], 3, axis=3)


def _load(folder: Path, device: str) -> Any:
    from transformers import AutoModelForDepthEstimation  # here, because it takes seconds and few takes need it

    model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True)
    return model.to(device).eval()


@torch.no_grad()
def _nearness(model: Any, picture: np.ndarray, should_stop: ShouldStop) -> np.ndarray:
    """float32 (H, W), larger is nearer."""
    check(should_stop)
    height, width = picture.shape[:2]
    patch = getattr(model.config, "patch_size", None) or 14
    scale = SHORT_SIDE / min(height, width)
    size = max(patch, round(width * scale / patch) * patch), max(patch, round(height * scale / patch) * patch)
    grown = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    pixels = torch.from_numpy((grown - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)).permute(2, 0, 1)[
        None
    ]
    found = model(pixels.to(model.device)).predicted_depth[0].float().cpu().numpy()
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR))
