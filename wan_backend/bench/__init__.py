"""`python -m wan_backend bench`: our speed and memory beside stock diffusers', from one run.

This module imports nothing heavy; the benchmark itself needs torch.
"""

from __future__ import annotations


def main(arguments: list[str]) -> int:
    """Measure, print a table; the exit code."""
    from .command import run  # brings torch

    return run(arguments)
