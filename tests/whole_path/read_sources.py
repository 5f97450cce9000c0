"""Reads sources as the backend does and writes their pictures. Run by test_sources.py in the backend's environment.

    python read_sources.py ORDER

ORDER is a JSON file: `sources` (the protocol's Source objects), `width`, `height`, and `out`, a folder for one
`<number>.npy` a source, of uint8 (T, H, W, 3). Says on stdout how many seconds the reading took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from wan_backend.frames import source_frames
from wan_backend.protocol.conversion import from_json
from wan_backend.protocol.messages import Source


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    width, height = order["width"], order["height"]
    seconds = 0.0
    for number, told in enumerate(order["sources"]):
        source = from_json(Source, told, "source")
        began = time.perf_counter()
        read = list(source_frames.read(source, range(source.frames), width, height, (width, height)))
        seconds += time.perf_counter() - began
        np.save(Path(order["out"]) / f"{number}.npy", np.stack(read))
    sys.stdout.write(f"{seconds}\n")


if __name__ == "__main__":
    main()
