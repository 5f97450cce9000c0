"""Tests a backend of the preferences in a child process, which reports what it finds."""

from __future__ import annotations

from ...wan_backend.protocol.methods import TEST_EVENTS
from ...wan_backend.protocol.sentences import as_sentence
from ...wan_backend.protocol.transfer import BackendTest
from ..translation import translated
from .child_process import ChildProcess
from .client import ChildClient
from .launch_command import BackendMissing, BackendSettings, test_command
from .reporting_child import ReportingChild


class MachineTest(ReportingChild):
    """The latest test; the session has one (`session.current().machine_test`)."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        """The machine that is or was tested; empty before the first test."""
        self.found: BackendTest | None = None

    def start(self, settings: BackendSettings) -> None:
        """Test the machine of these settings; a test that runs is ended."""
        self._drop()
        self.name = settings.machine.name if settings.machine is not None else ""
        self.found = BackendTest(True)
        try:
            self._child = ChildProcess(test_command(settings), settings.user_folder / "run", "test")
        except (BackendMissing, OSError) as error:
            self._failed(translated("The test could not be started: {}").format(error))
            return
        self._client = ChildClient(self._child, self._receive, calls={}, receives=TEST_EVENTS, peer="The test")

    def _ended(self, child: ChildProcess, exit_code: int) -> None:
        if self.found is None or not self.found.ended:
            self._failed(translated("The test ended unexpectedly: {}").format(child.last_log_line()))

    def _receive(self, event: str, found: BackendTest) -> None:
        self.found = found

    def _failed(self, words: str) -> None:
        lines = [] if self.found is None else self.found.lines
        self.found = BackendTest(False, [*lines, as_sentence(words)], ended=True)
