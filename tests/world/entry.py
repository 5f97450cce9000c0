"""An entry of the corpus. Standard library only; it is read in the backend's Python and in Blender's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Make = Callable[[Path], Path]
"""Writes it into an empty folder; gives the file or folder that a person would choose."""
Holds = Callable[[Path], None]
"""Fails where what must hold of it doesn't; is given what `Make` gave."""


@dataclass(frozen=True)
class Entry:
    """One thing that people have."""

    name: str
    """As a person would call it; no other of its kind has the name."""
    seen: str
    """Where it comes from: a camera, a program, a portal, the number of a report."""
    make: Make
    holds: Holds | None = None
    """Asked of the backend; None where only Blender has to do with it."""
    in_blender: str = ""
    """Of footage and pictures: "straight", "rendered", or words of the refusal; empty: whichever, as long as it is the
    same picture."""
    short: bool = False
    """It runs in CI. One of each kind is enough there; the rest runs in the long run."""
    needs: tuple[str, ...] = ()
    """Modules of Python, encoders of ffmpeg ("encoder:libx265") without which it's skipped, and that is said."""
    details: dict[str, Any] = field(default_factory=dict)
    """What only its kind knows of."""


def parameters(entries: Iterable[Entry]) -> list[Any]:
    """For pytest.mark.parametrize: each entry by its name, in its tier."""
    found = list(entries)
    names = [entry.name for entry in found]
    assert len(set(names)) == len(names), "two entries have one name"
    return [
        pytest.param(entry, id=entry.name, marks=pytest.mark.ci if entry.short else pytest.mark.long) for entry in found
    ]
