"""`python -m wan_backend bench --cards`: a take with guidance on one card and on two, in turn in one run.

On the processor, where two processes share the cores, it shows that the pictures are the same, and nothing of speed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..loading import devices
from ..loading.wan_model import WanModel
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind, RunParams
from ..protocol.sentences import Sentence
from ..worker.second_card import COMMAND, PROCESSOR, VISIBLE, SecondCard
from .engines import EngineRun, Ours, Work, as_request, run_once

RANDOM_COMMAND = (sys.executable, "-m", "wan_backend.bench.random_second_card")
READY_SECONDS = 900.0
NO_GUIDANCE = Sentence("Without guidance, a second card has nothing to do; give --guidance above 1.")
ONE_CARD = Sentence("torch doesn't find two cards, which this compares with one; --device cpu shows the way.")
NOT_READY = Sentence("The second card's process didn't get ready: {reason}.")


def run(model: WanModel, work: Work, repeat: int, is_random: bool, json_file: Path | None = None) -> int:
    """Measure and print, and write the figures to `json_file`; the exit code. Raises Refusal."""
    if work.guidance_scale <= 1:
        raise _refusal(NO_GUIDANCE)
    second = SecondCard(_around(model.device), RANDOM_COMMAND if is_random else COMMAND)
    try:
        found = _compared(model, work, repeat, second)
    finally:
        second.close()
    sys.stdout.write(table(found) + "\n")
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def table(found: dict[str, Any]) -> str:
    """The figures for a person."""
    size = "{width}x{height}, {frames} frames, {steps} steps, guidance {guidance_scale:g}".format(**found["work"])
    rows = (("a step", found["step_seconds"]), ("the take", found["take_seconds"]))
    return "\n".join(
        [
            f"{found['model']} on two of {found['device']}, torch {found['torch']}: {size}",
            "",
            "| | one card, s | two cards, s | times |",
            "|---|---|---|---|",
            *(f"| {name} | {one:.3f} | {two:.3f} | {one / two:.2f} |" for name, (one, two) in rows),
            "",
            f"largest difference of the frames: {found['largest_difference_of_frames']} of 255",
        ]
    )


def _compared(model: WanModel, work: Work, repeat: int, second: SecondCard) -> dict[str, Any]:
    one, two = Ours(model, work), Ours(model, work, elsewhere=second)
    request, plan = as_request(work)
    params = RunParams("", request, plan, model.folder.as_posix(), model.device.type)
    second.prepare(params, model.device, two.placement.plan.eight_bit)
    second.turn("transformer")
    for engine in (one, two):  # what does not count: whoever comes first warms things up
        if engine is two and not second.wait_until_ready(READY_SECONDS):
            reason = second.process.failed if second.process is not None else ""
            raise _refusal(NOT_READY.with_values(reason=reason or "it ended"))
        run_once(engine, EngineRun(), model.device)
    runs = [EngineRun(), EngineRun()]
    before = second.forwards_made
    for _ in range(repeat):
        for engine, engine_run in zip((one, two), runs, strict=True):
            run_once(engine, engine_run, model.device)
    if second.forwards_made - before != work.steps * repeat:
        raise _refusal(NOT_READY.with_values(reason="it was lost on the way"))
    assert runs[0].frames is not None and runs[1].frames is not None
    return {
        "device": devices.name(model.device),
        "torch": torch.__version__,
        "model": model.folder.name,
        "work": vars(work),
        "step_seconds": [float(np.median(each.steps)) for each in runs],
        "take_seconds": [
            sum(phase.median_seconds for phase in (each.encode, each.denoise, each.decode)) for each in runs
        ],
        "largest_difference_of_frames": int(np.abs(runs[0].frames.astype(np.int16) - runs[1].frames).max()),
    }


def _around(device: torch.device) -> dict[str, str]:
    """The environment of the second card's process. Raises Refusal."""
    around = dict(os.environ)
    if device.type == PROCESSOR:
        return around
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        raise _refusal(ONE_CARD)
    left = [each.strip() for each in around.get(VISIBLE, "").split(",") if each.strip()]
    around[VISIBLE] = left[1] if len(left) > 1 else "1"
    return around


def _refusal(sentence: Sentence) -> Refusal:
    return Refusal(Problem(ProblemKind.BAD_SETTING, sentence))
