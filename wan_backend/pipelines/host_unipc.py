"""UniPC with its coefficients on the CPU, so that no step waits for the card.

diffusers keeps the shares of noise on the CPU, sends them to the card one by one in every step, and solves two
equations there, for which it waits a dozen times. The formulas are those of the paper (Zhao et al. 2023, arXiv
2302.04867, section 3) for B2(h) up to the second order, which Wan's checkpoints ask for; diffusers' own code does
everything else. On the CPU the latents are the same bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

MAX_ORDER = 2
_Base: Any = UniPCMultistepScheduler  # diffusers has no types


class HostUniPC(_Base):  # type: ignore[misc]
    """diffusers' UniPCMultistepScheduler with updates that don't wait for the device."""

    def multistep_uni_p_bh_update(
        self, model_output: Tensor, *args: Any, sample: Tensor | None = None, order: int | None = None, **kwargs: Any
    ) -> Tensor:
        """The predictor: the sample at the next time, in the shape of `sample`, from the clean estimates so far."""
        if not self._is_supported(order) or sample is None:
            made: Tensor = super().multistep_uni_p_bh_update(model_output, *args, sample=sample, order=order, **kwargs)
            return made
        here = self.step_index
        clean = self.model_outputs[-1]
        interval = _Interval(self._shares(here), self._shares(here + 1))
        moved = interval.moved(sample, clean)
        if order == 1:
            return moved.to(sample.dtype)
        before = (self._log(here - 1) - interval.log) / interval.length
        slope = (self.model_outputs[-2] - clean) / before
        return (moved - interval.weight * (0.5 * slope)).to(sample.dtype)

    def multistep_uni_c_bh_update(
        self,
        this_model_output: Tensor,
        *args: Any,
        last_sample: Tensor | None = None,
        this_sample: Tensor | None = None,
        order: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The corrector: the sample at this time anew, now that the clean estimate there is known."""
        if not self._is_supported(order) or last_sample is None:
            made: Tensor = super().multistep_uni_c_bh_update(
                this_model_output, *args, last_sample=last_sample, this_sample=this_sample, order=order, **kwargs
            )
            return made
        here = self.step_index
        clean = self.model_outputs[-1]
        interval = _Interval(self._shares(here - 1), self._shares(here))
        moved, change = interval.moved(last_sample, clean), this_model_output - clean
        if order == 1:
            return (moved - interval.weight * (0.5 * change)).to(last_sample.dtype)
        before = (self._log(here - 2) - interval.log) / interval.length
        early, late = interval.shares(before)
        slope = (self.model_outputs[-2] - clean) / before
        return (moved - interval.weight * (early * slope + late * change)).to(last_sample.dtype)

    def _is_supported(self, order: int | None) -> bool:
        config = self.config
        usual = config.solver_type == "bh2" and self.predict_x0 and not self.solver_p
        return usual and order is not None and order <= MAX_ORDER and self.sigmas.device.type == "cpu"

    def _shares(self, step: int) -> tuple[Tensor, Tensor]:
        """The shares of the picture and of the noise at a step; 0-d tensors on the CPU."""
        alpha, sigma = self._sigma_to_alpha_sigma_t(self.sigmas[step])
        return alpha, sigma

    def _log(self, step: int) -> Tensor:
        alpha, sigma = self._shares(step)
        return torch.log(alpha) - torch.log(sigma)


class _Interval:
    """The interval from one time to the next in log(picture / noise), and the coefficients that follow from it."""

    def __init__(self, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> None:
        self._start, self._end = start, end
        self.log = torch.log(start[0]) - torch.log(start[1])
        self.length = torch.log(end[0]) - torch.log(end[1]) - self.log
        self._back = -self.length
        self._grown = torch.expm1(self._back)
        self.weight = end[0] * self._grown

    def moved(self, sample: Tensor, clean: Tensor) -> Tensor:
        """The sample at the end if the clean estimate stayed as it was at the start."""
        return self._end[1] / self._start[1] * sample - self.weight * clean

    def shares(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of the slope since `before` and of the change at the end: the solution of two equations."""
        one = self._grown / self._back - 1
        two = one / self._back - 0.5
        right = torch.stack([one * 1 / self._grown, two * 2 / self._grown])
        left = torch.stack([torch.ones(2), torch.stack([before, torch.ones(())])])
        solved = torch.linalg.solve(left, right)
        return solved[0], solved[1]
