"""How a model would sit on a machine, told before it is loaded: from the catalogue's numbers alone. No torch.

The worker plans again with the model's own files and what is free at that moment; see `placement`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..catalogue.entries import ModelEntry
from ..storage.media_folder import size_in_words
from . import residency_plan
from .estimate import EIGHT_BIT_SHARE
from .residency_plan import Clip, MemoryPlan, Needs, Residency

CARD_BYTES, CPU_BYTES, IMAGE_ENCODER_BYTES = 2, 4, 4
"""Of a weight: 16 bit on a card and on a Mac, 32 bit on the processor; the image encoder is kept in 32 bit."""


@dataclass(frozen=True)
class Machine:
    """Where takes are made, and what a job could have there."""

    kind: str
    """cuda, mps or cpu."""
    usable_bytes: int
    """Of the device's memory, now."""
    host_bytes: int
    """Of the machine's."""
    most_bytes: int = 0
    """Of the device's memory, if nothing else had any; 0: no more than now."""

    @property
    def emptied(self) -> Machine:
        """The same with nothing else on the device."""
        most = max(self.most_bytes, self.usable_bytes)
        return replace(self, usable_bytes=most, host_bytes=self.host_bytes if self.is_card else most)

    @property
    def is_card(self) -> bool:
        """True where the device has memory of its own."""
        return self.kind == "cuda"


def plan_for(entry: ModelEntry, machine: Machine) -> MemoryPlan:
    """The plan for the model's default size at its full length."""
    size = entry.size(entry.default_size)
    assert size is not None  # the catalogue was checked for it
    return plan_at(entry, machine, size.width, size.height, entry.max_frames)


def plan_at(
    entry: ModelEntry, machine: Machine, width: int, height: int, frames: int, packed_bytes: int = 0
) -> MemoryPlan:
    """The plan for frames of width x height pixels, so many at once.

    `packed_bytes`: of a transformer whose file has it in 8 bit or less; 0: it is in 16 bit.
    """
    needs = needs_of(entry, machine, width, height, frames, packed_bytes)
    if machine.is_card:
        return residency_plan.choose(needs, machine.usable_bytes, machine.host_bytes)
    return residency_plan.choose_on_cpu(needs, machine.host_bytes)


def needs_of(entry: ModelEntry, machine: Machine, width: int, height: int, frames: int, packed_bytes: int = 0) -> Needs:
    """Bytes of its parts and of its phases."""
    number = CPU_BYTES if machine.kind == "cpu" else CARD_BYTES
    vae_number = CARD_BYTES if machine.is_card else CPU_BYTES
    weights, packed = entry.weights, packed_bytes if machine.is_card else 0
    clip = Clip(width, height, frames, token=entry.multiple)
    working = residency_plan.working_bytes(clip, weights.hidden, weights.vae_width, number, vae_number)
    transformer = packed or weights.transformer * number
    return replace(
        working,
        text_encoder=weights.text_encoder * number,
        transformer=transformer,
        transformer_2=transformer * (weights.experts - 1),
        vae=weights.vae * vae_number,
        image_encoder=weights.image_encoder * IMAGE_ENCODER_BYTES,
        compressed=packed > 0,
    )


def in_words(entry: ModelEntry, plan: MemoryPlan, machine: Machine) -> str:
    """One sentence: where the parts would be, the size and length that this is for, and the peak."""
    for_what = f"{entry.default_size}, {entry.max_frames} frames"
    peak = f"about {size_in_words(plan.peak_bytes)}"
    if plan.peak_bytes > machine.usable_bytes:
        return f"At {for_what} it needs {peak}, more than there is; a smaller size or a shorter take may fit."
    return f"At {for_what}, {places(entry, plan, machine)}; {peak} at most."


def places(entry: ModelEntry, plan: MemoryPlan, machine: Machine) -> str:
    """Where the parts would be: a clause."""
    return _on_card(entry, plan) if machine.is_card else _on_processor(plan)


def _on_card(entry: ModelEntry, plan: MemoryPlan) -> str:
    bits = ", its weights in 8 bit" if plan.eight_bit else ""
    tiles = ", and the pictures are made in tiles" if plan.tile_pixels else ""
    if plan.transformer is Residency.BLOCK_OFFLOADED:
        return f"{_stays(entry, plan)}{bits}{_encoder(plan)}{tiles}"
    if plan.transformer is Residency.RESIDENT:
        if plan.text_encoder is Residency.RESIDENT:
            return "all of it stays on the card"
        return "the transformer and the autoencoder stay on the card" + _encoder(plan)
    again = ", each read from the disk again" if plan.transformer is Residency.RELOADED else ""
    return f"its parts take turns on the card{again}{bits}{_encoder(plan)}{tiles}"


def kept_share(entry: ModelEntry, plan: MemoryPlan) -> float:
    """About how much of a streamed transformer stays on the card, 0 to 0.9."""
    weights = entry.weights.transformer * CARD_BYTES * (EIGHT_BIT_SHARE if plan.eight_bit else 1)
    return min(0.9, plan.kept_bytes / weights)


def _stays(entry: ModelEntry, plan: MemoryPlan) -> str:
    share = kept_share(entry, plan)
    if share < 0.1:
        return "the transformer is streamed through the card block by block"
    return f"{share:.0%} of the transformer stays on the card, the rest is streamed through it"


def _encoder(plan: MemoryPlan) -> str:
    words = {
        Residency.ON_CPU: ", and the text encoder runs on the processor",
        Residency.BLOCK_OFFLOADED: ", and the text encoder is streamed through it",
        Residency.RELOADED: ", and the text encoder is read from the disk for each prompt",
        Residency.OFFLOADED: ", and the text encoder visits it for each prompt",
    }
    return words.get(plan.text_encoder, "")


def _on_processor(plan: MemoryPlan) -> str:
    if plan.text_encoder is Residency.RESIDENT:
        return "all of it stays in the memory"
    return "parts of it are read from the disk again for each take"
