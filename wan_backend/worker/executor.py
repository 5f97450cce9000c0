"""Where jobs are done: keeps one model warm, answers for each job, and survives what goes wrong in it.

May import torch, pipelines, models and protocol. The edge of the worker: whatever a job raises ends here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
import transformers

from ..loading import devices
from ..loading.wan_model import WanModel
from ..protocol import PROTOCOL_VERSION
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import Problem, ProblemKind, ProgressParams, ReadyParams, RunParams, RunResult
from . import failures
from .listener import Run
from .reader import Reader
from .take_job import TakeJob, WarmModel

log = logging.getLogger(__name__)


class Shop:
    """Does the jobs of one worker, one after another."""

    def __init__(
        self, report: Callable[[ProgressParams], None], on_read: Callable[[str], None] = lambda _place: None
    ) -> None:
        """`report` is told how far a job is, `on_read` which file or folder is about to be read, "" after it."""
        diffusers.utils.logging.disable_progress_bar()
        transformers.logging.disable_progress_bar()
        self._report = report
        self._reader, self._on_read = Reader(), on_read
        self._warm: WarmModel | None = None

    def ready(self) -> ReadyParams:
        """Who is ready: with the device that a job would get by itself."""
        device = devices.choose("auto")
        total, host = devices.total_bytes(device), devices.free_bytes(torch.device("cpu"))
        return ReadyParams(PROTOCOL_VERSION, devices.name(device), torch.__version__, os.getpid(), total, host)

    def do(self, run: Run) -> RunResult | Refusal:
        """Do a job; what it is to be answered with."""
        try:
            return self._make(run)
        except Exception as error:  # noqa: BLE001 - the worker lives on, whatever a job's libraries raise
            refusal = self._refusal(error, run.params)
        # Only here is the error gone, and with its traceback the job's tensors.
        self._give_memory_back(refusal.problem)
        return refusal

    def _make(self, run: Run) -> RunResult:
        log.info("job %s begins", run.params.job_id)
        warm = self._warm_model(run.params)
        stop = run.cancelled.is_set
        return TakeJob(run.params, warm, self._report, stop, self._reader.reads(stop), self._on_read).make()

    def _warm_model(self, params: RunParams) -> WarmModel:
        """The model of the job; another one leaves memory first."""
        device = devices.choose(params.device)
        folder = Path(params.model_folder)
        places: dict[str, Path] = {part.part: Path(part.place) for part in params.model_parts}
        copies = Path(params.copies_folder) if params.copies_folder else None
        if self._warm is not None:
            model = self._warm.model
            same = model.places.is_at(folder, places) and model.device == device
            if same and model.unchanged():
                return self._warm
            del model
        new = WarmModel(WanModel(folder, device, places=places, copies=copies))  # refused before the old one has to go
        if self._warm is not None:
            new.model.take_over(self._warm.model)
        self._warm = None
        devices.release(device)
        self._warm = new
        return new

    def _refusal(self, error: Exception, params: RunParams) -> Refusal:
        device = self._warm.model.device if self._warm else torch.device("cpu")
        name = "The machine" if device.type == "cpu" else "The graphics card"
        problem = failures.problem_of(error, params, name)
        if problem.kind != ProblemKind.CANCELLED:
            expected = isinstance(error, ProtocolError)
            log.error("job %s: %s", params.job_id, problem.sentence, exc_info=None if expected else error)
        else:
            log.info("job %s is cancelled", params.job_id)
        return Refusal(problem)

    def _give_memory_back(self, problem: Problem) -> None:
        """Free what a job that failed has left."""
        if self._warm is None:
            return
        began = time.monotonic()
        if problem.kind == ProblemKind.OUT_OF_MEMORY:
            self._warm.model.drop_all()  # whatever was half moved is read anew by the next job
        devices.release(self._warm.model.device)
        log.info("memory given back in %.2f s", time.monotonic() - began)
