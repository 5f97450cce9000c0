"""The next smaller memory plan, for when a plan ran out of memory all the same.

Each fallback makes one thing smaller, if it isn't yet. To add one, add its function to FALLBACKS; carrying it out is
up to `loading.residency`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .needs import MAX_TILE_PIXELS, MIN_TILE_PIXELS, TILE_STEP_PIXELS, TOKEN_CHUNK_BYTES, Needs
from .residency_plan import MemoryPlan, Residency

PLANNED = ("text_encoder", "transformer", "vae")
"""The components that a plan gives a residency; the others follow one of them, see `MemoryPlan.residency_of`."""
_ROOM = (
    Residency.RESIDENT,
    Residency.OFFLOADED,
    Residency.RELOADED,
    Residency.SHARED,
    Residency.BLOCK_OFFLOADED,
    Residency.ON_CPU,
)
"""From the most room on the device to the least."""
MIN_KEPT_BYTES = 1_000_000_000
"""Less room than this for blocks that stay isn't worth another try."""


@dataclass(frozen=True)
class Limits:
    """What the fallbacks ask of the machine and of the model's files."""

    offloaded: Residency
    """Where a component goes that leaves the device."""
    one_expert: bool
    """True if the machine's memory doesn't hold two experts at once."""
    on_cpu: bool
    """True if the device is the CPU itself."""
    quantized: bool = False
    """True if the transformer's weights are in 8 bit or less already."""
    frame_pixels: int = 0
    """Pixels of a frame of the take."""


Fallback = Callable[[MemoryPlan, Limits], MemoryPlan | None]
"""A function that returns a smaller plan, or None if it changes nothing."""


def _chunk_tokens_smaller(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    return replace(plan, token_chunk_bytes=TOKEN_CHUNK_BYTES) if plan.token_chunk_bytes > TOKEN_CHUNK_BYTES else None


def _decode_one_latent_frame_at_once(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    return replace(plan, chunk_latents=1) if plan.chunk_latents > 1 else None


def _offload_encoder(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    return replace(plan, text_encoder=limits.offloaded) if plan.text_encoder is Residency.RESIDENT else None


def _offload_all(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if Residency.RESIDENT not in (plan.transformer, plan.vae):
        return None
    transformer = limits.offloaded if plan.transformer is Residency.RESIDENT else plan.transformer
    return replace(plan, transformer=transformer, vae=Residency.RELOADED if limits.on_cpu else Residency.OFFLOADED)


def _block_offload_transformer(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if limits.on_cpu or plan.transformer is Residency.BLOCK_OFFLOADED:
        return None
    return replace(plan, transformer=Residency.BLOCK_OFFLOADED, one_expert=limits.one_expert, shares=1)


def _keep_fewer_blocks(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if not plan.kept_bytes:
        return None
    half = plan.kept_bytes // 2
    return replace(plan, kept_bytes=half if half >= MIN_KEPT_BYTES else 0)


def _keep_weights_in_8_bit(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if limits.on_cpu or limits.quantized or plan.eight_bit or plan.transformer is not Residency.BLOCK_OFFLOADED:
        return None
    return replace(plan, eight_bit=True)


def _decode_in_smaller_tiles(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if Residency.RESIDENT in (plan.text_encoder, plan.transformer, plan.vae):
        return None
    return _with_smaller_tiles(plan, limits)


def _decode_in_smaller_tiles_beside_a_share(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    return _with_smaller_tiles(plan, limits) if plan.transformer is Residency.SHARED else None


def _with_smaller_tiles(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if plan.tile_pixels == MIN_TILE_PIXELS:
        return None
    whole = min(MAX_TILE_PIXELS, int(limits.frame_pixels**0.5)) if limits.frame_pixels else MAX_TILE_PIXELS
    side = (plan.tile_pixels or whole) * 2 // 3 // TILE_STEP_PIXELS * TILE_STEP_PIXELS
    return replace(plan, tile_pixels=max(MIN_TILE_PIXELS, side))


def _block_offload_encoder(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if limits.on_cpu or plan.text_encoder in (Residency.BLOCK_OFFLOADED, Residency.ON_CPU):
        return None
    return replace(plan, text_encoder=Residency.BLOCK_OFFLOADED, forget_encoder=limits.offloaded is Residency.RELOADED)


def _run_encoder_on_cpu(plan: MemoryPlan, limits: Limits) -> MemoryPlan | None:
    if limits.on_cpu or plan.text_encoder is Residency.ON_CPU:
        return None
    return replace(plan, text_encoder=Residency.ON_CPU)


FALLBACKS: tuple[Fallback, ...] = (
    _chunk_tokens_smaller,
    _decode_one_latent_frame_at_once,
    _offload_encoder,
    _offload_all,
    _decode_in_smaller_tiles_beside_a_share,
    _block_offload_transformer,
    _keep_fewer_blocks,
    _block_offload_encoder,
    _decode_in_smaller_tiles,
    _keep_weights_in_8_bit,
    _run_encoder_on_cpu,
)
"""The fallbacks in the order in which they are tried: what costs the least time comes first."""


def next_smaller_plan(
    plan: MemoryPlan, needs: Needs, failed: str, host_bytes: int, on_cpu: bool, tiny_decoder: bool = False
) -> MemoryPlan | None:
    """The next plan that leaves more room on the device while the component `failed` runs, or None if none does.

    An empty `failed` is work beside the model's own components. `host_bytes` are free in the machine's memory.
    `tiny_decoder` says that the tiny autoencoder can decode what the whole one failed at.
    """
    host_has_room = needs.encoders + needs.experts <= host_bytes
    offloaded = Residency.OFFLOADED if host_has_room and not on_cpu else Residency.RELOADED
    limits = Limits(offloaded, needs.experts > host_bytes, on_cpu, needs.quantized, needs.frame_pixels)
    taken = plan.bytes_during(failed, needs)
    for fallback in FALLBACKS:
        lower = fallback(plan, limits)
        if lower is not None and lower.bytes_during(failed, needs) < taken:
            return lower.with_peak(needs)
    if tiny_decoder and failed == "vae" and plan.decode_fits:
        return replace(plan, decode_fits=False)
    return None


def smaller_of(plan: MemoryPlan, limit: MemoryPlan, needs: Needs) -> MemoryPlan:
    """Each component with the residency that takes less room of the two plans."""
    encoder, transformer, vae = (
        max(plan.residency_of(each), limit.residency_of(each), key=_ROOM.index) for each in PLANNED
    )
    tiles = [each.tile_pixels for each in (plan, limit) if each.tile_pixels]
    kept = [each.kept_bytes for each in (plan, limit) if each.transformer is Residency.BLOCK_OFFLOADED]
    both = MemoryPlan(
        encoder,
        transformer,
        vae,
        0,
        one_expert=plan.one_expert or limit.one_expert,
        decode_fits=plan.decode_fits and limit.decode_fits,
        kept_bytes=min(kept, default=0) if transformer is Residency.BLOCK_OFFLOADED else 0,
        tile_pixels=min(tiles, default=0),
        eight_bit=plan.eight_bit or limit.eight_bit,
        forget_encoder=plan.forget_encoder or limit.forget_encoder,
        chunk_latents=min(plan.chunk_latents, limit.chunk_latents),
        token_chunk_bytes=min(plan.token_chunk_bytes, limit.token_chunk_bytes),
        shares=max(plan.shares, limit.shares) if transformer is Residency.SHARED else 1,
    )
    return both.with_peak(needs)
