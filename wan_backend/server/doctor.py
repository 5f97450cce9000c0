"""What is here, what is missing, how to mend it. Models and protocol only: what torch says, a worker is asked.

The worker is asked because it is the very thing that has to work: it is started, and says its torch and its device.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from ..models import sources
from ..models.media_place import reason, size_in_words
from ..protocol.messages import Finding, ModelRow, WorkerStatus
from . import worker_process

WORKER_SECONDS = 120.0
COMFORTABLE_BYTES = 20_000_000_000
SET_UP = "Set up the backend again with the button in the add-on's preferences."


def examine(state_folder: Path, rows: list[ModelRow], worker: WorkerStatus | None = None) -> list[Finding]:
    """All findings; takes seconds where no worker is up to be asked."""
    return [_python(), _torch(worker), _folder(state_folder), _disk(state_folder), _cache(), *_models(rows)]


def _python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    mend = "" if good else "Use Python 3.11, 3.12 or 3.13."
    return Finding("python", good, f"Python {version} at {sys.executable}.", mend)


def _torch(worker: WorkerStatus | None) -> Finding:
    if worker is not None and worker.torch:
        return _torch_found(worker.torch, worker.device)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "wan_backend.worker"],
            input=b"",
            capture_output=True,
            env=worker_process.environment(online=False),
            timeout=WORKER_SECONDS,
            check=False,
            **worker_process.own_group(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("torch", False, f"The worker could not be asked: {error}.", SET_UP)
    try:
        ready = json.loads(done.stdout.split(b"\n")[0])["params"]
        return _torch_found(str(ready["torch"]), str(ready["device"]))
    except (ValueError, KeyError, TypeError):
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:200]
        return Finding("torch", False, f"The worker does not start: {said or 'it says nothing'}.", SET_UP)


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
            f"{row.label}: {row.sentence}",
            "" if row.here or not row.download_bytes else f"python -m wan_backend models --download {row.model}",
        )
        for row in rows
    ]
