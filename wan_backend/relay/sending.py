"""Brings a request's files to the far server, and then the request.

One request after another. What the server has already isn't sent; where the line broke, the next one goes on. The
request is answered only once the server has it on its disk: until then Blender keeps it, and would send it again.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..protocol import ProtocolError
from ..protocol import messages as m
from ..protocol import transfer as t
from ..protocol.endpoint import Answer
from ..protocol.errors import GONE, REFUSED, Refusal
from ..protocol.messages import CANCELED, Problem, ProblemKind, SubmitParams
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage.byte_sizes import size_in_words
from . import extracting, shared_folders
from .contents import Cargo, Hashes, NearFile, Stopped, cargo_of
from .line import Line
from .pieces import UNDER_WAY, Pace
from .places import Places, planned

log = logging.getLogger(__name__)

MAX_TRIES = 3
"""A file that changes while it is sent is read anew so often."""

InThread = Callable[[str, Callable[[], Any], Answer], None]
"""Does something on a thread of its own, and hands the result or a ProtocolError in on the main one."""


@dataclass
class _Delivery:
    params: SubmitParams
    answer: Answer
    cargo: Cargo | None = None
    tries: int = 0
    stopped: bool = False
    generation: int = 0
    """Counts the beginnings; what was asked for in an earlier one is over."""


class Sender:
    """The requests that are on their way. For the main thread."""

    def __init__(
        self, line: Line, places: Places, state: Path, in_thread: InThread, on_change: Callable[[], None]
    ) -> None:
        self._line, self._places, self._hashes = line, places, Hashes(state)
        self._extracted = state / "extracted"
        self._marks = state / "marks"
        for folder in (self._extracted, self._marks):
            shutil.rmtree(folder, ignore_errors=True)
        self._can_extract = extracting.is_possible()
        self._in_thread, self._on_change = in_thread, on_change
        self._deliveries: deque[_Delivery] = deque()
        self._pace = Pace()
        self._files: deque[NearFile] = deque()
        self._offset = 0
        self._stream: BinaryIO | None = None
        self._under_way = 0
        self.done_bytes = self.total_bytes = 0
        """Of the request that is on its way now."""

    @property
    def sentence(self) -> Sentence:
        """What is on its way; empty if nothing is."""
        if not self._deliveries:
            return NO_SENTENCE
        if self._deliveries[0].cargo is None:
            return Sentence("Reading the footage that {name} needs.", name=self._line.name)
        if self.done_bytes == self.total_bytes:
            return NO_SENTENCE
        return Sentence(
            "Sending footage to {name}: {done} of {total}.",
            name=self._line.name,
            done=size_in_words(self.done_bytes),
            total=size_in_words(self.total_bytes),
        )

    def submit(self, params: SubmitParams, answer: Answer) -> None:
        """Send a request with its files; it is answered as the server answers it, or with why it can't be sent."""
        self._deliveries.append(_Delivery(params, answer))
        if len(self._deliveries) == 1:
            self._begin()
        self._on_change()

    def cancel(self, job_id: str) -> bool:
        """Send no more of a job; False if none is on its way, or the server may have it already."""
        for delivery in self._deliveries:
            if delivery.params.job_id == job_id and not delivery.stopped:
                delivery.stopped = True
                if delivery is not self._deliveries[0]:
                    self._deliveries.remove(delivery)
                    delivery.answer(Refusal(CANCELED))
                else:
                    self._end(delivery, Refusal(CANCELED))
                return True
        return False

    def line_opened(self) -> None:
        """There is a line again: go on."""
        self._pace.line_opened()
        if self._deliveries:
            self._begin()

    def _begin(self) -> None:
        delivery = self._deliveries[0]
        delivery.generation += 1
        self._close_file()
        self._under_way = 0
        if not self._line.is_open:
            return
        if delivery.cargo is not None:
            self._look_at_shared(delivery, delivery.cargo)
        elif self._can_extract and extracting.is_worth_asking(delivery.params.request, self._places):
            asked = m.PlanParams(planned(delivery.params.request, self._places))
            self._call(delivery, "plan", asked, lambda plan: self._read_files(delivery, plan))
        else:
            self._read_files(delivery, None)

    def _read_files(self, delivery: _Delivery, plan: m.Plan | None) -> None:
        generation, anew = delivery.generation, delivery.tries > 0

        def stopped() -> bool:
            return delivery.stopped or delivery.generation != generation

        def read() -> Cargo:
            request = delivery.params.request
            if plan is not None:
                folder = self._extracted / delivery.params.job_id
                request = extracting.with_extracted(request, plan, self._places, folder, stopped)
            return cargo_of(request, self._places, self._hashes, self._marks, stopped, anew)

        def done(cargo: Any) -> None:
            if delivery.stopped or delivery.generation != generation:
                return
            if isinstance(cargo, ProtocolError):
                self._end(delivery, cargo)
            else:
                delivery.cargo = cargo
                self._look_at_shared(delivery, cargo)

        self._in_thread("contents", read, done)

    def _look_at_shared(self, delivery: _Delivery, cargo: Cargo) -> None:
        """See that the shared folders are the same over there, or the take would be written where nobody finds it."""
        waiting = deque(cargo.shared)

        def ask() -> None:
            if not waiting:
                self._ask_what_lacks(delivery)
                return
            pair, asked = waiting.popleft()

            def seen(result: t.SharedResult) -> None:
                wrong = shared_folders.what_is_wrong(pair, asked, result, self._line.name)
                if wrong is None:
                    ask()
                else:
                    self._end(delivery, shared_folders.refusal(wrong))

            self._call(delivery, "shared", asked, seen)

        ask()

    def _ask_what_lacks(self, delivery: _Delivery) -> None:
        assert delivery.cargo is not None
        files = list(delivery.cargo.files().values())
        self.total_bytes = sum(file.content.size_bytes for file in files)
        self.done_bytes = 0
        lacking: deque[tuple[NearFile, int]] = deque()
        batches = [files[at : at + t.MAX_FILES_AT_ONCE] for at in range(0, len(files), t.MAX_FILES_AT_ONCE)]

        def ask(at: int) -> None:
            if at == len(batches):
                self._send(delivery, lacking)
                return
            contents = [file.content for file in batches[at]]
            self._call(delivery, "lacks", t.LacksParams(contents), lambda result: take(at, result))

        def take(at: int, result: t.LacksResult) -> None:
            for file, there in zip(batches[at], result.bytes_there, strict=False):
                self.done_bytes += there
                if there < file.content.size_bytes or (not there and not file.content.size_bytes):
                    lacking.append((file, there))
            ask(at + 1)

        ask(0)

    def _send(self, delivery: _Delivery, lacking: deque[tuple[NearFile, int]]) -> None:
        """Keep a few pieces under way until all files are there."""
        self._on_change()
        while self._under_way < UNDER_WAY and (lacking or self._stream is not None):
            if self._stream is None:
                file, self._offset = lacking[0]
                try:
                    self._stream = file.path.open("rb")  # closed by _close_file
                    self._stream.seek(self._offset)
                except OSError:
                    self._try_anew(delivery)
                    return
            assert self._stream is not None
            file = lacking[0][0]
            try:
                piece = self._stream.read(min(self._pace.piece_bytes, file.content.size_bytes - self._offset))
            except OSError:
                piece = b""
            if not piece and file.content.size_bytes:
                self._try_anew(delivery)  # it has become shorter
                return
            params = t.PutParams(file.content, self._offset, t.packed_piece(piece))
            self._offset += len(piece)
            if self._offset == file.content.size_bytes:
                self._close_file()
                lacking.popleft()
            self._put(delivery, lacking, params, len(piece))
        if not self._under_way and not lacking:
            self._gather(delivery)

    def _put(self, delivery: _Delivery, lacking: deque[tuple[NearFile, int]], params: t.PutParams, length: int) -> None:
        sent_at, end = self._pace.sent(), params.offset + length
        self._under_way += 1

        def done(result: t.PutResult) -> None:
            self._pace.answered(sent_at)
            self._under_way -= 1
            if result.bytes_there < end:  # what came before was lost there: see what is there
                self._begin()
                return
            self.done_bytes += length
            self._send(delivery, lacking)

        self._call(delivery, "put", params, done)

    def _gather(self, delivery: _Delivery) -> None:
        """Have the files put into folders under their names, then submit."""
        cargo = delivery.cargo
        assert cargo is not None
        calls: deque[tuple[str, Any]] = deque()
        for group in cargo.groups:
            named = [t.NamedContent(name, file.content.sha256) for name, file in group.files.items()]
            for at in range(0, len(named), t.MAX_FILES_AT_ONCE):
                calls.append(("gather", t.GatherParams(group.folder_id, named[at : at + t.MAX_FILES_AT_ONCE])))
        if cargo.place:
            calls.append(("place", t.PlaceParams(cargo.place)))

        def go_on(_: Any = None) -> None:
            if calls:
                method, params = calls.popleft()
                self._call(delivery, method, params, go_on)
            else:
                params = SubmitParams(delivery.params.job_id, cargo.request)
                self._call(delivery, "submit", params, lambda status: self._end(delivery, status))

        go_on()

    def _call(self, delivery: _Delivery, method: str, params: Any, then: Callable[[Any], None]) -> None:
        generation = delivery.generation

        def answered(result: Any) -> None:
            if not delivery.stopped and delivery.generation == generation:
                then(result)

        def failed(error: ProtocolError) -> None:
            if delivery.stopped or delivery.generation != generation:
                return
            if error.code == GONE:
                self._on_change()  # the next line begins anew
            elif _kind_of(error) in (ProblemKind.CHECKSUM.value, ProblemKind.NOT_FOUND.value) and method != "submit":
                self._try_anew(delivery)
            else:
                self._end(delivery, error)

        self._line.try_call(method, params, answered, failed)

    def _try_anew(self, delivery: _Delivery) -> None:
        """A file isn't what it was when it was read."""
        delivery.tries += 1
        delivery.cargo = None
        if delivery.tries < MAX_TRIES:
            self._begin()
            return
        sentence = Sentence("The footage changes while it is sent: try again once it stays as it is.")
        self._end(delivery, Refusal(Problem(ProblemKind.BAD_SOURCE, sentence)))

    def _end(self, delivery: _Delivery, answer: Any) -> None:
        delivery.stopped = True
        self._close_file()
        self._deliveries.remove(delivery)
        shutil.rmtree(self._extracted / delivery.params.job_id, ignore_errors=True)
        self._under_way = 0
        self.done_bytes = self.total_bytes = 0
        delivery.answer(answer)
        if self._deliveries:
            self._begin()
        self._on_change()

    def _close_file(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def stopped_is_no_failure(work: Callable[[], Any]) -> Any:
    """The result of `work`; a canceled error if it was stopped, which nobody waits for."""
    try:
        return work()
    except Stopped:
        return Refusal(CANCELED)


def _kind_of(error: ProtocolError) -> str:
    if error.code == REFUSED and isinstance(error.details, dict):
        return str(error.details.get("kind", ""))
    return ""
