"""What the Test button finds: whether the machine answers, with what card and models, and how quick the line is."""

from __future__ import annotations

import base64
import os
import queue
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..protocol import ProtocolError
from ..protocol import messages as m
from ..protocol import transfer as t
from ..protocol.endpoint import Endpoint
from ..protocol.methods import TEST_EVENTS
from ..protocol.sentences import Sentence
from ..server.inbox import Inbox, WorkerExit, WorkerLine
from ..server.standard_io import private_stdout
from . import shared_folders
from .line import Line
from .pieces import Pace
from .places import PathPair

PATIENCE_SECONDS = 90.0
PINGS = 5
MEASURED_SECONDS = 1.5
"""Each way; a slow line is measured by fewer bytes."""
LOOK_SECONDS = 30.0
"""A first look through a slow models folder isn't waited for any longer."""


class Unreachable(Exception):
    """There is no line."""


class LineTest:
    """One test; each finding is reported as it is made."""

    def __init__(self, name: str, command: list[str], state: Path, report: Callable[[t.BackendTest], None]) -> None:
        self._name = name
        self._inbox: Inbox = queue.SimpleQueue()
        self._hello: m.HelloResult | None = None
        self._line = Line(name, command, state / "logs", self._inbox, self._opened, lambda *_: None, lambda: None)
        self._report_to = report
        self._lines: list[Sentence] = []

    def run(self, pairs: Sequence[PathPair]) -> bool:
        """Whether the machine can be used."""
        good = True
        try:
            self._connect()
            self._measure()
            wrong = [*self._look_at_machine(), *self._look_at_pairs(pairs)]
            for sentence in wrong:  # behind all that is well: the last line says why it can't be used
                self._say(sentence)
            good = not wrong
        except Unreachable:
            self._say(self._line.sentence or Sentence("The line to {name} broke.", name=self._name))
            good = False
        except ProtocolError as error:
            self._say(error.message)
            good = False
        self._line.close()
        self._report_to(t.BackendTest(good, self._lines, ended=True))
        return good

    def _say(self, sentence: Sentence) -> None:
        self._lines.append(sentence)
        self._report_to(t.BackendTest(True, list(self._lines)))

    def _opened(self, hello: m.HelloResult) -> None:
        self._hello = hello

    def _connect(self) -> None:
        begun = time.monotonic()
        self._line.tick()
        while not self._line.is_open:
            if time.monotonic() - begun > PATIENCE_SECONDS or self._has_failed():
                raise Unreachable
            self._take(0.2)
        assert self._hello is not None
        self._say(Sentence("{name} answers: backend {version}.", name=self._name, version=self._hello.version))

    def _has_failed(self) -> bool:
        return not self._line.is_running and not self._line.is_open

    def _measure(self) -> None:
        times = []
        for _ in range(PINGS):
            begun = time.monotonic()
            self._call("ping", m.Nothing())
            times.append(time.monotonic() - begun)
        there, back = self._speed(send=True), self._speed(send=False)
        self._say(
            Sentence(
                "The line: {latency} ms, {there} Mbit/s there, {back} Mbit/s back.",
                latency=f"{statistics.median(times) * 1000:.1f}",
                there=_rounded(there),
                back=_rounded(back),
            )
        )

    def _speed(self, send: bool) -> float:
        """Megabits a second one way."""
        pace, done, begun = Pace(), 0, time.monotonic()
        while done < t.LINE_TEST_BYTES and time.monotonic() - begun < MEASURED_SECONDS:
            length = pace.piece_bytes
            content = base64.b64encode(os.urandom(length if send else 0)).decode("ascii")
            sent_at = pace.sent()
            self._call("line_test", t.LineTestParams(t.Piece(content), 0 if send else length))
            pace.answered(sent_at)
            done += length
        return done * 8 / 1e6 / max(1e-6, time.monotonic() - begun)

    def _look_at_machine(self) -> list[Sentence]:
        """Say its card and models; what is wrong with it."""
        report: m.DoctorResult = self._call("doctor", m.Nothing())
        wrong = [finding for finding in report.findings if not finding.good and not finding.not_downloaded]
        card = next((finding for finding in report.findings if finding.topic == "torch"), None)
        if card is not None and card.good:
            self._say(Sentence.joined([card.sentence, card.mend]) if card.mend else card.sentence)
        until = time.monotonic() + LOOK_SECONDS
        known: m.ModelsResult = self._call("models", m.Nothing())
        while known.looking and time.monotonic() < until:
            self._take(0.3)
            known = self._call("models", m.Nothing())
        labels = [row.label for row in known.models if row.here]
        if labels:
            self._say(Sentence("Its models: {models}.", models=", ".join(labels)))
        else:
            self._say(Sentence("It has no model yet: download one, or name its models folder in the command."))
        return [Sentence.joined([each.sentence, each.mend] if each.mend else [each.sentence]) for each in wrong]

    def _look_at_pairs(self, pairs: Sequence[PathPair]) -> list[Sentence]:
        """Say which shared folders are; what is wrong with the others."""
        faults = []
        for pair in pairs:
            try:
                asked = shared_folders.question(pair)
                wrong = shared_folders.what_is_wrong(pair, asked, self._call("shared", asked), self._name)
            except shared_folders.NotHere as lacking:
                wrong = lacking.sentence
            if wrong is None:
                self._say(Sentence("Both machines see {folder}: nothing of it is sent.", folder=pair.near))
            else:
                faults.append(wrong)
        return faults

    def _call(self, method: str, params: Any) -> Any:
        answers: list[Any] = []
        self._line.try_call(method, params, answers.append, answers.append)
        while not answers:
            if self._has_failed():
                raise Unreachable
            self._take(0.2)
        if isinstance(answers[0], ProtocolError):
            if not self._line.is_open:
                raise Unreachable
            raise answers[0]
        return answers[0]

    def _take(self, seconds: float) -> None:
        try:
            event = self._inbox.get(timeout=seconds)
        except queue.Empty:
            event = None
        if isinstance(event, WorkerLine):
            self._line.on_line(event)
        elif isinstance(event, WorkerExit):
            self._line.on_exit(event)
        if self._line.is_running:
            self._line.tick()


def run(name: str, command: list[str], state: Path, pairs: Sequence[PathPair]) -> int:
    """Test, and report on stdout; the exit code is 0 if the machine can be used."""
    stdout = private_stdout()
    endpoint = Endpoint(lambda line: _write(stdout, line), sends=TEST_EVENTS, peer="The add-on")
    test = LineTest(name, command, state, lambda found: endpoint.notify("tested", found))
    return 0 if test.run(pairs) else 1


def _write(stream: Any, line: bytes) -> None:
    stream.write(line)
    sys.stderr.flush()


def _rounded(megabits: float) -> str:
    return f"{megabits:,.0f}" if megabits >= 10 else f"{megabits:.1f}"
