"""How the training runs step: orthogonalised momentum for the matrices, AdamW for everything else.

May import torch. Every operation has a fixed shape and no look at the host, so that a CUDA graph can hold a step.
The orthogonalisation is that of Muon (Jordan et al., 2024), scaled so that a step is as large as one of AdamW
(Liu et al., 2025): one learning rate serves both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

MIN_SIDE = 16
"""A weight with a shorter side than this is AdamW's."""
MOMENTUM = 0.95
_NEWTON = (3.4445, -4.7750, 2.0315)
_NEWTON_STEPS = 5
_ROOT_MEAN_SQUARE = 0.2


def is_matrix(weight: Tensor) -> bool:
    """True for the weights of linear layers and convolutions that are wide enough."""
    return weight.ndim in (2, 4, 5) and min(weight.shape[0], weight[0].numel()) >= MIN_SIDE


def orthogonalised(gradients: Tensor) -> Tensor:
    """Matrices BxRxC with all their singular values drawn to about 1, by Newton-Schulz in bfloat16."""
    x = gradients.to(torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).to(x)
    a, b, c = _NEWTON
    for _ in range(_NEWTON_STEPS):
        square = x @ x.transpose(1, 2)
        x = a * x + (b * square + c * square @ square) @ x
    return x.transpose(1, 2) if tall else x


class Optimizer:
    """Steps `weights`; `adam_only` are those that AdamW keeps although they are matrices (embeddings, ends)."""

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        adam_only: Iterable[nn.Parameter] = (),
        *,
        weight_decay: float,
        device: str,
        matrices: bool = True,
    ) -> None:
        weights = list(weights)
        kept = {id(weight) for weight in adam_only}
        chosen = [w for w in weights if matrices and is_matrix(w) and id(w) not in kept]
        mine = {id(weight) for weight in chosen}
        self.rate = torch.tensor(0.0, device=device)
        self.weight_decay = weight_decay
        self.adam = torch.optim.AdamW(
            [weight for weight in weights if id(weight) not in mine],
            lr=self.rate,
            betas=(0.9, 0.99),
            weight_decay=weight_decay,
            capturable=device == "cuda",
            foreach=device == "cuda",
        )
        self._groups: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for weight in chosen:
            self._groups[(weight.shape[0], weight[0].numel())].append(weight)
        self._momentum = {
            shape: torch.zeros(len(group), *shape, device=device) for shape, group in self._groups.items()
        }

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        self.adam.zero_grad(set_to_none=True)
        for group in self._groups.values():
            for weight in group:
                weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step at the rate that `rate` holds."""
        self.adam.step()
        for shape, group in self._groups.items():
            gradients = torch.stack([_gradient(weight).reshape(shape) for weight in group])
            momentum = self._momentum[shape]
            momentum.lerp_(gradients, 1 - MOMENTUM)
            update = orthogonalised(gradients.lerp(momentum, MOMENTUM)).float()
            update = update * (_ROOT_MEAN_SQUARE * max(shape) ** 0.5)
            for weight, change in zip(group, update.unbind(), strict=True):
                weight.mul_(1 - self.rate * self.weight_decay)
                weight.sub_(change.view_as(weight) * self.rate)


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
