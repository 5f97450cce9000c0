"""What a take needs of a device's memory: bytes of each component's weights, and of the work of each phase.

This is the one calculation. The plan and the forecast ask it with the catalogue's numbers, before anything is loaded;
the worker asks it with the model's own files; the residency plan and the fallbacks work with the `Needs` that come out.
The factors are those of full-size models as measured on an H100, see docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..catalogue.entries import ModelEntry

GPU_NUMBER_BYTES, CPU_NUMBER_BYTES = 2, 4
"""Bytes of a weight: 16 bit on a graphics card and on a Mac, 32 bit on the processor."""
IMAGE_ENCODER_NUMBER_BYTES = 4
"""Bytes of a weight of the image encoder, which is kept in 32 bit everywhere."""
ATTENTION_TENSORS, CHUNKED_TENSORS = 5, 3
"""Tensors of the size of the hidden states that are alive at once: within attention, its inputs and its outputs; in the
rest of a block, the output of attention and that of the block. See `loading.chunked_forward`."""
EXCHANGED_TENSORS = 6
"""Within attention where several cards share the tokens: one more, what comes or goes. See `loading.token_split`."""
SLACK = 1.1
"""Factor over what was measured: memory that is freed isn't always where it is wanted next."""
TOKEN_CHUNK_BYTES = 128_000_000
"""Size of the widest tensor that the transformer makes of one chunk of the tokens."""
CHUNK_TENSORS = 5
"""Tensors of that size that are alive at once."""
MAX_CHUNK_BYTES = 1_000_000_000
"""What that size may grow to if memory is free: with fewer and larger matrix products a step of the 14B takes 3.5%
less time, and still larger ones gain nothing."""
MAX_CHUNK_SHARE = 0.5
"""Share of the free memory that larger chunks may take."""
MAX_WIDENING = 6
"""How much wider than the hidden states the widest tensor of a block is, at most."""
PLAIN_TOKEN_PIXELS = 16
"""Side of a transformer's token with Wan 2.1's autoencoder."""
FULL_SIZE_TENSORS, PATCHED_TENSORS = 15, 23.5
"""Tensors of four full-size frames that decoding one latent frame keeps alive: what its convolutions cache of the
frames before, and what they make. The second is for Wan 2.2's autoencoder for TI2V, of which a token is 32 pixels."""
CHANNELS_LAST_TENSORS, CHANNELS_LAST_PATCHED_TENSORS = (15.0, 6.0), (21.0, 8.0)
"""Those numbers for an autoencoder that runs channels last, on a graphics card: for one latent frame, and for each
further one that is decoded with it.

12.3 and 5.5 such tensors are alive at once, and 16.5 and 7 of Wan 2.2's (tools/benchmarks/tally.py counts them). The
smallest caps under which one latent frame ran on an H100 were 12.7 and 19, since torch's allocator can't use all that
it has; what is lost so grows less with more frames at once.
"""
MAX_CHUNK_LATENTS = 4
"""Latent frames that the autoencoder decodes at once if memory is free: on an H100 two take 4% less time than one
after the other, three 5% and four 7%."""
MAX_CHUNK_LATENTS_SHARE = 0.95
"""Share of the free room that they may take, since the room is an estimate."""
FIXED_BYTES = 500_000_000
"""What a device's runtime takes for itself."""
BLOCK_OFFLOADED_SHARE = 0.09
"""About how much of a block-offloaded component's weights is on the device at once: two blocks and the ends."""
GATHERING_BYTES = 400_000_000
"""About what NCCL takes for itself on each card of a group that exchanges tokens and weights."""
CAMERA_INPUTS = 24 * 8 * 8 * 4
"""Numbers that the adapter of a transformer that a camera steers has of the rays under a token."""
EIGHT_BIT_SHARE = 0.53
"""What is left of a transformer's 16-bit weights if those of its blocks are kept in 8 bit."""
TILE_STEP_PIXELS, MIN_TILE_PIXELS, MAX_TILE_PIXELS = 32, 192, 1024
"""Sides of the autoencoder's tiles are multiples of the first, from the second to the third."""


@dataclass(frozen=True)
class VideoShape:
    """Frames of width x height pixels, of which a token of the transformer covers `token` a side."""

    width: int
    height: int
    frames: int
    token: int = PLAIN_TOKEN_PIXELS
    sources: int = 0
    """How many sources the transformer sees beside these frames: footage of as many first, then pictures."""

    @property
    def tokens(self) -> int:
        """The number of tokens of all frames together, four frames to a latent one after the first, and of all sources.

        A picture has the shape of its own; it is counted as a square, which is the most that it can be.
        """
        own = ((self.frames - 1) // 4 + 1) * (self.width // self.token) * (self.height // self.token)
        if not self.sources:
            return own
        return 2 * own + (self.sources - 1) * (max(self.width, self.height) // self.token) ** 2


@dataclass(frozen=True)
class HiddenStates:
    """Channels of the hidden states, and the bytes of a number in them."""

    transformer_channels: int
    vae_channels: int
    """Of the autoencoder at full size."""
    number_bytes: int
    """In the transformer."""
    vae_number_bytes: int
    vae_channels_last: bool = False
    """True if the autoencoder runs as `pipelines.channels_last_autoencoder` does it: on a graphics card."""


@dataclass(frozen=True)
class Needs:
    """Bytes of each component's weights, and of each phase's working memory."""

    text_encoder: int
    transformer: int
    vae: int
    image_encoder: int = 0
    transformer_2: int = 0
    """The second expert, of a model that has two."""
    encode: int = 0
    denoise: int = 0
    decode: int = 0
    decode_another: int = 0
    """What each further latent frame adds that is decoded at once with the first; 0 if that isn't done."""
    frame_pixels: int = 0
    """Pixels of one whole frame, of which a tile is a share."""
    quantized: bool = False
    """The transformer's weights are in 8 bit or less already, by its file or by us."""
    hidden_states: int = 0
    """Of the transformer, for all tokens; 0 if that isn't known."""
    reused: int = 0
    """What a step cache keeps in the machine's memory beside the weights."""
    camera_adapter: int = 0
    """Of the weights of a transformer that a camera steers, those of its adapter: they lie beside its blocks, so they
    are in 16 bit where those are in 8, and on the device whenever it runs."""

    def with_step_cache(self, residuals: int, on_cpu: bool) -> Needs:
        """These needs with a step cache that keeps so many residuals, each as large as the hidden states.

        `on_cpu`: the machine's memory is the device's.
        """
        kept = residuals * self.hidden_states
        return replace(self, denoise=self.denoise + kept) if on_cpu else replace(self, reused=kept)

    def denoise_in(self, shares: int) -> int:
        """The transformer's working memory on one of so many cards that share the tokens."""
        if shares == 1 or not self.hidden_states:
            return self.denoise
        kept = self.hidden_states if self.camera_adapter else 0  # each card has what the camera adds to all tokens
        return _denoise_bytes(-(-self.hidden_states // shares), EXCHANGED_TENSORS) + kept + FIXED_BYTES

    def working(self, component: str) -> int:
        """The working memory of the phase that `component` runs in."""
        if component.startswith("transformer"):
            return self.denoise
        return self.decode if component == "vae" else self.encode

    def decode_in(self, tile_pixels: int, latents: int = 1) -> int:
        """The autoencoder's working memory for tiles of so many pixels a side, 0 being the whole frame, and for so
        many latent frames at once.
        """
        share = min(1.0, tile_pixels**2 / self.frame_pixels) if tile_pixels and self.frame_pixels else 1.0
        first = FIXED_BYTES + int((self.decode - FIXED_BYTES) * share) if share < 1 else self.decode
        return first + int(self.decode_another * share) * (latents - 1)

    def latents_for(self, device_bytes: int, tile_pixels: int) -> int:
        """The number of latent frames that the autoencoder can decode at once in that much working memory."""
        if not self.decode_another:
            return 1
        room = device_bytes * MAX_CHUNK_LATENTS_SHARE
        fitting = (n for n in range(MAX_CHUNK_LATENTS, 1, -1) if self.decode_in(tile_pixels, n) <= room)
        return next(fitting, 1)

    def tile_for(self, device_bytes: int) -> int:
        """The side of the largest tiles that the autoencoder can work in; 0 if the whole frame fits."""
        if self.vae + self.decode <= device_bytes or not self.frame_pixels:
            return 0
        a_pixel = (self.decode - FIXED_BYTES) / self.frame_pixels
        side = max(0.0, (device_bytes - self.vae - FIXED_BYTES) / a_pixel) ** 0.5
        return int(min(MAX_TILE_PIXELS, max(MIN_TILE_PIXELS, side // TILE_STEP_PIXELS * TILE_STEP_PIXELS)))

    def in_8_bit(self) -> Needs:
        """These needs with the transformers' weights in 8 bit."""
        first, second = (
            int((weights - self.camera_adapter) * EIGHT_BIT_SHARE) + self.camera_adapter if weights else 0
            for weights in (self.transformer, self.transformer_2)
        )
        return replace(self, transformer=first, transformer_2=second, quantized=True)

    def visiting(self, component: str) -> int:
        """What of a component's weights is on the device at once where its blocks visit it one by one."""
        beside = self.camera_adapter if component.startswith("transformer") else 0
        return int((getattr(self, component) - beside) * BLOCK_OFFLOADED_SHARE) + beside

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

    @property
    def together(self) -> int:
        """The peak if every component stays: all weights at once, and the largest working memory."""
        return self.encoders + self.experts + self.vae + max(self.encode, self.denoise, self.decode)

    @property
    def transformer_and_vae(self) -> int:
        """The peak of denoising and decoding if all but the encoders stay."""
        return self.experts + self.vae + max(self.denoise, self.decode)

    @property
    def encoder_alone(self) -> int:
        """The peak of encoding with one encoder at a time on the device."""
        return max(self.text_encoder, self.image_encoder) + self.encode

    @property
    def encoder_block_offloaded(self) -> int:
        """The peak of encoding with a few blocks of an encoder at a time on the device."""
        return int(max(self.text_encoder, self.image_encoder) * BLOCK_OFFLOADED_SHARE) + self.encode

    @property
    def transformer_alone(self) -> int:
        """The peak of denoising with one transformer on the device and nothing else."""
        return self.expert + self.denoise

    @property
    def transformer_block_offloaded(self) -> int:
        """The peak of denoising with a few of the transformer's blocks at a time on the device."""
        return max(self.visiting("transformer"), self.visiting("transformer_2")) + self.denoise

    def vae_alone(self, tile_pixels: int = 0) -> int:
        """The peak of decoding in such tiles with the autoencoder on the device and nothing else."""
        return self.vae + self.decode_in(tile_pixels)

    @property
    def one_at_a_time(self) -> int:
        """The peak where each component is alone on the device, whole."""
        return max(self.encoder_alone, self.transformer_alone, self.vae_alone())

    @property
    def least(self) -> int:
        """The peak with the transformer block offloaded, and frames decoded in the smallest tiles."""
        return max(self.transformer_block_offloaded, self.vae_alone(MIN_TILE_PIXELS))


def calculate(
    weights: Mapping[str, int],
    hidden_states: HiddenStates,
    video: VideoShape,
    quantized: bool = False,
    follows_camera: bool = False,
) -> Needs:
    """The needs of a take; `weights` are bytes by a component's name, for those that the model has."""
    every: dict[str, Any] = {"text_encoder": 0, "transformer": 0, "vae": 0, **weights}
    decode, another = _decode_bytes(video, hidden_states)
    states = video.tokens * hidden_states.transformer_channels * hidden_states.number_bytes
    adapter, kept = (_camera_adapter_bytes(hidden_states), states) if follows_camera else (0, 0)
    return Needs(
        **every,
        encode=FIXED_BYTES,
        denoise=_denoise_bytes(states, ATTENTION_TENSORS) + kept + FIXED_BYTES,
        decode=decode + FIXED_BYTES,
        decode_another=another,
        frame_pixels=video.width * video.height,
        quantized=quantized,
        hidden_states=states,
        camera_adapter=adapter,
    )


def calculate_from_catalogue(
    entry: ModelEntry,
    width: int,
    height: int,
    frames: int,
    number_bytes: int = GPU_NUMBER_BYTES,
    vae_number_bytes: int = GPU_NUMBER_BYTES,
    quantized_bytes: int = 0,
    vae_channels_last: bool = False,
    sources: int = 0,
) -> Needs:
    """The needs of a take of `frames` frames at once, before the model's files are looked at.

    `quantized_bytes` is the size of a transformer whose file has it in 8 bit or less; 0 if it is in 16 bit.
    `vae_channels_last` says that the autoencoder runs as on a graphics card. `sources` are those that the transformer
    sees beside the take.
    """
    sizes = entry.weights
    transformer = quantized_bytes or sizes.transformer * number_bytes
    weights = {
        "text_encoder": sizes.text_encoder * number_bytes,
        "transformer": transformer,
        "transformer_2": transformer * (sizes.experts - 1),
        "vae": sizes.vae * vae_number_bytes,
        "image_encoder": sizes.image_encoder * IMAGE_ENCODER_NUMBER_BYTES,
    }
    hidden_states = HiddenStates(sizes.hidden, sizes.vae_width, number_bytes, vae_number_bytes, vae_channels_last)
    video = VideoShape(width, height, frames, token=entry.multiple, sources=sources)
    return calculate(weights, hidden_states, video, quantized_bytes > 0, entry.follows_camera)


def larger_chunk(free_bytes: int) -> int:
    """The size of chunk that the transformer may work in if so many bytes of the device are left over."""
    more = max(0, free_bytes) * MAX_CHUNK_SHARE / (SLACK * CHUNK_TENSORS)
    return int(min(MAX_CHUNK_BYTES, TOKEN_CHUNK_BYTES + more))


def bytes_of_larger_chunk(chunk_bytes: int) -> int:
    """What chunks of that size take more of the device than those that `Needs.denoise` counts with."""
    return int(SLACK * CHUNK_TENSORS * max(0, chunk_bytes - TOKEN_CHUNK_BYTES))


def _camera_adapter_bytes(hidden_states: HiddenStates) -> int:
    """The weights of the adapter: a convolution of the rays, and two of three by three."""
    width = hidden_states.transformer_channels
    return hidden_states.number_bytes * width * (CAMERA_INPUTS + 2 * 9 * width)


def _denoise_bytes(states: int, attention_tensors: int) -> int:
    """The transformer's working memory for hidden states of so many bytes."""
    chunk = min(TOKEN_CHUNK_BYTES, MAX_WIDENING * states)
    return int(SLACK * max(attention_tensors * states, CHUNKED_TENSORS * states + CHUNK_TENSORS * chunk))


def _decode_bytes(video: VideoShape, hidden_states: HiddenStates) -> tuple[int, int]:
    """The autoencoder's working memory for one latent frame, and for each further one at once with it."""
    four_frames = video.width * video.height * 4 * hidden_states.vae_channels * hidden_states.vae_number_bytes
    patched = video.token > PLAIN_TOKEN_PIXELS
    if hidden_states.vae_channels_last:
        first, another = CHANNELS_LAST_PATCHED_TENSORS if patched else CHANNELS_LAST_TENSORS
    else:
        first, another = PATCHED_TENSORS if patched else FULL_SIZE_TENSORS, 0.0
    return int(four_frames * first), int(four_frames * another)
