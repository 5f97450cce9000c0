"""Guidance in part of the steps: outside of the interval, the transformer runs once a step, for the prompt alone.

While there is nearly nothing but noise, and once all is settled but the finest detail, guidance changes little or harms
(Kynkäänniemi et al. 2024, arXiv 2404.07724). What is left out isn't replaced: reusing the last difference of the two
branches was measured, too, see docs/speed.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GuidedSteps:
    """The steps in which guidance is computed, counted from 0."""

    first: int
    end_exclusive: int


def apply(guided: GuidedSteps | None, guidance_scale: float, step: int) -> float:
    """The guidance scale of that step; 1, which is no guidance, outside of the interval."""
    if guided is None or guided.first <= step < guided.end_exclusive:
        return guidance_scale
    return min(guidance_scale, 1.0)
