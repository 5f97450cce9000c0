"""`python -m tests.world.made KIND NAME FOLDER` makes an entry, and prints the path that it gave.
`python -m tests.world.made read FILE` writes the frames of the Source on stdin to FILE, as the worker would read them.
`python -m tests.world.made each` tries the files named on stdin, and says of each what came of it.

For tests in Blender's Python, which has no PyAV, and for media that may end the process that reads them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

MOVIES = {
    ".mp4",
    ".mov",
    ".mkv",
    ".avi",
    ".webm",
    ".mpeg",
    ".mpg",
    ".ogg",
    ".ogv",
    ".ts",
    ".mts",
    ".wmv",
    ".flv",
    ".3gp",
}


def make(kind: str, name: str, folder: Path) -> Path:
    """Make the entry of that name."""
    (entry,) = [entry for entry in importlib.import_module(f"tests.world.{kind}").ENTRIES if entry.name == name]
    made: Path = entry.make(folder)
    return made


def read(asked: str, file: Path) -> None:
    """Read all frames of a source at the scene's size into an .npy file; where that is refused, there is none."""
    import numpy as np

    from wan_backend.frames import source_frames
    from wan_backend.protocol.conversion import from_json
    from wan_backend.protocol.errors import Refusal
    from wan_backend.protocol.messages import Source

    given = json.loads(asked)
    source, size = from_json(Source, given["source"], "source"), (given["width"], given["height"])
    try:
        frames = list(source_frames.read(source, range(source.frames), *size, size))
    except Refusal as refusal:
        sys.stdout.write(refusal.problem.sentence)
        return
    np.save(file, np.stack(frames))


def each(names: Iterable[str]) -> None:
    """A line for each file, movie or picture by its name's end: its name and why it's refused, or null."""
    from wan_backend.frames import source_frames
    from wan_backend.protocol.errors import Refusal
    from wan_backend.protocol.messages import Role, Source

    for name in map(Path, names):
        movie = name.suffix in MOVIES
        source = Source(Role.FOOTAGE, str(name.parent), [name.name], is_movie=movie, frames=20)
        why = None
        try:
            for _ in source_frames.read(source, [0, 3, 19] if movie else [0], 160, 64, (160, 64)):
                pass
        except Refusal as refusal:
            why = refusal.problem.sentence
        sys.stdout.write(json.dumps([name.name, why]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "each":
        each(sys.stdin.read().splitlines())
    elif sys.argv[1] == "read":
        read(sys.stdin.read(), Path(sys.argv[2]))
    else:
        sys.stdout.write(str(make(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
