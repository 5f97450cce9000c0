"""A worker's shop without a process around it, for tests; and what is heard of its jobs."""

from __future__ import annotations

from wan_backend.protocol.messages import ProgressParams, RunParams
from wan_backend.worker.executor import Shop
from wan_backend.worker.listener import Run


def asked(params: RunParams) -> Run:
    """The job as the listener hands it over."""
    return Run(params, lambda _answer: None)


def silent_shop() -> Shop:
    """A shop whose reports nobody reads."""
    return Shop(lambda _report: None)


class HeardShop(Shop):
    """Keeps what the last job reported in `progress`."""

    def __init__(self) -> None:
        self.progress: list[ProgressParams] = []
        super().__init__(lambda report: self.progress.append(report))

    def do(self, run: Run):
        self.progress.clear()
        return super().do(run)

    @property
    def sentences(self) -> list[str]:
        return [report.sentence for report in self.progress]
