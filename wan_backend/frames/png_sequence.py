"""Frames as numbered PNG files, several written at a time. May import numpy, opencv, whole_file and protocol."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from ..protocol.media import frame_file
from ..storage import whole_file

COMPRESSION = 3
"""Of zlib, 0 to 9: above it the files hardly get smaller, but take much longer."""
MOST_THREADS = 8
"""A frame of 832x480 takes 20 ms to write and more, and a quick card 9 to make."""


class PngSequence:
    """Writes a take's frames into `folder`; a file is there whole or not at all.

    `with PngSequence(folder) as sequence:` frames are written by threads, and are all there when it is left. What one
    of them fails with is raised by a later `write`, or at the end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool: ThreadPoolExecutor | None = None
        self._threads = min(MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> PngSequence:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="png")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pool is not None
        pool, self._pool = self._pool, None
        try:
            while error is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            self._waiting.clear()
            pool.shutdown(cancel_futures=True)

    def write(self, frame: np.ndarray, indices: list[int]) -> None:
        """`frame` (H, W, 3, uint8 RGB) as the take's frames `indices`; encoded once, however many they are.

        It isn't to be changed afterwards. Raises OSError.
        """
        if not indices:
            return
        if self._pool is None:
            self._write(frame, indices)
            return
        while len(self._waiting) >= 2 * self._threads:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, frame, list(indices)))

    def _write(self, frame: np.ndarray, indices: list[int]) -> None:
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        good, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
        if not good:
            raise ValueError(f"opencv can't encode a frame of shape {frame.shape} as PNG")
        for index in indices:
            whole_file.write(self._folder / frame_file(index), png.data, flushed=True)
