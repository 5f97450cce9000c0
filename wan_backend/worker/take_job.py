"""One job from RunParams to a take on the disk. May import torch, pipelines, models, frames and protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..frames import source_frames
from ..frames.take_folder import TakeFolder
from ..library.extras import TINY_FOR_MEMORY_NOTE, TINY_UNUSABLE_NOTE
from ..loading import devices
from ..loading.residency import EXPERTS, Placement
from ..loading.wan_model import WanModel
from ..memory.residency_plan import MemoryPlan
from ..pipelines import depth_guide, tasks, text_to_video, tiles, tiny_decoder
from ..pipelines.autoencoder import NoPictures, latent_frames
from ..pipelines.conditions import Canvas, Conditions
from ..pipelines.decode import decode
from ..pipelines.denoise import DenoisingStep, denoise_in_turn
from ..pipelines.experts import experts_of
from ..pipelines.preview import LatentColors
from ..pipelines.prompt_encoding import PromptFiles
from ..pipelines.sampling import make_scheduler
from ..pipelines.step_checkpoint import Checkpoint
from ..pipelines.stopping import ShouldStop, check
from ..protocol.errors import Refusal
from ..protocol.media import PROMPTS_FOLDER, first_file
from ..protocol.messages import (
    Decoder,
    JobState,
    PhaseSeconds,
    ProgressParams,
    RunParams,
    RunResult,
    Take,
)
from ..storage import media_folder
from . import take_pictures
from .broken_numbers import no_pictures, ran_over
from .fingerprint import fingerprint
from .gather import gather
from .job_memory import JobMemory
from .kept_steps import KeptSteps
from .live_preview import LivePreview
from .progress import Pace, Progress, Work
from .reader import Read
from .take_settings import settings

log = logging.getLogger(__name__)

FINISHED_SECONDS = 10.0
"""Decoding waits so long for the finished latents to be on the disk; a disk that hangs must not hold the take."""

LOADING = {
    "text_encoder": "Loading the text encoder",
    "image_encoder": "Loading the image encoder",
    "transformer": "Loading the transformer",
    "transformer_2": "Loading the second transformer",
    "vae": "Loading the autoencoder",
}
ENCODING = {
    "text_encoder": "Reading the prompt",
    "image_encoder": "Looking at the pictures",
    "vae": "Preparing the canvas",
}


@dataclass
class WarmModel:
    """The model that stays in memory between jobs, and what was learnt of it."""

    model: WanModel
    kept: text_to_video.PreparationCache = field(default_factory=text_to_video.PreparationCache)
    pace: Pace = field(default_factory=Pace)


class TakeJob:
    """Makes one take; `make` is called once."""

    def __init__(
        self,
        params: RunParams,
        warm: WarmModel,
        send: Callable[[ProgressParams], None],
        should_stop: ShouldStop,
        read: Read = source_frames.read,
        on_read: Callable[[str], None] = lambda _place: None,
    ) -> None:
        """`read` reads the sources; `on_read(place)` is told what else is about to be read, and "" after it."""
        self._read, self._on_read = read, on_read
        self._params, self._plan, self._request = params, params.plan, params.request
        self._warm, self._should_stop = warm, should_stop
        encoder = warm.model.fingerprint("text_encoder")
        prompts = Path(params.state_folder, PROMPTS_FOLDER) if params.state_folder else None
        warm.kept.prompts.files = None if prompts is None else PromptFiles(prompts, encoder)
        work = Path(params.work_folder) if params.work_folder else None
        self._steps = KeptSteps(work)
        self._resumed: Checkpoint | None = None
        self._preview = LivePreview(work, LatentColors.of(warm.model.config("vae")))
        self._denoised = False
        self._done, self._steps_to_make = 0, self._plan.steps
        """Steps that are made, by this try or one before it, and of how many."""
        self._part = ""
        """The part of the model that is loaded or works."""
        self._spent = dict.fromkeys(("load", "encode", "denoise", "decode"), 0.0)
        guided = 2 if self._plan.guidance_scale > 1 else 1
        tokens = self._plan.width * self._plan.height * self._plan.model_frames
        self._work = Work(tokens, self._plan.steps * guided)
        self._progress = Progress(params.job_id, self._plan.steps, send, warm.pace.expected(self._work))

    def make(self) -> RunResult:
        """The take, whole on the disk. Raises Refusal, Stopped, OSError, or what the libraries raise."""
        self._progress.phase(JobState.LOADING, "Getting ready")
        folder = Path(self._request.media_folder)
        problem = media_folder.check(str(folder), self._plan.disk_bytes)
        if problem is not None:
            raise Refusal(problem)
        with TakeFolder(folder, self._params.job_id) as take_folder, self._steps:
            return self._make_in(take_folder)

    def _make_in(self, take_folder: TakeFolder) -> RunResult:
        plan, memory = self._plan, JobMemory(self._warm.model, self._params)
        while not self._made(memory, take_folder.partial):
            # Only here is the error gone, and with its traceback the tensors of the try.
            self._progress.phase(JobState.LOADING, "Out of memory: going on with less of it")
            self._warm.model.drop_all()
            devices.release(self._warm.model.device)
        seconds = PhaseSeconds(0.0, **self._spent)
        if self._resumed is None:
            self._warm.pace.learn(seconds, self._work)
        take = Take(
            folder=str(take_folder.final),
            first_file=first_file(self._request.media_format),
            media_format=self._request.media_format,
            frames=plan.take_frames,
            width=plan.width,
            height=plan.height,
            frame_rate=self._request.frame_rate,
        )
        check(self._should_stop)
        added = [note for note in self._plan.notes if note not in self._params.plan.notes]
        result = RunResult(take, seconds, [*memory.notes, *added])
        take_folder.publish(settings(self._params, self._plan, result, self._warm.model.device))
        self._steps.remove()
        return result

    def _made(self, memory: JobMemory, folder: Path) -> bool:
        """Make the pictures; False where memory ran out and `memory` has a smaller plan now."""
        self._part, self._denoised = "", False
        self._settle_decoder(memory.plan)
        try:
            placed = Placement(
                self._warm.model, memory.plan, self._on_load, self._on_ready, self._plan.loras, self._on_read
            )
            self._make_pictures(placed, folder)
        except Exception as error:
            tiny = self._denoised and bool(self._params.tiny_decoder)
            if not devices.is_out_of_memory(error) or not memory.shrink(self._part, tiny):
                raise
            return False
        return True

    def _settle_decoder(self, memory: MemoryPlan) -> None:
        """Where the autoencoder is too large for the device, the tiny one is to make the pictures."""
        plan = self._plan
        if not memory.decode_fits and self._params.tiny_decoder and plan.decoder is Decoder.WHOLE:
            self._plan = replace(plan, decoder=Decoder.TINY, notes=[*plan.notes, TINY_FOR_MEMORY_NOTE])

    def _make_pictures(self, placement: Placement, folder: Path) -> None:
        """From the sources to the media in `folder`, or from where an earlier try has come to."""
        try:
            with self._timed("encode", placement):
                canvas = self._gather()
                self._resumed = self._steps.find(fingerprint(self._params, canvas, self._warm.model))
                kept = canvas.kept
                self._done = 0 if self._resumed is None else self._resumed.done
                if self._resumed is not None:
                    self._preview.go_on()
                self._progress.preview = "" if self._resumed is None else self._preview.path
                self._denoised = self._resumed is not None and self._resumed.finished
                conditions = None if self._denoised else self._prepare(placement, canvas)
                del canvas
            with self._timed("denoise", placement):
                latents = self._latents(placement, conditions)
                del conditions
            with self._timed("decode", placement):
                self._decode(placement, latents, kept, folder)
        finally:
            self._spent["load"] += placement.load_seconds

    @contextmanager
    def _timed(self, phase: str, placement: Placement) -> Iterator[None]:
        """Count the seconds of `phase`, without those that loading takes in it."""
        began, loaded = time.monotonic(), placement.load_seconds
        try:
            yield
        finally:
            self._spent[phase] += time.monotonic() - began - (placement.load_seconds - loaded)

    def _on_load(self, part: str) -> None:
        check(self._should_stop)
        self._part = part
        self._progress.phase(JobState.LOADING, LOADING[part])

    def _on_ready(self, part: str) -> None:
        """A part stands ready: the phase that it is for begins."""
        check(self._should_stop)
        self._part = part
        if part in EXPERTS:
            self._begin_steps()
        elif self._denoised:
            self._progress.phase(JobState.DECODING, "Making the pictures")
        else:
            self._progress.phase(JobState.ENCODING, ENCODING[part])

    def _begin_steps(self) -> None:
        """A transformer stands ready, for the first step or for one after others."""
        done, steps = self._done, self._steps_to_make
        if not done:
            self._progress.phase(JobState.DENOISING, f"Step 0 of {steps}")
        elif self._resumed is not None and self._resumed.done == done:
            self._progress.go_on(done, steps, f"Going on at step {min(done + 1, steps)} of {steps}")
        else:
            self._progress.go_on(done, steps, "Going on with the second transformer")

    def _gather(self) -> Canvas:
        if self._request.sources:
            self._progress.phase(JobState.ENCODING, "Reading the footage")
        model, stop = self._warm.model, self._should_stop
        depth_of = partial(
            depth_guide.estimate_depth, model_folder=model.folder, device=str(model.device), should_stop=stop
        )
        return gather(self._request, self._plan, depth_of, stop, self._read)

    def _prepare(self, placement: Placement, canvas: Canvas) -> Conditions:
        conditions = tasks.prepare(placement, self._request, self._plan, canvas, self._warm.kept, self._should_stop)
        check(self._should_stop)
        return conditions

    def _latents(self, placement: Placement, conditions: Conditions | None) -> torch.Tensor:
        """(1, C, T, H, W) clean latents, kept for whatever may happen to the decoding."""
        if conditions is None:
            assert self._resumed is not None
            self._progress.go_on(self._resumed.done, self._resumed.done, "The steps are done already")
            return self._resumed.latents
        latents = self._denoise(placement, conditions)
        made = Checkpoint.at_the_end(self._plan.steps - conditions.first_step, latents)
        if made.broken:
            raise Refusal(ran_over(self._params, self._warm.model, self._part, made.done, made.done))
        self._steps.keep(made)
        self._steps.flush(FINISHED_SECONDS)  # what dies while it decodes must not have to make the steps again
        self._denoised = True
        return latents

    def _denoise(self, placement: Placement, conditions: Conditions) -> torch.Tensor:
        plan, steps = self._plan, self._plan.steps - conditions.first_step
        self._steps_to_make = steps
        config = self._warm.model.config("scheduler")
        scheduler = make_scheduler(config, plan.sampler, plan.flow_shift, plan.timesteps, self._request.seed)
        return denoise_in_turn(
            experts_of(placement, plan, scheduler.config.num_train_timesteps),
            scheduler,
            conditions,
            steps=plan.steps,
            window=latent_frames(plan.window_frames) if plan.window_frames else 0,
            on_step=self._on_step,
            after_step=self._after_step,
            resumed=self._resumed,
            should_stop=self._should_stop,
        )

    def _on_step(self, done: int) -> None:
        self._done = done
        self._progress.advance(done, self._steps_to_make, f"Step {done} of {self._steps_to_make}")

    def _after_step(self, step: DenoisingStep) -> None:
        """Keep what was made, and show it."""
        made = step.checkpoint()
        if made is not None:
            if made.broken:  # looked at in the copy, which is on the CPU already
                raise Refusal(ran_over(self._params, self._warm.model, self._part, step.done, self._steps_to_make))
            self._steps.keep(made)
        self._preview.show(step)
        self._progress.preview = self._preview.path

    def _decode(self, placement: Placement, latents: torch.Tensor, kept: dict[int, np.ndarray], folder: Path) -> None:
        def advance(done: int, total: int, sentence: str) -> None:
            check(self._should_stop)
            self._progress.written(done, total, sentence)

        self._part = "vae"
        try:
            with self._decoded(placement, latents) as pictures:
                take_pictures.write(pictures, kept, self._request, self._plan, folder, advance)
        except NoPictures as error:
            tiny = self._plan.decoder is Decoder.TINY
            raise Refusal(no_pictures(self._params, self._warm.model, tiny)) from error

    @contextmanager
    def _decoded(self, placement: Placement, latents: torch.Tensor) -> Iterator[Iterator[np.ndarray]]:
        """The model's pictures, some at a time: by its autoencoder, or by the tiny one that was planned."""
        tiny = self._tiny(placement, latents.shape[1]) if self._plan.decoder is Decoder.TINY else None
        if tiny is not None:
            self._on_ready("vae")
            yield tiny_decoder.decode(tiny, latents, self._should_stop)
            return
        with placement.use("vae") as vae:
            yield decode(vae, latents, self._should_stop, self._on_tile)

    def _on_tile(self, reached: tiles.Reached) -> None:
        sentence = f"Making the pictures, tile {reached.tile} of {reached.tiles}"
        self._progress.tiled(reached.done, reached.total, sentence)

    def _tiny(self, placement: Placement, channels: int) -> tiny_decoder.TinyDecoder | None:
        """The tiny autoencoder; None where it can't be loaded, and the model's own serves as well."""
        model = self._warm.model
        self._on_read(self._params.tiny_decoder)
        try:
            return tiny_decoder.load(Path(self._params.tiny_decoder), channels, model.device, model.precision.vae)
        except Refusal:
            if not placement.plan.decode_fits:
                raise
        finally:
            self._on_read("")
        # The take is all but made: it isn't to be lost for want of the quicker way.
        self._plan = replace(self._plan, decoder=Decoder.WHOLE, notes=[*self._plan.notes, TINY_UNUSABLE_NOTE])
        return None
