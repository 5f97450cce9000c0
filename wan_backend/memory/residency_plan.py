"""Where each part of a model sits during a job, so that its peak fits the memory that is free. No torch here.

The parts run one after another: the text encoder, the transformer, the autoencoder. What fits stays on the
device from job to job; what does not leaves it after its phase; a part that does not fit even alone is streamed through
it block by block, of the transformer as many staying as there is room for. Where the machine's memory doesn't hold the
transformer either, its weights are kept in 8 bit. Pictures too large for the autoencoder are made in tiles. A model
with two experts needs one of them at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from . import estimate
from .estimate import (
    BLOCK_OFFLOADED_SHARE,
    EIGHT_BIT_SHARE,
    FIXED_BYTES,
    MAX_TILE_PIXELS,
    MIN_TILE_PIXELS,
    TILE_STEP_PIXELS,
)

MAX_HOST_SHARE = 0.9
"""Of the machine's free memory that a model may have: much of it is pinned, and can't make way."""
MAX_KEPT_SHARE = 0.95
"""Of the room that blocks of a streamed transformer could stay in: an estimate isn't to be used up."""


class Residency(StrEnum):
    """Where a part is, and what becomes of it after its phase."""

    RESIDENT = "resident"
    """On the device, and stays."""
    OFFLOADED = "phased"
    """On the device for its phase, else in the machine's memory."""
    RELOADED = "read_again"
    """On the device for its phase, then forgotten."""
    BLOCK_OFFLOADED = "streamed"
    """In the machine's memory; its blocks visit the device one by one."""
    ON_CPU = "on_cpu"
    """Runs where it is, in the machine's memory."""


@dataclass(frozen=True)
class Needs:
    """Bytes of each part's weights, and of each phase's working memory."""

    text_encoder: int
    transformer: int
    vae: int
    image_encoder: int = 0
    transformer_2: int = 0
    """The second expert, of a model that has two."""
    encode: int = 0
    denoise: int = 0
    decode: int = 0
    frame_pixels: int = 0
    """Of one frame: tiles are shares of it."""
    compressed: bool = False
    """The transformer's weights are in 8 bit or less already."""

    def working(self, part: str) -> int:
        """The working memory of the phase that `part` runs in."""
        if part.startswith("transformer"):
            return self.denoise
        return self.decode if part == "vae" else self.encode

    def decode_in(self, tile_pixels: int) -> int:
        """The autoencoder's working memory for tiles of so many pixels a side; 0 is the whole frame."""
        share = min(1.0, tile_pixels**2 / self.frame_pixels) if tile_pixels and self.frame_pixels else 1.0
        return FIXED_BYTES + int((self.decode - FIXED_BYTES) * share) if share < 1 else self.decode

    def tile_for(self, device_bytes: int) -> int:
        """The largest tiles that the autoencoder can work in; 0 where the whole frame fits."""
        if self.vae + self.decode <= device_bytes or not self.frame_pixels:
            return 0
        a_pixel = (self.decode - FIXED_BYTES) / self.frame_pixels
        side = max(0.0, (device_bytes - self.vae - FIXED_BYTES) / a_pixel) ** 0.5
        return int(min(MAX_TILE_PIXELS, max(MIN_TILE_PIXELS, side // TILE_STEP_PIXELS * TILE_STEP_PIXELS)))

    def in_8_bit(self) -> Needs:
        """The same with the transformers' weights in 8 bit."""
        first, second = (int(weights * EIGHT_BIT_SHARE) for weights in (self.transformer, self.transformer_2))
        return replace(self, transformer=first, transformer_2=second, compressed=True)

    @property
    def together(self) -> int:
        """All weights at once, and the largest working memory."""
        return self.encoders + self.experts + self.vae + max(self.encode, self.denoise, self.decode)

    @property
    def experts(self) -> int:
        """The weights of the transformer, or of both."""
        return self.transformer + self.transformer_2

    @property
    def expert(self) -> int:
        """The weights of the transformer, or of the larger of two."""
        return max(self.transformer, self.transformer_2)

    @property
    def encoders(self) -> int:
        """The weights of the text encoder and the image encoder, which run in one phase, one after another."""
        return self.text_encoder + self.image_encoder


@dataclass(frozen=True)
class MemoryPlan:
    """A place for each part, and the peak on the device that follows."""

    text_encoder: Residency
    transformer: Residency
    vae: Residency
    peak_bytes: int
    one_expert: bool = False
    """True where the machine's memory doesn't hold two experts: one is forgotten before the other is read."""
    decode_fits: bool = True
    """False where the autoencoder alone, in tiles even, is more than the device can hold."""
    kept_bytes: int = 0
    """Room on the device for blocks of a streamed transformer that stay there while it runs."""
    tile_pixels: int = 0
    """The side of the autoencoder's tiles; 0: whole frames."""
    eight_bit: bool = False
    """The weights of the transformer's blocks are kept in 8 bit."""
    forget_encoder: bool = False
    """A streamed text encoder is read from the disk again for the next prompt: the machine's memory is short."""

    def residency_of(self, part: str) -> Residency:
        """The place of a part by its name. The image encoder, a tenth of the text encoder, goes where that goes, and
        the second expert where the first does."""
        goes_with = {"image_encoder": "text_encoder", "transformer_2": "transformer"}
        place: Residency = getattr(self, goes_with.get(part, part))
        return place


@dataclass(frozen=True)
class Clip:
    """What is made: frames of width x height pixels, of which a token of the transformer is `token` a side."""

    width: int
    height: int
    frames: int
    token: int = 16

    @property
    def tokens(self) -> int:
        """Of the whole clip."""
        return ((self.frames - 1) // 4 + 1) * (self.width // self.token) * (self.height // self.token)


def working_bytes(clip: Clip, hidden: int, vae_width: int, number: int, vae_number: int) -> Needs:
    """Needs with the working memory alone.

    `hidden` and `vae_width` are the channels of the transformer and of the autoencoder at full size; `number` and
    `vae_number` are the bytes of a number in their hidden states.
    """
    denoise = estimate.denoise_bytes(clip.tokens, hidden, number) + FIXED_BYTES
    pixels = clip.width * clip.height
    decode = estimate.decode_bytes(pixels, vae_width, vae_number, clip.token) + FIXED_BYTES
    return Needs(0, 0, 0, encode=FIXED_BYTES, denoise=denoise, decode=decode, frame_pixels=pixels)


def choose(needs: Needs, device_bytes: int, host_bytes: int) -> MemoryPlan:
    """The plan for a card with `device_bytes` and a machine with `host_bytes` to spare.

    Always gives a plan; where its peak is over `device_bytes`, nothing smaller is known.
    """
    host_bytes = int(host_bytes * MAX_HOST_SHARE)
    if needs.together <= device_bytes:
        return MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, needs.together)
    encoder, encode_peak = _choose_encoder(needs, device_bytes, host_bytes)
    both = needs.experts + needs.vae + max(needs.denoise, needs.decode)
    for place, peak in ((encoder, encode_peak), (Residency.BLOCK_OFFLOADED, _streamed_encoder(needs))):
        if both <= device_bytes and both + peak - needs.encode <= device_bytes:
            forgets = place is Residency.BLOCK_OFFLOADED and needs.encoders > host_bytes
            return MemoryPlan(place, Residency.RESIDENT, Residency.RESIDENT, both, forget_encoder=forgets)
    tile = needs.tile_for(device_bytes)
    others = max(needs.vae + needs.decode_in(tile), encode_peak)
    plan = MemoryPlan(encoder, Residency.OFFLOADED, Residency.OFFLOADED, others, tile_pixels=tile)
    plan = _choose_transformer(needs, plan, device_bytes, host_bytes)
    held = needs.in_8_bit().experts if plan.eight_bit else needs.experts
    forgets = encoder is Residency.BLOCK_OFFLOADED and needs.encoders + held > host_bytes
    return replace(plan, forget_encoder=forgets)


def _choose_transformer(needs: Needs, plan: MemoryPlan, device_bytes: int, host_bytes: int) -> MemoryPlan:
    """`plan`, whose peak is the other phases', with a place for a transformer that can't stay."""
    alone = needs.expert + needs.denoise
    if alone <= device_bytes and needs.experts <= host_bytes:
        return replace(plan, peak_bytes=max(alone, plan.peak_bytes))
    if alone <= device_bytes and needs.expert > host_bytes:
        # The machine's memory holds none of it, the card does.
        return replace(plan, transformer=Residency.RELOADED, peak_bytes=max(alone, plan.peak_bytes))
    streamed = int(needs.expert * BLOCK_OFFLOADED_SHARE) + needs.denoise
    if (needs.experts > host_bytes or streamed > device_bytes) and not needs.compressed:
        return _choose_transformer(needs.in_8_bit(), replace(plan, eight_bit=True), device_bytes, host_bytes)
    if alone <= device_bytes:
        return replace(plan, transformer=Residency.RELOADED, peak_bytes=max(alone, plan.peak_bytes))
    kept = int(max(0, device_bytes - streamed) * MAX_KEPT_SHARE)
    return replace(
        plan,
        transformer=Residency.BLOCK_OFFLOADED,
        peak_bytes=max(streamed + kept, plan.peak_bytes),
        one_expert=needs.experts > host_bytes,
        kept_bytes=kept,
    )


def choose_on_cpu(needs: Needs, host_bytes: int) -> MemoryPlan:
    """The plan where the CPU is the device: what does not fit together is read again for each job."""
    if needs.together <= host_bytes:
        return MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, needs.together)
    encode_peak = max(needs.text_encoder, needs.image_encoder) + needs.encode
    both = needs.experts + needs.vae + max(needs.denoise, needs.decode)
    if both <= host_bytes:
        # Read again, too, where the encoder comes second: a new prompt for a warm model.
        stays = both + needs.encoders <= host_bytes
        place = Residency.RESIDENT if stays else Residency.RELOADED
        return MemoryPlan(Residency.RELOADED, place, place, max(both, encode_peak))
    tile = needs.tile_for(host_bytes)
    peak = max(needs.expert + needs.denoise, needs.vae + needs.decode_in(tile), encode_peak)
    return MemoryPlan(Residency.RELOADED, Residency.RELOADED, Residency.RELOADED, peak, tile_pixels=tile)


def _choose_encoder(needs: Needs, device_bytes: int, host_bytes: int) -> tuple[Residency, int]:
    """The text encoder's place where not all fits together, and its peak on the device."""
    alone = max(needs.text_encoder, needs.image_encoder) + needs.encode
    if alone > device_bytes:
        return Residency.BLOCK_OFFLOADED, _streamed_encoder(needs)
    room = needs.encoders + needs.experts <= host_bytes
    return (Residency.OFFLOADED if room else Residency.RELOADED), alone


def _streamed_encoder(needs: Needs) -> int:
    return int(max(needs.text_encoder, needs.image_encoder) * BLOCK_OFFLOADED_SHARE) + needs.encode
