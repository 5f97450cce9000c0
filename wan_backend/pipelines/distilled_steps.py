"""The few steps of a distilled model, at the times that it was trained at. May import torch.

Two ways from one time to the next, both from the velocity v at noise s (the clean estimate is x - s v):

* `distilled`: first-order Euler, x + (s' - s) v. LightX2V's 4-step LoRAs for Wan 2.2 A14B are run so
  (`Wan22StepDistillScheduler`), and the embedded model's draft LoRA.
* `dmd`: the clean estimate, noised anew to the next time, (1 - s') clean + s' noise. LightX2V's 4-step LoRAs for
  Wan 2.1 14B are run so (`WanStepDistillScheduler`), and FastWan (FastVideo's `DmdDenoisingStage`).

LightX2V counts the steps 1000, 750, 500, 250 before the flow shift of 5, which makes them 1000, 937.5, 833.3 and 625;
its change of experts after the second step is where 0.875 and 0.9 put it, too. FastWan's 1000, 757, 522 are such times
already (0.28 and 0.12 at its shift of 8, rounded). The catalogue gives all of them as they are after the shift.
diffusers' own schedulers can't be used: they space few steps differently (at a shift of 5, four steps of
FlowMatchEulerDiscreteScheduler are 1000, 910, 717, 24), and its FlowMatchLCMScheduler ignores the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

STEP_SEEDS = 1_000_003
"""So far apart are the seeds of two steps: each step's noise is its own, whichever step a take is begun at."""


class DistilledScheduler:
    """Steps at given times, with as much of diffusers' schedulers' face as `denoise` looks at."""

    def __init__(self, timesteps: Sequence[float], trained_timesteps: int = 1000, seed: int | None = None) -> None:
        """`timesteps` fall, and are of `trained_timesteps` (all noise); with a `seed`, noise is drawn anew between."""
        self._times = [float(time) for time in timesteps]
        if not self._times or sorted(set(self._times), reverse=True) != self._times or self._times[-1] <= 0:
            raise ValueError(f"the times {self._times} don't fall towards 0")
        self._seed = seed
        self._trained = trained_timesteps
        self.sigmas = torch.tensor([time / trained_timesteps for time in self._times] + [0.0])
        """Shares of noise, on the CPU: of every step, and 0 for the end."""
        self.timesteps = torch.tensor(self._times)
        self._step = 0

    @property
    def config(self) -> SimpleNamespace:
        """What is asked of a scheduler's configuration. Not kept, so that the state is plain numbers and tensors."""
        return SimpleNamespace(num_train_timesteps=self._trained)

    def set_timesteps(self, steps: int, device: torch.device | str | None = None) -> None:
        """Begin anew; `steps` must be as many as there are times."""
        if steps != len(self._times):
            raise ValueError(f"{steps} steps for a model that was distilled to {len(self._times)}")
        self.timesteps = torch.tensor(self._times, device=device)
        self._step = 0

    def set_begin_index(self, begin_index: int = 0) -> None:
        """The next step is that one, counted from 0."""
        self._step = begin_index

    def step(
        self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """The sample at the next time, in its own shape and number format; steps are taken in order."""
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
        """This step's noise, drawn on the CPU: the same for a seed on every device, and never the first noise."""
        assert self._seed is not None
        seed = (self._seed + (self._step + 1) * STEP_SEEDS) % (1 << 63)
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like.device)
