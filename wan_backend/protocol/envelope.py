"""Parses lines into JSON-RPC 2.0 messages, and writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from . import sentences
from .errors import INVALID_REQUEST, PARSE_ERROR, ProtocolError
from .framing import encode_line

RequestId = int | str | None
MAX_ID_CHARACTERS = 80
"""An answer repeats the id, and has to go on a line whatever that is."""


@dataclass(frozen=True)
class Request:
    """A call that wants an answer."""

    id: RequestId
    method: str
    params: dict[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """The request as bytes to send."""
        message = {"jsonrpc": "2.0", "id": self.id, "method": self.method, "params": self.params}
        return encode_line(message)


@dataclass(frozen=True)
class Notification:
    """A call that wants no answer: an event."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """The notification as bytes to send."""
        return encode_line({"jsonrpc": "2.0", "method": self.method, "params": self.params})


@dataclass(frozen=True)
class Response:
    """An answer: `result`, or `error` as {"code", "message", "data"}."""

    id: RequestId
    result: Any = None
    error: dict[str, Any] | None = None

    @classmethod
    def failure(cls, request_id: RequestId, error: ProtocolError) -> Response:
        """The answer that tells of `error`."""
        body: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.details is not None:
            body["data"] = error.details
        elif error.message.values:
            body["data"] = {"sentence": sentences.pack(error.message)}
        return cls(request_id, error=body)

    def line(self) -> bytes:
        """The response as bytes to send."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self.id}
        if self.error is None:
            message["result"] = self.result
        else:
            message["error"] = self.error
        return encode_line(message)


Message = Request | Notification | Response


def parse_line(line: bytes) -> Message:
    """The message in `line`.

    Raises ProtocolError (PARSE_ERROR or INVALID_REQUEST) with a sentence; batches are not spoken here.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(PARSE_ERROR, f"The line is not JSON: {_shorten(str(error))}.") from None
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'The message is not a JSON object with "jsonrpc": "2.0".')
    request_id = value.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise ProtocolError(INVALID_REQUEST, 'The "id" is neither a string, an integer nor null.')
    if isinstance(request_id, str) and len(request_id) > MAX_ID_CHARACTERS:
        raise ProtocolError(INVALID_REQUEST, f'The "id" has more than {MAX_ID_CHARACTERS} characters.')
    if "method" in value:
        return _parse_call(value, request_id)
    return _parse_response(value, request_id)


def _parse_call(value: dict[str, Any], request_id: RequestId) -> Message:
    method, params = value["method"], value.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, 'The "method" is not a string.')
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_REQUEST, 'The "params" are not a JSON object.')
    if "id" in value:
        return Request(request_id, method, params)
    return Notification(method, params)


def _parse_response(value: dict[str, Any], request_id: RequestId) -> Message:
    error = value.get("error")
    if error is not None:
        if not isinstance(error, dict) or not isinstance(error.get("code"), int):
            raise ProtocolError(INVALID_REQUEST, 'The "error" is not an object with a "code".')
        return Response(request_id, error={"message": "", **error})
    if "result" not in value:
        raise ProtocolError(INVALID_REQUEST, 'The message has no "method", "result" or "error".')
    return Response(request_id, value["result"])


def _shorten(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
