"""How many of the planned steps are made, and how many of those are guided, at the strength that a request gives."""

from __future__ import annotations


def steps_left_out(steps: int, strength: float) -> int:
    """How many steps are skipped if a take starts from its footage, counted as WanVideoToVideoPipeline does.

    At least one is made.
    """
    return steps - max(1, min(int(steps * strength), steps))


def held_steps(steps: int, strength: float) -> float:
    """How many steps a previs follows its depth in: all at a strength of 0, none at 1."""
    return min(1.0, max(0.0, 1 - strength)) * steps
