"""Tests a backend of the preferences in a child process, which reports what it finds."""

from __future__ import annotations

from ...wan_backend.protocol.methods import TEST_EVENTS
from ...wan_backend.protocol.sentences import as_sentence
from ...wan_backend.protocol.transfer import BackendTest
from ..translation import translated
from .child_process import ChildProcess
from .client import ChildClient
from .launch_command import BackendMissing, BackendSettings, test_command


class MachineTest:
    """The latest test; the session has one (`session.current().machine_test`)."""

    def __init__(self) -> None:
        self.name = ""
        """The machine that is or was tested; empty before the first test."""
        self.found: BackendTest | None = None
        self._child: ChildProcess | None = None
        self._client: ChildClient | None = None
        self._leaving: list[ChildProcess] = []

    @property
    def busy(self) -> bool:
        """True while a test runs."""
        return self._child is not None

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

    def close(self, patience_seconds: float) -> None:
        """End the children, by force after `patience_seconds`."""
        self._drop()
        for child in self._leaving:
            child.end_now(patience_seconds)
        self._leaving.clear()

    def tick(self, deadline: float) -> bool:
        """Read the child's reports until `deadline` (of time.perf_counter); True if something changed."""
        self._leaving = [child for child in self._leaving if not child.has_ended()]
        child, client = self._child, self._client
        if child is None or client is None:
            return False
        exit_code = child.exit_code
        changed = client.tick(deadline)
        if exit_code is not None and not client.behind:
            self._drop()
            if self.found is None or not self.found.ended:
                self._failed(translated("The test ended unexpectedly: {}").format(child.last_log_line()))
            return True
        return changed

    def _receive(self, event: str, found: BackendTest) -> None:
        self.found = found

    def _failed(self, words: str) -> None:
        lines = [] if self.found is None else self.found.lines
        self.found = BackendTest(False, [*lines, as_sentence(words)], ended=True)

    def _drop(self) -> None:
        if self._child is not None:
            self._child.leave()
            self._leaving.append(self._child)
            self._child = self._client = None
