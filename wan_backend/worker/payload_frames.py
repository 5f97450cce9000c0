"""What a worker and the process of another card say to each other over a pipe: a line of JSON, and bytes after it.

The bytes are tensors in the form of a safetensors file, whose length the line tells. Nothing that is read is ever run.
It imports no torch: a process reads its pipe while it loads that.
"""

from __future__ import annotations

import json
from typing import IO, Any

PAYLOAD = "payload_bytes"
MAX_LINE = 1 << 24
"""A job's request is far smaller."""
Message = dict[str, Any]


class NotAMessage(Exception):
    """What came is something else."""


def packed(message: Message, payload: bytes = b"") -> bytes:
    """The message as it is written, with what follows it."""
    return json.dumps({**message, PAYLOAD: len(payload)}).encode() + b"\n" + payload


def read(stream: IO[bytes]) -> tuple[Message, bytes] | None:
    """The next message and what follows it; None at the end. Raises NotAMessage, OSError."""
    line = stream.readline(MAX_LINE)
    if not line:
        return None
    try:
        message = json.loads(line)
        size = int(message[PAYLOAD])
    except (ValueError, TypeError, KeyError) as error:
        raise NotAMessage(f"{line[:100]!r}: {error}") from error
    payload = stream.read(size)
    return None if len(payload) < size else (message, payload)
