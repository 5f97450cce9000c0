"""How long the steps of a take take, and whether that is because the card's memory ran over into the machine's."""

from __future__ import annotations

import torch

from ..loading import devices
from ..memory.spilled import StepSigns, driver_may_spill, has_spilled


class StepPace:
    """The seconds of a take's steps, by times of a monotonic clock."""

    def __init__(self, expected_seconds: float | None = None) -> None:
        """`expected_seconds` of a step, by a take before; None before the first."""
        self.expected_seconds = expected_seconds
        """Seconds that a step should take: as by a take before, or as the fastest of this one."""
        self.last_seconds = 0.0
        """Seconds of the last step; 0 if it isn't known when it began."""
        self._began: float | None = None

    def begin(self, now: float) -> None:
        """Another step begins."""
        self._began = now

    def note(self, now: float, device: torch.device) -> bool:
        """A step ended, and the next one begins; True if the driver most probably moved some of it off the card."""
        self.last_seconds = 0.0 if self._began is None else now - self._began
        self._began = now
        before = self.expected_seconds
        if self.last_seconds:
            self.expected_seconds = self.last_seconds if before is None else min(before, self.last_seconds)
        if device.type != "cuda" or not driver_may_spill():
            return False
        reserved, used = devices.used_bytes(device)
        return has_spilled(StepSigns(self.last_seconds, before, reserved, used, devices.total_bytes(device)))
