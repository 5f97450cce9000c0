"""A part of a model in a place of its own. Standard library only; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalogue.architecture import Architecture
from .recognize import FileComponent


@dataclass(frozen=True)
class Candidate:
    """A part in a place of its own: a file, or a folder as diffusers saves it."""

    component: str
    path: Path
    config: Mapping[str, Any]
    form: str
    words: str
    architecture: Architecture | None = None
    expert: str = ""
    """Of a transformer that is one half of two, which: "high", "low", or why it can't be used (`partners`)."""
    titles: tuple[str, ...] = ()
    """What the file calls itself."""
    size_bytes: int = 0
    """Of a file; 0 of a folder."""
    one_of_many: bool = False
    """True where the file holds other parts beside: such a checkpoint is a whole model."""


def of_file(component: FileComponent, size_bytes: int, one_of_many: bool) -> Candidate:
    """The part that a file holds."""
    return Candidate(
        component.component,
        component.file,
        component.config,
        component.form,
        component.words,
        component.architecture,
        "",
        component.titles,
        size_bytes,
        one_of_many,
    )
