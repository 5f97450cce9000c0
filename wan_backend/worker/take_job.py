"""One job from RunParams to a take on the disk. May import torch, pipelines, models, frames and protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..frames.conform import Conformer
from ..frames.movie import Movie
from ..frames.png_sequence import PngSequence
from ..frames.schedule import Schedule
from ..frames.take_folder import TakeFolder
from ..models import devices, media_place
from ..models.loader import WanModel
from ..models.placement import Placement
from ..pipelines import depth_guide, tasks, text_to_video
from ..pipelines.autoencoder import latent_frames
from ..pipelines.canvas import Canvas
from ..pipelines.checkpoint import Checkpoint
from ..pipelines.conditions import Conditions
from ..pipelines.decode import decode
from ..pipelines.denoise import Step, denoise
from ..pipelines.preview import LatentColours
from ..pipelines.prompt_files import PromptFiles
from ..pipelines.sampler_state import Unkept
from ..pipelines.sampling import make_scheduler
from ..pipelines.stopping import ShouldStop, check
from ..protocol.conversion import to_json
from ..protocol.errors import Refusal
from ..protocol.media import PROMPTS_FOLDER, first_file
from ..protocol.messages import (
    JobState,
    MediaFormat,
    PhaseSeconds,
    ProgressParams,
    RunParams,
    RunResult,
    Take,
)
from .fingerprint import fingerprint
from .gather import gather
from .job_memory import JobMemory
from .kept_steps import KeptSteps
from .live_preview import LivePreview
from .pictures import finished, runs
from .progress import Pace, Progress, Work

log = logging.getLogger(__name__)

SPOOL_FILE = "decoded.part"
LOADING = {
    "text_encoder": "Loading the text encoder",
    "image_encoder": "Loading the image encoder",
    "transformer": "Loading the transformer",
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
    kept: text_to_video.Kept = field(default_factory=text_to_video.Kept)
    pace: Pace = field(default_factory=Pace)


class TakeJob:
    """Makes one take; `make` is called once."""

    def __init__(
        self,
        params: RunParams,
        warm: WarmModel,
        send: Callable[[ProgressParams], None],
        should_stop: ShouldStop,
    ) -> None:
        self._params, self._plan, self._request = params, params.plan, params.request
        self._warm, self._should_stop = warm, should_stop
        state = params.state_folder
        if state:
            encoder = warm.model.fingerprint("text_encoder")
            warm.kept.prompts.files = PromptFiles(Path(state, PROMPTS_FOLDER), encoder)
        work = Path(params.work_folder) if params.work_folder else None
        self._steps = KeptSteps(work)
        self._resumed: Checkpoint | None = None
        self._preview = LivePreview(work, LatentColours.of(warm.model.config("vae")))
        self._denoised = False
        self._steps_to_make = self._plan.steps
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
        problem = media_place.check(str(folder), self._plan.disk_bytes)
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
        take_folder.publish(self._settings(take, seconds, memory.notes))
        self._steps.remove()
        return RunResult(take, seconds, memory.notes)

    def _made(self, memory: JobMemory, folder: Path) -> bool:
        """Make the pictures; False where memory ran out and `memory` has a smaller plan now."""
        self._part, self._denoised = "", False
        try:
            self._make_pictures(Placement(self._warm.model, memory.plan, self._on_load, self._on_ready), folder)
        except Exception as error:
            if not devices.is_out_of_memory(error) or not memory.shrink(self._part):
                raise
            return False
        return True

    def _make_pictures(self, placement: Placement, folder: Path) -> None:
        """From the sources to the media in `folder`, or from where an earlier try has come to."""
        try:
            with self._timed("encode", placement):
                canvas = self._gather()
                self._resumed = self._steps.find(fingerprint(self._params, canvas, self._warm.model))
                kept = canvas.kept
                if self._resumed is not None:
                    self._preview.go_on()
                    self._progress.preview = self._preview.path
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
        if part == "transformer" and self._resumed is not None:
            done, steps = self._resumed.done, self._steps_to_make
            self._progress.go_on(done, steps, f"Going on at step {min(done + 1, steps)} of {steps}")
        elif part == "transformer":
            self._progress.phase(JobState.DENOISING, f"Step 0 of {self._plan.steps}")
        elif self._denoised:
            self._progress.phase(JobState.DECODING, "Making the pictures")
        else:
            self._progress.phase(JobState.ENCODING, ENCODING[part])

    def _gather(self) -> Canvas:
        if self._request.sources:
            self._progress.phase(JobState.ENCODING, "Reading the footage")
        model, stop = self._warm.model, self._should_stop
        depth_of = partial(depth_guide.follow, model_folder=model.folder, device=str(model.device), should_stop=stop)
        return gather(self._request, self._plan, depth_of, stop)

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
        self._steps.keep(Checkpoint.at_the_end(self._plan.steps - conditions.first_step, latents))
        self._denoised = True
        return latents

    def _denoise(self, placement: Placement, conditions: Conditions) -> torch.Tensor:
        plan, steps = self._plan, self._plan.steps - conditions.first_step
        self._steps_to_make = steps
        config = self._warm.model.config("scheduler")
        scheduler = make_scheduler(config, plan.sampler, plan.flow_shift)
        with placement.use("transformer") as transformer:
            return denoise(
                transformer,
                scheduler,
                conditions,
                steps=plan.steps,
                guidance_scale=plan.guidance_scale,
                window=latent_frames(plan.window_frames) if plan.window_frames else 0,
                on_step=lambda n: self._progress.advance(n, steps, f"Step {n} of {steps}"),
                after_step=self._after_step,
                resumed=self._resumed,
                should_stop=self._should_stop,
            )

    def _after_step(self, step: Step) -> None:
        """Keep what was made, and show it."""
        try:
            self._steps.keep(step.checkpoint())
        except Unkept as why:
            log.warning("this step can't be gone on from: %s", why)
        self._preview.show(step)
        self._progress.preview = self._preview.path

    def _decode(self, placement: Placement, latents: torch.Tensor, kept: dict[int, np.ndarray], folder: Path) -> None:
        frames, done = self._plan.model_frames, 0
        conformer = Conformer(Schedule.of(self._plan, self._request), self._request.conform)

        def counted(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            """Each picture counts twice: when it is decoded, and when it is finished."""
            nonlocal done
            for number, picture in enumerate(pictures, start=1):
                check(self._should_stop)
                done += 1
                self._progress.advance(done, 2 * frames, f"Frame {number} of {frames}")
                yield picture

        def take_pictures(vae: Any) -> Iterator[tuple[int, np.ndarray]]:
            made = counted(picture for some in decode(vae, latents, self._should_stop) for picture in some)
            for number, picture in enumerate(counted(finished(made, frames, kept, folder / SPOOL_FILE))):
                yield from conformer.feed(number, picture)
            yield from conformer.finish()

        with placement.use("vae") as vae, self._writer(folder) as writer:
            for picture, indices in runs(take_pictures(vae)):
                writer.write(picture, indices)

    def _writer(self, folder: Path) -> AbstractContextManager[PngSequence | Movie]:
        request, plan = self._request, self._plan
        if request.media_format is MediaFormat.PNG:
            return nullcontext(PngSequence(folder))
        file = folder / first_file(request.media_format)
        return Movie(file, request.media_format, request.frame_rate.exact(), plan.width, plan.height)

    def _settings(self, take: Take, seconds: PhaseSeconds, notes: list[str]) -> dict[str, Any]:
        """What take.json says: all that is needed to make the take again, and how it was made."""
        return {
            "format": 1,
            "job_id": self._params.job_id,
            "request": to_json(self._request),
            "plan": to_json(self._plan),
            "take": to_json(take),
            "seconds": to_json(seconds),
            "notes": notes,
            "backend": {
                "version": __version__,
                "torch": torch.__version__,
                "device": devices.name(self._warm.model.device),
            },
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
