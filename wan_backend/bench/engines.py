"""The two that are compared, with one face: stock diffusers, and ours. Both run the very same modules."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline, WanVACEPipeline
from PIL import Image

from ..loading import chunked_forward, devices
from ..loading.residency import PlacedModel, room_for
from ..loading.wan_model import WanModel
from ..memory.residency_plan import MemoryPlan, Residency
from ..pipelines import channels_last_autoencoder, task_conditions
from ..pipelines.conditions import Canvas, Conditions
from ..pipelines.decode import decode
from ..pipelines.denoise import denoise
from ..pipelines.elsewhere import NOWHERE, Elsewhere
from ..pipelines.encode import Film, encode
from ..pipelines.preparation import Preparation
from ..pipelines.sampling import make_scheduler
from ..protocol.messages import FrameRate, Plan, Role, Sampler, Source, TakeRequest, Task
from .time_and_memory import Measured, Meter, synchronize

PROMPT = "Fog rolls over a pine forest at dawn, slow dolly forward."
NEGATIVE_PROMPT = "blurry, overexposed, static, worst quality"
RESIDENT = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)


@dataclass(frozen=True)
class Work:
    """What is to be made; the same for both."""

    width: int
    height: int
    frames: int
    steps: int
    guidance_scale: float
    flow_shift: float
    seed: int = 0
    model_id: str = ""
    """The model's id in the catalogue, whose entry then counts; "" for none."""
    from_picture: bool = False
    """True for image to video, from `first_picture`."""


def first_picture(work: Work) -> np.ndarray:
    """The picture (H, W, 3) that a take from a picture begins with: noise, the same for both."""
    levels = np.random.default_rng(work.seed).integers(0, 256, (work.height, work.width, 3))
    return levels.astype(np.uint8)


class Engine(Protocol):
    """What is measured of each; one phase's result is the next one's input."""

    name: str

    def encode(self) -> Conditions:
        """All that comes before the first step."""

    def denoise(self, conditions: Conditions) -> tuple[torch.Tensor, list[float]]:
        """Latents, and the seconds of each step but the first."""

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames (N, H, W, 3), uint8."""

    def encode_footage(self, pictures: np.ndarray) -> torch.Tensor:
        """Latents of (N, H, W, 3) pictures, uint8, normalized as the transformer has them."""


class Ours:
    """Our pipeline, under the plan that a job would have."""

    name = "ours"

    def __init__(
        self,
        model: WanModel,
        work: Work,
        kernel_findings: Path | None = None,
        elsewhere: Elsewhere = NOWHERE,
        budget_bytes: int | None = None,
        shares: int = 1,
    ) -> None:
        """`budget_bytes` is what it may have of the device; `shares`: how many hold the transformer between them."""
        self._model, self._work, self._elsewhere = model, work, elsewhere
        plan = RESIDENT
        if model.device.type == "cuda" or shares > 1:
            room = room_for(model, work.width, work.height, work.frames, budget_bytes)
            plan = replace(room, shares=shares).plan()
        self.placement = PlacedModel(model, plan, kernel_findings=kernel_findings)

    def encode(self) -> Conditions:
        canvas = Canvas(kept={0: first_picture(self._work)} if self._work.from_picture else {})
        return task_conditions.prepare(Preparation(self.placement, *as_request(self._work), canvas))

    def denoise(self, conditions: Conditions) -> tuple[torch.Tensor, list[float]]:
        work, steps = self._work, StepTimes(self._model.device)
        with self.placement.use("transformer") as transformer:
            latents = denoise(
                transformer,
                make_scheduler(self._model.config("scheduler"), Sampler.UNIPC, work.flow_shift),
                conditions,
                steps=work.steps,
                guidance_scale=work.guidance_scale,
                after_step=lambda _step: steps.note(),
                elsewhere=self._elsewhere,
            )
        return latents, steps.seconds

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        with self.placement.use("vae") as vae:
            return np.concatenate(list(decode(vae, latents)))

    def encode_footage(self, pictures: np.ndarray) -> torch.Tensor:
        film = Film(len(pictures), self._work.width, self._work.height, dict(enumerate(pictures)))
        with self.placement.use("vae") as vae:
            return encode(vae, film)


def as_request(work: Work, media_folder: str = "", picture: Path | None = None) -> tuple[TakeRequest, Plan]:
    """The work as a request, and the plan that the server would make for it; `picture` is the first picture's file."""
    rate = FrameRate(16)
    request = TakeRequest(
        PROMPT, work.model_id, work.width, work.height, work.frames, rate, work.seed, media_folder,
        task=Task.IMAGE_TO_VIDEO if work.from_picture else Task.TEXT_TO_VIDEO, negative_prompt=NEGATIVE_PROMPT,
        sources=[] if picture is None else [Source(Role.FIRST, str(picture.parent), [picture.name])],
    )  # fmt: skip
    return request, Plan(
        work.model_id, work.width, work.height, work.frames, rate, work.frames,
        work.steps, work.guidance_scale, work.flow_shift, Sampler.UNIPC,
    )  # fmt: skip


class Stock:
    """diffusers' own pipeline over the same modules, as they were loaded."""

    name = "diffusers"

    def __init__(self, model: WanModel, work: Work) -> None:
        self._model, self._work = model, work
        kind: Any = WanVACEPipeline if model.controlled else WanPipeline
        config = model.config("scheduler")
        scheduler = UniPCMultistepScheduler.from_config(config, flow_shift=work.flow_shift)
        seeing: dict[str, Any] = {}
        if work.from_picture:
            kind = WanImageToVideoPipeline
            seeing = {"image_processor": model.image_processor, "image_encoder": model.image_encoder}
        self._pipe: Any = kind(
            tokenizer=model.tokenizer,
            text_encoder=model.text_encoder,
            transformer=model.transformer,
            vae=model.vae,
            scheduler=scheduler,
            **seeing,
        )
        self._pipe.set_progress_bar_config(disable=True)

    def restore(self) -> None:
        """Undo what our pipeline changes in the modules."""
        for component in self._model.components:
            self._model.component(component).to(self._model.device)
        chunked_forward.undo(self._model.transformer)
        channels_last_autoencoder.restore_layout(self._model.vae)

    @torch.no_grad()
    def encode(self, with_control: bool = True) -> Conditions:
        """See Engine; the pipeline makes a control anew, so that a whole take goes without."""
        self.restore()
        work, pipe, device = self._work, self._pipe, self._model.device
        positive, negative = pipe.encode_prompt(
            PROMPT, NEGATIVE_PROMPT, work.guidance_scale > 1, max_sequence_length=512, device=device
        )
        generator = torch.Generator().manual_seed(work.seed)
        if work.from_picture:  # `__call__` prepares what the picture gives
            frames = (work.frames - 1) // pipe.vae_scale_factor_temporal + 1
            sides = (side // pipe.vae_scale_factor_spatial for side in (work.height, work.width))
            latents = torch.randn(1, int(pipe.vae.config.z_dim), frames, *sides, generator=generator).to(device)
            return Conditions(positive, negative, latents)
        shape = (1, int(pipe.transformer.config.in_channels), work.height, work.width, work.frames)
        latents = pipe.prepare_latents(*shape, torch.float32, device, generator)
        if self._model.controlled and with_control:
            size = (1, work.height, work.width, work.frames)
            video, mask, references = pipe.preprocess_conditions(None, None, None, *size, torch.float32, device)
            control = pipe.prepare_video_latents(video, mask, references, None, device)
            pipe.prepare_masks(mask, references)
            del control  # its `__call__` makes them anew
        return Conditions(positive, negative, latents)

    def denoise(self, conditions: Conditions) -> tuple[torch.Tensor, list[float]]:
        self.restore()
        work, steps = self._work, StepTimes(self._model.device)

        def on_step(_pipe: Any, _index: int, _timestep: Any, _tensors: Any) -> dict[str, Any]:
            steps.note()
            return {}

        picture = {"image": Image.fromarray(first_picture(work))} if work.from_picture else {}
        result = self._pipe(
            **picture,
            prompt_embeds=conditions.prompt_embeds,
            negative_prompt_embeds=conditions.negative_prompt_embeds,
            latents=conditions.latents,
            height=work.height,
            width=work.width,
            num_frames=work.frames,
            num_inference_steps=work.steps,
            guidance_scale=work.guidance_scale,
            output_type="latent",
            callback_on_step_end=on_step,
        )
        return result.frames, steps.seconds

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        self.restore()
        pipe, vae = self._pipe, self._pipe.vae
        latents = latents.to(vae.dtype)
        mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(latents)
        inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(latents)
        video = vae.decode(latents / inverse + mean, return_dict=False)[0]
        frames = pipe.video_processor.postprocess_video(video, output_type="np")[0]
        return (frames * 255).round().astype(np.uint8)

    @torch.no_grad()
    def encode_footage(self, pictures: np.ndarray) -> torch.Tensor:
        self.restore()
        pipe, vae, work = self._pipe, self._pipe.vae, self._work
        video = pipe.video_processor.preprocess_video(list(map(Image.fromarray, pictures)), work.height, work.width)
        moments = vae.encode(video.to(vae.device, vae.dtype)).latent_dist
        mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(moments.mean)
        inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(moments.mean)
        latents: torch.Tensor = (moments.mode() - mean) * inverse
        return latents


class StepTimes:
    """Seconds between the ends of steps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._ends: list[float] = []

    def note(self) -> None:
        """A step has ended."""
        synchronize(self._device)
        self._ends.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        """Of each step but the first, which warms things up."""
        return [after - before for before, after in zip(self._ends, self._ends[1:], strict=False)]


@dataclass
class EngineRun:
    """The measurements of one engine."""

    encode: Measured = field(default_factory=Measured)
    denoise: Measured = field(default_factory=Measured)
    decode: Measured = field(default_factory=Measured)
    steps: list[float] = field(default_factory=list)
    frames: np.ndarray | None = None


def run_once(engine: Engine, run: EngineRun, device: torch.device) -> torch.Tensor:
    """Make one take, and add its measurements to `run`; its latents, on the CPU."""
    with Meter(device, run.encode):
        conditions = engine.encode()
    with Meter(device, run.denoise):
        latents, steps = engine.denoise(conditions)
    run.steps += steps
    with Meter(device, run.decode):
        run.frames = engine.decode(latents)
    made = latents.to("cpu", torch.float32)
    del conditions, latents
    devices.release(device)
    return made
