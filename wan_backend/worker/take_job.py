"""One job from RunParams to a take on the disk. May import torch, pipelines, models, frames and protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
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
from ..models.placement import Placement, plan_memory
from ..pipelines import depth_guide, tasks, text_to_video, tiny_decoder
from ..pipelines.autoencoder import latent_frames
from ..pipelines.canvas import Canvas
from ..pipelines.conditions import Conditions
from ..pipelines.decode import decode
from ..pipelines.denoise import denoise_in_turn
from ..pipelines.experts import experts_of
from ..pipelines.sampling import make_scheduler
from ..pipelines.stopping import ShouldStop, check
from ..protocol.conversion import to_json
from ..protocol.errors import Refusal
from ..protocol.media import first_file
from ..protocol.messages import (
    Decoder,
    JobState,
    MediaFormat,
    PhaseSeconds,
    ProgressParams,
    RunParams,
    RunResult,
    Take,
)
from .gather import gather
from .pictures import finished, runs
from .progress import Pace, Progress, Work

log = logging.getLogger(__name__)

NO_TINY_NOTE = "The tiny autoencoder can't be loaded, so the model's own made the pictures; fetch the tiny one again."
SPOOL_FILE = "decoded.part"
TINY_NOTE = (
    "The autoencoder needs more memory than there is, so the tiny one made the pictures: their detail is softer."
)
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
        self._denoised = False
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
        with TakeFolder(folder, self._params.job_id) as take_folder:
            return self._make_in(take_folder)

    def _make_in(self, take_folder: TakeFolder) -> RunResult:
        placement = self._place()
        plan = self._plan
        began, loaded = time.monotonic(), 0.0
        marks: list[float] = []

        def lap() -> None:
            """Note the seconds since the last lap, without those that loading took."""
            nonlocal began, loaded
            now = time.monotonic()
            marks.append(now - began - (placement.load_seconds - loaded))
            began, loaded = now, placement.load_seconds

        canvas = self._gather()
        conditions = self._prepare(placement, canvas)
        kept = canvas.kept
        del canvas
        lap()
        latents = self._denoise(placement, conditions)
        del conditions
        lap()
        self._decode(placement, latents, kept, take_folder.partial)
        lap()
        seconds = PhaseSeconds(0.0, placement.load_seconds, *marks)
        self._warm.pace.learn(seconds, self._work)
        rate = self._request.frame_rate
        take = Take(
            folder=str(take_folder.final),
            first_file=first_file(self._request.media_format),
            media_format=self._request.media_format,
            frames=plan.take_frames,
            width=plan.width,
            height=plan.height,
            frame_rate=rate,
        )
        check(self._should_stop)
        take_folder.publish(self._settings(take, seconds))
        return RunResult(take, seconds)

    def _place(self) -> Placement:
        plan = self._plan
        at_once = min(plan.model_frames, plan.window_frames or plan.model_frames)
        model, budget = self._warm.model, self._params.memory_budget_bytes
        memory = plan_memory(model, plan.width, plan.height, at_once, budget, plan.loras)
        if not memory.decode_fits and self._params.tiny_decoder and plan.decoder is Decoder.WHOLE:
            self._plan = replace(plan, decoder=Decoder.TINY, notes=[*plan.notes, TINY_NOTE])
        return Placement(model, memory, self._on_load, self._on_ready, plan.loras)

    def _on_load(self, part: str) -> None:
        check(self._should_stop)
        self._progress.phase(JobState.LOADING, LOADING[part])

    def _on_ready(self, part: str) -> None:
        """A part stands ready: the phase that it is for begins."""
        check(self._should_stop)
        if part == "transformer_2":
            self._progress.phase(JobState.DENOISING, "Going on with the second transformer")
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

    def _denoise(self, placement: Placement, conditions: Conditions) -> torch.Tensor:
        plan, steps = self._plan, self._plan.steps - conditions.first_step
        config = self._warm.model.config("scheduler")
        scheduler = make_scheduler(config, plan.sampler, plan.flow_shift, plan.timesteps, self._request.seed)
        latents = denoise_in_turn(
            experts_of(placement, plan, scheduler.config.num_train_timesteps),
            scheduler,
            conditions,
            steps=plan.steps,
            window=latent_frames(plan.window_frames) if plan.window_frames else 0,
            on_step=lambda n: self._progress.advance(n, steps, f"Step {n} of {steps}"),
            should_stop=self._should_stop,
        )
        self._denoised = True
        return latents

    def _decode(self, placement: Placement, latents: torch.Tensor, kept: dict[int, np.ndarray], folder: Path) -> None:
        frames, done = self._plan.model_frames, 0
        schedule = Schedule.of(self._plan, self._request)
        conformer = Conformer(schedule, self._request.conform)
        continues = self._plan.kept_before or self._plan.kept_after
        times = [float(time) for time in schedule.times()] if continues else None

        def counted(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            """Each picture counts twice: when it is decoded, and when it is finished."""
            nonlocal done
            for number, picture in enumerate(pictures, start=1):
                check(self._should_stop)
                done += 1
                self._progress.advance(done, 2 * frames, f"Frame {number} of {frames}")
                yield picture

        def take_pictures(decoded: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
            made = counted(picture for some in decoded for picture in some)
            for number, picture in enumerate(counted(finished(made, frames, kept, folder / SPOOL_FILE, times))):
                yield from conformer.feed(number, picture)
            yield from conformer.finish()

        with self._decoded(placement, latents) as pictures, self._writer(folder) as writer:
            for picture, indices in runs(take_pictures(pictures)):
                writer.write(picture, indices)

    @contextmanager
    def _decoded(self, placement: Placement, latents: torch.Tensor) -> Iterator[Iterator[np.ndarray]]:
        """The model's pictures, some at a time: by its autoencoder, or by the tiny one that was planned."""
        tiny = self._tiny(placement, latents.shape[1]) if self._plan.decoder is Decoder.TINY else None
        if tiny is not None:
            self._on_ready("vae")
            yield tiny_decoder.decode(tiny, latents, self._should_stop)
            return
        with placement.use("vae") as vae:
            yield decode(vae, latents, self._should_stop)

    def _tiny(self, placement: Placement, channels: int) -> tiny_decoder.TinyDecoder | None:
        """The tiny autoencoder; None where it can't be loaded, and the model's own serves as well."""
        model = self._warm.model
        try:
            return tiny_decoder.load(Path(self._params.tiny_decoder), channels, model.device, model.precision.vae)
        except Refusal:
            if not placement.plan.decode_fits:
                raise
        # The take is all but made: it isn't to be lost for want of the quicker way.
        self._plan = replace(self._plan, decoder=Decoder.WHOLE, notes=[*self._plan.notes, NO_TINY_NOTE])
        return None

    def _writer(self, folder: Path) -> AbstractContextManager[PngSequence | Movie]:
        request, plan = self._request, self._plan
        if request.media_format is MediaFormat.PNG:
            return nullcontext(PngSequence(folder))
        file = folder / first_file(request.media_format)
        return Movie(file, request.media_format, request.frame_rate.exact(), plan.width, plan.height)

    def _settings(self, take: Take, seconds: PhaseSeconds) -> dict[str, Any]:
        """What take.json says: all that is needed to make the take again, and how it was made."""
        return {
            "format": 1,
            "job_id": self._params.job_id,
            "request": to_json(self._request),
            "plan": to_json(self._plan),
            "take": to_json(take),
            "model_parts": to_json(self._params.model_parts),
            "seconds": to_json(seconds),
            "backend": {
                "version": __version__,
                "torch": torch.__version__,
                "device": devices.name(self._warm.model.device),
            },
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
