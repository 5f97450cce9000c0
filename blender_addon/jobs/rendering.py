"""Renders Sources with a Blender in the background, on a saved copy of the open file. One job at a time, no threads.

The open file, its settings and its undo steps stay as they are, and the window stays free.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy

from ...wan_backend.protocol.messages import Source
from ..timeline.footage import Wanted


class Renderer:
    """Owned by the tracker and ticked by it.

    `on_ready(job_id)` is called when all that was asked for a job is on the disk, `on_failed(job_id, sentence)` when
    it can't be; one of them once for each job that wasn't cancelled, always from `tick`.
    """

    def __init__(
        self,
        run_folder: Callable[[], Path],
        on_ready: Callable[[str], None],
        on_failed: Callable[[str, str], None],
    ) -> None:
        self._run_folder = run_folder
        self._on_ready = on_ready
        self._on_failed = on_failed

    @property
    def busy(self) -> bool:
        """True while anything is rendered or waits for it."""
        return False

    def ask(self, job_id: str, scene: bpy.types.Scene, wanted: list[tuple[Wanted, Source]]) -> None:
        """Save a copy of the open file as it is now; it's rendered from in later ticks."""

    def tick(self, deadline: float) -> bool:
        """Look after the child until `deadline` (of time.perf_counter); True where something changed."""
        return False

    def cancel(self, job_id: str) -> None:
        """Don't render for that job; what was rendered for it is removed."""

    def progress(self, job_id: str) -> float | None:
        """0 to 1; None where nothing is rendered for that job."""
        return None

    def close(self, patience_seconds: float) -> None:
        """Blender or the add-on ends: no child is left behind."""
