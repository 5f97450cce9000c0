"""How a model would sit in a machine's memory, before it is loaded: from the catalogue's numbers alone.

The worker plans again with the model's own files and what is free at that moment; see `loading.residency`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..catalogue.entries import ModelEntry
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage.byte_sizes import size_in_words
from . import residency_plan
from .needs import CPU_NUMBER_BYTES, EIGHT_BIT_SHARE, GPU_NUMBER_BYTES, Needs, calculate_from_catalogue
from .residency_plan import MemoryPlan, Residency


@dataclass(frozen=True)
class Machine:
    """The device that takes are made on, and the bytes that a job could have there."""

    kind: str
    """cuda, mps or cpu."""
    usable_bytes: int
    """Bytes of the device's memory that a job could have now."""
    host_bytes: int
    """Bytes of the machine's own memory that it could have."""
    most_bytes: int = 0
    """Bytes of the device's memory if nothing else had any; 0 if that is no more than now."""
    cards: int = 1
    """How many such devices a take may have."""
    shares_weights: bool = False
    """Whether those are to hold a transformer between them where one doesn't."""
    card: str = ""
    """What the device is called, where it is known and a take may have several."""

    @property
    def emptied(self) -> Machine:
        """This machine with nothing else on the device."""
        most = max(self.most_bytes, self.usable_bytes)
        return replace(self, usable_bytes=most, host_bytes=self.host_bytes if self.is_card else most)

    @property
    def is_card(self) -> bool:
        """True if the device has memory of its own."""
        return self.kind == "cuda"


def plan_for(entry: ModelEntry, machine: Machine) -> MemoryPlan:
    """The plan for the model's default size at its full length."""
    size = entry.size(entry.default_size)
    assert size is not None  # the catalogue was checked for it
    return plan_at(entry, machine, size.width, size.height, entry.max_frames, sources=entry.least_sources)


def plan_at(
    entry: ModelEntry,
    machine: Machine,
    width: int,
    height: int,
    frames: int,
    quantized_bytes: int = 0,
    in_8_bit: bool = False,
    residuals: int = 0,
    sources: int = 0,
) -> MemoryPlan:
    """The plan for so many frames of width x height pixels at once.

    `quantized_bytes` is the size of a transformer whose file has it in 8 bit or less; 0 if it is in 16 bit. `in_8_bit`
    says that its weights are kept in 8 bit whatever memory there is, for products in 8 bit. `residuals` is how many a
    step cache keeps; `sources` are those that the transformer sees beside the take.
    """
    needs = _needs(entry, machine, width, height, frames, quantized_bytes, in_8_bit, sources)
    needs = needs.with_step_cache(residuals, not machine.is_card)
    if machine.is_card:
        return residency_plan.choose(needs, machine.usable_bytes, machine.host_bytes)
    return residency_plan.choose_on_cpu(needs, machine.host_bytes)


def step_cache_bytes(entry: ModelEntry, machine: Machine, width: int, height: int, frames: int, residuals: int) -> int:
    """What a step cache keeps in the machine's memory for so many frames at once."""
    return residuals * _needs(entry, machine, width, height, frames, 0, False, 0).hidden_states


def plan_of_share(
    entry: ModelEntry,
    machine: Machine,
    width: int,
    height: int,
    frames: int,
    shares: int,
    quantized_bytes: int = 0,
    in_8_bit: bool = False,
    sources: int = 0,
) -> MemoryPlan | None:
    """As `plan_at`, for one of so many such devices that hold the transformer between them; None if it doesn't fit."""
    needs = _needs(entry, machine, width, height, frames, quantized_bytes, in_8_bit, sources)
    return residency_plan.choose_shared(needs, machine.usable_bytes, machine.host_bytes, shares)


def _needs(
    entry: ModelEntry,
    machine: Machine,
    width: int,
    height: int,
    frames: int,
    quantized_bytes: int,
    in_8_bit: bool,
    sources: int,
) -> Needs:
    number_bytes = CPU_NUMBER_BYTES if machine.kind == "cpu" else GPU_NUMBER_BYTES
    vae_number_bytes = GPU_NUMBER_BYTES if machine.is_card else CPU_NUMBER_BYTES
    quantized_bytes = quantized_bytes if machine.is_card else 0
    needs = calculate_from_catalogue(
        *(entry, width, height, frames, number_bytes, vae_number_bytes, quantized_bytes),
        vae_channels_last=machine.is_card,
        sources=sources,
    )
    return needs.in_8_bit() if in_8_bit and not needs.quantized else needs


def in_words(entry: ModelEntry, plan: MemoryPlan, machine: Machine) -> Sentence:
    """One sentence: where the components would be, the size and length that this is for, and the peak."""
    size, frames, peak = entry.default_size, entry.max_frames, size_in_words(plan.peak_bytes)
    if plan.peak_bytes > machine.usable_bytes:
        return Sentence(
            "At {size}, {frames} frames it needs about {peak}, more than is available; a smaller size or a shorter "
            "take may fit.",
            size=size,
            frames=frames,
            peak=peak,
        )
    return Sentence(
        "At {size}, {frames} frames, {residencies}; about {peak} at most.",
        size=size,
        frames=frames,
        residencies=residencies_in_words(entry, plan, machine),
        peak=peak,
    )


def residencies_in_words(entry: ModelEntry, plan: MemoryPlan, machine: Machine, in_8_bit: bool = False) -> Sentence:
    """Where the components would be, as a clause; `in_8_bit` as `plan_at` has it."""
    return _on_card(entry, plan, in_8_bit) if machine.is_card else _on_cpu(plan)


def _on_card(entry: ModelEntry, plan: MemoryPlan, in_8_bit: bool) -> Sentence:
    bits = Sentence(", its weights in 8 bit") if plan.eight_bit else ""
    tiles = Sentence(", and the pictures are made in tiles") if plan.tile_pixels else ""
    if plan.transformer is Residency.BLOCK_OFFLOADED:
        return Sentence.joined([_kept_in_words(entry, plan, in_8_bit), bits, _encoder_in_words(plan), tiles], "")
    if plan.transformer is Residency.SHARED:
        share = Sentence("a share of the transformer stays on each of {cards} cards", cards=plan.shares)
        return Sentence.joined([share, _encoder_in_words(plan), tiles], "")
    if plan.transformer is Residency.RESIDENT:
        if plan.text_encoder is Residency.RESIDENT:
            return Sentence("all of it stays on the card")
        stay = Sentence("the transformer and the autoencoder stay on the card")
        return Sentence.joined([stay, _encoder_in_words(plan)], "")
    again = Sentence(", each read from the disk again") if plan.transformer is Residency.RELOADED else ""
    return Sentence(
        "its components take turns on the card{again}{bits}{encoder}{tiles}",
        again=again,
        bits=bits,
        encoder=_encoder_in_words(plan),
        tiles=tiles,
    )


def kept_share(entry: ModelEntry, plan: MemoryPlan, in_8_bit: bool = False) -> float:
    """About how much of a block-offloaded transformer stays on the card, 0 to 0.9; `in_8_bit` as `plan_at` has it."""
    weights = entry.weights.transformer * GPU_NUMBER_BYTES * (EIGHT_BIT_SHARE if plan.eight_bit or in_8_bit else 1)
    return min(0.9, plan.kept_bytes / weights)


def _kept_in_words(entry: ModelEntry, plan: MemoryPlan, in_8_bit: bool) -> Sentence:
    share = kept_share(entry, plan, in_8_bit)
    if share < 0.1:
        return Sentence("the transformer is offloaded and visits the card block by block")
    return Sentence(
        "{share} of the transformer stays on the card, the rest visits it block by block", share=f"{share:.0%}"
    )


def _encoder_in_words(plan: MemoryPlan) -> Sentence:
    words = {
        Residency.ON_CPU: Sentence(", and the text encoder runs on the processor"),
        Residency.BLOCK_OFFLOADED: Sentence(", and the text encoder visits it block by block"),
        Residency.RELOADED: Sentence(", and the text encoder is read from the disk for each prompt"),
        Residency.OFFLOADED: Sentence(", and the text encoder visits it for each prompt"),
    }
    return words.get(plan.text_encoder, NO_SENTENCE)


def _on_cpu(plan: MemoryPlan) -> Sentence:
    if plan.text_encoder is Residency.RESIDENT:
        return Sentence("all of it stays in memory")
    return Sentence("some components are read from the disk again for each take")
