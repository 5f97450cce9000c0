"""The scheduler of a job, from the model's own configuration. May import diffusers, distilled_steps,
host_unipc and protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler

from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind
from .distilled_steps import DistilledScheduler
from .host_unipc import HostUniPC

SAMPLERS = ("unipc", "euler", "distilled", "dmd")
"""The last two are for models that were distilled to few steps, at times that the catalogue gives."""


def make_scheduler(
    config: dict[str, Any], sampler: str, flow_shift: float, timesteps: Sequence[float] = (), seed: int = 0
) -> Any:
    """The scheduler for `sampler` with `flow_shift`, or for a distilled model's `timesteps`; raises Refusal.

    `config` is the folder's scheduler_config.json. diffusers' `from_config` loses the shift and the flow
    settings without a word between these two classes, so a foreign configuration gives only what both share.
    """
    trained = int(config.get("num_train_timesteps", 1000))
    kind = config.get("_class_name")
    if sampler == "unipc":
        if kind == "UniPCMultistepScheduler":
            return HostUniPC.from_config(config, flow_shift=flow_shift)
        return HostUniPC(
            num_train_timesteps=trained,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=flow_shift,
        )
    if sampler == "euler":
        if kind == "FlowMatchEulerDiscreteScheduler":
            return FlowMatchEulerDiscreteScheduler.from_config(config, shift=flow_shift)
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=trained, shift=flow_shift)
    if sampler in ("distilled", "dmd") and timesteps:
        return DistilledScheduler(timesteps, trained, seed if sampler == "dmd" else None)
    if sampler in SAMPLERS:
        raise Refusal(Problem(ProblemKind.INTERNAL, f'The sampler "{sampler}" was given no times of its steps.'))
    choices = ", ".join(SAMPLERS)
    raise Refusal(Problem(ProblemKind.INTERNAL, f'There is no sampler "{sampler}"; there are {choices}.'))
