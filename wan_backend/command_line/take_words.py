"""Says at the terminal how a take was made, in a few lines from its take.json."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..protocol.media import SETTINGS_FILE
from ..storage import whole_file
from ..storage.byte_sizes import size_in_words

PHASES = {"load": "loading", "encode": "prompts and sources", "denoise": "steps", "decode": "pictures"}


def say(folder: Path, said: Collection[str] = ()) -> None:
    """Write it to stderr; `said` are notes that the person has read already. Never raises."""
    try:
        settings = whole_file.read_json(folder / SETTINGS_FILE)
        words = [*lines(settings), *(note for note in settings.get("notes", []) if note not in said)]
    except (OSError, ValueError, TypeError, AttributeError, LookupError):  # the take is there all the same
        return
    for line in words:
        sys.stderr.write(line.encode("utf-8", "replace").decode("utf-8") + "\n")


def lines(settings: dict[str, Any]) -> Iterator[str]:
    """What of it a take's settings tell: the work, the seconds, what computed it and in how much memory."""
    plan, seconds, backend = (settings.get(part) or {} for part in ("plan", "seconds", "backend"))
    take = settings["take"]
    yield f"{take['frames']} frames of {take['width']}x{take['height']}{_steps(plan)}."
    took = [f"{words} {seconds[phase]:.1f} s" for phase, words in PHASES.items() if seconds.get(phase)]
    if took:
        yield f"{', '.join(took)}.".capitalize()
    if backend.get("device"):
        kernels, peak = backend.get("kernels"), backend.get("peak_bytes")
        computed = f": {kernels}" if kernels else ""
        memory = f"; at most {size_in_words(peak)} of its memory" if peak else ""
        yield f"On {backend['device']}{computed}{memory}."


def _steps(plan: dict[str, Any]) -> str:
    steps, computed, every = (plan.get(name, 0) for name in ("steps", "forwards", "all_forwards"))
    if not steps:
        return ""
    if not every:
        return f" in {steps} steps"
    skipped = f", {every - computed} skipped" if computed < every else ""
    return f" in {steps} steps, {computed} passes of the transformer{skipped}"
