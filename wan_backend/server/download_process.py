"""Starts the process that speaks to the hub, as a child of the server."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..catalogue.entries import AnyEntry
from ..downloads import model_download, problems
from ..protocol.downloads import DownloadPlan, DownloadStatus
from ..protocol.endpoint import Answer, Endpoint, Later
from ..protocol.messages import Problem, ProblemKind
from ..protocol.methods import FETCH_EVENTS
from ..protocol.sentences import Sentence
from .inbox import Call, Event, Inbox, WorkerExit, WorkerLine
from .worker_process import WorkerProcess, environment

DownloadProcess = WorkerProcess
DownloadReport = DownloadPlan | DownloadStatus
"""The messages of such a process."""
PLAN_SECONDS = 60.0
"""Time that the hub may take to list a model's files."""


@dataclass(frozen=True)
class DownloadCommand:
    """Starts such a process, with the models folders and the folder for its log."""

    models_folders: list[str]
    logs: Path
    offline: str = ""
    """HF_HUB_OFFLINE as this server was started with it: its own workers are kept offline in any case."""
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def start(
        self,
        verb: str,
        model: str,
        inbox: Inbox,
        on_report: Callable[[DownloadReport], None],
        on_exit: Callable[[int], None],
    ) -> DownloadProcess:
        """Start it; both call-backs come on the main thread. Raises OSError."""
        arguments = [sys.executable, "-m", "wan_backend.downloads", verb, "--model", model]
        for folder in self.models_folders:
            arguments += ["--models-folder", folder]
        around = {**environment(online=True), "HF_HUB_OFFLINE": self.offline or "0"}
        to_main = _ToMain(inbox, on_report, on_exit)
        return WorkerProcess(next(self._numbers), arguments, around, self.logs, to_main, "download")

    def plan(self, entry: AnyEntry, inbox: Inbox) -> Later:
        """The plan of fetching a model, later."""

        def start(hand_in: Answer) -> None:
            found: list[DownloadPlan] = []

            def on_report(report: DownloadReport) -> None:
                if isinstance(report, DownloadPlan):
                    found.append(report)

            def on_exit(_code: int) -> None:
                timer.cancel()
                hand_in(found[0] if found else self._none(entry))

            try:
                process = self.start("plan", entry.id, inbox, on_report, on_exit)
            except OSError:
                hand_in(self._none(entry))
                return
            timer = threading.Timer(PLAN_SECONDS, process.kill)
            timer.daemon = True
            timer.start()

        return Later(start)

    def _none(self, entry: AnyEntry) -> DownloadPlan:
        sentence = Sentence("The hub did not say what it is made of; check the network, then retry.")
        problem = Problem(ProblemKind.OFFLINE, sentence, [problems.retry(entry)])
        return model_download.unasked_plan(entry, self.models_folders, problem)


class _ToMain:
    """Takes a process's events and has them handled by the main thread."""

    def __init__(
        self, inbox: Inbox, on_report: Callable[[DownloadReport], None], on_exit: Callable[[int], None]
    ) -> None:
        self._inbox, self._on_exit = inbox, on_exit
        self._endpoint = Endpoint(
            lambda _line: None,  # nothing is sent to it
            receives=FETCH_EVENTS,
            on_event=lambda _method, report: on_report(report),
            peer="The download process",
        )

    def put(self, event: Event, /) -> None:
        """From the process's threads."""
        if isinstance(event, WorkerLine):
            line = event.line
            self._inbox.put(Call(lambda: self._endpoint.take(line)))
        elif isinstance(event, WorkerExit):
            code = event.code
            self._inbox.put(Call(lambda: self._on_exit(code)))
