"""A plan on the machine that is there: its memory, the model's files, LoRAs and what would make a draft quicker.

The memory is forecast from the catalogue's numbers, before anything is loaded; the worker plans again with the model's
own files and what is free then. So a take is refused only if it wouldn't fit with nothing else on the device either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ..catalogue import entries
from ..catalogue.entries import ModelEntry
from ..library import extras, locate
from ..library.component_files import ComponentFiles
from ..library.locate import LocatedModel
from ..lora import resolve
from ..memory import forecast
from ..memory.forecast import Machine
from ..memory.residency_plan import MemoryPlan
from ..protocol.errors import Refusal
from ..protocol.messages import (
    Decoder,
    Fix,
    FixAction,
    FixSetting,
    MatrixPrecision,
    Plan,
    Problem,
    ProblemKind,
    Quality,
    TakeRequest,
    Task,
)
from ..protocol.sentences import Sentence, as_sentence
from ..storage import guarded_files
from ..storage.byte_sizes import size_in_words
from . import finishing, plan_steps, several_cards, skipped_work
from .draft import Draft, Inventory, Step, empty_plan, run_steps, unless_refused

MIN_OFFERED_FRAMES = 17
"""A take of fewer of the model's frames isn't offered: nothing happens in it."""
FREE_LENGTH = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
"""Tasks whose length is a wish; that of the others is the footage's or the gap's."""
FAST_8_BIT_NOTE = Sentence(
    "Matrices are multiplied in 8 bit if the card is faster that way; the take then differs "
    "in detail from the exact one (in fp8 by 25 to 28 dB with the embedded model)."
)
NO_CARD_FOR_8_BIT_NOTE = Sentence("Fast 8-bit matrices need an NVIDIA card, so the exact ones are used.")
GGUF_NOT_IN_8_BIT_NOTE = Sentence(
    "The model's file is a GGUF, whose weights are unpacked for each product, so fast 8-bit matrices aren't used."
)


def plan_on_machine(request: TakeRequest, inventory: Inventory) -> Plan:
    """What would be done for `request` with what this machine has, and why not; changes nothing."""
    if request.finish is not None:
        return finishing.plan(request, request.finish, inventory)
    draft = begun(request, inventory)
    return draft if isinstance(draft, Plan) else run_steps(draft, (*plan_steps.REQUEST_STEPS, *MACHINE_STEPS)).plan


def begun(request: TakeRequest, inventory: Inventory) -> Draft | Plan:
    """The draft of a plan for `request`, in which nothing is settled; a plan that says so if the model isn't known."""
    known = entries.load()
    try:
        entry = known.entry(request.model)
    except entries.UnknownModel as unknown:
        fixes = _ways_to_another_model(request, inventory)
        return empty_plan(request, Problem(ProblemKind.MODEL_MISSING, as_sentence(str(unknown)), fixes))
    model = inventory.find(entry)
    here = [lora for lora in known.loras_of(entry.id) if extras.find_lora(lora, inventory.models_folders)]
    loras = [lora.id for lora in here if locate.accepts_lora(model, lora)]
    return Draft(request, entry, empty_plan(request), loras, inventory, model)


def find_tiny_decoder(entry: ModelEntry, models_folders: Sequence[str]) -> str:
    """The file of the tiny autoencoder for the model's latents; empty if there is none here."""
    tiny = entries.load().autoencoders.get(entry.tiny_decoder)
    return str((tiny and extras.find_tiny(tiny, models_folders)) or "")


def _choose_decoder(draft: Draft) -> Draft:
    if draft.request.quality is not Quality.DRAFT or not find_tiny_decoder(draft.entry, draft.inventory.models_folders):
        return draft
    return draft.with_plan(extras.TINY_DRAFT_NOTE, decoder=Decoder.TINY)


def _settle_matrices(draft: Draft) -> Draft:
    """Settle the precision of the transformer's matrix products, and say what it costs, or why it can't be had."""
    if draft.request.matrix_precision is MatrixPrecision.EXACT:
        return draft
    machine = draft.inventory.machine
    if machine is not None and not machine.is_card:
        return draft.with_plan(NO_CARD_FOR_8_BIT_NOTE)
    if _is_packed_gguf(draft):
        return draft.with_plan(GGUF_NOT_IN_8_BIT_NOTE)
    return draft.with_plan(FAST_8_BIT_NOTE, matrix_precision=MatrixPrecision.FAST_8_BIT)


def _fit_into_memory(draft: Draft) -> Draft:
    """Settle the memory; where the take is too large, refuse it with what would fit, as buttons."""
    machine = draft.inventory.machine
    if machine is None:
        return _fit_into_budget(draft)
    trial = _trial(draft, machine)
    now, emptied = (trial.memory(draft.plan, each) for each in (machine, machine.emptied))
    memory = now if now.peak_bytes <= machine.usable_bytes else emptied
    words = forecast.residencies_in_words(draft.entry, memory, machine, trial.in_8_bit)
    fitted = draft.with_plan(
        memory_bytes=memory.peak_bytes, memory=Sentence("{residencies}.", residencies=words.capitalized())
    )
    if memory.peak_bytes <= machine.usable_bytes:
        return fitted
    place = Sentence("of the card") if machine.is_card else Sentence("of memory")
    if emptied.peak_bytes <= machine.emptied.usable_bytes:
        free = size_in_words(machine.usable_bytes)
        return fitted.with_plan(
            Sentence(
                "At the last check, only {free} {place} were free: close other programs, or it may be slower or fail.",
                free=free,
                place=place,
            )
        )
    draft = draft.with_plan(memory_bytes=memory.peak_bytes)
    if draft.plan.problem is not None:
        return draft
    needed, there = size_in_words(memory.peak_bytes), size_in_words(machine.emptied.usable_bytes)
    fixes = _ways_to_fit(dataclasses.replace(trial, machine=machine.emptied), draft.plan, draft.inventory)
    sentence = (
        Sentence("{model} needs about {needed} {place} for this, and there are {there}; choose something that fits.")
        if fixes
        else Sentence(
            "{model} needs about {needed} {place} for this, and there are {there}; nothing here fits, so use another "
            "machine."
        )
    ).with_values(model=draft.entry.label, needed=needed, place=place, there=there)
    return draft.with_problem(Problem(ProblemKind.TOO_LARGE, sentence, fixes))


def _fit_step_cache(draft: Draft) -> Draft:
    """Count what the step cache keeps in memory; leave it off where the model would have to make room for it."""
    plan, machine = draft.plan, draft.inventory.machine
    if machine is None or plan.reused_steps is None:
        return draft
    trial = _trial(draft, machine)
    before, memory = (trial.memory(each, machine) for each in (dataclasses.replace(plan, reused_steps=None), plan))
    where = (plan.width, plan.height, plan.frames_at_once, skipped_work.kept_residuals(plan))
    kept = forecast.step_cache_bytes(draft.entry, machine, *where)
    fits = kept <= machine.host_bytes and memory.peak_bytes <= max(machine.usable_bytes, before.peak_bytes)
    if not fits or _sits_worse(memory, before):
        reason = Sentence(
            "The step cache would keep {size} in the machine's memory, and there is no room for it; all steps are "
            "computed.",
            size=size_in_words(kept),
        )
        return skipped_work.compute_every_step(draft, reason)
    if memory.peak_bytes > machine.usable_bytes:  # what is said is how it sits once other programs are closed
        return draft
    words = forecast.residencies_in_words(draft.entry, memory, machine, trial.in_8_bit)
    return draft.with_plan(
        memory_bytes=memory.peak_bytes, memory=Sentence("{residencies}.", residencies=words.capitalized())
    )


def _sits_worse(memory: MemoryPlan, before: MemoryPlan) -> bool:
    """Whether a transformer that stayed, or was in 16 bit, is read anew or rounded."""
    return (memory.transformer, memory.eight_bit, memory.one_expert) != (
        *(before.transformer, before.eight_bit, before.one_expert),
    )


def _settle_cards(draft: Draft) -> Draft:
    """Settle how many cards make the take, and the memory of each where they hold the transformer between them."""
    machine = draft.inventory.machine
    if machine is None:
        return draft
    trial = _trial(draft, machine)

    def memory_of(shares: int) -> MemoryPlan | None:
        return trial.memory(draft.plan, machine) if shares == 1 else trial.memory_of_share(draft.plan, machine, shares)

    settled = several_cards.settle_cards(draft, memory_of)
    memory = memory_of(settled.plan.cards_per_forward) if settled.plan.shared_weights else None
    if memory is None:
        return settled
    words = forecast.residencies_in_words(draft.entry, memory, machine, trial.in_8_bit)
    return settled.with_plan(
        memory_bytes=memory.peak_bytes, memory=Sentence("{residencies}.", residencies=words.capitalized())
    )


def _fit_into_budget(draft: Draft) -> Draft:
    needed_bytes, budget_bytes = draft.plan.memory_bytes, draft.inventory.memory_budget_bytes
    if budget_bytes is None or needed_bytes <= budget_bytes:
        return draft
    needed, allowed = size_in_words(needed_bytes), size_in_words(budget_bytes)
    return draft.with_plan(
        Sentence(
            "About {needed} of memory would be fastest; with {allowed} allowed, it takes longer or may not fit.",
            needed=needed,
            allowed=allowed,
        )
    )


def check_model(draft: Draft) -> Draft | Problem:
    """Find that the model isn't here, with what would help."""
    if isinstance(draft.model, LocatedModel):
        again = [
            Fix(
                guarded_files.encodable(Sentence("Ask Again What {file} Is", file=file.name)),
                value=str(file),
                action=FixAction.TRANSFORMER_UNKNOWN,
            )
            for file in draft.model.answered
        ]
        return draft.with_plan(fixes=[*draft.plan.fixes, *again])
    problem = draft.model.problem
    others = _ways_to_another_model(draft.request, draft.inventory)
    return dataclasses.replace(problem, fixes=[*problem.fixes, *others])


def _check_depth_model(draft: Draft) -> Draft | Problem:
    assert isinstance(draft.model, LocatedModel)
    return extras.missing_depth_model(draft.request, draft.model.folder) or draft


def _settle_loras(draft: Draft) -> Draft:
    assert isinstance(draft.model, LocatedModel)
    lora, machine = draft.plan.lora, draft.inventory.machine
    files = extras.find_lora(entries.load().loras[lora], draft.inventory.models_folders) if lora else []
    stays_quantized = machine is None or machine.is_card
    folder, components = draft.model.folder, draft.model.components
    basis = resolve.trained_uses(files)
    in_8_bit = draft.plan.matrix_precision is MatrixPrecision.FAST_8_BIT
    settled = resolve.resolve_loras(draft.plan, draft.request, basis, folder, components, stays_quantized, in_8_bit)
    return dataclasses.replace(draft, plan=settled)


def _offer_extras(draft: Draft) -> Draft:
    if draft.request.quality is not Quality.DRAFT:
        return draft
    offered = extras.offer_extras(draft.plan, draft.entry, draft.inventory.models_folders)
    return dataclasses.replace(draft, plan=offered)


MACHINE_STEPS: tuple[Step, ...] = (
    _choose_decoder,
    _settle_matrices,
    _fit_into_memory,
    unless_refused(check_model),
    unless_refused(_check_depth_model),
    unless_refused(_settle_loras),
    unless_refused(skipped_work.settle_step_cache),
    unless_refused(_fit_step_cache),
    unless_refused(_settle_cards),
    unless_refused(_offer_extras),
)
"""The steps after REQUEST_STEPS, with what is on this machine."""


@dataclass(frozen=True)
class MemoryTrial:
    """A request for a model on a machine, to see what of it would fit."""

    request: TakeRequest
    entry: ModelEntry
    machine: Machine
    quantized_bytes: int = 0
    """Size of a transformer whose file has it in 8 bit or less; 0 if it is in 16 bit."""
    in_8_bit: bool = False
    """True if its weights are in 8 bit for products in 8 bit."""

    def memory(self, plan: Plan, machine: Machine) -> MemoryPlan:
        """How the model would sit in that machine's memory."""
        return forecast.plan_at(
            *(self.entry, machine, plan.width, plan.height, plan.frames_at_once, self.quantized_bytes, self.in_8_bit),
            residuals=skipped_work.kept_residuals(plan),
            sources=plan.seen_sources,
        )

    def memory_of_share(self, plan: Plan, machine: Machine, shares: int) -> MemoryPlan | None:
        """How it would with one of so many shares of the transformer; None if it wouldn't fit."""
        return forecast.plan_of_share(
            *(self.entry, machine, plan.width, plan.height, plan.frames_at_once, shares),
            quantized_bytes=self.quantized_bytes,
            in_8_bit=self.in_8_bit,
            sources=plan.seen_sources,
        )

    def fits_with(self, **changes: str | int) -> bool:
        """Whether the request with those changes can be planned and fits."""
        request = dataclasses.replace(self.request, **changes)  # type: ignore[arg-type]
        plan = plan_steps.plan(request, self.entry)
        if plan.problem is not None:
            return False
        return self.memory(plan, self.machine).peak_bytes <= self.machine.usable_bytes


def _trial(draft: Draft, machine: Machine) -> MemoryTrial:
    in_8_bit = draft.plan.matrix_precision is MatrixPrecision.FAST_8_BIT
    return MemoryTrial(draft.request, draft.entry, machine, _quantized_bytes(draft), in_8_bit)


def _ways_to_fit(trial: MemoryTrial, plan: Plan, inventory: Inventory) -> list[Fix]:
    """The largest size, the longest length and the models that fit; each was tried."""
    entry, pixels = trial.entry, plan.width * plan.height
    by_size = sorted(entry.sizes, key=lambda size: size.width * size.height, reverse=True)
    smaller = [size.name for size in by_size if size.width * size.height < pixels]
    name = next((name for name in smaller if trial.fits_with(resolution=name)), "")
    fixes = [Fix(Sentence("Use {size}", size=name), FixSetting.RESOLUTION, name)] if name else []
    if trial.request.task in FREE_LENGTH and not plan.window_frames:
        for frames in range(plan.model_frames - 4, MIN_OFFERED_FRAMES - 1, -4):
            length = max(1, plan.all_frames * frames // plan.model_frames - plan.handle_before - plan.handle_after)
            if trial.fits_with(length_frames=length):
                fixes.append(Fix(Sentence("Use {frames} frames", frames=length), FixSetting.LENGTH_FRAMES, str(length)))
                break
    for other in entries.load().models.values():
        if other.id == entry.id or not isinstance(inventory.find(other), LocatedModel):
            continue
        tried = MemoryTrial(trial.request, other, trial.machine, in_8_bit=trial.in_8_bit)
        if tried.fits_with(model=other.id, resolution=other.default_size):
            fixes.append(Fix(Sentence("Use {model}", model=other.label), FixSetting.MODEL, other.id))
    return fixes


def _ways_to_another_model(request: TakeRequest, inventory: Inventory) -> list[Fix]:
    """Download the model, or use one that is here and does the task."""
    known, wanted = entries.load().models, request.model
    entry = known.get(wanted)
    download = Fix(Sentence("Download..."), action=FixAction.DOWNLOAD, value=wanted)
    return ([download] if entry is not None and entry.repo else []) + [
        Fix(Sentence("Use {model}", model=other.label), FixSetting.MODEL, other.id)
        for other in known.values()
        if other.id != wanted and request.task in other.tasks and isinstance(inventory.find(other), LocatedModel)
    ]


def _is_packed_gguf(draft: Draft) -> bool:
    """True if the model's transformer is a GGUF of packed blocks."""
    model = draft.model
    if not isinstance(model, LocatedModel) or not model.components:
        return False
    try:
        return resolve.is_packed_gguf(ComponentFiles(model.folder, model.components))
    except (Refusal, OSError):  # loading the file says what is wrong with it
        return False


def _quantized_bytes(draft: Draft) -> int:
    """The size of a transformer that stays in 8 bit or less on the machine; 0 if it is in 16 bit."""
    model, machine = draft.model, draft.inventory.machine
    if machine is None or not machine.is_card or not isinstance(model, LocatedModel) or not model.components:
        return 0
    try:
        return resolve.quantized_bytes(ComponentFiles(model.folder, model.components))
    except (Refusal, OSError):  # loading the file says what is wrong with it
        return 0
