"""A line becomes the call of a handler, and an answer. Protocol only; knows no method by name but `hello`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..protocol import MAX_LINE_BYTES, OverlongLine, ProtocolError
from ..protocol.conversion import from_json, to_json
from ..protocol.endpoint import Later
from ..protocol.envelope import Notification, Request, RequestId, Response, parse_line
from ..protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, LINE_TOO_LONG, METHOD_NOT_FOUND
from ..protocol.methods import Method

log = logging.getLogger(__name__)


class Dispatcher:
    """Answers each line; nothing in a line can make it raise."""

    def __init__(self, methods: dict[str, Method], handlers: object, send: Callable[[bytes], None]) -> None:
        self._methods = methods
        self._handlers = handlers
        self._send = send
        self.greeted = False

    def handle(self, line: bytes | OverlongLine) -> None:
        """Do what the line says, and send the answer where it wants one."""
        try:
            if isinstance(line, OverlongLine):
                raise ProtocolError(LINE_TOO_LONG, f"A line of more than {MAX_LINE_BYTES:,} bytes was skipped.")
            message = parse_line(line)
        except ProtocolError as error:
            self._answer(Response.failure(None, error))
            return
        if isinstance(message, Response):
            log.warning("The client answered what nobody asked: %.200r", message)
            return
        self._call(message)

    def _call(self, message: Request | Notification) -> None:
        request_id = message.id if isinstance(message, Request) else None
        wants_answer = isinstance(message, Request)
        try:
            result = self._result(message.method, message.params)
        except ProtocolError as error:
            log.info("%.80s refused: %s", message.method, error.message)
            if wants_answer:
                self._answer(Response.failure(request_id, error))
        except Exception:  # the edge of the process: one method's failure must not end the others' work
            log.exception("%s failed", message.method)
            if wants_answer:
                self._answer(Response.failure(request_id, self._internal(message.method)))
        else:
            if wants_answer:
                self._answer_with(request_id, result)

    def _result(self, name: str, params: dict[str, Any]) -> Any:
        method = self._methods.get(name)
        if method is None:
            known = ", ".join(self._methods)
            raise ProtocolError(METHOD_NOT_FOUND, f"There is no method '{name[:80]}'; there are {known}.")
        if not self.greeted and name != "hello":
            raise ProtocolError(INVALID_REQUEST, "Call 'hello' first.")
        result = getattr(self._handlers, name)(from_json(method.params, params))
        self.greeted = True
        return result

    def _answer_with(self, request_id: RequestId, result: Any) -> None:
        if isinstance(result, Later):
            result.start(lambda value: self._answer_with(request_id, value))
        elif isinstance(result, ProtocolError):
            self._answer(Response.failure(request_id, result))
        else:
            self._answer(Response(request_id, to_json(result)))

    def _answer(self, response: Response) -> None:
        try:
            line = response.line()
        except ValueError as error:  # a number that JSON has no word for
            log.exception("An answer could not be written")
            line = Response.failure(response.id, ProtocolError(INTERNAL_ERROR, str(error))).line()
        self._send(line)

    def _internal(self, name: str) -> ProtocolError:
        return ProtocolError(INTERNAL_ERROR, f"The backend failed in '{name}'; its log says where.")
