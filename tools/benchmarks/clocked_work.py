"""Work of one process whose seconds are claimed. Each function gets an empty folder and returns seconds."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from wan_backend.catalogue import entries
from wan_backend.frames.schedule import Conformer, Schedule
from wan_backend.library.survey import survey
from wan_backend.pipelines.preview import LatentColors
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.step_checkpoint import Checkpoint
from wan_backend.planning import plan_steps
from wan_backend.protocol.choices import Conform
from wan_backend.protocol.takes import FrameRate, TakeRequest
from wan_backend.worker.kept_steps import KeptSteps


def preview(_folder: Path) -> float:
    """The middle of five pictures of a latent frame of 1280x720."""
    vae: Any = AutoencoderKLWan()
    colors = LatentColors.of(vae.config)
    assert colors is not None
    latents = torch.randn(16, 90, 160)
    colors.picture(latents)
    return sorted(_seconds(lambda: colors.picture(latents)) for _ in range(5))[2]


def kept_step(folder: Path) -> float:
    """What the arithmetic waits for: 8.4 MB of latents, and three times as much of UniPC's own, are copied."""
    sampler = make_scheduler({}, "unipc", 3.0)
    sampler.set_timesteps(30)
    latents, waited = torch.randn(1, 16, 21, 60, 104), []
    with KeptSteps(folder) as steps:
        steps.find("job")
        for done in range(1, 5):
            latents = sampler.step(latents * 0.5, sampler.timesteps[done - 1], latents, return_dict=False)[0]
            began = time.perf_counter()
            checkpoint = Checkpoint.after(done, latents, sampler)
            assert checkpoint is not None
            steps.keep(checkpoint)
            waited.append(time.perf_counter() - began)
    return min(waited)


def hanging_disk(folder: Path) -> float:
    """A disk that takes nothing holds the end of a job for LAST_SECONDS."""
    hangs = threading.Event()

    def job() -> None:
        with KeptSteps(folder) as steps:
            steps.keep(Checkpoint.at_the_end(1, torch.zeros(1, 16, 1, 8, 8)))

    with mock.patch.object(Checkpoint, "write", lambda *_: hangs.wait(20)):
        seconds = _seconds(job)
        hangs.set()
    return seconds


def conformed(_folder: Path) -> float:
    """Processor time of making 121 frames of 81, each pair's motion looked for."""
    random = np.random.default_rng(8)
    wide = np.kron(random.integers(0, 256, (30, 70, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    conformer = Conformer(Schedule(Fraction(16), Fraction(24), 121, 81), Conform.FLOW)
    began = time.process_time()
    made = sum(1 for frame in range(81) for _ in conformer.feed(frame, wide[:, 3 * frame : 3 * frame + 832].copy()))
    seconds = time.process_time() - began
    assert made == 121
    return seconds


def many_heads(folder: Path) -> float:
    """Large files were looked at once: their headers are not read again."""
    for number in range(40):
        _write_head(folder / f"{number}.safetensors", 1000)
    return _second_look(folder)


def many_files(folder: Path) -> float:
    """Seconds of a second look at as many files as a look takes at most; small ones."""
    for number in range(5000):
        place = folder / str(number // 500)
        place.mkdir(exist_ok=True)
        _write_head(place / f"{number}.safetensors", 1)
    return _second_look(folder)


def plan(folder: Path) -> float:
    """One plan of a gap's take by the embedded model, and a look at many files beside it that were looked at before."""
    for number in range(200):
        _write_head(folder / f"{number}.safetensors", 10)
    survey([folder])
    request = TakeRequest("fog", "embedded", 256, 144, 72, FrameRate(24), 1, str(folder))

    def work() -> None:
        survey([folder])
        plan_steps.plan(request, entries.entry("embedded"))

    return sorted(_seconds(work) for _ in range(5))[2]


def _second_look(folder: Path) -> float:
    survey([folder])
    return _seconds(lambda: survey([folder]))


def _write_head(file: Path, tensors: int) -> None:
    """A safetensors file with a header and holes."""
    rows = {
        f"blocks.{number}.attn1.to_q.weight": {
            "dtype": "BF16",
            "shape": [8],
            "data_offsets": [16 * number, 16 * number + 16],
        }
        for number in range(tensors)
    }
    header = json.dumps(rows).encode()
    with open(file, "wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + 16 * tensors)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
