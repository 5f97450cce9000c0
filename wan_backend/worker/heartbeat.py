"""The worker's heartbeat: by it the server tells one that works in silence from one that hangs.

It comes from a thread of its own, so it goes on while a step takes its time. It stops with the interpreter: where a
library holds that for minutes, the server looks at the process itself. Standard library and protocol only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..protocol.messages import AliveParams

BEAT_SECONDS = 2.0


class Heartbeat:
    """Tells `alive` every BEAT_SECONDS; told when a job begins, says how far it is, and ends."""

    def __init__(self, tell: Callable[[str, Any], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`tell(event, message)` is called from the heartbeat's thread."""
        self._tell, self._clock = tell, clock
        self._spoke_at: float | None = None

    def start(self) -> None:
        """Beat until the process ends."""
        threading.Thread(target=self._go_on, name="heartbeat", daemon=True).start()

    def job_spoke(self) -> None:
        """The job begins, or says how far it is."""
        self._spoke_at = self._clock()

    def job_ended(self) -> None:
        """There is no job now."""
        self._spoke_at = None

    def beat(self) -> None:
        """Tell it once."""
        spoke_at = self._spoke_at
        silent = 0.0 if spoke_at is None else max(0.0, self._clock() - spoke_at)
        self._tell("alive", AliveParams(silent, time.process_time()))

    def _go_on(self) -> None:
        while True:
            self.beat()
            time.sleep(BEAT_SECONDS)
