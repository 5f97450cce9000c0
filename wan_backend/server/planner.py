"""Plans takes with the models that are on this machine, and lists the catalogue with what of it is here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import ExtraEntry, ModelEntry, UpscalerEntry
from ..library import extras, hub_cache, locate, upscalers
from ..library.library_index import LibraryIndex
from ..library.transformer_answers import TransformerAnswers
from ..memory.forecast import Machine
from ..memory.needs import calculate_from_catalogue
from ..planning import machine_steps, training_steps
from ..planning.calibrations import Calibrations
from ..planning.draft import NOT_SEARCHED, Inventory
from ..planning.measured_ways import MeasuredWays
from ..planning.unusable_files import UnusableFiles
from ..protocol.errors import Refusal
from ..protocol.messages import (
    ExtraRow,
    ModelRow,
    ModelsResult,
    Plan,
    Problem,
    ProblemKind,
    SizeRow,
    TakeRequest,
)
from ..protocol.sentences import Sentence, as_sentence
from ..storage import guarded_files
from ..storage.byte_sizes import size_in_words


class Planner:
    """Plans, given the models folders and the memory that may be used."""

    def __init__(
        self,
        models_folders: list[str],
        memory_budget_bytes: int | None,
        machine: Callable[[], Machine | None] = lambda: None,
        calibrations: Calibrations | None = None,
        answers: TransformerAnswers | None = None,
        ways: MeasuredWays | None = None,
        tries_ways: bool = False,
    ) -> None:
        """`machine` returns the machine that takes are made on, with the memory that is free now; `answers` are what a
        person said of transformers. `ways` and `tries_ways` are as `Inventory` has them."""
        self._calibrations, self._ways = calibrations or Calibrations(), ways or MeasuredWays()
        self._tries_ways = tries_ways
        self._models_folders = models_folders
        self._memory_budget_bytes = memory_budget_bytes
        self._machine = machine
        self.library = LibraryIndex(
            models_folders, locate.snapshots, answers, functools.partial(locate.downloaded_files, models_folders)
        )
        self.unusable_files = UnusableFiles()

    @property
    def is_ready(self) -> bool:
        """False until the models folders have been searched once."""
        return self.library.is_ready

    @property
    def models_folders(self) -> list[str]:
        """Folders that are searched for models, besides the cache of Hugging Face."""
        return self._models_folders

    @property
    def memory_budget_bytes(self) -> int | None:
        """Memory of the device that may be used; None for all of it."""
        return self._memory_budget_bytes

    def searched_folders(self) -> list[str]:
        """All folders that may be searched, whatever is planned."""
        return [*self._models_folders, str(hub_cache.cache_folder())]

    def plan(self, request: TakeRequest, machine: Machine | None = None) -> Plan:
        """Plan a request, or say why it can't be done; changes nothing. `machine`: another than the usual one."""
        inventory = self._inventory(machine or self._machine())
        if request.training is not None:
            return training_steps.plan_on_machine(request, inventory)
        return machine_steps.plan_on_machine(request, inventory)

    def _inventory(self, machine: Machine | None) -> Inventory:
        return Inventory(
            self.find,
            self._models_folders,
            machine,
            self._memory_budget_bytes,
            self.unusable_files.problem,
            self._calibrations,
            self._ways,
            self._tries_ways,
        )

    def find(self, entry: ModelEntry) -> locate.LocatedModel | locate.UnavailableModel:
        """Find the model, as far as the folders have been searched."""
        return locate.find(entry, self._models_folders, self.library.known())

    def locate(self, model_id: str) -> locate.LocatedModel:
        """Find a model that a plan was made with. Raises LookupError if it is gone."""
        found = self.find(entries.entry(model_id))
        if isinstance(found, locate.UnavailableModel):
            raise LookupError(found.problem.sentence)
        return found

    def upscaler(self, name: str) -> Path:
        """The file of an upscaling model that a plan was made with. Raises Refusal if it is gone."""
        found = upscalers.find(name, self._models_folders)
        if isinstance(found, Problem):
            raise Refusal(found)
        return found

    def tiny_decoder(self, model_id: str) -> str:
        """The file of the tiny autoencoder for the model's latents; empty if there is none here."""
        return machine_steps.find_tiny_decoder(entries.entry(model_id), self._models_folders)

    def rows_before_search(self) -> ModelsResult:
        """The catalogue before the first search: only what comes with the package is known to be here."""
        known = entries.load()
        absent = locate.UnavailableModel(NOT_SEARCHED)
        rows = [_row(entry, locate.packaged(entry) or absent) for entry in known.models.values()]
        more = [_extra_row(extra, extras.packaged(extra), NOT_SEARCHED.sentence) for extra in known.extras]
        return ModelsResult(rows, more)

    def rows(self) -> list[ModelRow]:
        """The catalogue's models, with what of them is here."""
        return [_row(entry, self.find(entry)) for entry in entries.load().models.values()]

    def extra_rows(self) -> list[ExtraRow]:
        """What the catalogue has beside models, with what of it is here; and a person's own upscaling models."""
        own = upscalers.own_files(self._models_folders)
        return [*map(self._extra_row, entries.load().extras), *map(_own_upscaler_row, own)]

    def _extra_row(self, extra: ExtraEntry) -> ExtraRow:
        size = size_in_words(extra.download_bytes)
        files = extras.find(extra, self._models_folders)
        return _extra_row(extra, files, Sentence("It is not on this machine; download it ({size}).", size=size))


def _row(entry: ModelEntry, found: locate.LocatedModel | locate.UnavailableModel) -> ModelRow:
    here = isinstance(found, locate.LocatedModel)
    size = entry.size(entry.default_size)
    assert size is not None, "the catalogue was checked when it was read"
    needs = calculate_from_catalogue(entry, size.width, size.height, entry.max_frames, sources=entry.least_sources)
    return ModelRow(
        model=entry.id,
        label=entry.label,
        tasks=list(entry.tasks),
        here=here,
        sentence=guarded_files.encodable(
            found.sentence if isinstance(found, locate.LocatedModel) else found.problem.sentence
        ),
        frame_rate=entry.rate,
        max_frames=entry.max_frames,
        sizes=[SizeRow(size.name, size.width, size.height, size.name == entry.default_size) for size in entry.sizes],
        licence=entry.licence,
        download_bytes=entry.download_bytes,
        folder=str(found.folder) if isinstance(found, locate.LocatedModel) else "",
        notes=as_sentence(entry.notes),
        memory_bytes=needs.one_at_a_time,
        least_memory_bytes=needs.least,
        broken=isinstance(found, locate.UnavailableModel) and found.problem.kind is ProblemKind.MODEL_BROKEN,
        two_experts=entry.weights.experts > 1,
        follows_camera=entry.follows_camera,
    )


def _own_upscaler_row(file: Path) -> ExtraRow:
    where = guarded_files.encodable(Sentence("In {folder}.", folder=file.parent))
    return ExtraRow(file.name, file.stem, [], True, where, "", 0, upscales=True)


def _extra_row(extra: ExtraEntry, files: list[Path], absent: Sentence) -> ExtraRow:
    return ExtraRow(
        model=extra.id,
        label=extra.label,
        models=entries.load().users_of(extra),
        here=bool(files),
        sentence=guarded_files.encodable(Sentence("In {folder}.", folder=files[0].parent)) if files else absent,
        licence=extra.licence,
        download_bytes=extra.download_bytes,
        notes=as_sentence(extra.notes),
        upscales=isinstance(extra, UpscalerEntry),
    )
