"""The denoising loop, one for all tasks and architectures: what differs between them is in the Conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ..loading.camera_transformer import computed_once
from ..planning.calibrations import Branch
from . import guidance_interval, source_guidance, step_cache, transfers
from .conditions import Conditions
from .elsewhere import NOWHERE, Answer, Elsewhere
from .experts import DenoisingExpert, turns
from .guidance_interval import GuidedSteps
from .step_cache import EVERY_STEP_COMPUTED, CachedSteps, Forward, MagnitudeRatios
from .step_checkpoint import Checkpoint
from .stopping import ShouldStop, check, checked, never
from .windows import blended, plan_windows


@dataclass(frozen=True)
class DenoisingStep:
    """A step that was made: the latents before and after it, and what led from one to the other."""

    done: int
    """The number of steps made so far, with this one."""
    latents: torch.Tensor
    """(1, C, references + T, h, w), the input of the next step."""
    before: torch.Tensor
    """The latents before this step; shaped like `latents`, and so is `velocity`."""
    velocity: torch.Tensor
    """The transformer's guided prediction."""
    noise: torch.Tensor
    """The share of noise in `before`, 0 to 1."""
    references: int
    sampler: Any
    can_resume: bool = True
    """False if the next step needs more than is kept: what the transformer computed in this one or before."""

    def clean(self, frame: int) -> torch.Tensor:
        """(C, h, w) float32: the model's estimate of the take's latent frame `frame` without its noise."""
        place = self.references + frame
        before, velocity = (each[0, :, place].float() for each in (self.before, self.velocity))
        return before - self.noise.to(before) * velocity

    def copy(self, with_checkpoint: bool = True) -> StepCopy:
        """What is to be kept and shown of the step, on its way to the CPU."""
        kept = None
        if with_checkpoint and self.can_resume:
            kept = Checkpoint.after(self.done, self.latents, self.sampler)
        clean = transfers.copied(self.clean((self.latents.shape[2] - self.references) // 2))
        return StepCopy(self.done, kept, clean, transfers.record(self.latents.device))


@dataclass(frozen=True)
class StepCopy:
    """What is to be kept and shown of a step, on the CPU once it `is_there`."""

    done: int
    """The number of steps made, with this one."""
    checkpoint: Checkpoint | None
    """All that the next step needs; None if that can't be kept, or isn't to be."""
    clean: torch.Tensor
    """(C, h, w) float32: the model's estimate of the middle of the take without its noise."""
    event: Any = None
    """The CUDA event after which it is there; None if it is."""

    @property
    def is_there(self) -> bool:
        """Whether it may be read."""
        return self.event is None or bool(self.event.query())

    def wait(self) -> None:
        """Wait until it is there."""
        if self.event is not None:
            self.event.synchronize()


@dataclass(frozen=True)
class SkippedWork:
    """Work that is left out, and what is measured for that; nothing by default."""

    guided: GuidedSteps | None = None
    """The steps with guidance; None: all."""
    cached: CachedSteps = EVERY_STEP_COMPUTED
    measured: MagnitudeRatios | None = None
    """Gets the ratios of a take in which no step is skipped; None: nothing is measured."""

    def forward(self, transformer: Any) -> Forward:
        """The forward pass of a transformer, for its turn."""
        if self.measured is not None:
            return self.measured.measure(transformer)
        return step_cache.apply(self.cached, transformer)


ALL_WORK = SkippedWork()


def denoise(
    transformer: Any,
    scheduler: Any,
    conditions: Conditions,
    *,
    steps: int,
    guidance_scale: float,
    window: int = 0,
    after_step: Callable[[DenoisingStep], None] = lambda _step: None,
    resumed: Checkpoint | None = None,
    should_stop: ShouldStop = never,
    skipped: SkippedWork = ALL_WORK,
    elsewhere: Elsewhere = NOWHERE,
) -> torch.Tensor:
    """Run `denoise_in_turn` with one transformer, which makes all steps.

    With a guidance_scale of at most 1 it runs once a step, not twice.
    """
    return denoise_in_turn(
        [DenoisingExpert(lambda: nullcontext(transformer), guidance_scale)],
        scheduler,
        conditions,
        steps=steps,
        window=window,
        after_step=after_step,
        resumed=resumed,
        should_stop=should_stop,
        skipped=skipped,
        elsewhere=elsewhere,
    )


@torch.no_grad()
def denoise_in_turn(
    experts: Sequence[DenoisingExpert],
    scheduler: Any,
    conditions: Conditions,
    *,
    steps: int,
    window: int = 0,
    after_step: Callable[[DenoisingStep], None] = lambda _step: None,
    resumed: Checkpoint | None = None,
    should_stop: ShouldStop = never,
    skipped: SkippedWork = ALL_WORK,
    elsewhere: Elsewhere = NOWHERE,
) -> torch.Tensor:
    """(1, C, T, H, W) float32 latents, clean.

    `after_step` is called with each step that was made. With `resumed`, a checkpoint of the same job, the steps go on
    from there. `window` is the most latent frames that a transformer sees at once (0: all). `elsewhere` may compute
    a part of it, if no step reuses anything. Raises Stopped before the next block of a
    transformer once `should_stop()` is true; the transformer is left unchanged.
    """
    first, references = conditions.first_step, conditions.references
    scheduler.set_timesteps(steps, device=conditions.latents.device)
    scheduler.set_begin_index(first)  # otherwise each step looks its index up and waits for the card
    latents, made = _noised(scheduler, conditions), 0
    if resumed is not None:
        latents, made = resumed.restore(scheduler, latents.device), resumed.done
    windows = plan_windows(latents.shape[2] - references, window)
    seen = [conditions] if len(windows) == 1 else [conditions.cut(each) for each in windows]
    for turn in turns(experts, scheduler.timesteps.tolist(), first + made):
        check(should_stop)
        elsewhere.turn(turn.expert.component)
        with turn.expert.use() as transformer, checked(_blocks(transformer), should_stop), computed_once(transformer):
            forward = elsewhere.with_others(skipped.forward(transformer))
            for step in turn.steps:
                check(should_stop)
                timestep, done, before = scheduler.timesteps[step], step - first + 1, latents
                scale = guidance_interval.apply(skipped.guided, turn.expert.guidance_scale, step)
                velocity = partial(_seen_velocity, transformer, forward, elsewhere, seen, timestep, scale, step)
                if conditions.sources:
                    sigma = float(scheduler.sigmas[step])
                    velocity = partial(_edited_velocity, transformer, forward, seen, timestep, scale, sigma, step)
                flow = blended(before, references, windows, velocity)
                latents = scheduler.step(flow, timestep, before, return_dict=False)[0]
                noise, can_resume = scheduler.sigmas[step], skipped.cached.needs_nothing(step + 1)
                after_step(DenoisingStep(done, latents, before, flow, noise, references, scheduler, can_resume))
        del transformer, forward, velocity  # nothing here holds an expert that is to leave
    return _with_given(conditions, latents)[:, :, references:]


def _blocks(transformer: Any) -> list[Any]:
    return [*transformer.blocks, *getattr(transformer, "vace_blocks", [])]


def _seen_velocity(
    transformer: Any,
    forward: Forward,
    elsewhere: Elsewhere,
    seen: Sequence[Conditions],
    timestep: torch.Tensor,
    guidance_scale: float,
    step: int,
    window: int,
    latents: torch.Tensor,
) -> torch.Tensor:
    """The guided prediction for the latents of one window."""
    of_window = partial(forward, window=window, step=step)
    ask = partial(elsewhere.ask, window)
    return _velocity(transformer, of_window, ask, seen[window], latents, timestep, guidance_scale, step)


def _edited_velocity(
    transformer: Any,
    forward: Forward,
    seen: Sequence[Conditions],
    timestep: torch.Tensor,
    guidance_scale: float,
    sigma: float,
    step: int,
    window: int,
    latents: torch.Tensor,
) -> torch.Tensor:
    """The guided prediction for the latents of one window of an edit; `sigma` is their share of noise."""
    conditions = seen[window]
    of_window = partial(
        forward,
        window=window,
        step=step,
        hidden_states=latents.to(transformer.dtype),
        timestep=timestep.expand(latents.shape[0]),
        return_dict=False,
    )
    prompt = of_window(Branch.PROMPT, encoder_hidden_states=conditions.prompt_embeds, sources=conditions.sources)
    negative = conditions.negative_prompt_embeds
    if guidance_scale <= 1 or negative is None:
        return prompt

    def without_words(sources: Sequence[torch.Tensor]) -> torch.Tensor:
        return of_window(Branch.NEGATIVE, encoder_hidden_states=negative, sources=sources)

    footage, pictures = conditions.sources[:1], conditions.sources[1:]
    if not pictures:
        return source_guidance.projected(latents, sigma, without_words(footage), prompt, guidance_scale)
    before = [without_words(each) for each in ((), footage, conditions.sources)]
    return source_guidance.chained([*before, prompt], guidance_scale)


def _noised(scheduler: Any, conditions: Conditions) -> torch.Tensor:
    """The latents of the first step: the noise, or the source with as much noise as that step expects."""
    if conditions.source is None:
        return conditions.latents
    sigma = scheduler.sigmas[conditions.first_step].to(conditions.latents)
    return (1 - sigma) * conditions.source + sigma * conditions.latents


def _velocity(
    transformer: Any,
    forward: Callable[..., torch.Tensor],
    ask: Callable[[dict[str, torch.Tensor]], Answer | None],
    conditions: Conditions,
    latents: torch.Tensor,
    timestep: torch.Tensor,
    guidance_scale: float,
    step: int,
) -> torch.Tensor:
    """The guided prediction for `latents` at `timestep`, in their shape."""
    fixed: dict[str, torch.Tensor] = {
        "hidden_states": _input(conditions, latents).to(transformer.dtype),
        "timestep": _times(transformer, conditions, latents, timestep),
    }
    control = conditions.control_of(step)
    if control is not None:
        fixed["control_hidden_states"] = control
    if conditions.image_embeds is not None:
        fixed["encoder_hidden_states_image"] = conditions.image_embeds
    if conditions.cameras is not None:
        fixed["cameras"] = conditions.cameras
    words: dict[str, Any] = {"encoder_hidden_states": conditions.prompt_embeds}
    if conditions.spans:
        words["spans"] = conditions.spans
    if guidance_scale <= 1 or conditions.negative_prompt_embeds is None:
        return forward(Branch.PROMPT, **words, **fixed, return_dict=False)
    negative = {"encoder_hidden_states": conditions.negative_prompt_embeds, **fixed}
    answer = ask(negative)
    prediction = forward(Branch.PROMPT, **words, **fixed, return_dict=False)
    away = None if answer is None else answer()
    if away is None:
        away = forward(Branch.NEGATIVE, **negative, return_dict=False)
    return away + guidance_scale * (prediction - away)


def _input(conditions: Conditions, latents: torch.Tensor) -> torch.Tensor:
    """The transformer's input: the latents with those that are given, and what is joined to their channels."""
    latents = _with_given(conditions, latents)
    return latents if conditions.joined is None else torch.cat([latents, conditions.joined], dim=1)


def _with_given(conditions: Conditions, latents: torch.Tensor) -> torch.Tensor:
    """The latents, with those that are given in place of the first ones: no step changes them."""
    given = conditions.given
    return latents if given is None else torch.cat([given, latents[:, :, given.shape[2] :]], dim=2)


def _times(transformer: Any, conditions: Conditions, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """(1,) the time of the clip; if latent frames are given, (1, tokens), and theirs is 0: no noise."""
    if conditions.given is None:
        return timestep.expand(latents.shape[0])
    frames, height, width = latents.shape[2:]
    deep, high, wide = transformer.config.patch_size
    times = timestep.float().expand(frames // deep, height // high, width // wide).clone()
    times[: conditions.given.shape[2] // deep] = 0
    return times.reshape(1, -1)
