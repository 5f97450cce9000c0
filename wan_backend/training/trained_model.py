"""A model's transformers with their adapters: one at a time on the device, trained there or asked for a sample.

A control model whose transformer is the text model without its control is trained as that: the control's blocks leave
memory. Where another transformer, or the autoencoder, needs the room, the adapters wait on the CPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..loading import devices
from ..loading.wan_model import WanModel
from ..memory.training_needs import TrainingMemory
from ..pipelines.stopping import ShouldStop, checked
from ..protocol.messages import TrainingPlan
from . import lora_layers
from .kept_clips import EncodedClip
from .noising import NoisedClip
from .optimizer import AdapterOptimizer
from .trained_blocks import TrainedBlocks, trained_blocks

log = logging.getLogger(__name__)

BACKENDS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""torch's kernels of attention, in the order in which they are tried: on cards that have it, cuDNN's is the fastest on
the way back."""
TRUNK_PARTS = ("rope", "patch_embedding", "condition_embedder", "blocks", "norm_out", "proj_out", "scale_shift_table")


@dataclass(frozen=True)
class StepOutcome:
    """What a step has found, before anything is changed by it."""

    loss: float
    """Of the clip; not of what is to stay as it was."""
    gradient_norm: float


class TrainedModel:
    """Used within `with`; `bring` a transformer, then `learn` from clips and `apply` what was learned."""

    def __init__(
        self,
        model: WanModel,
        plan: TrainingPlan,
        memory: TrainingMemory,
        seed: int,
        trunk_alone: bool,
        on_load: Callable[[str], None] = lambda _component: None,
    ) -> None:
        """`trunk_alone`: of a control model, the transformer without its control is trained."""
        self._model, self._plan, self.memory, self._seed = model, plan, memory, seed
        self._trunk_alone, self._on_load = trunk_alone and model.controlled, on_load
        self.states: dict[str, dict[str, Tensor]] = {}
        """Of each transformer that isn't on the device: what its optimizer has."""
        self.component = ""
        """The transformer that is on the device; empty: none is."""
        self._transformer: Any = None
        self._optimizer: AdapterOptimizer | None = None
        self._blocks: TrainedBlocks | None = None
        self._backends = BACKENDS
        self._way = lora_layers.Way()

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format that the transformers compute in."""
        return self._model.precision.transformer

    @property
    def wants_control(self) -> bool:
        """True for a transformer that is trained with control, which leaves all to it."""
        return self._model.controlled and not self._trunk_alone

    def bring(self, component: str) -> None:
        """Have that transformer on the device, with its adapters as they were left. Raises Refusal."""
        if self.component == component:
            return
        self.put_away()
        self._model.weights_in_8_bit = self.memory.eight_bit
        self._on_load(component)
        transformer = self._model.component(component)
        self._model.drop(component)  # it is this training's from now on
        if self._trunk_alone:
            transformer = trunk_of(transformer)
        factors = lora_layers.attach(transformer, self._plan.rank, self._seed, self.dtype)
        lora_layers.keep_little(transformer, self._way, self.memory.keeps_all)
        self._place(transformer, factors)
        self._optimizer = AdapterOptimizer(
            factors, self._plan.learning_rate, self._plan.warm_up_steps, self._plan.steps
        )
        if component in self.states:
            self._optimizer.restore(self.states.pop(component))
        self._transformer, self.component = transformer, component

    def _place(self, transformer: Any, factors: Mapping[str, nn.Parameter]) -> None:
        if self.memory.stay_bytes is None:
            transformer.to(self.device)
            return
        for factor in factors.values():
            factor.data = factor.data.to(self.device)
        self._blocks = trained_blocks(transformer, self.device)
        for factor in factors.values():  # which went to the CPU with all else
            factor.data = factor.data.to(self.device)
        self._blocks.enter(self.memory.stay_bytes)

    def put_away(self) -> None:
        """Have no transformer on the device, nor in memory; what was learned stays."""
        if self._optimizer is not None:
            self.states[self.component] = self._optimizer.state()
        if self._blocks is not None:
            self._blocks.remove()
        self._transformer = self._optimizer = self._blocks = None
        self.component = ""
        devices.release(self.device)

    @contextmanager
    def aside(self, room_bytes: int) -> Iterator[None]:
        """Meanwhile, so much of the device's memory is free for others, if need be without these weights."""
        if self._transformer is None or devices.free_bytes(self.device) >= room_bytes or self.device.type == "cpu":
            yield
            return
        if self._blocks is not None:
            self._blocks.leave()
        else:
            self._transformer.to("cpu")
        devices.release(self.device)
        yield
        if self._blocks is not None:
            self._blocks.enter(self.memory.stay_bytes or 0)
        else:
            self._transformer.to(self.device)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """What is to be kept of all transformers, on the CPU."""
        now = {} if self._optimizer is None else {self.component: self._optimizer.state()}
        return {**self.states, **now}

    def learn(
        self,
        clip: EncodedClip,
        noised: NoisedClip,
        embeds: Tensor,
        control: Tensor | None,
        should_stop: ShouldStop,
        kept_embeds: Tensor | None = None,
    ) -> StepOutcome:
        """The loss of a clip, and its gradients. Raises Stopped, and nothing was changed then.

        `kept_embeds`: words with which the transformer is to say of the same noised clip what it says without its
        adapters. That is learned in the same step, so that the words are all that the two have apart.
        """
        assert self._transformer is not None and self._optimizer is not None
        transformer = self._transformer
        inputs = self._inputs(clip, noised, embeds, control)
        kept = None if kept_embeds is None else {**inputs, "encoder_hidden_states": kept_embeds}
        try:
            return self._learned(transformer, inputs, kept, noised.velocity, should_stop)
        except RuntimeError as error:
            fails = self._backends is not BACKENDS or self.device.type != "cuda" or devices.is_out_of_memory(error)
            if fails or devices.card_failure(error):
                raise
            log.warning("attention is left to torch's other kernels: %s", error)
        self._backends = [each for each in BACKENDS if each is not SDPBackend.CUDNN_ATTENTION]
        return self._learned(transformer, inputs, kept, noised.velocity, should_stop)

    def _learned(
        self,
        transformer: Any,
        inputs: dict[str, Any],
        kept: dict[str, Any] | None,
        velocity: Tensor,
        should_stop: ShouldStop,
    ) -> StepOutcome:
        assert self._optimizer is not None
        try:
            own = None if kept is None else self._without_adapters(transformer, kept, should_stop)
            loss = self._backward(transformer, inputs, velocity, should_stop)
            if kept is not None and own is not None:  # after the other, not with it: memory holds one of them
                self._backward(transformer, kept, own, should_stop)
            norm = self._optimizer.gradient_norm()
        except BaseException:
            lora_layers.switch(transformer, on=True)
            self._optimizer.forget_gradients()
            raise
        found, length = torch.stack([loss, norm.float()]).tolist()
        return StepOutcome(found, length)

    def _without_adapters(self, transformer: Any, inputs: dict[str, Any], should_stop: ShouldStop) -> Tensor:
        lora_layers.switch(transformer, on=False)
        with torch.no_grad(), self._running(should_stop):
            own: Tensor = transformer(**inputs)[0].float()
        lora_layers.switch(transformer, on=True)
        return own

    def _backward(self, transformer: Any, inputs: dict[str, Any], target: Tensor, should_stop: ShouldStop) -> Tensor:
        """The loss; its gradients are added to those that there are."""
        with self._running(should_stop):
            loss = nn.functional.mse_loss(transformer(**inputs)[0].float(), target)
            self._turn(back=True)
            loss.backward()
        return loss.detach().float()

    def apply(self, step: int) -> None:
        """Change the adapters by what was learned; `step` is how many steps this transformer had before."""
        assert self._optimizer is not None
        self._optimizer.step(step)

    def forget(self) -> None:
        """Drop what was learned of the last clip."""
        if self._optimizer is not None:
            self._optimizer.forget_gradients()

    def _turn(self, back: bool) -> None:
        """The next blocks to work are those of the way back, or again of the way forward."""
        self._way.back = back
        if self._blocks is not None:
            self._blocks.turn(back)

    @contextmanager
    def _running(self, should_stop: ShouldStop) -> Iterator[None]:
        blocks = [*getattr(self._transformer, "vace_blocks", ()), *self._transformer.blocks]
        self._turn(back=False)
        with sdpa_kernel(self._backends, set_priority=True), checked(blocks, should_stop):
            yield

    def _inputs(self, clip: EncodedClip, noised: NoisedClip, embeds: Tensor, control: Tensor | None) -> dict[str, Any]:
        latents = noised.noised if clip.joined is None else torch.cat([noised.noised, clip.joined], dim=1)
        inputs: dict[str, Any] = {
            "hidden_states": latents.to(self.dtype),
            "timestep": torch.tensor([1000 * noised.share], device=self.device),
            "encoder_hidden_states": embeds,
            "return_dict": False,
        }
        if clip.image_embeds is not None:
            inputs["encoder_hidden_states_image"] = clip.image_embeds
        if control is not None:
            inputs["control_hidden_states"] = control
        return inputs

    @contextmanager
    def asked(self, component: str, with_adapters: bool) -> Iterator[Any]:
        """That transformer for a sample, with its adapters or without."""
        self.bring(component)
        transformer = self._transformer
        lora_layers.switch(transformer, with_adapters)
        self._turn(back=False)
        try:
            yield transformer
        finally:
            lora_layers.switch(transformer, on=True)

    def __enter__(self) -> TrainedModel:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._blocks is not None:
            self._blocks.remove()
        self._transformer = self._optimizer = self._blocks = None
        devices.release(self.device)


def trunk_of(transformer: Any) -> Any:
    """The text to video transformer in one with control; they share their weights."""
    config = {key: value for key, value in transformer.config.items() if not key.startswith(("_", "vace_"))}
    with torch.device("meta"):
        trunk: Any = diffusers.WanTransformer3DModel(**config)
    for name in TRUNK_PARTS:
        setattr(trunk, name, getattr(transformer, name))
    return trunk.eval()
