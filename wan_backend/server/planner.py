"""A request becomes a Plan, with the models that are on this machine. Models and protocol only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import LoraEntry, ModelEntry, TinyEntry
from ..library import depth_model, extras, locate
from ..library.component_files import ComponentFiles
from ..library.library_index import LibraryIndex
from ..lora import resolve
from ..memory.forecast import Machine
from ..memory.needs import calculate_from_catalogue
from ..planning import machine_fit, plan_steps
from ..protocol.errors import Refusal
from ..protocol.messages import (
    Decoder,
    ExtraRow,
    Fix,
    FixAction,
    FixSetting,
    ModelRow,
    ModelsResult,
    Plan,
    Problem,
    ProblemKind,
    Quality,
    SizeRow,
    TakeRequest,
)
from ..storage import guarded_files
from ..storage.media_folder import size_in_words

NOT_LOOKED = Problem(ProblemKind.MODEL_MISSING, "It is not known yet whether this is on this machine.")


class Planner:
    """Plans, given the models folders and the memory that may be used."""

    def __init__(
        self,
        models_folders: list[str],
        memory_budget_bytes: int | None,
        machine: Callable[[], Machine | None] = lambda: None,
    ) -> None:
        """`machine` says where takes are made, and what there is for them."""
        self._models_folders = models_folders
        self._memory_budget_bytes = memory_budget_bytes
        self._machine = machine
        self.library = LibraryIndex(models_folders, locate.snapshots)

    @property
    def ready(self) -> bool:
        """False until the models folders have been looked through once."""
        return self.library.ready

    @property
    def models_folders(self) -> list[str]:
        """Where models are looked for, beside the cache of Hugging Face."""
        return self._models_folders

    @property
    def memory_budget_bytes(self) -> int | None:
        """What may be used of the device; None: all of it."""
        return self._memory_budget_bytes

    def places(self) -> list[str]:
        """All folders that are looked at, whatever is planned."""
        return [*self._models_folders, str(locate.hub_cache())]

    def plan(self, request: TakeRequest) -> Plan:
        """What would be done, and why not; touches nothing."""
        try:
            entry = entries.entry(request.model)
        except entries.UnknownModel as unknown:
            return plan_steps.impossible(
                request, Problem(ProblemKind.MODEL_MISSING, str(unknown), self._fixes(request))
            )
        known = entries.load()
        found = self.find(entry)
        loras = [lora for lora in known.loras_of(entry.id) if extras.find_lora(lora, self._models_folders)]
        made = plan_steps.plan(request, entry, [lora.id for lora in loras if locate.accepts_lora(found, lora)])
        if request.quality is Quality.DRAFT and self.tiny_decoder(entry.id):
            notes = [*made.notes, extras.TINY_DRAFT_NOTE]
            made = dataclasses.replace(made, decoder=Decoder.TINY, notes=notes)
        machine = self._machine()
        made = self._in_memory(made, request, entry, found, machine)
        if isinstance(found, locate.UnavailableModel) and made.problem is None:
            problem = dataclasses.replace(found.problem, fixes=self._fixes(request))
            made = dataclasses.replace(made, problem=problem)
        if isinstance(found, locate.LocatedModel):
            made = dataclasses.replace(made, problem=made.problem or depth_model.missing(request, found.folder))
            basis = extras.find_lora(known.loras[made.lora], self._models_folders) if made.lora else []
            packed = machine is None or machine.is_card
            made = resolve.settle(made, request, resolve.pair(basis), found.folder, found.components, packed)
            if request.quality is Quality.DRAFT and made.problem is None:
                made = extras.offered(made, entry, self._models_folders)
        return made

    def _in_memory(
        self,
        made: Plan,
        request: TakeRequest,
        entry: ModelEntry,
        found: locate.LocatedModel | locate.UnavailableModel,
        machine: Machine | None,
    ) -> Plan:
        budget = self._memory_budget_bytes
        if machine is not None and made.width:
            return machine_fit.settle(made, request, entry, machine, self._here, _packed_bytes(found, machine))
        if budget is None or made.memory_bytes <= budget:
            return made
        needed, allowed = size_in_words(made.memory_bytes), size_in_words(budget)
        note = f"About {needed} of memory would be quickest; with {allowed} allowed, it takes longer or may not fit."
        return dataclasses.replace(made, notes=[*made.notes, note])

    def _here(self) -> list[ModelEntry]:
        return [entry for entry in entries.load().models.values() if isinstance(self.find(entry), locate.LocatedModel)]

    def find(self, entry: ModelEntry) -> locate.LocatedModel | locate.UnavailableModel:
        """Where the model is, as far as the folders have been looked at."""
        return locate.find(entry, self._models_folders, self.library.known())

    def found(self, model_id: str) -> locate.LocatedModel:
        """Where a model is that was planned with; raises LookupError where it is gone."""
        found = self.find(entries.entry(model_id))
        if isinstance(found, locate.UnavailableModel):
            raise LookupError(found.problem.sentence)
        return found

    def tiny_decoder(self, model_id: str) -> str:
        """The file of the tiny autoencoder for the model's latents; empty where there is none here."""
        known = entries.load()
        tiny = known.autoencoders.get(known.entry(model_id).tiny_decoder)
        return str((tiny and extras.find_tiny(tiny, self._models_folders)) or "")

    def unlooked(self) -> ModelsResult:
        """The catalogue before anybody looked: only what comes with the package is known to be here."""
        known = entries.load()
        absent = locate.UnavailableModel(NOT_LOOKED)
        rows = [_row(entry, locate.packaged(entry) or absent) for entry in known.models.values()]
        more: list[LoraEntry | TinyEntry] = [*known.loras.values(), *known.autoencoders.values()]
        return ModelsResult(rows, [_extra_row(extra, extras.packaged(extra), NOT_LOOKED.sentence) for extra in more])

    def rows(self) -> list[ModelRow]:
        """The catalogue with what of it is here."""
        return [_row(entry, self.find(entry)) for entry in entries.load().models.values()]

    def extra_rows(self) -> list[ExtraRow]:
        """The catalogue's LoRAs and tiny autoencoders, with what of them is here."""
        known = entries.load()
        more: list[LoraEntry | TinyEntry] = [*known.loras.values(), *known.autoencoders.values()]
        return [self._extra_row(extra) for extra in more]

    def _extra_row(self, extra: LoraEntry | TinyEntry) -> ExtraRow:
        size = size_in_words(extra.download_bytes)
        files = extras.find(extra, self._models_folders)
        return _extra_row(extra, files, f"It is not on this machine; download it ({size}).")

    def _fixes(self, request: TakeRequest) -> list[Fix]:
        """Fetching the model, or those that are here and do the task, instead."""
        known, wanted = entries.load().models, request.model
        entry = known.get(wanted)
        fetched = (
            [Fix("Download...", action=FixAction.DOWNLOAD, value=wanted)] if entry is not None and entry.repo else []
        )
        return fetched + [
            Fix(f"Use {other.label}", FixSetting.MODEL, other.id)
            for other in known.values()
            if other.id != wanted and request.task in other.tasks and isinstance(self.find(other), locate.LocatedModel)
        ]


def _row(entry: ModelEntry, found: locate.LocatedModel | locate.UnavailableModel) -> ModelRow:
    here = isinstance(found, locate.LocatedModel)
    size = entry.size(entry.default_size)
    assert size is not None, "the catalogue was checked when it was read"
    needs = calculate_from_catalogue(entry, size.width, size.height, entry.max_frames)
    return ModelRow(
        model=entry.id,
        label=entry.label,
        tasks=list(entry.tasks),
        here=here,
        sentence=guarded_files.told(
            found.sentence if isinstance(found, locate.LocatedModel) else found.problem.sentence
        ),
        frame_rate=entry.rate,
        max_frames=entry.max_frames,
        sizes=[SizeRow(size.name, size.width, size.height, size.name == entry.default_size) for size in entry.sizes],
        licence=entry.licence,
        download_bytes=entry.download_bytes,
        folder=str(found.folder) if isinstance(found, locate.LocatedModel) else "",
        notes=entry.notes,
        memory_bytes=needs.one_at_a_time,
        least_memory_bytes=needs.least,
        broken=isinstance(found, locate.UnavailableModel) and found.problem.kind is ProblemKind.MODEL_BROKEN,
    )


def _extra_row(extra: LoraEntry | TinyEntry, files: list[Path], absent: str) -> ExtraRow:
    return ExtraRow(
        model=extra.id,
        label=extra.label,
        models=entries.load().users_of(extra),
        here=bool(files),
        sentence=guarded_files.told(f"In {files[0].parent}.") if files else absent,
        licence=extra.licence,
        download_bytes=extra.download_bytes,
        notes=extra.notes,
    )


def _packed_bytes(found: locate.LocatedModel | locate.UnavailableModel, machine: Machine) -> int:
    """Of a transformer that stays in 8 bit or less on that machine; 0 where it is in 16 bit."""
    if not machine.is_card or not isinstance(found, locate.LocatedModel) or not found.components:
        return 0
    try:
        return resolve.packed_bytes(ComponentFiles(found.folder, found.components))
    except (Refusal, OSError):  # what is wrong with the file, loading it says
        return 0
