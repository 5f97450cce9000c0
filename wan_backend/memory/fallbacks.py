"""The next smaller memory plan, for when a plan ran out of memory all the same. No torch here.

Each rung makes one thing smaller, where it isn't yet. To add a rung, add its function to RUNGS; what it means is the
placement's to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .estimate import LARGEST_TILE, LEAST_TILE, STREAMED_SHARE, TILE_STEP
from .residency_plan import MemoryPlan, Needs, Place

PLACED = ("text_encoder", "transformer", "vae")
"""What a plan gives a place; the image encoder goes with the text encoder, a second transformer with the first."""
WEIGHTS = (*PLACED, "image_encoder", "transformer_2")
"""What a model may have; a part that it has not needs no bytes."""
_ROOM = (Place.RESIDENT, Place.PHASED, Place.READ_AGAIN, Place.STREAMED, Place.ON_CPU)
"""From the most room on the device to the least."""
_LEFT = (Place.PHASED, Place.READ_AGAIN)
LEAST_KEPT_BYTES = 1_000_000_000
"""Less room than this for blocks that stay isn't worth another try."""


@dataclass(frozen=True)
class Machine:
    """What the rungs ask of the machine."""

    away: Place
    """The place of a part that leaves the device."""
    one_expert: bool
    """The machine's memory doesn't hold two experts at once."""
    on_cpu: bool
    """The device is the CPU itself."""
    compressed: bool = False
    """The transformer's weights are in 8 bit or less already."""
    frame_pixels: int = 0
    """Of the pictures that are made."""


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


def _fewer_blocks_stay(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if not plan.kept_bytes:
        return None
    half = plan.kept_bytes // 2
    return replace(plan, kept_bytes=half if half >= LEAST_KEPT_BYTES else 0)


def _weights_in_8_bit(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or machine.compressed or plan.eight_bit or plan.transformer is not Place.STREAMED:
        return None
    return replace(plan, eight_bit=True)


def _smaller_tiles(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if Place.RESIDENT in (plan.text_encoder, plan.transformer, plan.vae) or plan.tile_pixels == LEAST_TILE:
        return None
    whole = min(LARGEST_TILE, int(machine.frame_pixels**0.5)) if machine.frame_pixels else LARGEST_TILE
    smaller = (plan.tile_pixels or whole) * 2 // 3 // TILE_STEP * TILE_STEP
    return replace(plan, tile_pixels=max(LEAST_TILE, smaller))


def _encoder_is_streamed(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.text_encoder in (Place.STREAMED, Place.ON_CPU):
        return None
    return replace(plan, text_encoder=Place.STREAMED, forget_encoder=machine.away is Place.READ_AGAIN)


def _encoder_runs_on_cpu(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.text_encoder is Place.ON_CPU:
        return None
    return replace(plan, text_encoder=Place.ON_CPU)


RUNGS: tuple[Rung, ...] = (
    _encoder_leaves,
    _all_leave,
    _transformer_is_streamed,
    _fewer_blocks_stay,
    _encoder_is_streamed,
    _smaller_tiles,
    _weights_in_8_bit,
    _encoder_runs_on_cpu,
)
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
    machine = Machine(away, needs.experts > host_bytes, on_cpu, needs.compressed, needs.frame_pixels)
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
    needs = needs.in_8_bit() if plan.eight_bit and not needs.compressed else needs
    total = 0
    if part and plan.place(part) is not Place.ON_CPU:
        total = needs.decode_in(plan.tile_pixels) if part == "vae" else needs.working(part)
    for each in WEIGHTS:
        weights = getattr(needs, each, 0)
        if not weights:
            continue
        place = plan.place(each)
        if each == part and place is Place.STREAMED:
            total += int(weights * STREAMED_SHARE)
            total += plan.kept_bytes if part.startswith("transformer") else 0
        elif place is Place.RESIDENT or (each == part and place in _LEFT):
            total += weights
    return total


def measured(plan: MemoryPlan, needs: Needs) -> MemoryPlan:
    """The plan with the peak that follows from its places."""
    return replace(plan, peak_bytes=max(bytes_while(plan, needs, part) for part in WEIGHTS))


def at_most(plan: MemoryPlan, limit: MemoryPlan, needs: Needs) -> MemoryPlan:
    """Each part where the smaller of the two plans has it."""
    encoder, transformer, vae = (max(plan.place(part), limit.place(part), key=_ROOM.index) for part in PLACED)
    tiles = [each.tile_pixels for each in (plan, limit) if each.tile_pixels]
    streamed = [each.kept_bytes for each in (plan, limit) if each.transformer is Place.STREAMED]
    both = MemoryPlan(
        encoder,
        transformer,
        vae,
        0,
        plan.one_expert or limit.one_expert,
        plan.decode_fits and limit.decode_fits,
        min(streamed, default=0) if transformer is Place.STREAMED else 0,
        min(tiles, default=0),
        plan.eight_bit or limit.eight_bit,
        plan.forget_encoder or limit.forget_encoder,
    )
    return measured(both, needs)
