"""Runs jobs one after another: keeps one model warm, answers for each job, and survives what goes wrong in it.

Between jobs it makes looks, gets the next job's model ready, and lets go of a model whose memory other programs need.
Whatever a job, a look or a warm-up raises is caught here, and nowhere below.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
import transformers

from ..loading import devices, forward_kernels
from ..loading.residency import transformer_width
from ..loading.wan_model import WanModel
from ..pipelines.stopping import Stopped
from ..protocol import PROTOCOL_VERSION
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.looks import MakeLookResult
from ..protocol.messages import Problem, ProblemKind, ProgressParams, ReadyParams, RunParams, RunResult
from . import failures
from .finish_job import make_larger
from .idle_memory import IdleMemory
from .look import make_look
from .other_cards import OtherCards
from .server_connection import Look, Run, WarmUp
from .source_reader import SourceReader
from .take_job import make_take
from .train_job import train
from .warm_model import WarmModel, findings_of, model_for
from .warm_up import get_ready

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How soon a thread of Python lets another one run. While a model is loaded, a compiler and the imports of kernels run
beside it, and each of its thousand short calls may wait Python's usual 5 ms for them. What that costs was not measured
by itself: a profile of a first step on a card had 3 s that neither reading nor copying explained."""
CARD_FAILED = 70
"""The exit code of a worker whose card can't be used any more."""


class Executor:
    """Runs the jobs of one worker, one after another."""

    def __init__(
        self,
        report: Callable[[ProgressParams], None],
        on_read: Callable[[str], None] = lambda _place: None,
        others: OtherCards | None = None,
    ) -> None:
        """`report` gets a job's progress; `on_read` the file or folder that is about to be read, and "" after it.

        `others` are the worker's other cards, if it has some.
        """
        sys.setswitchinterval(SWITCH_SECONDS)
        diffusers.utils.logging.disable_progress_bar()
        transformers.logging.disable_progress_bar()
        self._report = report
        self._reader, self._on_read, self._others = SourceReader(), on_read, others
        self._warm: WarmModel | None = None
        self._findings: Path | None = None
        self._kernels_settled = True
        """False where trials of kernels may have been put off."""
        self._idle = IdleMemory()

    def ready(self) -> ReadyParams:
        """The worker's versions and memory, and the device that a job gets if it names none."""
        device = devices.choose("auto")
        total, host = devices.total_bytes(device), devices.free_bytes(torch.device("cpu"))
        return ReadyParams(PROTOCOL_VERSION, devices.name(device), torch.__version__, os.getpid(), total, host)

    def run(self, run: Run) -> RunResult | Refusal:
        """Run a job; returns what it is to be answered with."""
        self._idle.worked()
        self._kernels_settled = False
        try:
            return self._make(run)
        except Exception as error:  # noqa: BLE001 - the worker lives on, whatever a job's libraries raise
            refusal = self._refusal(error, run.params)
            if failure := devices.card_failure(error):
                _end_with_card(failure)
        # Only here is the error gone, and with its traceback the tensors of the job.
        self._free_memory(refusal.problem)
        return refusal

    def look(self, look: Look) -> MakeLookResult | Refusal:
        """Make a look; returns what it is to be answered with."""
        self._idle.worked()
        job = look.params.job
        try:
            if not look.ended.is_set():
                warm, read_for = self._warm_model(job), self._reader.for_job
                return make_look(look.params, warm, look.ended.is_set, read_for, self._on_read)
            raise Stopped
        except Exception as error:  # noqa: BLE001 - as of a job
            refusal = self._refusal(error, job)
        self._on_read("")
        self._free_memory(refusal.problem)
        return refusal

    def warm_up(self, wanted: WarmUp) -> None:
        """Get ready for a job; what goes wrong is logged, and no more."""
        self._idle.worked()
        if wanted.ended.is_set():
            return
        failed = False
        began = time.monotonic()
        try:
            warm = self._warm_model(wanted.params.job)
            held = get_ready(wanted.params, warm, wanted.ended.is_set, self._on_read, self._others)
            log.info("warm after %.1f s: %s", time.monotonic() - began, ", ".join(held))
        except Stopped:
            log.info("the warm-up makes way after %.1f s", time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - as of a job
            failed = True
            log.warning("nothing is warmed up: %s: %s", type(error).__name__, error)
        if failed and self._warm is not None:
            self._warm.model.drop_all()
            devices.release(self._warm.model.device)
        self._on_read("")

    def make_way_for_others(self) -> None:
        """While there is no job: finish the trials of kernels, and let go of a model whose memory others need."""
        try:
            if self._warm is not None:
                if not self._kernels_settled:
                    self._settle_kernels(self._warm.model)
                if self._idle.look(self._warm.model) and self._others is not None:
                    self._others.drop()
        except Exception:  # the edge: nobody waits for this, and the next job says what is wrong
            log.exception("an idle worker could not look at its memory")

    def _settle_kernels(self, model: WanModel) -> None:
        """The trials that would have held up a take: there is time for them now."""
        width = transformer_width(model)
        if forward_kernels.is_compiling(model.device, width):
            return
        if not forward_kernels.are_at_hand(model.device, width, self._findings):
            forward_kernels.choose_for(model.device, width, self._findings)
        self._kernels_settled = True

    def _make(self, run: Run) -> RunResult:
        log.info("job %s begins", run.params.job_id)
        stop = run.canceled.is_set
        if run.params.request.training is not None:
            return self._train(run, stop)
        if run.params.request.finish is not None:
            self._warm = None  # the card's memory is for the pictures
            devices.release(devices.choose(run.params.device))
            return make_larger(run.params, self._report, stop, self._reader.for_job(stop), self._on_read)
        warm = self._warm_model(run.params)
        return make_take(run.params, warm, self._report, stop, self._reader.for_job(stop), self._on_read, self._others)

    def _train(self, run: Run, stop: Callable[[], bool]) -> RunResult:
        """A training has a model of its own: what stays of it is no take's."""
        if self._warm is not None:
            self._warm.model.drop_all()
        model = model_for(run.params, None)
        self._warm = None
        devices.release(model.device)
        try:
            return train(run.params, model, self._report, stop, self._reader.for_job(stop), self._on_read)
        finally:
            model.drop_all()
            devices.release(model.device)

    def _warm_model(self, params: RunParams) -> WarmModel:
        """The model of the job; if another one is warm, it leaves memory first."""
        self._findings = findings_of(params)
        before = self._warm.model if self._warm is not None else None
        model = model_for(params, before)  # one that can't be loaded is refused here, before the old one has to go
        if self._warm is not None and model is before:
            return self._warm
        self._warm = before = None
        devices.release(model.device)
        self._warm = WarmModel(model)
        return self._warm

    def _refusal(self, error: Exception, params: RunParams) -> Refusal:
        name = failures.PROCESSOR if self._device(params).type == "cpu" else failures.CARD
        problem = failures.problem_of(error, params, name)
        if problem.kind != ProblemKind.CANCELED:
            expected = isinstance(error, ProtocolError)
            log.error("job %s: %s", params.job_id, problem.sentence, exc_info=None if expected else error)
        else:
            log.info("job %s is canceled", params.job_id)
        return Refusal(problem)

    def _device(self, params: RunParams) -> torch.device:
        """Where a job runs; trainings and larger takes leave no model here that would say it."""
        if self._warm is not None:
            return self._warm.model.device
        try:
            return devices.choose(params.device)
        except Refusal:  # which is what the job was refused for
            return torch.device("cpu")

    def _free_memory(self, problem: Problem) -> None:
        """Free what a failed job has left."""
        if self._warm is None:
            return
        began = time.monotonic()
        if problem.kind == ProblemKind.OUT_OF_MEMORY:
            self._warm.model.drop_all()  # the next job reads again whatever was moved in part
        devices.release(self._warm.model.device)
        log.info("memory given back in %.2f s", time.monotonic() - began)


def _end_with_card(failure: str) -> None:
    """End this process, so that its job can go on with another one: here, every job from now on would fail.

    At once: Python's own end would wait for the card.
    """
    sys.stderr.write(failure + "\n")
    sys.stderr.flush()
    os._exit(CARD_FAILED)
