"""A part of a model in a place of its own. Standard library only; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalogue.architecture import Layout
from .recognize import PartFile


@dataclass(frozen=True)
class Candidate:
    """A part in a place of its own: a file, or a folder as diffusers saves it."""

    part: str
    place: Path
    config: Mapping[str, Any]
    form: str
    words: str
    layout: Layout | None = None
    expert: str = ""
    """Of a transformer that is one half of two, which: "high", "low", or why it can't be used (`partners`)."""
    titles: tuple[str, ...] = ()
    """What the file calls itself."""
    size_bytes: int = 0
    """Of a file; 0 of a folder."""
    one_of_many: bool = False
    """True where the file holds other parts beside: such a checkpoint is a whole model."""


def of_file(part: PartFile, size_bytes: int, one_of_many: bool) -> Candidate:
    """The part that a file holds."""
    return Candidate(
        part.part, part.file, part.config, part.form, part.words, part.layout, "", part.titles, size_bytes, one_of_many
    )
