"""Parses JSON that comes from outside, and refuses what is nested so deeply that walking through it ends the stack.

Python's own parser refuses about a thousand levels. What it lets through just below that can still end whoever walks
through it with functions that call themselves; so the limit here is far lower, and all share it who read files, strips
and answers of others. (Lines of the wire are read by what is declared of them, so nobody walks through those.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .sentences import Sentence

MAX_DEPTH = 100
"""Lists and objects inside one another; our own messages have about ten, and models' configurations fewer."""


def parsed(
    content: str | bytes | bytearray,
    parse_constant: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """The JSON value in `content`. Raises ValueError, whatever is wrong with it."""
    try:
        value = json.loads(content, parse_constant=parse_constant, parse_float=parse_float)
    except RecursionError:
        raise _too_deep() from None
    if isinstance(content, str):
        opened = content.count("[") + content.count("{")
    else:
        opened = content.count(b"[") + content.count(b"{")
    if opened > MAX_DEPTH and is_deep(value):
        raise _too_deep()
    return value


def is_deep(value: Any) -> bool:
    """Whether lists and objects are inside one another more often than MAX_DEPTH times."""
    level = [value] if type(value) in (dict, list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if type(each) is dict else each)
            if type(inner) in (dict, list)
        ]
        if not level:
            return False
    return True


def _too_deep() -> ValueError:
    return ValueError(Sentence("it is nested too deeply"))
