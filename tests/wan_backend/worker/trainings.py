"""Trainings on tiny checkpoints, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.wan_backend.worker import footage
from wan_backend.protocol.messages import (
    FrameRate,
    Plan,
    Role,
    RunParams,
    Source,
    TakeRequest,
    Training,
    TrainingPlan,
)

RATE = FrameRate(16)
CAPTIONS = ["a red wave", "zug, waves at night", ""]


def clips(folder: Path, lengths: Sequence[int] = (9, 5, 1)) -> list[Source]:
    """Sources of so many frames each, which look different."""
    starts = [20 * number for number in range(len(lengths))]
    return [
        footage.source(folder / f"clip {number}", Role.CLIP, range(start, start + length))
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]


def params(
    folder: Path,
    model_folder: Path,
    sources: list[Source],
    model: str = "wan2.1-t2v-1.3b",
    job_id: str = "0" * 32,
    training: Training | None = None,
    experts: int = 1,
    **settled: object,
) -> RunParams:
    """A job of four steps, with a sample after each two."""
    training = training or Training("Waves", "zug", captions=CAPTIONS, sample_prompt="zug at noon")
    plan = TrainingPlan(
        **{
            "steps": 4, "sample_every": 2, "rank": 4, "learning_rate": 1e-2, "warm_up_steps": 1, "clips": len(sources),
            "timestep_shift": 3.0, "only_with_trigger": True, "noisy_share": 0.5, "sample_steps": 2, **settled,
        }
    )  # fmt: skip
    request = TakeRequest("", model, 64, 48, 1, RATE, 7, str(folder / "loras"), sources=sources, training=training)
    whole = Plan(model, 32, 32, 9, RATE, 1, plan.steps * experts, 2.0, 3.0, "unipc", training=plan)
    work = folder / "state" / job_id / "work"
    return RunParams(job_id, request, whole, str(model_folder), device="cpu", work_folder=str(work))


def with_plan(job: RunParams, **changes: object) -> RunParams:
    """The job with another plan of its training."""
    assert job.plan.training is not None
    training = replace(job.plan.training, **changes)
    return replace(job, plan=replace(job.plan, training=training))
