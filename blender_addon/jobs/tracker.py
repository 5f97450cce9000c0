"""What is going on with every job. One Tracker for a Blender; all of it happens in `tick`, in slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bpy

from ...wan_backend.protocol.messages import JobStatus, ModelRow, Plan, TakeRequest, WorkerStatus
from ..backend.setup import Setup


@dataclass(frozen=True)
class BackendState:
    """How the backend is."""

    state: str = "off"
    """off, starting, ready, missing, failed."""
    sentence: str = ""
    log: str = ""
    """Path of the log; empty before the first start."""


class Tracker:
    """Everything that the panel shows and the operators do. Never blocks."""

    def __init__(self) -> None:
        self.backend = BackendState()
        self.models: list[ModelRow] = []
        self.worker = WorkerStatus("none")
        self.plan: Plan | None = None
        """What would be done for the request last given to `want_plan`; None while it isn't known."""
        self.plan_sentence = ""
        """Why there is no plan, where the backend said so."""
        self.setup = Setup()
        self.on_change: list[Callable[[], None]] = []

    def want(self) -> None:
        """Someone looks: the next tick starts the backend, if it never was. Safe in a draw."""

    def start(self) -> None:
        """Start the backend now, also after it failed."""

    def stop(self) -> None:
        """End the backend; jobs that run become interrupted."""

    def restart(self) -> None:
        """Stop, then start, with the preferences as they are now."""

    def model(self, model_id: str) -> ModelRow | None:
        """A model of the catalogue; None where it isn't known (yet)."""
        raise NotImplementedError

    def jobs(self) -> list[JobStatus]:
        """The open file's jobs, newest first, then those of other files, newest first."""
        raise NotImplementedError

    def belongs_here(self, job_id: str) -> bool:
        """True where the job was asked for in the open file."""
        raise NotImplementedError

    def want_plan(self, request: TakeRequest) -> None:
        """Ask what would be done for `request`; the answer comes as `plan`. Safe in a draw."""

    def generate(self, scene: bpy.types.Scene, request: TakeRequest, name: str = "") -> str:
        """Put a placeholder where `request.origin` says and ask for the take; gives the job's id.

        `name` is the strip's; without one, the prompt's first words. Raises Refused.
        """
        raise NotImplementedError

    def cancel(self, job_id: str) -> None:
        """End a job in any state."""

    def retry(self, job_id: str) -> None:
        """Ask once more for a job that ended without a take."""

    def clear(self) -> None:
        """Forget the jobs that ended; their media and their strips stay."""

    def can_place(self, job_id: str) -> bool:
        """True where `place` would work: the take is on the disk."""
        raise NotImplementedError

    def place(self, job_id: str, scene: bpy.types.Scene) -> bool:
        """Put a take on the timeline now: in place of its placeholder, else where it was asked for.

        The caller pushes the undo step. False where it can't be.
        """
        raise NotImplementedError

    def tick(self) -> float:
        """One slice of the work, at most 8 ms; gives the seconds to the next."""
        return 1.0


_tracker: Tracker | None = None


def get() -> Tracker:
    """The session's tracker."""
    global _tracker
    if _tracker is None:
        _tracker = Tracker()
    return _tracker


def register() -> None:
    """Start the timer and the handlers."""


def unregister() -> None:
    """Stop the timer, the handlers and the backend."""
