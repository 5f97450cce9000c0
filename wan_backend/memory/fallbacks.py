"""The next smaller memory plan, for when a plan ran out of memory all the same. No torch here.

Each rung makes one thing smaller, where it isn't yet. To add a rung, add its function to RUNGS; what it means is the
placement's to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .estimate import BLOCK_OFFLOADED_SHARE, MAX_TILE_PIXELS, MIN_TILE_PIXELS, TILE_STEP_PIXELS
from .residency_plan import MemoryPlan, Needs, Residency

PLACED = ("text_encoder", "transformer", "vae")
"""What a plan gives a place; the image encoder goes with the text encoder, a second transformer with the first."""
WEIGHTS = (*PLACED, "image_encoder", "transformer_2")
"""What a model may have; a part that it has not needs no bytes."""
_ROOM = (Residency.RESIDENT, Residency.OFFLOADED, Residency.RELOADED, Residency.BLOCK_OFFLOADED, Residency.ON_CPU)
"""From the most room on the device to the least."""
_LEFT = (Residency.OFFLOADED, Residency.RELOADED)
MIN_KEPT_BYTES = 1_000_000_000
"""Less room than this for blocks that stay isn't worth another try."""


@dataclass(frozen=True)
class Machine:
    """What the rungs ask of the machine."""

    away: Residency
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
    return replace(plan, text_encoder=machine.away) if plan.text_encoder is Residency.RESIDENT else None


def _all_leave(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if Residency.RESIDENT not in (plan.transformer, plan.vae):
        return None
    transformer = machine.away if plan.transformer is Residency.RESIDENT else plan.transformer
    return replace(plan, transformer=transformer, vae=Residency.RELOADED if machine.on_cpu else Residency.OFFLOADED)


def _transformer_is_streamed(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.transformer is Residency.BLOCK_OFFLOADED:
        return None
    return replace(plan, transformer=Residency.BLOCK_OFFLOADED, one_expert=machine.one_expert)


def _fewer_blocks_stay(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if not plan.kept_bytes:
        return None
    half = plan.kept_bytes // 2
    return replace(plan, kept_bytes=half if half >= MIN_KEPT_BYTES else 0)


def _weights_in_8_bit(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or machine.compressed or plan.eight_bit or plan.transformer is not Residency.BLOCK_OFFLOADED:
        return None
    return replace(plan, eight_bit=True)


def _smaller_tiles(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if Residency.RESIDENT in (plan.text_encoder, plan.transformer, plan.vae) or plan.tile_pixels == MIN_TILE_PIXELS:
        return None
    whole = min(MAX_TILE_PIXELS, int(machine.frame_pixels**0.5)) if machine.frame_pixels else MAX_TILE_PIXELS
    next_smaller_plan = (plan.tile_pixels or whole) * 2 // 3 // TILE_STEP_PIXELS * TILE_STEP_PIXELS
    return replace(plan, tile_pixels=max(MIN_TILE_PIXELS, next_smaller_plan))


def _encoder_is_streamed(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.text_encoder in (Residency.BLOCK_OFFLOADED, Residency.ON_CPU):
        return None
    return replace(plan, text_encoder=Residency.BLOCK_OFFLOADED, forget_encoder=machine.away is Residency.RELOADED)


def _encoder_runs_on_cpu(plan: MemoryPlan, machine: Machine) -> MemoryPlan | None:
    if machine.on_cpu or plan.text_encoder is Residency.ON_CPU:
        return None
    return replace(plan, text_encoder=Residency.ON_CPU)


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


def next_smaller_plan(
    plan: MemoryPlan, needs: Needs, failed_part: str, host_bytes: int, on_cpu: bool, tiny_decoder: bool = False
) -> MemoryPlan | None:
    """The next plan that leaves more room on the device while `failed_part` runs, or None where none does.

    An empty `failed_part` is work beside the model's own parts. `host_bytes` are free in the machine's memory.
    `tiny_decoder`: what the autoencoder failed at, the tiny one can do.
    """
    room = needs.encoders + needs.experts <= host_bytes
    away = Residency.OFFLOADED if room and not on_cpu else Residency.RELOADED
    machine = Machine(away, needs.experts > host_bytes, on_cpu, needs.compressed, needs.frame_pixels)
    taken = device_bytes_during(plan, needs, failed_part)
    for rung in RUNGS:
        lower = rung(plan, machine)
        if lower is not None and device_bytes_during(lower, needs, failed_part) < taken:
            return with_peak(lower, needs)
    if tiny_decoder and failed_part == "vae" and plan.decode_fits:
        return replace(plan, decode_fits=False)
    return None


def device_bytes_during(plan: MemoryPlan, needs: Needs, part: str) -> int:
    """What a plan has on the device while `part` runs: the part itself, what stays there, and the work."""
    needs = needs.in_8_bit() if plan.eight_bit and not needs.compressed else needs
    total = 0
    if part and plan.residency_of(part) is not Residency.ON_CPU:
        total = needs.decode_in(plan.tile_pixels) if part == "vae" else needs.working(part)
    for each in WEIGHTS:
        weights = getattr(needs, each, 0)
        if not weights:
            continue
        place = plan.residency_of(each)
        if each == part and place is Residency.BLOCK_OFFLOADED:
            total += int(weights * BLOCK_OFFLOADED_SHARE)
            total += plan.kept_bytes if part.startswith("transformer") else 0
        elif place is Residency.RESIDENT or (each == part and place in _LEFT):
            total += weights
    return total


def with_peak(plan: MemoryPlan, needs: Needs) -> MemoryPlan:
    """The plan with the peak that follows from its places."""
    return replace(plan, peak_bytes=max(device_bytes_during(plan, needs, part) for part in WEIGHTS))


def smaller_of(plan: MemoryPlan, limit: MemoryPlan, needs: Needs) -> MemoryPlan:
    """Each part where the smaller of the two plans has it."""
    encoder, transformer, vae = (
        max(plan.residency_of(part), limit.residency_of(part), key=_ROOM.index) for part in PLACED
    )
    tiles = [each.tile_pixels for each in (plan, limit) if each.tile_pixels]
    streamed = [each.kept_bytes for each in (plan, limit) if each.transformer is Residency.BLOCK_OFFLOADED]
    both = MemoryPlan(
        encoder,
        transformer,
        vae,
        0,
        plan.one_expert or limit.one_expert,
        plan.decode_fits and limit.decode_fits,
        min(streamed, default=0) if transformer is Residency.BLOCK_OFFLOADED else 0,
        min(tiles, default=0),
        plan.eight_bit or limit.eight_bit,
        plan.forget_encoder or limit.forget_encoder,
    )
    return with_peak(both, needs)
