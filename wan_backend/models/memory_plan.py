"""Where each part of a model sits during a job, so that its peak fits the memory that is free. No torch here.

The parts run one after another: the text encoder, the transformer, the autoencoder. What fits stays on the
device from job to job; what does not leaves it after its phase; a transformer that does not fit even alone is
streamed through it block by block. A model with two experts needs one of them at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .memory_estimate import FIXED_BYTES, FULL_SIZE_TENSORS, HIDDEN_TENSORS, STREAMED_SHARE, TIMED_TENSORS


class Place(StrEnum):
    """Where a part is, and what becomes of it after its phase."""

    RESIDENT = "resident"
    """On the device, and stays."""
    PHASED = "phased"
    """On the device for its phase, else in the machine's memory."""
    READ_AGAIN = "read_again"
    """On the device for its phase, then forgotten."""
    STREAMED = "streamed"
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

    def working(self, part: str) -> int:
        """The working memory of the phase that `part` runs in."""
        if part.startswith("transformer"):
            return self.denoise
        return self.decode if part == "vae" else self.encode

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

    text_encoder: Place
    transformer: Place
    vae: Place
    peak_bytes: int
    one_expert: bool = False
    """True where the machine's memory doesn't hold two experts: one is forgotten before the other is read."""
    decode_fits: bool = True
    """False where the autoencoder alone is more than the device can hold."""

    def place(self, part: str) -> Place:
        """The place of a part by its name. The image encoder, a tenth of the text encoder, goes where that goes, and
        the second expert where the first does."""
        goes_with = {"image_encoder": "text_encoder", "transformer_2": "transformer"}
        place: Place = getattr(self, goes_with.get(part, part))
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


def working_bytes(clip: Clip, hidden: int, vae_width: int, number: int, timed: bool = False) -> Needs:
    """Needs with the working memory alone.

    `hidden` and `vae_width` are the channels of the transformer and of the autoencoder at full size; `number`
    is the bytes of a number in the transformer's hidden states; `timed` is true where each token has its own time.
    """
    tensors = HIDDEN_TENSORS + (TIMED_TENSORS if timed else 0)
    denoise = clip.tokens * hidden * number * tensors
    decode = clip.width * clip.height * 4 * vae_width * number * FULL_SIZE_TENSORS
    return Needs(0, 0, 0, encode=FIXED_BYTES, denoise=denoise + FIXED_BYTES, decode=decode + FIXED_BYTES)


def choose(needs: Needs, device_bytes: int, host_bytes: int) -> MemoryPlan:
    """The plan for a card with `device_bytes` and a machine with `host_bytes` to spare.

    Always gives a plan; where its peak is over `device_bytes`, nothing smaller is known.
    """
    if needs.together <= device_bytes:
        return MemoryPlan(Place.RESIDENT, Place.RESIDENT, Place.RESIDENT, needs.together)
    encoder, encode_peak = _choose_encoder(needs, device_bytes, host_bytes)
    both = needs.experts + needs.vae + max(needs.denoise, needs.decode)
    if both <= device_bytes and both + encode_peak - needs.encode <= device_bytes:
        return MemoryPlan(encoder, Place.RESIDENT, Place.RESIDENT, both)
    alone = max(needs.expert + needs.denoise, needs.vae + needs.decode)
    out = Place.PHASED if needs.experts <= host_bytes else Place.READ_AGAIN
    if alone <= device_bytes:
        return MemoryPlan(encoder, out, Place.PHASED, max(alone, encode_peak))
    streamed = int(needs.expert * STREAMED_SHARE) + needs.denoise
    peak = max(streamed, needs.vae + needs.decode, encode_peak)
    return MemoryPlan(encoder, Place.STREAMED, Place.PHASED, peak, one_expert=needs.experts > host_bytes)


def choose_on_cpu(needs: Needs, host_bytes: int) -> MemoryPlan:
    """The plan where the CPU is the device: what does not fit together is read again for each job."""
    if needs.together <= host_bytes:
        return MemoryPlan(Place.RESIDENT, Place.RESIDENT, Place.RESIDENT, needs.together)
    working = max(needs.denoise, needs.decode)
    both = needs.experts + needs.vae + working
    peak = max(both, needs.text_encoder + needs.encode, needs.image_encoder + needs.encode)
    if both <= host_bytes:
        # Read again, too, where the encoder comes second: a new prompt for a warm model.
        stays = both + needs.encoders <= host_bytes
        place = Place.RESIDENT if stays else Place.READ_AGAIN
        return MemoryPlan(Place.READ_AGAIN, place, place, peak)
    peak = max(
        needs.expert + needs.vae + working, needs.text_encoder + needs.encode, needs.image_encoder + needs.encode
    )
    return MemoryPlan(Place.READ_AGAIN, Place.READ_AGAIN, Place.READ_AGAIN, peak)


def _choose_encoder(needs: Needs, device_bytes: int, host_bytes: int) -> tuple[Place, int]:
    """The text encoder's place where not all fits together, and its peak on the device."""
    alone = max(needs.text_encoder, needs.image_encoder) + needs.encode
    if alone > device_bytes:
        return Place.ON_CPU, 0
    room = needs.encoders + needs.experts <= host_bytes
    return (Place.PHASED if room else Place.READ_AGAIN), alone
