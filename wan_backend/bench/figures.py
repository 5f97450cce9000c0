"""The file that `bench --json` asks for, which every form of the benchmark writes its figures to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def writable(path: str) -> Path:
    """The file as an argument; it is tried before minutes go into what it is for. Raises ArgumentTypeError."""
    file = Path(path)
    try:
        with file.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} can't be written: {error.strerror}") from error
    return file


def write(file: Path | None, found: dict[str, Any]) -> None:
    """Write what is known so far, if a file is asked for."""
    if file is not None:
        file.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
