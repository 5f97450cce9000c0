"""Whether a server still lives: it answers a ping, however much it has to do. No bpy; reads no clock itself."""

from __future__ import annotations

from collections.abc import Callable

from ...wan_backend.protocol.messages import PingResult

PING_SECONDS = 3.0
"""From an answer to the next ping."""
HUNG_SECONDS = 20.0
"""So long a ping may be unanswered while we listen."""
BUSY_SECONDS = 60.0
"""A server that is at one thing for longer says so in a sentence; it is left alone."""
_MOST_BETWEEN_TICKS = 1.0
"""More than that from one tick to the next is Blender's own doing (a render, a dialog), not the server's silence."""


class Pulse:
    """Of one server. `ping(answered)` asks it."""

    def __init__(self, ping: Callable[[Callable[[PingResult], None]], None]) -> None:
        self.busy = ""
        """What the server has been busy with for long, in a sentence; mostly nothing."""
        self._ping = ping
        self._waits = False
        self._silent = 0.0
        self._since_answer = PING_SECONDS
        self._last_tick: float | None = None

    def tick(self, now: float, behind: bool) -> bool:
        """Ping when it is time; True where the server hangs. `behind`: what it said is not all read yet."""
        passed = min(_MOST_BETWEEN_TICKS, now - (now if self._last_tick is None else self._last_tick))
        self._last_tick = now
        if not self._waits:
            self._since_answer += passed
            if self._since_answer >= PING_SECONDS:
                self._waits, self._silent = True, 0.0
                self._ping(self._answered)
            return False
        if not behind:  # else its answer may lie there
            self._silent += passed
        return self._silent >= HUNG_SECONDS

    def spare(self, sentence: str) -> None:
        """It is known why no answer comes: it gets new patience, and the sentence says so until one does."""
        self._silent, self.busy = 0.0, sentence

    def _answered(self, result: PingResult) -> None:
        self._waits, self._since_answer = False, 0.0
        self.busy = ""
        if result.busy_seconds >= BUSY_SECONDS:
            doing = f" with {result.busy_with}" if result.busy_with else ""
            self.busy = f"The backend has been busy{doing} for {result.busy_seconds:.0f} s."
