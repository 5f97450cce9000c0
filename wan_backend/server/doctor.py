"""What is here, what is missing, how to mend it. Models and protocol only: what torch says, a worker is asked.

The worker is asked because it is the very thing that has to work: it is started, and says its torch and its device.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ..models import sources
from ..models.media_place import reason, size_in_words
from ..protocol import ProtocolError
from ..protocol.conversion import from_json
from ..protocol.envelope import Notification, parse_line
from ..protocol.media import PROMPTS_FOLDER, WORK_FOLDER
from ..protocol.messages import Finding, ModelRow, ReadyParams, WorkerStatus
from . import death
from .inbox import Inbox, WorkerExit, WorkerLine
from .worker_process import WorkerProcess, environment

WORKER_SECONDS = 120.0
COMFORTABLE_BYTES = 20_000_000_000
SET_UP = "Set up the backend again with the button in the add-on's preferences."


def examine(state_folder: Path | None, rows: list[ModelRow], worker: WorkerStatus | None = None) -> list[Finding]:
    """All findings; takes seconds where no worker is up to be asked."""
    state = [] if state_folder is None else [_folder(state_folder), _kept(state_folder)]
    return [_python(), _torch(worker), *state, _disk(state_folder or Path.home()), _cache(), *_models(rows)]


def _python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    mend = "" if good else "Use Python 3.11, 3.12 or 3.13."
    return Finding("python", good, f"Python {version} at {sys.executable}.", mend)


def _torch(worker: WorkerStatus | None) -> Finding:
    if worker is not None and worker.torch:
        return _torch_found(worker.torch, worker.device)
    inbox: Inbox = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as logs:
        try:
            command = [sys.executable, "-m", "wan_backend.worker"]
            process = WorkerProcess(1, command, environment(online=False), Path(logs), inbox)
        except OSError as error:
            return Finding("torch", False, f"The worker can't be started ({reason(error)}).", SET_UP)
        try:
            ready = _first_ready(inbox)
        finally:
            process.kill()
        if ready is None:
            said = death.last_line(process.log_file) or "it says nothing"
            return Finding("torch", False, f"The worker does not start: {said}.", SET_UP)
    return _torch_found(ready.torch, ready.device)


def _first_ready(inbox: Inbox) -> ReadyParams | None:
    """What the worker says of itself; None where it ends first, or takes too long."""
    until = time.monotonic() + WORKER_SECONDS
    while (left := until - time.monotonic()) > 0:
        try:
            event = inbox.get(timeout=left)
        except queue.Empty:
            return None
        if isinstance(event, WorkerExit):
            return None
        if isinstance(event, WorkerLine) and isinstance(event.line, bytes):
            with contextlib.suppress(ProtocolError):
                message = parse_line(event.line)
                if isinstance(message, Notification) and message.method == "ready":
                    return from_json(ReadyParams, message.params)
    return None


def _torch_found(version: str, device: str) -> Finding:
    if device.startswith("cpu"):
        sentence = f"torch {version}; no graphics card that it can use, so takes are made on the processor, slowly."
        return Finding("torch", True, sentence, "With a card: update its driver, then set up the backend again.")
    return Finding("torch", True, f"torch {version} on {device}.")


def _folder(state_folder: Path) -> Finding:
    good = state_folder.is_dir() and os.access(state_folder, os.W_OK | os.X_OK)
    if good:
        return Finding("state", True, f"The queue and the logs are in {state_folder}.")
    return Finding("state", False, f"The folder {state_folder} can't be written.", "Make it writable.")


def _kept(state_folder: Path) -> Finding:
    prompts = _size(state_folder.glob(f"{PROMPTS_FOLDER}/*"))
    steps = _size(state_folder.glob(f"jobs/*/{WORK_FOLDER}/*"))
    sentence = (
        f"{size_in_words(prompts)} of prompts as the models read them, {size_in_words(steps)} of finished steps of "
        "jobs that have no take yet; those go when the jobs are cleared."
    )
    return Finding("kept", True, sentence)


def _size(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def _disk(folder: Path) -> Finding:
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", False, f"The free room at {folder} can't be read ({reason(error)}).")
    good = free_bytes > COMFORTABLE_BYTES
    mend = "" if good else "Make room: a large model with its takes needs tens of gigabytes."
    return Finding("disk", good, f"{size_in_words(free_bytes)} free at {folder}.", mend)


def _cache() -> Finding:
    cache = sources.hub_cache()
    held = "is there" if cache.is_dir() else "is not there yet"
    return Finding("cache", True, f"The folder of fetched models, {cache}, {held}.")


def _models(rows: list[ModelRow]) -> list[Finding]:
    """A model that isn't here is nothing bad, as long as one is."""
    any_here = any(row.here for row in rows)
    return [
        Finding(
            "model " + row.model,
            row.here or any_here,
            f"{row.label}: {row.sentence}" if row.here else row.sentence,
            "" if row.here or not row.download_bytes else sources.download_command(row.model),
        )
        for row in rows
    ]
