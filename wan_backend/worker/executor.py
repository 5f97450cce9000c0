"""Runs jobs one after another: keeps one model warm, answers for each job, and survives what goes wrong in it.

Whatever a job raises is caught here, and nowhere below.
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
from .server_connection import Run
from .source_reader import SourceReader
from .take_job import WarmModel, make_take

log = logging.getLogger(__name__)


class Executor:
    """Runs the jobs of one worker, one after another."""

    def __init__(
        self, report: Callable[[ProgressParams], None], on_read: Callable[[str], None] = lambda _place: None
    ) -> None:
        """`report` gets a job's progress; `on_read` the file or folder that is about to be read, and "" after it."""
        diffusers.utils.logging.disable_progress_bar()
        transformers.logging.disable_progress_bar()
        self._report = report
        self._reader, self._on_read = SourceReader(), on_read
        self._warm: WarmModel | None = None

    def ready(self) -> ReadyParams:
        """The worker's versions and memory, and the device that a job gets if it names none."""
        device = devices.choose("auto")
        total, host = devices.total_bytes(device), devices.free_bytes(torch.device("cpu"))
        return ReadyParams(PROTOCOL_VERSION, devices.name(device), torch.__version__, os.getpid(), total, host)

    def run(self, run: Run) -> RunResult | Refusal:
        """Run a job; returns what it is to be answered with."""
        try:
            return self._make(run)
        except Exception as error:  # noqa: BLE001 - the worker lives on, whatever a job's libraries raise
            refusal = self._refusal(error, run.params)
        # Only here is the error gone, and with its traceback the tensors of the job.
        self._free_memory(refusal.problem)
        return refusal

    def _make(self, run: Run) -> RunResult:
        log.info("job %s begins", run.params.job_id)
        warm = self._warm_model(run.params)
        stop = run.canceled.is_set
        return make_take(run.params, warm, self._report, stop, self._reader.for_job(stop), self._on_read)

    def _warm_model(self, params: RunParams) -> WarmModel:
        """The model of the job; if another one is warm, it leaves memory first."""
        device = devices.choose(params.device)
        folder = Path(params.model_folder)
        components: dict[str, Path] = {each.part: Path(each.place) for each in params.model_parts}
        copies = Path(params.copies_folder) if params.copies_folder else None
        if self._warm is not None:
            model = self._warm.model
            same = model.component_files.is_at(folder, components) and model.device == device
            if same and model.unchanged():
                return self._warm
            del model
        # A model that can't be loaded is refused here, before the old one has to go.
        new = WarmModel(WanModel(folder, device, components=components, copies=copies))
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
            log.info("job %s is canceled", params.job_id)
        return Refusal(problem)

    def _free_memory(self, problem: Problem) -> None:
        """Free what a failed job has left."""
        if self._warm is None:
            return
        began = time.monotonic()
        if problem.kind == ProblemKind.OUT_OF_MEMORY:
            self._warm.model.drop_all()  # the next job reads again whatever was moved in part
        devices.release(self._warm.model.device)
        log.info("memory given back in %.2f s", time.monotonic() - began)
