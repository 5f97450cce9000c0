"""What take.json says: all that is needed to make the take again, and how it was made.

May import torch, models and protocol.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import torch

from .. import __version__
from ..loading import devices
from ..protocol.conversion import to_json
from ..protocol.messages import Plan, RunParams, RunResult


def settings(params: RunParams, plan: Plan, result: RunResult, device: torch.device) -> dict[str, Any]:
    """The content of take.json. `plan` is the one that was followed, which may not be that of `params`."""
    return {
        "format": 1,
        "job_id": params.job_id,
        "request": to_json(params.request),
        "plan": to_json(plan),
        "take": to_json(result.take),
        "model_parts": to_json(params.model_parts),
        "seconds": to_json(result.seconds),
        "notes": result.notes,
        "backend": {
            "version": __version__,
            "torch": torch.__version__,
            "device": devices.name(device),
        },
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
