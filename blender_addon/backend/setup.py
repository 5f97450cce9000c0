"""Making the backend's environment, as a child that reports how far it is. No bpy.

`ask` says what would be done (gigabytes, which torch), `create` does it; both go on by `tick`.
"""

from __future__ import annotations

from ...wan_backend.protocol.messages import SetupPlan, SetupProgress
from .command import BackendSettings


class Setup:
    """The set-up of the backend's environment; one for the session (`tracker.get().setup`)."""

    def __init__(self) -> None:
        self.state = "idle"
        """idle, planning, planned, running, done, failed."""
        self.plan: SetupPlan | None = None
        self.progress: SetupProgress | None = None
        self.sentence = ""
        """What is going on or went wrong, for a person."""
        self.log = ""
        """Path of the log file; empty before the first start."""

    def ask(self, settings: BackendSettings) -> None:
        """Find out what would be done; `plan` holds it when `state` is planned."""
        raise NotImplementedError

    def create(self, settings: BackendSettings) -> None:
        """Do it; resumes what an earlier try left."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop; what was made so far stays for the next try."""
        raise NotImplementedError

    def tick(self, deadline: float) -> bool:
        """Read what the child says until `deadline` (of time.perf_counter); True where something changed."""
        raise NotImplementedError
