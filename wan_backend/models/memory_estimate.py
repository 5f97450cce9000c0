"""How much of a device's memory a take needs, about. Catalogue only; no torch.

The parts run one after another (text encoder, transformer, autoencoder), each alone on the device, in 16 bit.
The factors were fitted to published peaks of full-size models at 832x480 with 81 frames.
"""

from __future__ import annotations

from .catalogue import ModelEntry
from .layout import Layout

BYTES_A_WEIGHT = 2
HIDDEN_TENSORS = 24
"""Tensors of the size of the hidden states that are alive at once, the feed-forward's wider ones counted in."""
TIMED_TENSORS = 18
"""As many more where each token has a time of its own: six shifts and scales a token, kept, and again in 32 bit in
the block at work."""
BYTES_AN_IMAGE_WEIGHT = 4
FULL_SIZE_TENSORS = 3
"""Tensors of four full-size frames, 32 bit, that decoding one latent frame keeps alive."""
FIXED_BYTES = 500_000_000
"""What a device's runtime takes for itself."""


def peak_bytes(entry: ModelEntry, width: int, height: int, frames: int) -> int:
    """The peak over the three phases, for frames of width x height."""
    weights = entry.weights
    latent_frames = (frames - 1) // 4 + 1
    tokens = latent_frames * (width // entry.multiple) * (height // entry.multiple)
    tensors = HIDDEN_TENSORS + (TIMED_TENSORS if entry.layout is Layout.FIRST_LATENT else 0)
    encode = max(weights.text_encoder * BYTES_A_WEIGHT, weights.image_encoder * BYTES_AN_IMAGE_WEIGHT)
    denoise = weights.transformer * BYTES_A_WEIGHT + tokens * weights.hidden * BYTES_A_WEIGHT * tensors
    decode = weights.vae * 4 + width * height * 4 * weights.vae_width * 4 * FULL_SIZE_TENSORS
    return max(encode, denoise, decode) + FIXED_BYTES
