"""`python -m tests.world.made KIND NAME FOLDER` makes an entry, and prints the path that it gave.
`python -m tests.world.made read FILE` writes the frames of the Source on stdin to FILE, as the worker would read them.

For tests in Blender's Python, which has no PyAV: they run this in the backend's.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def make(kind: str, name: str, folder: Path) -> Path:
    """Make the entry of that name."""
    (entry,) = [entry for entry in importlib.import_module(f"tests.world.{kind}").ENTRIES if entry.name == name]
    made: Path = entry.make(folder)
    return made


def read(asked: str, file: Path) -> None:
    """Read all frames of a source at the scene's size into an .npy file."""
    import numpy as np

    from wan_backend.frames import source_frames
    from wan_backend.protocol.conversion import from_json
    from wan_backend.protocol.messages import Source

    given = json.loads(asked)
    source, size = from_json(Source, given["source"], "source"), (given["width"], given["height"])
    np.save(file, np.stack(list(source_frames.read(source, range(source.frames), *size, size))))


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(sys.stdin.read(), Path(sys.argv[2]))
    else:
        sys.stdout.write(str(make(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
