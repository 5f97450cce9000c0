"""Sets the backend's environment up in a child process that reports how far it is.

`ask` finds out what would be done (gigabytes, build of torch), `create` does it; `tick` reads the reports of both.
"""

from __future__ import annotations

import shutil
import sys
from typing import Any

from ...wan_backend.protocol.messages import Problem, ProblemKind, SetupPlan, SetupProgress, SetupState
from ...wan_backend.protocol.methods import SETUP_EVENTS
from ...wan_backend.protocol.sentences import as_sentence
from ..translation import translated
from .child_process import ChildProcess
from .client import ChildClient
from .launch_command import BackendCommand, BackendMissing, BackendSettings, child_environment
from .reporting_child import ReportingChild


class Setup(ReportingChild):
    """The setup of the backend's environment; the session has one (`session.current().setup`)."""

    def __init__(self) -> None:
        super().__init__()
        self.state = "idle"
        """One of idle, planning, planned, running, done and failed."""
        self.plan: SetupPlan | None = None
        self.progress: SetupProgress | None = None
        self.sentence = ""
        """A sentence about what is being done or what went wrong."""
        self.log = ""
        """Path of the log file; empty before the first start."""

    def ask(self, settings: BackendSettings) -> None:
        """Find out what would be done; `plan` holds it when `state` is planned."""
        self.plan = None
        self._begin(settings, "plan", "planning", "Checking what this machine needs.")

    def create(self, settings: BackendSettings) -> None:
        """Make the environment, continuing where an earlier try stopped."""
        self.progress = None
        self._begin(settings, "create", "running", "Setting up the backend.")

    def cancel(self) -> None:
        """Stop; the next try continues from there."""
        if self._child is not None:
            self._drop()
            self.state, self.sentence = "idle", "The setup was stopped; the next one resumes from there."

    def close(self, patience_seconds: float) -> None:
        """Stop, and end the children, by force after `patience_seconds`."""
        self.cancel()
        super().close(patience_seconds)

    def _begin(self, settings: BackendSettings, verb: str, state: str, sentence: str) -> None:
        self.cancel()
        python = sys.executable or shutil.which("python3") or shutil.which("python") or ""
        folder = str(settings.user_folder / "backend")
        arguments = [python, "-m", "wan_backend.environment", verb, "--folder", folder, "--torch", "auto"]
        command = BackendCommand(arguments, child_environment(settings.package_root))
        try:
            self._child = ChildProcess(command, settings.user_folder / "run", "setup")
        except (BackendMissing, OSError) as error:
            self.state = "failed"
            self.sentence = translated("The setup could not be started: {}").format(error)
            return
        self._client = ChildClient(self._child, self._receive, calls={}, receives=SETUP_EVENTS, peer="The setup")
        self.log = str(self._child.log_path)
        self.state, self.sentence = state, sentence

    def _receive(self, event: str, report: Any) -> None:
        self.sentence = report.problem.sentence if report.problem else report.sentence
        if isinstance(report, SetupPlan):
            self.plan = report
            if self.state == "planning":
                self.state = "failed" if report.problem else "planned"
            return
        self.progress = report
        self.state = report.state.value

    def _ended(self, child: ChildProcess, exit_code: int) -> None:
        if self.state in ("planning", "running"):
            self.state = "failed"
            self.sentence = _death_sentence(exit_code, child.last_log_line())
            self.progress = SetupProgress(
                SetupState.FAILED,
                sentence=as_sentence(self.sentence),
                problem=Problem(ProblemKind.SETUP, as_sentence(self.sentence), log=self.log),
            )


def _death_sentence(exit_code: int, words: str) -> str:
    if words:
        return translated("The setup ended unexpectedly (exit code {}): {}.").format(exit_code, words)
    return translated("The setup ended unexpectedly (exit code {}).").format(exit_code)
