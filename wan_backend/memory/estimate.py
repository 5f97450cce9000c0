"""How much of a device's memory a take needs, about. Catalogue only; no torch.

The parts run one after another (text encoder, transformer, autoencoder), each alone on the device, in 16 bit. With
more memory they stay there from job to job; with less, the transformer visits the device block by block.
The factors are those of full-size models as they were measured on an H100, see docs/memory.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..catalogue.entries import ModelEntry

BYTES_A_WEIGHT = 2
ATTENTION_TENSORS, CHUNKED_TENSORS = 5, 3
"""Tensors of the size of the hidden states that are alive at once: in attention themselves, what goes in and what comes
of it; in the rest of a block themselves, what came of attention and what comes of the block. See lean_forward."""
SLACK = 1.1
"""More than was measured by so much: what is freed isn't always where it is wanted again."""
CHUNK_BYTES = 128_000_000
"""Of the widest tensor that the transformer makes of a share of the tokens at a time."""
CHUNK_TENSORS = 5
"""Tensors of that size that are alive at once."""
WIDEST = 6
"""How much wider than the hidden states that tensor is, at most."""
PLAIN_TOKEN = 16
"""Pixels of a side of a token, where the autoencoder is Wan 2.1's."""
BYTES_AN_IMAGE_WEIGHT = 4
FULL_SIZE_TENSORS, PATCHED_TENSORS = 15, 23.5
"""Tensors of four full-size frames that decoding one latent frame keeps alive: what its convolutions keep of the
frames before, and what they make. The second is of Wan 2.2's autoencoder for TI2V, of which a token is 32 pixels."""
FIXED_BYTES = 500_000_000
"""What a device's runtime takes for itself."""
BLOCK_OFFLOADED_SHARE = 0.09
"""Of a streamed part's weights, about what is on the device at once: two blocks and the ends."""
TILE_STEP_PIXELS, MIN_TILE_PIXELS, MAX_TILE_PIXELS = 32, 192, 1024
"""Pixels: sides of the autoencoder's tiles."""
EIGHT_BIT_SHARE = 0.53
"""Of a transformer's 16 bit weights, what is left where those of its blocks are kept in 8 bit."""


@dataclass(frozen=True)
class Peaks:
    """Bytes of the device's memory, by what is done to spare it."""

    all_stay: int
    """Every part stays on the device."""
    one_at_a_time: int
    """Each part alone."""
    streamed: int
    """The transformer and the text encoder in the machine's memory, a few blocks of them on the device; pictures made
    in the smallest tiles."""


def denoise_bytes(tokens: int, hidden: int, number: int) -> int:
    """The transformer's working memory; `number` is the bytes of a number in its hidden states."""
    states = tokens * hidden * number
    chunk = min(CHUNK_BYTES, WIDEST * states)
    return int(SLACK * max(ATTENTION_TENSORS * states, CHUNKED_TENSORS * states + CHUNK_TENSORS * chunk))


def decode_bytes(pixels: int, width: int, number: int, token: int) -> int:
    """The autoencoder's working memory for frames of so many pixels; `width` is its channels at full size, `token` the
    pixels of a side of the transformer's token."""
    return int(pixels * 4 * width * number * (PATCHED_TENSORS if token > PLAIN_TOKEN else FULL_SIZE_TENSORS))


def peak_bytes(entry: ModelEntry, width: int, height: int, frames: int) -> int:
    """The peak over the three phases, for frames of width x height: each part alone on the device."""
    return peaks(entry, width, height, frames).one_at_a_time


def peaks(entry: ModelEntry, width: int, height: int, frames: int) -> Peaks:
    """The peak of each plan, for frames of width x height."""
    weights = entry.weights
    latent_frames = (frames - 1) // 4 + 1
    tokens = latent_frames * (width // entry.multiple) * (height // entry.multiple)
    encode = max(weights.text_encoder * BYTES_A_WEIGHT, weights.image_encoder * BYTES_AN_IMAGE_WEIGHT)
    transformer = weights.transformer * BYTES_A_WEIGHT
    denoise = denoise_bytes(tokens, weights.hidden, BYTES_A_WEIGHT)
    vae = weights.vae * BYTES_A_WEIGHT
    decode = decode_bytes(width * height, weights.vae_width, BYTES_A_WEIGHT, entry.multiple)
    tile = min(1.0, MIN_TILE_PIXELS**2 / (width * height))
    held = weights.text_encoder * BYTES_A_WEIGHT + weights.image_encoder * BYTES_AN_IMAGE_WEIGHT
    held += transformer * weights.experts + vae
    return Peaks(
        all_stay=held + max(denoise, decode) + FIXED_BYTES,
        one_at_a_time=max(encode, transformer + denoise, vae + decode) + FIXED_BYTES,
        streamed=max(int(transformer * BLOCK_OFFLOADED_SHARE) + denoise, vae + int(decode * tile)) + FIXED_BYTES,
    )
