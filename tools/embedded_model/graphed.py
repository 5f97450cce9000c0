"""One training step, replayed as a CUDA graph where that works: small nets leave a GPU waiting for Python.

May import torch. On the CPU, and where capturing fails, the same step runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .optimizer import Optimizer
from .pacing import say

Shapes = tuple[tuple[int, ...], ...]


class TrainingStep:
    """Calls `loss_of(*inputs)` under bfloat16 autocast, clips the gradient and steps the optimizer.

    `loss_of` returns the loss and one number to show. One graph is captured for each set of input
    shapes, all in one pool of memory; inputs must be tensors on `device`.
    """

    def __init__(
        self,
        weights: Sequence[nn.Parameter],
        loss_of: Callable[..., tuple[Tensor, Tensor]],
        device: str,
        *,
        adam_only: Sequence[nn.Parameter] = (),
        weight_decay: float = 1e-3,
        matrices: bool = True,
        graphs: bool = True,
    ) -> None:
        self.weights = list(weights)
        self.loss_of = loss_of
        self.device = device
        self.graphs = graphs and device == "cuda"
        self.optimizer = Optimizer(self.weights, adam_only, weight_decay=weight_decay, device=device, matrices=matrices)
        self._captured: dict[Shapes, tuple[Any, list[Tensor], Tensor]] = {}
        self._pool: Any = None

    def __call__(self, rate: float, *inputs: Tensor) -> Tensor:
        """One step at that learning rate; the number to show, still on the device."""
        self.optimizer.rate.fill_(rate)
        if not self.graphs:
            return self._step(inputs)
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        if shapes not in self._captured:
            try:
                self._captured[shapes] = self._capture(inputs)
            except RuntimeError as error:
                say(f"no CUDA graph for {shapes}: {error!r:.300}")
                self.graphs = False
                self._captured.clear()
                torch.cuda.synchronize()
                return self._step(inputs)
        graph, held, shown = self._captured[shapes]
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given)
        graph.replay()
        return shown

    def _step(self, inputs: Sequence[Tensor]) -> Tensor:
        self.optimizer.zero_grad()
        return self._forward_and_back(inputs)

    def _forward_and_back(self, inputs: Sequence[Tensor]) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16, cache_enabled=False):
            loss, shown = self.loss_of(*inputs)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for weight in self.weights:
            if weight.grad is not None:  # one bad batch must not spoil the run
                weight.grad.copy_(torch.where(torch.isfinite(norm), weight.grad, torch.zeros_like(weight.grad)))
        self.optimizer.step()
        return shown.detach()

    def _capture(self, inputs: Sequence[Tensor]) -> tuple[Any, list[Tensor], Tensor]:
        held = [tensor.clone() for tensor in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step(held)
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # what the trial steps took is wanted by the graph's own pool
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            shown = self._forward_and_back(held)
        return graph, held, shown
