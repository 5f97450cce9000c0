"""A worker's executor without a process around it, for tests; and what is heard of its jobs."""

from __future__ import annotations

from wan_backend.protocol.messages import ProgressParams, RunParams
from wan_backend.worker.executor import Executor
from wan_backend.worker.server_connection import Run


def asked(params: RunParams) -> Run:
    """The job as the listener hands it over."""
    return Run(params, lambda _answer: None)


def silent_executor() -> Executor:
    """A executor whose reports nobody reads."""
    return Executor(lambda _report: None)


class RecordingExecutor(Executor):
    """Keeps what the last job reported in `progress`."""

    def __init__(self) -> None:
        self.progress: list[ProgressParams] = []
        super().__init__(lambda report: self.progress.append(report))

    def run(self, run: Run):
        self.progress.clear()
        return super().run(run)

    @property
    def sentences(self) -> list[str]:
        return [report.sentence for report in self.progress]
