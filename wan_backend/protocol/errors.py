"""Error codes of the protocol and the exceptions that carry them.

ProtocolError           becomes a JSON-RPC error object
`- Refusal              a person's wish that can't be met: carries a Problem (sentence, kind, fix)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .sentences import Sentence, as_sentence, unpack

if TYPE_CHECKING:
    from .messages import Problem, ProblemKind

log = logging.getLogger(__name__)

T = TypeVar("T")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32001
WRONG_VERSION = -32002
NO_SUCH_JOB = -32003
LINE_TOO_LONG = -32004
GONE = -32005

MEANINGS = {
    PARSE_ERROR: "The line is not JSON.",
    INVALID_REQUEST: "The JSON is not a JSON-RPC 2.0 message.",
    METHOD_NOT_FOUND: "There is no such method on this hop.",
    INVALID_PARAMS: "A parameter is missing or of the wrong type; the message names it.",
    INTERNAL_ERROR: "The receiver failed; its log says where.",
    REFUSED: "What was asked can't be done; `data` is a Problem with a sentence for a person.",
    WRONG_VERSION: "The two sides speak different versions of the protocol.",
    NO_SUCH_JOB: "No job has that id.",
    LINE_TOO_LONG: "A line is, or would be, longer than the limit.",
    GONE: "The other side ended before it answered; never sent.",
}


class ProtocolError(Exception):
    """A failure that is answered as a JSON-RPC error object.

    `message` is one sentence, `code` one of the constants of this module, `details` any JSON value. Only a message that
    people are meant to read is made as a `Sentence`.
    """

    def __init__(self, code: int, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = as_sentence(message)
        self.details = details

    @classmethod
    def received(cls, code: int, message: str, details: Any) -> ProtocolError:
        """The failure that an error object tells of; its message is a sentence with values if `details` has it."""
        told = unpack(details.get("sentence")) if isinstance(details, dict) else None
        return cls(code, message if told is None or told != message else told, details)


class Refusal(ProtocolError):
    """A call can't be carried out; holds the Problem that a person reads."""

    def __init__(self, problem: Problem) -> None:
        from .conversion import to_json  # here, because conversion raises this module's errors

        super().__init__(REFUSED, problem.sentence, to_json(problem))
        self.problem = problem

    @classmethod
    def of(cls, kind: ProblemKind, sentence: Sentence) -> Refusal:
        """The refusal of what has no more to it than a sentence."""
        from .messages import Problem

        return cls(Problem(kind, sentence))


def result_or_error(make: Callable[[], T], what: Sentence) -> T | ProtocolError:
    """The result of `make`, or the error that says why there is none; never raises.

    `what` begins the sentence of an error that nobody foresaw: "The list".
    """
    try:
        return make()
    except ProtocolError as refused:
        return refused
    except Exception as error:  # the edge: who waits for this is answered, whatever went wrong
        log.exception("%s failed", what)
        told = isinstance(error, OSError) and error.strerror  # without its number
        words = told or f"{type(error).__name__}: {error}"[:200]
        sentence = Sentence("{what} failed ({error}); the backend's log says more.", what=what, error=words)
        return ProtocolError(INTERNAL_ERROR, sentence)
