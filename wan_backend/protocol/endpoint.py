"""Handles one end of a hop: it takes lines in, sends calls and events, and matches answers to calls.

Every process that speaks the protocol has endpoints; they differ only in how bytes reach them. Each guarantees:

- Every request gets exactly one answer, and every call ends in exactly one of its two callbacks.
- Nothing in a line can make `take` raise. A line that is too long, or can't be understood, is answered if it was a
  request, fails its own call if it was an answer, and else is logged and passed over.
- What would be longer than a line may be is never sent: a call fails at once, an answer becomes an error, an event is
  left out.

For one thread at a time, except `notify`: it only writes, so it is as safe as `send` is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .conversion import from_json, to_json
from .envelope import Message, Notification, Request, RequestId, Response, parse_line
from .errors import (
    GONE,
    INTERNAL_ERROR,
    LINE_TOO_LONG,
    METHOD_NOT_FOUND,
    ProtocolError,
)
from .framing import MAX_LINE_BYTES, LineSplitter, OverlongLine
from .messages import Nothing
from .methods import Method
from .sentences import Sentence

log = logging.getLogger(__name__)

Answered = Callable[[Any], None]
Failed = Callable[[ProtocolError], None]
Answer = Callable[[Any], None]
"""Takes a result (a message) or a ProtocolError, once."""

LOGGED_LINES = 20
"""Only the first lines that can't be understood are logged; a broken peer must not fill a disk."""
_HEAD_ID = re.compile(rb'^\s*\{"jsonrpc": ?"2\.0", ?"id": ?(?:(-?\d{1,18})|"([^"\\]{0,80})")(?=[,}\s])')
_HEAD_REQUEST = re.compile(rb', ?"method":')


class Later:
    """A result that comes later: `start` is given the function to call with the result, or with a ProtocolError."""

    def __init__(self, start: Callable[[Answer], None]) -> None:
        self.start = start


@dataclass
class _Waiting:
    method: str
    answered: Answered
    failed: Failed


class Endpoint:
    """Serves some methods, receives some events, calls some methods of the other side."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        *,
        serves: Mapping[str, Method] | None = None,
        handler: Callable[[str, Any], Any] | None = None,
        receives: Mapping[str, Method] | None = None,
        on_event: Callable[[str, Any], None] | None = None,
        calls: Mapping[str, Method] | None = None,
        sends: Mapping[str, Method] | None = None,
        peer: str = "the other side",
    ) -> None:
        """`send` writes one line and never waits.

        `handler(method, params)` returns a result, a Later, or raises ProtocolError; `on_event(method, message)`
        receives events; `peer` names it in the log.
        """
        self._send = send
        self._serves, self._handler = serves or {}, handler
        self._receives, self._on_event = receives or {}, on_event
        self._calls, self._sends = calls or {}, sends or {}
        self._peer = peer
        self._splitter = LineSplitter()
        self._waiting: dict[RequestId, _Waiting] = {}
        self._next_id = 1
        self._bad_lines = 0

    @property
    def waits_for(self) -> list[str]:
        """The methods that were called and not answered yet, the oldest first."""
        return [waiting.method for waiting in self._waiting.values()]

    # Out

    def call(
        self, method: str, params: Any = None, answered: Answered | None = None, failed: Failed | None = None
    ) -> None:
        """Call a method. One callback is called later, by `take` or `lost`; `failed` at once if it can't be sent."""
        waiting = _Waiting(method, answered or (lambda _: None), failed or self._log_failure)
        request_id, self._next_id = self._next_id, self._next_id + 1
        try:
            assert method in self._calls, f"{method} is not a method of {self._peer}"
            line = _limited(Request(request_id, method, to_json(params if params is not None else Nothing())).line())
        except (ProtocolError, ValueError) as error:
            self._fail(waiting, _as_protocol_error(error))
            return
        self._waiting[request_id] = waiting
        self._send(line)

    def notify(self, method: str, message: Any) -> None:
        """Send an event; one that no line can hold is left out, and logged. Safe from any thread."""
        line = self.event_line(method, message)
        if line is not None:
            self._send(line)

    def event_line(self, method: str, message: Any) -> bytes | None:
        """The event as a line; None if no line can hold it."""
        assert method in self._sends, f"{method} is no event that {self._peer} receives"
        try:
            return _limited(Notification(method, to_json(message)).line())
        except (ProtocolError, ValueError) as error:
            log.error("The event '%s' can't be sent: %s", method, error)
            return None

    def lost(self, sentence: str) -> None:
        """The other side is gone: every call that still waits fails (GONE) with that sentence."""
        waiting, self._waiting = list(self._waiting.values()), {}
        for each in waiting:
            self._fail(each, ProtocolError(GONE, sentence))

    # In

    def feed(self, chunk: bytes) -> None:
        """Take every line that `chunk` completes."""
        for line in self._splitter.feed(chunk):
            self.take(line)

    def lines(self, chunk: bytes) -> Iterator[bytes | OverlongLine]:
        """The lines that `chunk` completes, for one who takes them by and by."""
        return self._splitter.feed(chunk)

    def take(self, line: bytes | OverlongLine) -> None:
        """Do what one line says. Never raises."""
        try:
            if isinstance(line, OverlongLine):
                raise ProtocolError(LINE_TOO_LONG, f"A line of more than {MAX_LINE_BYTES:,} bytes was skipped.")
            message: Message = parse_line(line)
        except ProtocolError as error:
            self._take_unreadable(line.head if isinstance(line, OverlongLine) else line, error)
            return
        if isinstance(message, Response):
            self._take_response(message)
        elif isinstance(message, Request):
            self._take_request(message)
        else:
            self._take_event(message)

    def _take_unreadable(self, head: bytes, error: ProtocolError) -> None:
        """Answer a line that is no message; its beginning has the id, for every peer writes that in one form."""
        found = _HEAD_ID.match(head)
        if found is None:
            self._not_understood(error)
            return
        request_id: RequestId = int(found[1]) if found[1] is not None else found[2].decode("ascii", "replace")
        if _HEAD_REQUEST.match(head, found.end()):
            log.warning("A request of %s can't be read: %s", self._peer, error.message)
            self._answer(Response.failure(request_id, error))
        elif request_id in self._waiting:
            self._take_response(Response(request_id, error={"code": error.code, "message": error.message}))
        else:
            self._not_understood(error)

    def _not_understood(self, error: ProtocolError) -> None:
        self._log_bad("%s sent a line that can't be understood: %s", error.message)
        if self._serves:
            self._answer(Response.failure(None, error))

    def _take_response(self, response: Response) -> None:
        waiting = self._waiting.pop(response.id, None)
        if waiting is None:
            answer = response.error["message"] if response.error else "a result"
            self._log_bad("%s answered a call that nobody made: %s", str(answer)[:200])
            return
        try:
            if response.error is not None:
                error = response.error
                raise ProtocolError.received(error["code"], str(error["message"]), error.get("data"))
            kind = self._calls[waiting.method].result or Nothing
            result: Any = from_json(kind, response.result, waiting.method)
        except ProtocolError as error:
            self._fail(waiting, error)
            return
        self._guarded(f"the answer to '{waiting.method}'", waiting.answered, result)

    def _take_request(self, request: Request) -> None:
        try:
            result: Any = self._result(request)
        except ProtocolError as error:
            log.info("%.80s refused: %s", request.method, error.message)
            result = error
        except Exception:  # the edge: one method's failure must not end the others' work
            log.exception("%.80s failed", request.method)
            result = _internal(request.method)
        self._answer_with(request, result)

    def _result(self, request: Request) -> Any:
        method = self._serves.get(request.method)
        if method is None or self._handler is None:
            known = ", ".join(self._serves)
            raise ProtocolError(METHOD_NOT_FOUND, f"There is no method '{request.method[:80]}'; there are {known}.")
        return self._handler(request.method, from_json(method.params, request.params))

    def _answer_with(self, request: Request, result: Any) -> None:
        if isinstance(result, Later):
            answered = False

            def hand_in(value: Any) -> None:
                nonlocal answered
                assert not answered, f"'{request.method}' was answered twice"
                answered = True
                self._answer_with(request, value)

            try:
                result.start(hand_in)
            except Exception:  # the edge: what fails to begin is answered, too
                log.exception("%.80s failed", request.method)
                if not answered:
                    hand_in(_internal(request.method))
        elif isinstance(result, ProtocolError):
            self._answer(Response.failure(request.id, result))
        else:
            self._answer(Response(request.id, to_json(result)))

    def _answer(self, response: Response) -> None:
        try:
            line = _limited(response.line())
        except (ProtocolError, ValueError) as error:  # too long, or a number that JSON has no word for
            log.error("An answer could not be written: %s", error)
            line = Response.failure(response.id, _as_protocol_error(error)).line()
        self._send(line)

    def _take_event(self, event: Notification) -> None:
        method = self._receives.get(event.method)
        if method is None or self._on_event is None:
            self._log_bad("%s sent an event that nobody receives: %s", event.method[:80])
            return
        try:
            message: Any = from_json(method.params, event.params, event.method)
        except ProtocolError as error:
            self._log_bad("%s sent an event that can't be read: %s", error.message)
            return
        self._guarded(f"the event '{event.method}'", self._on_event, event.method, message)

    def _fail(self, waiting: _Waiting, error: ProtocolError) -> None:
        self._guarded(f"the failure of '{waiting.method}'", waiting.failed, error)

    def _guarded(self, what: str, callback: Callable[..., None], *values: Any) -> None:
        try:
            callback(*values)
        except Exception:  # the edge: what one message led to must not cost the messages after it
            log.exception("Something failed in taking %s", what)

    def _log_failure(self, error: ProtocolError) -> None:
        log.warning("%s refused: %s", self._peer, error.message)

    def _log_bad(self, words: str, detail: str) -> None:
        self._bad_lines += 1
        if self._bad_lines <= LOGGED_LINES:
            log.warning(words, self._peer, detail)


def _limited(line: bytes) -> bytes:
    if len(line) > MAX_LINE_BYTES:
        sentence = Sentence(
            "This is too much for one message ({size} bytes; at most {most} can be sent).",
            size=f"{len(line):,}",
            most=f"{MAX_LINE_BYTES:,}",
        )
        raise ProtocolError(LINE_TOO_LONG, sentence)
    return line


def _as_protocol_error(error: Exception) -> ProtocolError:
    return error if isinstance(error, ProtocolError) else ProtocolError(INTERNAL_ERROR, str(error))


def _internal(method: str) -> ProtocolError:
    return ProtocolError(INTERNAL_ERROR, Sentence("'{method}' failed; the log says where.", method=method[:80]))
