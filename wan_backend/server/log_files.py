"""Opens the logs of the server and its children, and keeps them from growing forever."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import re
import sys
from pathlib import Path
from typing import BinaryIO

SERVER_LOG_BYTES = 1_000_000
SERVER_LOGS_KEPT = 3
LOGS_KEPT = 20
"""Number of logs that are kept for each kind of child."""


def start_logging(file: Path) -> None:
    """Log to `file` and to stderr; if the file can't be written, to stderr alone."""
    logging.raiseExceptions = False  # a log that can't be written, as on a full disk, must not stop the work
    shape = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                file,
                maxBytes=SERVER_LOG_BYTES,
                backupCount=SERVER_LOGS_KEPT,
                encoding="utf-8",
                errors="backslashreplace",
            )
        )
    for handler in handlers:
        handler.setFormatter(shape)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


def new_log(folder: Path, kind: str) -> tuple[Path, BinaryIO | None]:
    """A new file <kind>-<n>.log for a child, open for writing; None if the disk won't have it. Old ones of the kind
    are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = re.compile(rf"{re.escape(kind)}-([1-9][0-9]{{0,17}})\.log")
    numbers = sorted(int(found[1]) for file in folder.iterdir() if (found := ours.fullmatch(file.name)))
    for old in numbers[: -LOGS_KEPT + 1]:
        with contextlib.suppress(OSError):
            (folder / f"{kind}-{old}.log").unlink()
    number = numbers[-1] if numbers else 0
    while True:
        number += 1
        file = folder / f"{kind}-{number}.log"
        try:
            return file, open(file, "xb")
        except FileExistsError:
            continue  # another server took that number just now
        except OSError as error:
            logging.getLogger(__name__).error("%s can't be written: %s", file, error)
            return file, None
