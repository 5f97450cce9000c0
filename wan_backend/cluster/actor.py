"""What Ray starts on a node: one hand that holds the pipe of one worker there.

This module goes to the node by value, because the node may have no package of ours, or another version of it: that has
to end in a sentence and not in an ImportError. So it imports nothing of ours before it has compared.
Calls are numbered, and an answer is kept until the next call says that it arrived: a line is neither lost nor handed
over twice when the network breaks.
"""

from __future__ import annotations

from typing import Any

LACKS_PACKAGE, OTHER_VERSION, SAME_VERSION, UNSEEN, UNSTARTED, BEGAN = (
    *("lacks", "other", "same", "unseen", "unstarted", "began"),
)
"""How `look` and `begin` can end."""


class Hand:
    """The actor. Ray calls `read` and `write` in a thread each, so that one doesn't wait for the other."""

    def __init__(self) -> None:
        self._end: Any = None

    def look(self, version: str) -> dict[str, Any]:
        """Whether this node has that version of the package."""
        import socket
        import sys

        import ray

        node = ray.get_runtime_context().get_node_id()
        here = {"node": node, "host": socket.gethostname(), "python": sys.executable}
        try:
            import wan_backend
        except ImportError:
            return {**here, "how": LACKS_PACKAGE}
        found = str(wan_backend.__version__)
        return {**here, "how": SAME_VERSION if found == version else OTHER_VERSION, "version": found}

    def begin(self, order: dict[str, Any]) -> dict[str, Any]:
        """Start the worker, if this node can."""
        here = self.look(order["version"])
        if here["how"] != SAME_VERSION:
            return here
        from wan_backend.cluster.far_end import FarEnd

        self._end = FarEnd(order)
        return {**here, **self._end.begin()}

    def read(self, seen: int) -> tuple[int, list[tuple[str, bytes]], tuple[float, int, bool] | None]:
        """What came from the worker after the first `seen` events: the number of the first, they, and its signs."""
        answer: tuple[int, list[tuple[str, bytes]], tuple[float, int, bool] | None] = self._end.read(seen)
        return answer

    def write(self, number: int, line: bytes) -> None:
        """Hand a line to the worker; none: the end of its stdin. One that came already is passed over."""
        self._end.write(number, line)

    def kill(self) -> None:
        """End the worker at once."""
        if self._end is not None:
            self._end.kill()
