"""The next smaller memory plan, for when a plan ran out of memory all the same. No torch here.

Each rung makes one thing smaller, where it isn't yet. To add a rung, add its function to RUNGS; what it means is the
placement's to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .memory_estimate import STREAMED_SHARE
from .memory_plan import MemoryPlan, Needs, Place

PLACED = ("text_encoder", "transformer", "vae")
"""What a plan gives a place; the image encoder goes with the text encoder, a second transformer with the first."""
WEIGHTS = (*PLACED, "image_encoder", "transformer_2")
"""What a model may have; a part that it has not needs no bytes."""
_ROOM = (Place.RESIDENT, Place.PHASED, Place.READ_AGAIN, Place.STREAMED, Place.ON_CPU)
"""From the most room on the device to the least."""
_LEFT = (Place.PHASED, Place.READ_AGAIN)


@dataclass(frozen=True)
class Machine:
    """What the rungs ask of the machine."""

    away: Place
    """The place of a part that leaves the device."""
    one_expert: bool
    """The machine's memory doesn't hold two experts at once."""
    on_cpu: bool
    """The device is the CPU itself."""


Rung = Callable[[MemoryPlan, Machine], MemoryPlan | None]
"""Gives a smaller plan, or None where it changes nothing."""


def _encoder_leaves(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    return replace(plan, text_encoder=machine.away) if plan.text_encoder is Place.RESIDENT else None


def _all_leave(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if Place.RESIDENT not in (plan.transformer, plan.vae):
        return None
    transformer = machine.away if plan.transformer is Place.RESIDENT else plan.transformer
    return replace(plan, transformer=transformer, vae=Place.READ_AGAIN if machine.on_cpu else Place.PHASED)


def _transformer_is_streamed(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.transformer is Place.STREAMED:
        return None
    return replace(plan, transformer=Place.STREAMED, one_expert=machine.one_expert)


def _encoder_runs_on_cpu(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.text_encoder is Place.ON_CPU:
        return None
    return replace(plan, text_encoder=Place.ON_CPU)


RUNGS: tuple[Rung, ...] = (_encoder_leaves, _all_leave, _transformer_is_streamed, _encoder_runs_on_cpu)
"""In this order: what costs the least time comes first."""


def smaller(
    plan: MemoryPlan, needs: Needs, failed_part: str, host_bytes: int, on_cpu: bool, tiny_decoder: bool = False
) -> MemoryPlan | None:
    """The next plan that leaves more room on the device while `failed_part` runs, or None where none does.

    An empty `failed_part` is work beside the model's own parts. `host_bytes` are free in the machine's memory.
    `tiny_decoder`: what the autoencoder failed at, the tiny one can do.
    """
    room = needs.encoders + needs.experts <= host_bytes
    away = Place.PHASED if room and not on_cpu else Place.READ_AGAIN
    machine = Machine(away, needs.experts > host_bytes, on_cpu)
    taken = bytes_while(plan, needs, failed_part)
    for rung in RUNGS:
        lower = rung(plan, machine)
        if lower is not None and bytes_while(lower, needs, failed_part) < taken:
            return measured(lower, needs)
    if tiny_decoder and failed_part == "vae" and plan.decode_fits:
        return replace(plan, decode_fits=False)
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
    return replace(plan, peak_bytes=max(bytes_while(plan, needs, part) for part in WEIGHTS))


def at_most(plan: MemoryPlan, limit: MemoryPlan, needs: Needs) -> MemoryPlan:
    """Each part where the smaller of the two plans has it."""
    encoder, transformer, vae = (max(plan.place(part), limit.place(part), key=_ROOM.index) for part in PLACED)
    one_expert, decode_fits = plan.one_expert or limit.one_expert, plan.decode_fits and limit.decode_fits
    return measured(MemoryPlan(encoder, transformer, vae, 0, one_expert, decode_fits), needs)
