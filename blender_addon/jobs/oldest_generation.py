"""Keeps Python's garbage collector from looking through a long list of jobs again and again while it comes in.

Twelve thousand jobs are some seventy thousand objects. None of them is garbage, but as new ones they are looked through
two or three times before they count as old, and that falls into whatever tick or draw comes next: 5 to 9 ms each time.
"""

from __future__ import annotations

import gc


def take_in() -> None:
    """Count every object as old, without looking at any. What is garbage goes when all objects are looked through."""
    if gc.get_freeze_count():
        return  # somebody keeps objects from the collector altogether: they are not ours to give back
    gc.freeze()
    gc.unfreeze()
