"""The scheduler of a job, from the model's own configuration. May import diffusers and protocol."""

from __future__ import annotations

from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from ..protocol.errors import Refusal
from ..protocol.messages import Problem

SAMPLERS = ("unipc", "euler")


def make_scheduler(config: dict[str, Any], sampler: str, flow_shift: float) -> Any:
    """The scheduler for `sampler` with `flow_shift`.

    `config` is the folder's scheduler_config.json. diffusers' `from_config` loses the shift and the flow
    settings without a word between these two classes, so a foreign configuration gives only what both share.
    """
    trained = int(config.get("num_train_timesteps", 1000))
    kind = config.get("_class_name")
    if sampler == "unipc":
        if kind == "UniPCMultistepScheduler":
            return UniPCMultistepScheduler.from_config(config, flow_shift=flow_shift)
        return UniPCMultistepScheduler(
            num_train_timesteps=trained,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=flow_shift,
        )
    if sampler == "euler":
        if kind == "FlowMatchEulerDiscreteScheduler":
            return FlowMatchEulerDiscreteScheduler.from_config(config, shift=flow_shift)
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=trained, shift=flow_shift)
    choices = ", ".join(SAMPLERS)
    raise Refusal(Problem("internal", f'There is no sampler "{sampler}"; there are {choices}.'))
