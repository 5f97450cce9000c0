"""The adapters' numbers in 32 bit, and the step that changes them.

A transformer in 16 bit has the adapters in that, too: what a step changes would be rounded away there, so the optimizer
has numbers of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

WEIGHT_DECAY = 0.01
LONGEST_GRADIENT = 1.0
LAST_RATE = 0.05
"""Of the learning rate, what is left of it in the end: it falls along half a cosine."""
MOMENTS = ("exp_avg", "exp_avg_sq")
STEP = "step"


class AdapterOptimizer:
    """AdamW over the factors of adapters, whose names give what is kept of it theirs."""

    def __init__(
        self, factors: Mapping[str, nn.Parameter], learning_rate: float, warm_up_steps: int, steps: int
    ) -> None:
        """`steps`: how many there will be in all."""
        self._factors, self._rate = dict(factors), learning_rate
        self._warm_up, self._steps = warm_up_steps, steps
        self._masters = {
            name: factor if factor.dtype == torch.float32 else nn.Parameter(factor.detach().float())
            for name, factor in factors.items()
        }
        self._adam = torch.optim.AdamW(
            list(self._masters.values()), lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=_can_fuse(factors)
        )

    def gradient_norm(self) -> Tensor:
        """The length of all gradients together, which are shortened where that is too much."""
        for name, master in self._masters.items():
            factor = self._factors[name]
            if master is not factor and factor.grad is not None:
                master.grad = factor.grad.float()
                factor.grad = None
        return nn.utils.clip_grad_norm_(list(self._masters.values()), LONGEST_GRADIENT)

    @torch.no_grad()
    def step(self, number: int) -> None:
        """Change the factors by their gradients; `number` is how many steps of them there were before."""
        rate = self._rate_of(number)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self.forget_gradients()
        for name, master in self._masters.items():
            if master is not self._factors[name]:
                self._factors[name].copy_(master)

    def _rate_of(self, number: int) -> float:
        left = (1 + math.cos(math.pi * min(1.0, number / self._steps))) / 2
        return self._rate * min(1.0, (number + 1) / (self._warm_up + 1)) * (LAST_RATE + (1 - LAST_RATE) * left)

    def forget_gradients(self) -> None:
        """Drop the gradients, as of a step that was broken off."""
        for factor in (*self._factors.values(), *self._masters.values()):
            factor.grad = None

    def state(self) -> dict[str, Tensor]:
        """All of it, on the CPU: each factor's numbers under its name, and what belongs to it under longer ones."""
        kept: dict[str, Tensor] = {}
        for name, master in self._masters.items():
            kept[name] = _copied(master)
            for key, value in self._adam.state.get(master, {}).items():
                kept[f"{name}:{key}"] = _copied(value)
        return kept

    @torch.no_grad()
    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Be as `state` was. Raises KeyError or RuntimeError if it was of other factors."""
        for name, master in self._masters.items():
            master.copy_(kept[name])
            self._factors[name].copy_(master)
            if f"{name}:{STEP}" in kept:
                known = self._adam.state[master]
                for moment in MOMENTS:
                    known[moment] = kept[f"{name}:{moment}"].to(master.device, copy=True)
                place = master.device if _can_fuse(self._factors) else torch.device("cpu")
                known[STEP] = kept[f"{name}:{STEP}"].to(place, copy=True)


def numbers_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The factors alone, of what `AdapterOptimizer.state` gave."""
    return {name: tensor for name, tensor in state.items() if ":" not in name}


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _can_fuse(factors: Mapping[str, nn.Parameter]) -> bool:
    """Apple's torch may lack it for some numbers; cards and processors have it."""
    return all(factor.device.type in ("cuda", "cpu") for factor in factors.values())
