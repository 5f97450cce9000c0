"""Where each component of a model sits during a job, so that its peak fits the memory that is free.

The components run one after another: the text encoder, the transformer, the autoencoder. What fits stays on the device
from job to job; what doesn't is offloaded after its phase; a component that doesn't fit even alone is offloaded block
by block, and of the transformer as many blocks stay as there is room for. Where the machine's memory doesn't hold the
transformer either, its weights are kept in 8 bit. Frames too large for the autoencoder are decoded in tiles. A model
with two experts needs one of them at a time. Several cards that compute together may hold the transformer between them:
what one of them has then is a share of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from .needs import (
    GATHERING_BYTES,
    TOKEN_CHUNK_BYTES,
    Needs,
    bytes_of_larger_chunk,
)

COMPONENTS = ("text_encoder", "transformer", "vae", "image_encoder", "transformer_2")
"""What a model may consist of; a component that it doesn't have needs no bytes."""
MAX_HOST_SHARE = 0.9
"""Share of the machine's free memory that a model may have: much of it is pinned, and can't make way."""
MAX_KEPT_SHARE = 0.95
"""Share of the free room that blocks of a block-offloaded transformer may stay in, since the room is an estimate."""


class Residency(StrEnum):
    """Where a component is, and what becomes of it after its phase. The values stand in files of users."""

    RESIDENT = "resident"
    """On the device, and stays."""
    OFFLOADED = "phased"
    """On the device for its phase, else in the machine's memory."""
    RELOADED = "read_again"
    """On the device for its phase, then dropped, and read from the disk when it is next needed."""
    SHARED = "shared"
    """A share of it is on the device, and stays; blocks are gathered one by one from the cards that have the others."""
    BLOCK_OFFLOADED = "streamed"
    """In the machine's memory; its blocks visit the device one by one."""
    ON_CPU = "on_cpu"
    """Runs where it is, in the machine's memory."""


@dataclass(frozen=True)
class MemoryPlan:
    """The residency of each component, and the peak on the device that follows."""

    text_encoder: Residency
    transformer: Residency
    vae: Residency
    peak_bytes: int
    one_expert: bool = False
    """True if the machine's memory doesn't hold two experts: one is dropped before the other is read."""
    decode_fits: bool = True
    """False if the autoencoder alone, even in tiles, is more than the device can hold."""
    kept_bytes: int = 0
    """Room on the device for blocks of a block-offloaded transformer that stay there while it runs."""
    tile_pixels: int = 0
    """The side of the autoencoder's tiles; 0 for whole frames."""
    eight_bit: bool = False
    """True if the weights of the transformer's blocks are kept in 8 bit."""
    forget_encoder: bool = False
    """True if the machine's memory is short and a block-offloaded text encoder is dropped after each prompt."""
    chunk_latents: int = 1
    """Latent frames that the autoencoder decodes at once."""
    token_chunk_bytes: int = TOKEN_CHUNK_BYTES
    """Size of the widest tensor that the transformer makes of one chunk of the tokens."""
    shares: int = 1
    """Between how many cards a shared transformer's weights are divided; 1 where it isn't shared."""

    def residency_of(self, component: str) -> Residency:
        """The residency of a component by its name.

        The image encoder, a tenth of the text encoder, follows that one, and the second expert follows the first.
        """
        leader = {"image_encoder": "text_encoder", "transformer_2": "transformer"}.get(component, component)
        residency: Residency = getattr(self, leader)
        return residency

    def bytes_during(self, component: str, needs: Needs) -> int:
        """What is on the device while `component` runs: itself, what stays there, and the work.

        An empty name stands for work beside the model's own components.
        """
        needs = needs.in_8_bit() if self.eight_bit and not needs.quantized else needs
        total = 0
        if component and self.residency_of(component) is not Residency.ON_CPU:
            total = self._working_bytes(component, needs)
        for each in COMPONENTS:
            weights, residency = getattr(needs, each), self.residency_of(each)
            if not weights or residency is Residency.SHARED:
                continue
            if residency is Residency.RESIDENT:
                total += weights
            elif each == component and residency is Residency.BLOCK_OFFLOADED:
                total += needs.visiting(each) + (self.kept_bytes if each.startswith("transformer") else 0)
            elif each == component and residency is not Residency.ON_CPU:
                total += weights
        return total + self.bytes_of_shares(component, needs)

    def bytes_of_shares(self, component: str, needs: Needs) -> int:
        """What is on the device of a shared transformer while `component` runs."""
        if self.transformer is not Residency.SHARED:
            return 0
        share = (needs.expert if self.one_expert else needs.experts) // self.shares
        if not component.startswith("transformer"):
            return share
        return share + needs.visiting(component) + GATHERING_BYTES

    def _working_bytes(self, component: str, needs: Needs) -> int:
        if component == "vae":
            return needs.decode_in(self.tile_pixels, self.chunk_latents)
        if component.startswith("transformer"):
            return needs.denoise_in(self.shares) + bytes_of_larger_chunk(self.token_chunk_bytes)
        return needs.working(component)

    def with_peak(self, needs: Needs) -> MemoryPlan:
        """The plan with the peak that follows from its residencies."""
        return replace(self, peak_bytes=max(self.bytes_during(each, needs) for each in COMPONENTS))


def choose(needs: Needs, device_bytes: int, host_bytes: int) -> MemoryPlan:
    """The plan for a graphics card with `device_bytes` to spare, in a machine with `host_bytes`.

    There always is one; where its peak is over `device_bytes`, nothing smaller is known.
    """
    return _with_larger_decode(_choose_residencies(needs, device_bytes, host_bytes), needs, device_bytes)


def _with_larger_decode(plan: MemoryPlan, needs: Needs, device_bytes: int) -> MemoryPlan:
    """`plan` with as many latent frames decoded at once as there is room for beside what stays on the device."""
    held = needs.vae + plan.bytes_of_shares("vae", needs)
    if plan.transformer is Residency.RESIDENT:
        held += needs.experts + (needs.encoders if plan.text_encoder is Residency.RESIDENT else 0)
    latents = needs.latents_for(device_bytes - held, plan.tile_pixels)
    if latents == 1:
        return plan
    peak = max(plan.peak_bytes, held + needs.decode_in(plan.tile_pixels, latents))
    return replace(plan, chunk_latents=latents, peak_bytes=peak)


def _choose_residencies(needs: Needs, device_bytes: int, host_bytes: int) -> MemoryPlan:
    host_bytes = room_of_weights(needs, host_bytes)
    if needs.together <= device_bytes:
        return MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, needs.together)
    encoder, encode_peak = _choose_encoder(needs, device_bytes, host_bytes)
    both = needs.transformer_and_vae
    choices = (encoder, encode_peak), (Residency.BLOCK_OFFLOADED, needs.encoder_block_offloaded)
    for residency, peak in choices:
        if both <= device_bytes and both + peak - needs.encode <= device_bytes:
            forgets = residency is Residency.BLOCK_OFFLOADED and needs.encoders > host_bytes
            return MemoryPlan(residency, Residency.RESIDENT, Residency.RESIDENT, both, forget_encoder=forgets)
    tile = needs.tile_for(device_bytes)
    others = max(needs.vae_alone(tile), encode_peak)
    plan = MemoryPlan(encoder, Residency.OFFLOADED, Residency.OFFLOADED, others, tile_pixels=tile)
    plan = _choose_transformer(needs, plan, device_bytes, host_bytes)
    held = needs.in_8_bit().experts if plan.eight_bit else needs.experts
    forgets = encoder is Residency.BLOCK_OFFLOADED and needs.encoders + held > host_bytes
    return replace(plan, forget_encoder=forgets)


def room_of_weights(needs: Needs, host_bytes: int) -> int:
    """What of the machine's memory weights may have beside what else is kept there; less than 0 if that has no room."""
    return int(host_bytes * MAX_HOST_SHARE) - needs.reused


def _choose_transformer(needs: Needs, plan: MemoryPlan, device_bytes: int, host_bytes: int) -> MemoryPlan:
    """`plan`, whose peak is that of the other phases, with the residency of a transformer that can't stay."""
    alone = needs.transformer_alone
    if alone <= device_bytes and needs.experts <= host_bytes:
        return replace(plan, peak_bytes=max(alone, plan.peak_bytes))
    if alone <= device_bytes and needs.expert > host_bytes:
        # The machine's memory doesn't hold one of them, the card does.
        return replace(plan, transformer=Residency.RELOADED, peak_bytes=max(alone, plan.peak_bytes))
    offloaded = needs.transformer_block_offloaded
    if (needs.experts > host_bytes or offloaded > device_bytes) and not needs.quantized:
        return _choose_transformer(needs.in_8_bit(), replace(plan, eight_bit=True), device_bytes, host_bytes)
    if alone <= device_bytes:
        return replace(plan, transformer=Residency.RELOADED, peak_bytes=max(alone, plan.peak_bytes))
    kept = int(max(0, device_bytes - offloaded) * MAX_KEPT_SHARE)
    return replace(
        plan,
        transformer=Residency.BLOCK_OFFLOADED,
        peak_bytes=max(offloaded + kept, plan.peak_bytes),
        one_expert=needs.experts > host_bytes,
        kept_bytes=kept,
    )


def choose_shared(needs: Needs, device_bytes: int, host_bytes: int, shares: int) -> MemoryPlan | None:
    """The plan where so many cards hold the transformer between them; None if a card has no room for its share.

    Of two experts each card has a share of both if there is room, else of one after the other.
    """
    if shares < 2:
        return None
    one_expert = (False, True) if needs.transformer_2 else (False,)
    choices = (_shared(needs, device_bytes, host_bytes, shares, one) for one in one_expert)
    plan = next((plan for plan in choices if plan is not None), None)
    return None if plan is None else _with_larger_decode(plan, needs, device_bytes)


def _shared(needs: Needs, device_bytes: int, host_bytes: int, shares: int, one_expert: bool) -> MemoryPlan | None:
    visits = Residency.OFFLOADED if needs.encoders <= room_of_weights(needs, host_bytes) else Residency.RELOADED
    choices = (Residency.RESIDENT, visits, Residency.BLOCK_OFFLOADED)
    plans = (
        MemoryPlan(
            *(encoder, Residency.SHARED, Residency.RESIDENT, 0, one_expert),
            forget_encoder=encoder is Residency.BLOCK_OFFLOADED and visits is Residency.RELOADED,
            shares=shares,
        )
        for encoder in choices
    )
    with_tiles = (
        replace(plan, tile_pixels=needs.tile_for(device_bytes - plan.bytes_of_shares("vae", needs))).with_peak(needs)
        for plan in plans
    )
    return next((plan for plan in with_tiles if plan.peak_bytes <= device_bytes), None)


def choose_on_cpu(needs: Needs, host_bytes: int) -> MemoryPlan:
    """The plan if the CPU is the device: what doesn't fit together is reloaded for each job."""
    if needs.together <= host_bytes:
        return MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, needs.together)
    encode_peak, both = needs.encoder_alone, needs.transformer_and_vae
    if both <= host_bytes:
        # A new prompt for a warm model: the encoder comes second, so the others make way if both don't fit.
        stays = both + needs.encoders <= host_bytes
        residency = Residency.RESIDENT if stays else Residency.RELOADED
        return MemoryPlan(Residency.RELOADED, residency, residency, max(both, encode_peak))
    tile = needs.tile_for(host_bytes)
    peak = max(needs.transformer_alone, needs.vae_alone(tile), encode_peak)
    return MemoryPlan(Residency.RELOADED, Residency.RELOADED, Residency.RELOADED, peak, tile_pixels=tile)


def _choose_encoder(needs: Needs, device_bytes: int, host_bytes: int) -> tuple[Residency, int]:
    """The text encoder's residency if not all fits together, and its peak on the device."""
    alone = needs.encoder_alone
    if alone > device_bytes:
        return Residency.BLOCK_OFFLOADED, needs.encoder_block_offloaded
    room = needs.encoders + needs.experts <= host_bytes
    return (Residency.OFFLOADED if room else Residency.RELOADED), alone
