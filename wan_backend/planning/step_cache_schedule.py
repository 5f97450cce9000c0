"""Which steps may reuse what a transformer's blocks computed before, from ratios that were measured on one take.

MagCache (Ma et al. 2025, arXiv 2506.09045, section 4): the product of the ratios since the last computed step says how
far the magnitude has moved away from what is kept, and its distance from 1 is the error of reusing that. The errors of
consecutive skipped steps add up; once they would exceed the threshold, the step is computed and all begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StepCacheSettings:
    """How much may be skipped."""

    threshold: float = 0.12
    """The largest sum of the errors of consecutive skipped steps."""
    max_skipped: int = 2
    """The most steps that are skipped one after another."""
    computed_share: float = 0.2
    """The share of the steps, from the first one on, that are always computed: they settle what is where."""


def skipped_steps(
    ratios: Sequence[float], steps: range, computed: Collection[int] = (), settings: StepCacheSettings | None = None
) -> list[int]:
    """The steps of `steps` that may be skipped; the first one and those of `computed` never are.

    `ratios` has one for each planned step: the magnitude of its residual divided by that of the step before.
    """
    settings = settings or StepCacheSettings()
    always = max(steps.start + 1, settings.computed_share * len(ratios))
    skipped: list[int] = []
    product, error, in_a_row = 1.0, 0.0, 0
    for step in steps:
        product *= ratios[step]
        error += abs(1 - product)
        if step < always or step in computed or in_a_row >= settings.max_skipped or error > settings.threshold:
            product, error, in_a_row = 1.0, 0.0, 0
        else:
            skipped.append(step)
            in_a_row += 1
    return skipped
