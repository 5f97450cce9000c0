"""The scheduler that takes a job from noise to latents: diffusers' own, or the given times of a distilled model.

To add a sampler, write a function that makes its scheduler and name it in SAMPLERS; docs/architecture.md has the whole
recipe, which also gives it its word on the wire and a quality that uses it. `Scheduler` says what is asked of one.

A distilled model goes from one time to the next in one of two ways, both from the velocity v at noise s (the clean
estimate is x - s v):

* `Sampler.DISTILLED`: first-order Euler, x + (s' - s) v. LightX2V's 4-step LoRAs for Wan 2.2 A14B run this way
  (`Wan22StepDistillScheduler`), and so does the embedded model's draft LoRA.
* `Sampler.DMD`: the clean estimate, noised anew to the next time, (1 - s') clean + s' noise. LightX2V's 4-step LoRAs
  for Wan 2.1 14B (`WanStepDistillScheduler`) and FastWan (FastVideo's `DmdDenoisingStage`) run this way.

LightX2V counts the steps 1000, 750, 500, 250 before the flow shift of 5, which makes them 1000, 937.5, 833.3 and 625;
its change of experts after the second step is also where 0.875 and 0.9 put it. FastWan's 1000, 757, 522 are such times
already (0.28 and 0.12 at its shift of 8, rounded). The catalogue gives all of them as they are after the shift.
diffusers' own schedulers can't be used: they space few steps differently (at a shift of 5, four steps of
FlowMatchEulerDiscreteScheduler are 1000, 910, 717, 24), and its FlowMatchLCMScheduler ignores the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from ..catalogue.entries import DISTILLED_SAMPLERS
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind, Sampler
from ..protocol.sentences import Sentence
from .host_unipc import HostUniPC

STEP_SEEDS = 1_000_003
"""The seeds of two steps are this far apart, so that each step's noise is its own wherever a take begins."""


class Scheduler(Protocol):
    """What `denoise` asks of a scheduler, as diffusers' have it.

    A step is one call of the model, and a take may begin at any step, without those before it. All other attributes
    must be values that a step's checkpoint can hold (`step_checkpoint.SamplerState`).
    """

    timesteps: torch.Tensor
    """(steps,) the times, falling from `config.num_train_timesteps`, which is all noise."""
    sigmas: torch.Tensor
    """(steps + 1,) the share of noise in the sample that each step gets, falling; the last is 0."""

    @property
    def config(self) -> Any:
        """An object with `num_train_timesteps`."""

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """Begin anew, with exactly `steps` times."""

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Have the next step be that one, counted from 0."""

    def step(
        self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = True
    ) -> tuple[torch.Tensor]:
        """The sample at the next time, in a tuple if `return_dict` is False; steps are taken in order."""


@dataclass(frozen=True)
class SamplerSettings:
    """What a scheduler is made from."""

    config: dict[str, Any]
    """The folder's scheduler_config.json."""
    flow_shift: float
    timesteps: Sequence[float]
    """The times of a distilled model's steps; empty for all others."""
    seed: int

    @property
    def trained_timesteps(self) -> int:
        """The time that is all noise."""
        return int(self.config.get("num_train_timesteps", 1000))

    def is_for(self, kind: type) -> bool:
        """True if the configuration is that of `kind`, one of diffusers' schedulers.

        `from_config` silently loses the shift and the flow settings between two kinds, so of another's
        configuration only what both share is taken.
        """
        return self.config.get("_class_name") == kind.__name__


class DistilledScheduler:
    """Steps at given times, with as much of the interface of diffusers' schedulers as `denoise` uses."""

    def __init__(self, timesteps: Sequence[float], trained_timesteps: int = 1000, seed: int | None = None) -> None:
        """`timesteps` fall from `trained_timesteps` (all noise); with a `seed`, noise is drawn anew between steps."""
        self._times = [float(time) for time in timesteps]
        if not self._times or sorted(set(self._times), reverse=True) != self._times or self._times[-1] <= 0:
            raise ValueError(f"the times {self._times} don't fall towards 0")
        self._seed = seed
        self._trained = trained_timesteps
        self.sigmas = torch.tensor([time / trained_timesteps for time in self._times] + [0.0])
        """Shares of noise, on the CPU: one for each step, and 0 for the end."""
        self.timesteps = torch.tensor(self._times)
        self._step = 0

    @property
    def config(self) -> SimpleNamespace:
        """What is asked of a scheduler's configuration; made anew so that the state is plain numbers and tensors."""
        return SimpleNamespace(num_train_timesteps=self._trained)

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """Begin anew; raises ValueError if `steps` isn't the number of times."""
        if steps != len(self._times):
            raise ValueError(f"{steps} steps for a model that was distilled to {len(self._times)}")
        self.timesteps = torch.tensor(self._times, device=device)
        self._step = 0

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Have the next step be that one, counted from 0."""
        self._step = begin_index

    def step(
        self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """The sample at the next time, in its own shape and dtype; steps are taken in order."""
        del timestep, return_dict
        sigma, following = self.sigmas[self._step].item(), self.sigmas[self._step + 1].item()
        velocity, noisy = model_output.float(), sample.float()
        if self._seed is None or following == 0:
            made = noisy + (following - sigma) * velocity
        else:
            clean = noisy - sigma * velocity
            made = (1 - following) * clean + following * self._noise(noisy)
        self._step += 1
        return (made.to(sample.dtype),)

    def _noise(self, like: torch.Tensor) -> torch.Tensor:
        """This step's noise, drawn on the CPU: one seed gives the same on every device, and never the first noise."""
        assert self._seed is not None
        seed = (self._seed + (self._step + 1) * STEP_SEEDS) % (1 << 63)
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like.device)


def _unipc(settings: SamplerSettings) -> Any:
    if settings.is_for(UniPCMultistepScheduler):
        return HostUniPC.from_config(settings.config, flow_shift=settings.flow_shift)
    return HostUniPC(
        num_train_timesteps=settings.trained_timesteps,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=settings.flow_shift,
    )


def _euler(settings: SamplerSettings) -> Any:
    if settings.is_for(FlowMatchEulerDiscreteScheduler):
        return FlowMatchEulerDiscreteScheduler.from_config(settings.config, shift=settings.flow_shift)
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=settings.trained_timesteps, shift=settings.flow_shift)


def _distilled(settings: SamplerSettings) -> Any:
    return DistilledScheduler(settings.timesteps, settings.trained_timesteps)


def _dmd(settings: SamplerSettings) -> Any:
    return DistilledScheduler(settings.timesteps, settings.trained_timesteps, settings.seed)


SAMPLERS: dict[str, Callable[[SamplerSettings], Scheduler]] = {
    Sampler.UNIPC: _unipc,
    Sampler.EULER: _euler,
    Sampler.DISTILLED: _distilled,
    Sampler.DMD: _dmd,
}
"""The samplers by the names that a plan gives them."""


def make_scheduler(
    config: dict[str, Any], sampler: str, flow_shift: float, timesteps: Sequence[float] = (), seed: int = 0
) -> Any:
    """The scheduler of SAMPLERS for `sampler`; raises Refusal if there is none, or where its times are missing."""
    make = SAMPLERS.get(sampler)
    if make is None:
        choices = ", ".join(SAMPLERS)
        raise Refusal(
            Problem(
                ProblemKind.INTERNAL,
                Sentence('There is no sampler "{sampler}"; there are {choices}.', sampler=sampler, choices=choices),
            )
        )
    if sampler in DISTILLED_SAMPLERS and not timesteps:
        raise Refusal(
            Problem(
                ProblemKind.INTERNAL,
                Sentence('The sampler "{sampler}" was given no times of its steps.', sampler=sampler),
            )
        )
    return make(SamplerSettings(config, flow_shift, timesteps, seed))
