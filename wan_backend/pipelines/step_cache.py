"""A step cache: in some steps, what a transformer's blocks add to its tokens is that of an earlier step.

From one step to the next, the direction of this residual hardly changes and its magnitude little, by a ratio that is
the model's own and nearly the same for any prompt and seed. From the ratios, which `measure` takes on one exact take,
`planning.step_cache_schedule` finds the steps that may be skipped (MagCache: Ma et al. 2025, arXiv 2506.09045). So
which forward passes run without their blocks is settled before the take begins. The two branches of guidance, the
windows of a long take and two experts have residuals of their own; a residual of VACE's trunk holds the control's
hints, too.

A residual is kept in the machine's memory, not on the card, from the step before it is reused to the last one that
reuses it: it is copied back within a hundredth of the time that the blocks would take. It isn't part of a step's
checkpoint, since it is larger than everything else: a step is kept on the disk only where the next one needs no
residual, and so a resumed take is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..planning.calibrations import Branch

Forward = Callable[..., Tensor]
"""`forward(branch, window, step, **inputs)`: a transformer's prediction for the latents of a window."""


@dataclass(frozen=True)
class CachedSteps:
    """The steps, counted from 0, in which each branch of guidance reuses what it has computed before."""

    steps: dict[Branch, Collection[int]]

    def skips(self, branch: Branch, step: int) -> bool:
        """True if the blocks don't run."""
        return step in self.steps.get(branch, ())

    def needs_nothing(self, step: int) -> bool:
        """True if no branch reuses anything in that step, which then starts from the latents alone."""
        return not any(step in skipped for skipped in self.steps.values())


EVERY_STEP_COMPUTED = CachedSteps({})


def apply(cached: CachedSteps, transformer: Any) -> Forward:
    """A forward pass of `transformer` that reuses residuals in those steps; what it keeps ends with it.

    A step that has nothing to reuse is computed. The transformer has to be one that `loading.chunked_forward` runs.
    """
    if not cached.steps:
        return lambda branch, *, window, step, **inputs: transformer(**inputs)[0]
    kept: dict[tuple[Branch, int], Tensor] = {}

    def forward(branch: Branch, *, window: int, step: int, **inputs: Any) -> Tensor:
        is_reused, is_wanted = cached.skips(branch, step), cached.skips(branch, step + 1)
        if not is_reused and not is_wanted:
            return transformer(**inputs)[0]
        residual = _Residual(kept, (branch, window), is_reused)
        made: Tensor = transformer(**inputs, residual=residual)[0]
        if not is_wanted:
            kept.pop((branch, window), None)
        return made

    return forward


class _Residual:
    """The place for one residual: `chunked_forward.BlockResidual`."""

    def __init__(self, kept: dict[tuple[Branch, int], Tensor], key: tuple[Branch, int], is_reused: bool) -> None:
        self._kept, self._key = kept, key
        self.reused = kept.get(key) if is_reused else None

    def keep(self, made: Tensor) -> None:
        self._kept[self._key] = made.to("cpu")


@dataclass
class MagnitudeRatios:
    """The magnitude of each step's residual divided by that of the step before, for each branch.

    Nothing is changed by measuring: the take is exact.
    """

    ratios: dict[Branch, dict[int, float]] = field(default_factory=dict)
    """By step; one that has none before it in its transformer has the ratio 1."""
    starts: list[int] = field(default_factory=list)
    """The first step of each transformer."""

    def measure(self, transformer: Any) -> Forward:
        """A forward pass of `transformer` that measures on the first window."""
        before: dict[Branch, Tensor] = {}

        def forward(branch: Branch, *, window: int, step: int, **inputs: Any) -> Tensor:
            if window:
                return transformer(**inputs)[0]
            if not before:
                self.starts.append(step)
            made: Tensor = transformer(**inputs, residual=_Measured(self, before, branch, step))[0]
            return made

        return forward


class _Measured:
    """Takes the magnitudes of a residual; reuses nothing."""

    reused = None

    def __init__(self, found: MagnitudeRatios, before: dict[Branch, Tensor], branch: Branch, step: int) -> None:
        self._found, self._before, self._branch, self._step = found, before, branch, step

    def keep(self, made: Tensor) -> None:
        magnitudes = torch.linalg.vector_norm(made, dim=-1, dtype=torch.float32)
        last = self._before.get(self._branch)
        ratio = 1.0 if last is None else float((magnitudes / last.clamp_min(1e-12)).mean())
        self._found.ratios.setdefault(self._branch, {})[self._step] = ratio
        self._before[self._branch] = magnitudes
