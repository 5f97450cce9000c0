"""A request becomes a Plan, with the models that are on this machine. Models and protocol only."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..models import catalogue, lora_plan, planning, sources
from ..models.catalogue import ModelEntry
from ..models.media_place import size_in_words
from ..protocol.messages import Fix, ModelRow, Plan, Problem, SizeRow, TakeRequest


class Planner:
    """Plans, given the models folders and the memory that may be used."""

    def __init__(self, models_folders: list[str], memory_budget_bytes: int | None) -> None:
        self._models_folders = models_folders
        self._memory_budget_bytes = memory_budget_bytes

    def plan(self, request: TakeRequest) -> Plan:
        """What would be done, and why not; touches nothing."""
        try:
            entry = catalogue.entry(request.model)
        except catalogue.UnknownModel as unknown:
            return planning.impossible(request, Problem("model_missing", str(unknown), self._fixes(request.model)))
        made = planning.plan(request, entry)
        budget = self._memory_budget_bytes
        if budget is not None and made.memory_bytes > budget:
            needed, allowed = size_in_words(made.memory_bytes), size_in_words(budget)
            note = (
                f"About {needed} of memory would be quickest; with {allowed} allowed, it takes longer or may not fit."
            )
            made = dataclasses.replace(made, notes=[*made.notes, note])
        found = self.find(entry)
        if isinstance(found, sources.Missing) and made.problem is None:
            problem = dataclasses.replace(found.problem, fixes=self._fixes(entry.id))
            made = dataclasses.replace(made, problem=problem)
        if isinstance(found, sources.Found):
            basis = entry.preset(request.quality).lora
            made = lora_plan.settle(
                made, request, lora_plan.pair([lora_plan.located(basis)] if basis else []), found.folder
            )
        return made

    def find(self, entry: ModelEntry) -> sources.Found | sources.Missing:
        """Where the model is."""
        return sources.find(entry, self._models_folders)

    def folder(self, model_id: str) -> Path:
        """The folder of a model that was planned with; raises LookupError where it is gone."""
        found = self.find(catalogue.entry(model_id))
        if isinstance(found, sources.Missing):
            raise LookupError(found.problem.sentence)
        return found.folder

    def rows(self) -> list[ModelRow]:
        """The catalogue with what of it is here."""
        return [self._row(entry) for entry in catalogue.load().models.values()]

    def _row(self, entry: ModelEntry) -> ModelRow:
        found = self.find(entry)
        here = isinstance(found, sources.Found)
        return ModelRow(
            model=entry.id,
            label=entry.label,
            tasks=list(entry.tasks),
            here=here,
            sentence=f"In {found.folder}." if isinstance(found, sources.Found) else found.problem.sentence,
            frame_rate=entry.rate,
            max_frames=entry.max_frames,
            sizes=[
                SizeRow(size.name, size.width, size.height, size.name == entry.default_size) for size in entry.sizes
            ],
            licence=entry.licence,
            download_bytes=entry.download_bytes,
            folder=str(found.folder) if isinstance(found, sources.Found) else "",
        )

    def _fixes(self, wanted: str) -> list[Fix]:
        """The models that are here, instead."""
        others = [entry for entry in catalogue.load().models.values() if entry.id != wanted]
        return [
            Fix(f"Use {entry.label}", "model", entry.id)
            for entry in others
            if isinstance(self.find(entry), sources.Found)
        ]
