"""What a job's latents depend on, as one number: kept steps go on only where it is the same. No pictures are stored.

May import torch, models, pipelines and protocol.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from .. import __version__
from ..loading import devices
from ..loading.wan_model import WanModel
from ..pipelines.conditions import Canvas
from ..protocol.conversion import to_json
from ..protocol.messages import RunParams
from ..storage.file_stamp import stamp

_NOT_OF_THE_REQUEST = {"media_folder", "media_format", "origin", "sources", "conform"}
"""Where the take goes, and its sources' names: what they show is looked at itself."""
_NOT_OF_THE_PLAN = {"memory_bytes", "memory", "disk_bytes", "notes", "fixes", "problem", "decoder"}
"""What is said of the plan, and who makes pictures of the latents."""


def fingerprint(params: RunParams, canvas: Canvas, model: WanModel) -> str:
    """64 hexadecimal digits for a request, its plan, what its sources show, the model and all versions."""
    said = {
        "request": {k: v for k, v in to_json(params.request).items() if k not in _NOT_OF_THE_REQUEST},
        "plan": {k: v for k, v in to_json(params.plan).items() if k not in _NOT_OF_THE_PLAN},
        "model": model.fingerprint(),
        "loras": [_stamp(Path(use.path)) for use in params.plan.loras],
        "scheduler": model.config("scheduler"),
        "device": devices.name(model.device),
        "versions": [__version__, torch.__version__, diffusers.__version__],
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for field in fields(canvas):
        digest.update(field.name.encode())
        _add(digest, getattr(canvas, field.name))
    return digest.hexdigest()


def _stamp(file: Path) -> list[int]:
    """Tells a file from another one under its name; of one that is gone, nothing: loading it says so."""
    try:
        return list(stamp(file))
    except OSError:
        return []


def _add(digest: Any, pictures: dict[int, np.ndarray] | np.ndarray | None) -> None:
    if isinstance(pictures, dict):
        for frame, picture in sorted(pictures.items()):
            digest.update(str(frame).encode())
            _add(digest, picture)
    elif pictures is not None:
        digest.update(str(pictures.shape).encode())
        digest.update(np.ascontiguousarray(pictures).data)
