"""The newest finished step of a job, kept on disk by a thread of its own, and the fingerprint that it is valid for.

Denoising never waits for the disk: where the disk is slower than the steps, only the newest step is written. A disk
that fails loses the steps, not the job. A step that waits for the disk carries its own fingerprint, because the job
may begin another try before its turn comes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import diffusers
import numpy as np
import torch

from .. import __version__
from ..loading import devices
from ..loading.wan_model import WanModel
from ..pipelines.conditions import Canvas
from ..pipelines.step_checkpoint import Checkpoint, remove_unfinished
from ..protocol.conversion import to_json
from ..protocol.media import STEPS_FILE
from ..protocol.messages import RunParams
from ..storage.guarded_files import stamp

log = logging.getLogger(__name__)

LAST_SECONDS = 1.0
"""The end of a job waits this long for what is still being written; a person who cancels would wait no longer."""


@dataclass(frozen=True)
class _Made:
    """A finished step, and the fingerprint of the try that made it."""

    checkpoint: Checkpoint
    fingerprint: str


class KeptSteps:
    """Used as `with KeptSteps(folder) as steps`: `find` what an earlier try kept, then `keep` each step."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is the job's own; if it is None, the steps are kept in memory only."""
        self._folder, self._fingerprint = folder, ""
        self._newest: Checkpoint | None = None
        self._waiting: _Made | None = None
        self._busy = self._ends = self._removed = self._failed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="steps", daemon=True)

    def __enter__(self) -> KeptSteps:
        if self._folder is not None:
            remove_unfinished(self._folder / STEPS_FILE)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        with self._changed:
            self._ends = True
            self._changed.notify_all()

    @property
    def may_have_any(self) -> bool:
        """True where this or an earlier try has kept a step, though perhaps under another fingerprint."""
        return self._newest is not None or (self._folder is not None and (self._folder / STEPS_FILE).exists())

    def find(self, fingerprint: str) -> Checkpoint | None:
        """The last step that this or an earlier try kept under `fingerprint`; None if the job is to begin anew."""
        if self._fingerprint != fingerprint:
            self._fingerprint = fingerprint
            self._newest = self._read()
        return self._newest

    def keep(self, made: Checkpoint) -> None:
        """Have `made` written soon; it replaces the step before."""
        with self._changed:
            self._newest, self._waiting = made, _Made(made, self._fingerprint)
            self._changed.notify_all()

    def flush(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until the newest step is on the disk, or couldn't be written, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._busy, seconds)

    def remove(self) -> None:
        """Delete the steps, which a finished take needs no more, and also what a slow disk is still writing."""
        self.flush()
        with self._changed:
            self._newest = self._waiting = None
            self._removed = True
        self._clear()

    def _clear(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> Checkpoint | None:
        if self._folder is None or not (self._folder / STEPS_FILE).exists():
            return None
        return Checkpoint.read(self._folder / STEPS_FILE, self._fingerprint)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ends)
                made, self._waiting = self._waiting, None
                if made is None:
                    return
                self._busy = True
            self._write(made)
            with self._changed:
                self._busy = False
                removed = self._removed
                self._changed.notify_all()
            if removed:
                self._clear()

    def _write(self, made: _Made) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            made.checkpoint.write(self._folder / STEPS_FILE, made.fingerprint)
        except (OSError, MemoryError, RuntimeError) as error:  # a copy of the latents may be one too many
            if not self._failed and not self._removed:
                log.warning("finished steps can't be kept in %s: %s", self._folder, error)
            self._failed = True


_NOT_OF_THE_REQUEST = {"media_folder", "media_format", "origin", "sources", "conform"}
"""Where the take goes, and the names of its sources: the pictures themselves are in the canvas."""
_NOT_OF_THE_PLAN = {
    "memory_bytes", "memory", "disk_bytes", "notes", "fixes", "problem", "decoder", "forwards", "all_forwards",
    "no_guidance_interval", "no_step_cache", "can_calibrate", "cards", "cards_per_forward", "shared_weights",
}  # fmt: skip
"""What only describes the plan, the decoder, which the latents don't depend on, and how cards share the steps: another
try may share them in another way, as one that loses a card does."""


def fingerprint(params: RunParams, canvas: Canvas, model: WanModel) -> str:
    """64 hexadecimal digits for all that a job's latents depend on: kept steps go on only if it is the same.

    That is the request, its plan, what its sources show, the model, its LoRAs and all versions.
    """
    facts = {
        "request": {k: v for k, v in to_json(params.request).items() if k not in _NOT_OF_THE_REQUEST},
        "plan": {k: v for k, v in to_json(params.plan).items() if k not in _NOT_OF_THE_PLAN},
        "model": model.fingerprint(),
        "loras": [_stamp(Path(use.path)) for use in params.plan.loras],
        "scheduler": model.config("scheduler"),
        "device": devices.name(model.device),
        "versions": [__version__, torch.__version__, diffusers.__version__],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for field in fields(canvas):
        digest.update(field.name.encode())
        _add(digest, getattr(canvas, field.name))
    return digest.hexdigest()


def _stamp(file: Path) -> list[int]:
    """Distinguishes a file from another one of its name; empty if it's gone, which loading will report."""
    try:
        return list(stamp(file))
    except OSError:
        return []


def _add(digest: Any, pictures: dict[int, np.ndarray] | tuple[np.ndarray, ...] | np.ndarray | None) -> None:
    if isinstance(pictures, tuple):
        pictures = dict(enumerate(pictures))
    if isinstance(pictures, dict):
        for frame, picture in sorted(pictures.items()):
            digest.update(str(frame).encode())
            _add(digest, picture)
    elif pictures is not None:
        digest.update(str(pictures.shape).encode())
        digest.update(np.ascontiguousarray(pictures).data)
