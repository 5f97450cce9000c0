"""How long the steps of a take take, and whether that is because the card's memory ran over into the machine's.

Steps are compared by the time of a forward pass: one whose work is skipped is no measure for one that is computed.
"""

from __future__ import annotations

import torch

from ..loading import devices
from ..memory.spilled import StepSigns, driver_may_spill, has_spilled


class StepPace:
    """The seconds of a take's steps and passes, by times of a monotonic clock."""

    def __init__(self, expected_seconds: float | None = None) -> None:
        """`expected_seconds` of a pass, by a take before; None before the first."""
        self.expected_seconds = expected_seconds
        """Seconds that a pass should take: as by a take before, or as the fastest of this one."""
        self.last_seconds = 0.0
        """Seconds of the last step; 0 if it isn't known when it began."""
        self._began: float | None = None

    def begin(self, now: float) -> None:
        """Another step begins."""
        self._began = now

    def note(self, now: float, device: torch.device, passes: float = 1.0, waited: float = 0.0) -> bool:
        """A step of so many passes ended, in which nothing was computed for `waited` seconds; the next one begins.

        True if the driver most probably moved some of it off the card.
        """
        self.last_seconds = 0.0 if self._began is None else max(0.0, now - self._began - waited)
        self._began = now
        seconds, before = self.last_seconds / passes if passes else 0.0, self.expected_seconds
        if seconds:
            self.expected_seconds = seconds if before is None else min(before, seconds)
        if device.type != "cuda" or not driver_may_spill():
            return False
        reserved, used = devices.used_bytes(device)
        return has_spilled(StepSigns(seconds, before, reserved, used, devices.total_bytes(device)))
