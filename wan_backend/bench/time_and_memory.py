"""Seconds and memory of a piece of work."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType

import psutil
import torch

SAMPLE_SECONDS = 0.005


@dataclass
class Measured:
    """What some runs of the same work took."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    """The most memory over what was held at the start: of the card, or of the process if there is none."""

    @property
    def median_seconds(self) -> float:
        """The middle one; 0 if nothing was measured."""
        return median(self.seconds) if self.seconds else 0.0


class Meter:
    """`with Meter(device, measured):` adds one run to `measured`."""

    def __init__(self, device: torch.device, measured: Measured) -> None:
        self._device, self._measured = device, measured
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._most = 0

    def __enter__(self) -> Meter:
        synchronize(self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._start_bytes = torch.cuda.memory_allocated(self._device)
        else:
            self._start_bytes = self._most = self._process.memory_info().rss
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        synchronize(self._device)
        self._measured.seconds.append(time.perf_counter() - self._began)
        if self._device.type == "cuda":
            self._most = torch.cuda.max_memory_allocated(self._device)
        else:
            self._ended.set()
            self._sampler.join()
        self._measured.peak_bytes = max(self._measured.peak_bytes, self._most - self._start_bytes)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._most = max(self._most, self._process.memory_info().rss)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
