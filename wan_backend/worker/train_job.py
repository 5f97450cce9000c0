"""One training, from its RunParams to a LoRA on the disk: clips to latents, then step after step.

Whatever ends the worker, the training goes on from the step that was kept last, and comes to the same. Of a model with
two experts each is trained for as many steps as lie between two samples, then the other: so every LoRA that is kept is
of both.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import diffusers
import torch

from .. import __version__
from ..catalogue import entries
from ..loading import devices
from ..loading.residency import PlacedModel
from ..loading.wan_model import WanModel
from ..lora.resolve import EXPERTS
from ..memory import training_needs
from ..memory.needs import PLAIN_TOKEN_PIXELS, VideoShape
from ..memory.training_needs import TrainedShape
from ..pipelines.stopping import ShouldStop, Stopped, check
from ..pipelines.transfers import NoPictures
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import Refusal
from ..protocol.media import STEPS_FILE
from ..protocol.messages import (
    MAX_CURVE,
    JobState,
    PhaseSeconds,
    Problem,
    ProblemKind,
    ProgressParams,
    RunParams,
    RunResult,
    TrainedLora,
    Training,
    TrainingPlan,
    TrainingStatus,
)
from ..protocol.sentences import Sentence
from ..storage import media_folder
from ..training import lora_file
from ..training.kept_clips import as_step_takes
from ..training.kept_training import TrainingState
from ..training.noising import NoisedClip, Times, clip_of, is_empty
from ..training.optimizer import numbers_of
from ..training.trained_model import StepOutcome, TrainedModel
from .base_model_hash import BaseModelHash
from .job_memory import JobMemory
from .source_reader import Read
from .trained_loras import TrainedLoras
from .training_clips import ClipMaker, TrainingClips
from .training_progress import TrainingProgress
from .training_samples import sample

log = logging.getLogger(__name__)

KEEP_SECONDS = 60.0
"""Between two times that the steps are kept, at the least."""
KEEP_SHARE = 20
"""Keeping them takes no more than a part in so many of the time."""
QUICK_KEEP_SECONDS = 1.0
"""What is kept this quickly is kept once more where the training is stopped."""
LESS_MEMORY = Sentence("Out of memory: continuing with less of the model in memory")
STOPPED_FILE = "stopped"
"""It says that a training was told to stop in the middle of a sample."""


@dataclass(frozen=True)
class TrainingTurn:
    """Which transformer has a step, and how many it had before."""

    component: str
    step: int


@dataclass
class _Facts:
    """What is kept beside the numbers."""

    losses: list[list[float]] = field(default_factory=list)
    """The sum of the losses of each part of the curve, and their number."""
    kept: list[TrainedLora] = field(default_factory=list)
    without: str = ""

    def note(self, step: int, loss: float, curve_steps: int) -> None:
        """Add the loss of a step, counted from 0."""
        part = step // curve_steps
        while len(self.losses) <= part:
            self.losses.append([0.0, 0])
        self.losses[part][0] += loss
        self.losses[part][1] += 1

    @property
    def curve(self) -> list[float]:
        """The means of the parts."""
        return [round(total / count, 5) for total, count in self.losses if count]

    def pack(self) -> dict[str, Any]:
        """As plain values."""
        return {"losses": self.losses, "kept": to_json(self.kept), "without": self.without}

    @classmethod
    def unpack(cls, values: dict[str, Any]) -> _Facts:
        """What `pack` gave. Raises what bad values raise."""
        return cls(
            [[float(total), int(count)] for total, count in values["losses"]],
            from_json(list[TrainedLora], values["kept"], "kept"),
            str(values["without"]),
        )


def turn_of(step: int, plan: TrainingPlan, components: tuple[str, ...]) -> TrainingTurn:
    """Whose a step is, counted from 0: rounds of `sample_every` steps of each; the last round may be shorter."""
    every, count = plan.sample_every, len(components)
    rounds, within = divmod(step, every * count)
    length = min(every, plan.steps - rounds * every)
    return TrainingTurn(components[within // length], rounds * every + within % length)


def ends_round(done: int, plan: TrainingPlan, components: tuple[str, ...]) -> bool:
    """Whether all transformers have had the same number of steps after `done` of all, and a sample is due."""
    last = turn_of(done - 1, plan, components)
    own = last.step + 1
    return last.component == components[-1] and (own % plan.sample_every == 0 or own == plan.steps)


def train(
    params: RunParams,
    model: WanModel,
    report: Callable[[ProgressParams], None],
    should_stop: ShouldStop,
    read: Read,
    on_read: Callable[[str], None] = lambda _place: None,
) -> RunResult:
    """Train the LoRA of a job. Raises Refusal, Stopped, OSError, or what the libraries raise."""
    problem = media_folder.check(params.request.media_folder, params.plan.disk_bytes, media_folder.LORAS)
    if problem is not None:
        raise Refusal(problem)
    return _TrainJob(params, model, report, should_stop, read, on_read).run()


class _TrainJob:
    """One try at a training, in one process."""

    def __init__(
        self,
        params: RunParams,
        model: WanModel,
        report: Callable[[ProgressParams], None],
        should_stop: ShouldStop,
        read: Read,
        on_read: Callable[[str], None],
    ) -> None:
        assert params.request.training is not None and params.plan.training is not None and params.work_folder
        self._params, self._model, self._should_stop, self._read = params, model, should_stop, read
        self._training: Training = params.request.training
        self._plan: TrainingPlan = params.plan.training
        self._folder = Path(params.work_folder)
        self._on_read = on_read
        self._components = tuple(name for name in EXPERTS if name == "transformer" or model.boundary is not None)
        self._steps = self._plan.steps * len(self._components)
        self._curve_steps = max(1, math.ceil(self._steps / (MAX_CURVE - 1)))
        self._progress = TrainingProgress(params.job_id, self._steps, report)
        self._facts, self._state = _Facts(), TrainingState()
        self._seconds = dict.fromkeys(("load", "encode", "denoise", "decode"), 0.0)
        self._notes: list[Sentence] = []
        self._kept_at, self._keep_took = time.monotonic(), 0.0
        self._hash = BaseModelHash(model, self._components)
        self._component = ""
        """The component of the model that was brought last."""
        self._loras: TrainedLoras
        self._fingerprint = ""
        self._clips: TrainingClips

    @property
    def _file(self) -> Path:
        return self._folder / STEPS_FILE

    def run(self) -> RunResult:
        """To the end, or as far as it goes."""
        self._progress.phase(JobState.LOADING, Sentence("Getting ready"))
        self._folder.mkdir(parents=True, exist_ok=True)
        entry = entries.entry(self._params.plan.model)
        trunk_alone = self._model.controlled and entry.trunk_makes_text
        memory = JobMemory(self._model, self._params)
        with self._hash:
            placement = self._make_clips(memory, wants_control=self._model.controlled and not trunk_alone)
        self._notes = [*self._clips.notes, *self._notes]
        self._model.drop_all()
        devices.release(self._model.device)
        settled = training_needs.choose(self._shape(), memory.device_bytes, memory.on_cpu)
        while True:
            try:
                with TrainedModel(
                    *(self._model, self._plan, settled, self._params.request.seed, trunk_alone, self._on_load)
                ) as trained:
                    self._begin()
                    return self._train(trained, placement)
            except Exception as error:
                less = None if memory.on_cpu else training_needs.smaller(self._shape(), settled)
                if less is None or not devices.is_out_of_memory(error):
                    raise
            # Only here is the error gone, and with its traceback the tensors of the try.
            log.warning("out of memory with %s: it goes on with %s", settled, less)
            settled = less
            self._progress.busy(LESS_MEMORY)
            self._model.drop_all()
            devices.release(self._model.device)

    def _make_clips(self, memory: JobMemory, wants_control: bool) -> PlacedModel:
        """Encode clips and captions, again with less memory if need be; the placement that did it."""
        while True:
            placement = PlacedModel(self._model, memory.plan, self._on_load, self._on_ready, on_read=self._on_read)
            try:
                with self._timed("encode"):
                    self._clips = ClipMaker(
                        *(self._params, placement, self._folder, self._read, self._should_stop),
                        self._progress.encoding,
                        wants_control=wants_control,
                    ).make()
                return placement
            except Exception as error:
                if not devices.is_out_of_memory(error) or not memory.shrink(self._component):
                    raise
            self._progress.busy(LESS_MEMORY)
            self._model.drop_all()
            devices.release(self._model.device)

    def _shape(self) -> TrainedShape:
        plan, model = self._params.plan, self._model
        patch = int(model.config("vae").get("patch_size") or 1)
        longest = max(clip.frames for clip in self._clips.clips)
        video = VideoShape(plan.width, plan.height, longest, PLAIN_TOKEN_PIXELS * patch)
        weights, rank = model.parameter_count("transformer"), self._plan.rank
        return TrainedShape.of(model.config("transformer"), weights, rank, video, model.precision.transformer.itemsize)

    def _begin(self) -> None:
        """Find where an earlier try has left off."""
        self._fingerprint = self._fingerprint_now()
        self._state, self._facts = TrainingState(), _Facts()
        found = TrainingState.read(self._file, self._fingerprint) if self._file.exists() else None
        if found is not None:
            self._state, self._facts = found, _Facts.unpack(found.facts)
        self._loras = TrainedLoras(
            Path(self._params.request.media_folder), self._training.name, self._params.job_id, self._facts.kept
        )
        self._loras.begin(self._settings())

    def _fingerprint_now(self) -> str:
        """64 hexadecimal digits for all that a person asked for: the numbers go on only if it is the same.

        What another card, or less memory than before, does to the numbers is little beside the hours that were spent.
        """
        plan = self._params.plan
        facts = {
            "training": to_json(replace(self._training, name="", names=[], sample_prompt="")),
            "plan": to_json(self._plan),
            "size": [plan.width, plan.height, plan.model_frames],
            "seed": self._params.request.seed,
            "clips": [[clip.digest, clip.caption, clip.plain_caption] for clip in self._clips.clips],
            "model": self._model.fingerprint(as_held=False),
            "versions": [__version__, torch.__version__, diffusers.__version__],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _settings(self) -> dict[str, Any]:
        """What training.json says: nothing that is a person's own but the names."""
        return {
            "name": self._training.name,
            "trigger": self._training.trigger,
            "kind": self._training.kind.value,
            "model": self._params.plan.model,
            "clips": len(self._clips.clips),
            "plan": to_json(self._plan),
            "seed": self._params.request.seed,
            "program": f"Wan VSE {__version__}",
        }

    # The steps

    def _train(self, trained: TrainedModel, placement: PlacedModel) -> RunResult:
        trained.states = dict(self._state.tensors)
        if self._state.step:
            self._progress.go_on(self._state.step)
        try:
            if self._owes_round():
                self._end_round(trained, placement, may_sample=self._was_stopped())
            self._sample_without(trained, placement)
            while self._state.step < self._steps:
                self._one_step(trained)
                if ends_round(self._state.step, self._plan, self._components):
                    self._end_round(trained, placement)
                elif self._is_time_to_keep():
                    self._keep(trained)
        except Stopped:
            if self._keep_took < QUICK_KEEP_SECONDS and self._state.step:
                with suppress(OSError):  # what was kept before is still there
                    self._keep(trained)
            if self._owes_round():
                with suppress(OSError):
                    (self._folder / STOPPED_FILE).touch()
            raise
        self._loras.finish(self._plan.steps, self._numbers(trained), self._head())
        self._facts.kept = self._loras.kept
        return RunResult(None, PhaseSeconds(0.0, **self._seconds), self._notes, self._status())

    def _one_step(self, trained: TrainedModel) -> None:
        check(self._should_stop)
        step, model = self._state.step, self._model
        turn = turn_of(step, self._plan, self._components)
        if trained.component != turn.component:
            with self._timed("load"):
                trained.bring(turn.component)
        with self._timed("denoise"):
            # By the transformer's own step: two experts are trained on the same clips.
            clip = self._clips.clips[clip_of(turn.step, len(self._clips.clips), self._params.request.seed)]
            encoded = as_step_takes(self._clips.encoded(clip), model.device, trained.dtype)
            noised = NoisedClip.of(encoded.latents, self._times(turn.component), self._params.request.seed, step)
            embeds = self._embeds(clip.caption)
            kept = None
            if self._plan.only_with_trigger:
                kept = self._embeds("" if is_empty(turn.step) else clip.plain_caption)
            control = self._clips.control.get(clip.frames)
            control = None if control is None else control.to(model.device, trained.dtype)
            outcome = trained.learn(encoded, noised, embeds, control, self._should_stop, kept)
            self._check_numbers(trained, outcome)
            trained.apply(turn.step)
        self._state.step += 1
        self._facts.note(step, outcome.loss, self._curve_steps)
        self._progress.step(self._state.step, self._status())

    def _embeds(self, prompt: str) -> torch.Tensor:
        return self._clips.embeds[prompt].to(self._model.device, self._model.precision.transformer)

    def _times(self, component: str) -> Times:
        boundary, times = self._model.boundary, Times(self._plan.timestep_shift, noisy_share=self._plan.noisy_share)
        if boundary is None:
            return times
        return replace(times, least=boundary) if component == "transformer" else replace(times, most=boundary)

    def _check_numbers(self, trained: TrainedModel, outcome: StepOutcome) -> None:
        """Stop where the loss is no number any more; what was good is kept."""
        if math.isfinite(outcome.loss) and math.isfinite(outcome.gradient_norm):
            return
        trained.forget()
        if not self._loras.kept and self._state.step:
            self._loras.keep(self._state.step, self._numbers(trained), self._head(), "")
            self._facts.kept = self._loras.kept
        self._progress.say(self._status())
        words = (
            Sentence(" The LoRA of step {step} is kept.", step=self._loras.kept[-1].step) if self._loras.kept else ""
        )
        raise Refusal(
            Problem(
                ProblemKind.BAD_SETTING,
                Sentence(
                    "The loss stopped being a number at step {step}, so the training was ended.{kept} Lower the "
                    "learning rate, or look whether a clip is damaged.",
                    step=self._state.step + 1,
                    kept=words,
                ),
            )
        )

    # What is kept

    def _owes_round(self) -> bool:
        """Whether an earlier try has ended between the last step of a round and its LoRA."""
        done = self._state.step
        if not done or not ends_round(done, self._plan, self._components):
            return False
        return all(lora.step != self._steps_of_each() for lora in self._loras.kept)

    def _was_stopped(self) -> bool:
        """Whether that was as it was told to: a sample that has ended it otherwise isn't tried again."""
        marker = self._folder / STOPPED_FILE
        was_stopped = marker.exists()
        marker.unlink(missing_ok=True)
        return was_stopped

    def _steps_of_each(self) -> int:
        return turn_of(self._state.step - 1, self._plan, self._components).step + 1

    def _end_round(self, trained: TrainedModel, placement: PlacedModel, may_sample: bool = True) -> None:
        """A LoRA that is kept, with its sample."""
        own = self._steps_of_each()
        self._keep(trained)
        picture = self._sample(trained, placement, own) if self._plan.sample_steps and may_sample else ""
        self._loras.keep(own, self._numbers(trained), self._head(own), picture)
        self._facts.kept = self._loras.kept
        self._keep(trained)
        self._progress.say(self._status(), picture)

    def _is_time_to_keep(self) -> bool:
        waited = time.monotonic() - self._kept_at
        return waited >= max(KEEP_SECONDS, KEEP_SHARE * self._keep_took)

    def _keep(self, trained: TrainedModel) -> None:
        began = time.monotonic()
        self._state.tensors, self._state.facts = trained.state(), self._facts.pack()
        self._state.write(self._file, self._fingerprint)
        self._kept_at = time.monotonic()
        self._keep_took = self._kept_at - began

    def _numbers(self, trained: TrainedModel) -> dict[str, dict[str, torch.Tensor]]:
        return {component: numbers_of(state) for component, state in sorted(trained.state().items())}

    def _head(self, steps: int | None = None) -> dict[str, str]:
        training, request = self._training, self._params.request
        captions = sum(bool(each.strip()) for each in training.captions[: len(request.sources)])
        return lora_file.head(
            training.name,
            training.trigger.strip(),
            self._params.plan.model,
            self._hash.value,
            captions or len(request.sources) * bool(training.caption.strip()),
            len(self._clips.clips),
            self._plan.steps if steps is None else steps,
            self._plan.rank,
        )

    # Samples

    def _sample_without(self, trained: TrainedModel, placement: PlacedModel) -> None:
        if self._plan.sample_steps and not self._facts.without:
            self._facts.without = self._sample(trained, placement, -1)
            self._progress.say(self._status(), self._facts.without)

    def _sample(self, trained: TrainedModel, placement: PlacedModel, step: int) -> str:
        """The path of the sample's picture; a sample that can't be made doesn't end the training."""
        steps = self._plan.sample_steps

        def after_step(done: int) -> None:
            self._progress.sampling(Sentence("A sample: step {done} of {steps}", done=done, steps=steps))

        with self._timed("decode"):
            try:
                arguments = self._params, placement, trained, self._clips, step >= 0, self._should_stop, after_step
                return self._loras.show(step, sample(*arguments))
            except NoPictures:
                log.warning("the sample after step %d has no pictures", step)
                return ""

    def _status(self) -> TrainingStatus:
        return TrainingStatus(
            curve=self._facts.curve,
            curve_steps=self._curve_steps,
            seconds_a_step=self._progress.seconds_a_step,
            clips=self._clips.cut,
            kept=self._facts.kept,
            picture_without=self._facts.without,
            trigger=self._training.trigger.strip(),
            notes=self._notes,
        )

    def _on_load(self, component: str) -> None:
        check(self._should_stop)
        self._component = component
        self._progress.busy(Sentence("Loading the model"))

    def _on_ready(self, component: str) -> None:
        self._component = component

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] += time.monotonic() - began
