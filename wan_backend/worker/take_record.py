"""What is said of a take once its pictures are made: the take itself, and its take.json."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..frames.marks import Marks, program_of
from ..loading import devices
from ..protocol.conversion import to_json
from ..protocol.media import first_file
from ..protocol.messages import Jump, Plan, RunParams, RunResult, Take, TakeRequest
from ..protocol.sentences import in_english


def take_of(
    request: TakeRequest,
    plan: Plan,
    folder: Path,
    start_jump: Jump | None = None,
    end_jump: Jump | None = None,
) -> Take:
    """The take that was made as planned; `folder` is where it will be."""
    return Take(
        folder=str(folder),
        first_file=first_file(request.media_format),
        media_format=request.media_format,
        frames=plan.all_frames,
        width=plan.width,
        height=plan.height,
        frame_rate=request.frame_rate,
        program=program_of(__version__),
        handle_before=plan.handle_before,
        handle_after=plan.handle_after,
        start_jump=start_jump,
        end_jump=end_jump,
    )


def settings_of(
    params: RunParams, plan: Plan, result: RunResult, marks: Marks, device: torch.device, **computed: Any
) -> dict[str, Any]:
    """The content of take.json: all that is needed to make the take again, and how it was made.

    `plan` is the one that it was made by; `computed` adds to what is said of the backend.
    """
    return {
        "format": 1,
        "job_id": params.job_id,
        "request": to_json(params.request),
        "plan": in_english(to_json(plan)),
        "take": to_json(result.take),
        "model_parts": to_json(params.model_parts),
        "seconds": to_json(result.seconds),
        "notes": result.notes,
        "marks": to_json(marks),
        "backend": {
            "version": __version__,
            "torch": torch.__version__,
            "device": devices.name(device),
            **computed,
        },
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
