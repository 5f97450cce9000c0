"""How a model would sit on a machine, told before it is loaded: from the catalogue's numbers alone. No torch.

The worker plans again with the model's own files and what is free at that moment; see `placement`.
"""

from __future__ import annotations

from . import memory_plan
from .catalogue import ModelEntry
from .layout import Layout
from .media_place import size_in_words
from .memory_plan import Clip, MemoryPlan, Needs, Place

CARD_BYTES, CPU_BYTES, IMAGE_ENCODER_BYTES = 2, 4, 4
"""Of a weight: 16 bit on a card and on a Mac, 32 bit on the processor; the image encoder is kept in 32 bit."""


def plan_for(entry: ModelEntry, device: str, device_bytes: int, host_bytes: int) -> MemoryPlan:
    """The plan for the model's default size at its full length on cuda, mps or cpu."""
    needs = needs_of(entry, CPU_BYTES if device == "cpu" else CARD_BYTES)
    if device == "cuda":
        return memory_plan.choose(needs, device_bytes, host_bytes)
    return memory_plan.choose_on_cpu(needs, host_bytes)


def needs_of(entry: ModelEntry, number: int) -> Needs:
    """Bytes of its parts and of its phases, at its default size and full length; `number` is those of a weight."""
    size = entry.size(entry.default_size)
    assert size is not None  # the catalogue was checked for it
    weights = entry.weights
    clip = Clip(size.width, size.height, entry.max_frames, token=entry.multiple)
    timed = entry.layout is Layout.FIRST_LATENT
    working = memory_plan.working_bytes(clip, weights.hidden, weights.vae_width, number, timed)
    return Needs(
        text_encoder=weights.text_encoder * number,
        transformer=weights.transformer * number,
        transformer_2=weights.transformer * number * (weights.experts - 1),
        vae=weights.vae * number,
        image_encoder=weights.image_encoder * IMAGE_ENCODER_BYTES,
        encode=working.encode,
        denoise=working.denoise,
        decode=working.decode,
    )


def in_words(entry: ModelEntry, plan: MemoryPlan, on_card: bool, free_bytes: int) -> str:
    """One sentence: where the parts would be, the size and length that this is for, and the peak."""
    for_what = f"{entry.default_size}, {entry.max_frames} frames"
    peak = f"about {size_in_words(plan.peak_bytes)}"
    if plan.peak_bytes > free_bytes:
        return f"At {for_what} it needs {peak}, more than there is; a smaller size or a shorter take may fit."
    where = _on_card(plan) if on_card else _on_processor(plan)
    return f"At {for_what}, {where}; {peak} at most."


def _on_card(plan: MemoryPlan) -> str:
    if plan.transformer is Place.STREAMED:
        return "the transformer is streamed through the card block by block, which is slower" + _encoder(plan)
    if plan.transformer is Place.RESIDENT:
        if plan.text_encoder is Place.RESIDENT:
            return "all of it stays on the card"
        return "the transformer and the autoencoder stay on the card" + _encoder(plan)
    if plan.transformer is Place.READ_AGAIN:
        return "its parts take turns on the card, each read from the disk again" + _encoder(plan)
    return "its parts take turns on the card" + _encoder(plan)


def _encoder(plan: MemoryPlan) -> str:
    words = {
        Place.ON_CPU: ", and the text encoder runs on the processor",
        Place.READ_AGAIN: ", and the text encoder is read from the disk for each prompt",
        Place.PHASED: ", and the text encoder visits it for each prompt",
    }
    return words.get(plan.text_encoder, "")


def _on_processor(plan: MemoryPlan) -> str:
    if plan.text_encoder is Place.RESIDENT:
        return "all of it stays in the memory"
    return "parts of it are read from the disk again for each take"
