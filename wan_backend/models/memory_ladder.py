"""The next smaller memory plan, for when a plan ran out of memory all the same. No torch here.

Each rung makes one thing smaller, where it isn't yet. To add a rung, add its function to RUNGS; what it means is the
placement's to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .memory_plan import STREAMED_SHARE, MemoryPlan, Needs, Place

PLACED = ("text_encoder", "transformer", "vae")
"""What a plan gives a place; the image encoder goes with the text encoder, a second transformer with the first."""
WEIGHTS = (*PLACED, "image_encoder", "transformer_2")
"""What a model may have; a part that it has not needs no bytes."""
_ROOM = (Place.RESIDENT, Place.PHASED, Place.READ_AGAIN, Place.STREAMED, Place.ON_CPU)
"""From the most room on the device to the least."""
_LEFT = (Place.PHASED, Place.READ_AGAIN)

Rung = Callable[[MemoryPlan, Place, bool], MemoryPlan | None]
"""Gives a smaller plan, or None where it changes nothing. Takes the plan, the place of a part that leaves the device,
and whether the device is the CPU itself."""


def _encoder_leaves(plan: MemoryPlan, away: Place, _on_cpu: bool) -> MemoryPlan | None:
    return replace(plan, text_encoder=away) if plan.text_encoder is Place.RESIDENT else None


def _all_leave(plan: MemoryPlan, away: Place, on_cpu: bool) -> MemoryPlan | None:
    if Place.RESIDENT not in (plan.transformer, plan.vae):
        return None
    transformer = away if plan.transformer is Place.RESIDENT else plan.transformer
    return replace(plan, transformer=transformer, vae=Place.READ_AGAIN if on_cpu else Place.PHASED)


def _transformer_is_streamed(plan: MemoryPlan, _away: Place, on_cpu: bool) -> MemoryPlan | None:
    if on_cpu or plan.transformer is Place.STREAMED:
        return None
    return replace(plan, transformer=Place.STREAMED)


def _encoder_runs_on_cpu(plan: MemoryPlan, _away: Place, on_cpu: bool) -> MemoryPlan | None:
    if on_cpu or plan.text_encoder is Place.ON_CPU:
        return None
    return replace(plan, text_encoder=Place.ON_CPU)


RUNGS: tuple[Rung, ...] = (_encoder_leaves, _all_leave, _transformer_is_streamed, _encoder_runs_on_cpu)
"""In this order: what costs the least time comes first."""


def smaller(plan: MemoryPlan, needs: Needs, failed_part: str, host_bytes: int, on_cpu: bool) -> MemoryPlan | None:
    """The next plan that leaves more room on the device while `failed_part` runs, or None where none does.

    An empty `failed_part` is work beside the model's own parts. `host_bytes` are free in the machine's memory.
    """
    room = needs.encoders + needs.transformer <= host_bytes
    away = Place.PHASED if room and not on_cpu else Place.READ_AGAIN
    taken = bytes_while(plan, needs, failed_part)
    for rung in RUNGS:
        lower = rung(plan, away, on_cpu)
        if lower is not None and bytes_while(lower, needs, failed_part) < taken:
            return measured(lower, needs)
    return None


def bytes_while(plan: MemoryPlan, needs: Needs, part: str) -> int:
    """What a plan has on the device while `part` runs: the part itself, what stays there, and the work."""
    elsewhere = not part or plan.place(part) is Place.ON_CPU
    total = 0 if elsewhere else needs.working(part)
    for each in WEIGHTS:
        weights = getattr(needs, each, 0)
        if not weights:
            continue
        place = plan.place(each)
        if each == part and place is Place.STREAMED:
            total += int(weights * STREAMED_SHARE)
        elif place is Place.RESIDENT or (each == part and place in _LEFT):
            total += weights
    return total


def measured(plan: MemoryPlan, needs: Needs) -> MemoryPlan:
    """The plan with the peak that follows from its places."""
    return replace(plan, peak_bytes=max(bytes_while(plan, needs, part) for part in PLACED))


def at_most(plan: MemoryPlan, limit: MemoryPlan, needs: Needs) -> MemoryPlan:
    """Each part where the smaller of the two plans has it."""
    encoder, transformer, vae = (max(plan.place(part), limit.place(part), key=_ROOM.index) for part in PLACED)
    return measured(replace(plan, text_encoder=encoder, transformer=transformer, vae=vae), needs)
