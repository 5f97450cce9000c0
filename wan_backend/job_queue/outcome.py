"""What came of something, as an answer: the result, or why there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ..protocol import ProtocolError
from ..protocol.errors import INTERNAL_ERROR

log = logging.getLogger(__name__)

T = TypeVar("T")


def of(make: Callable[[], T], what: str) -> T | ProtocolError:
    """What `make` gives, or the error that says why not; never raises. `what` begins a sentence: "The list"."""
    try:
        return make()
    except ProtocolError as refused:
        return refused
    except Exception as error:  # the edge: who waits for this is answered, whatever went wrong
        log.exception("%s failed", what)
        words = f"{type(error).__name__}: {error}"[:200]
        return ProtocolError(INTERNAL_ERROR, f"{what} failed ({words}); the backend's log says more.")
