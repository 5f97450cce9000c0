"""Puts a model's components where the memory plan says, phase by phase."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from ..lora import resolve
from ..memory import residency_plan
from ..memory.needs import PLAIN_TOKEN_PIXELS, HiddenStates, Needs, VideoShape, calculate, larger_chunk
from ..memory.residency_plan import MemoryPlan, Residency
from ..protocol.messages import LoraUse
from . import (
    applying_loras,
    block_offload,
    bulk_copies,
    chunked_forward,
    devices,
    eight_bit,
    forward_kernels,
    weight_shares,
)
from .forward_kernels import TORCH_KERNELS, ForwardKernels, TransformerWidth
from .visits import Visit
from .wan_model import WanModel
from .weight_shares import Share, SharedBlocks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """What a take needs, and the memory that is free for it at this moment, in bytes."""

    needs: Needs
    device_bytes: int
    host_bytes: int
    on_cpu: bool
    """The device's memory is the machine's: on the CPU, and on a Mac."""
    shares: int = 1
    """How many such devices are to hold the transformer between them."""

    def plan(self) -> MemoryPlan:
        """The largest memory plan that fits; one with shares if there is room for them."""
        shared = residency_plan.choose_shared(self.needs, self.device_bytes, self.host_bytes, self.shares)
        if shared is not None:
            plan = self._with_larger_chunks(shared)
        elif self.on_cpu:
            plan = residency_plan.choose_on_cpu(self.needs, self.device_bytes)
        else:
            plan = residency_plan.choose(self.needs, self.device_bytes, self.host_bytes)
            plan = self._with_larger_chunks(plan)
        decode = self.needs.vae + self.needs.decode_in(plan.tile_pixels)
        return replace(plan, decode_fits=decode <= self.device_bytes)

    def _with_larger_chunks(self, plan: MemoryPlan) -> MemoryPlan:
        """`plan` with the memory that is left over given to the transformer's chunks."""
        if plan.transformer is Residency.BLOCK_OFFLOADED:
            return plan
        # Beside a share, decoding has the peak, and leaves more for the steps.
        most = plan.bytes_during("transformer", self.needs) if plan.shares > 1 else plan.peak_bytes
        chunk_bytes = larger_chunk(self.device_bytes - most)
        return replace(plan, token_chunk_bytes=chunk_bytes).with_peak(self.needs)


def room_for(
    model: WanModel,
    width: int,
    height: int,
    frames: int,
    budget_bytes: int | None = None,
    loras: Sequence[LoraUse] = (),
    host_budget_bytes: int | None = None,
    sources: int = 0,
) -> Room:
    """What a take of `model` needs, of so many frames of width x height pixels at once, and what is free for it now.

    `budget_bytes` limits what the job may have on the device, `host_budget_bytes` what of the machine's memory, which
    other workers have a part of. `sources` are those that the transformer sees beside the take.
    """
    needs = _needs(model, width, height, frames, sources)
    needs = replace(needs, transformer=needs.transformer + applying_loras.file_bytes(loras))
    free = devices.free_bytes(model.device) + _held_bytes(model, model.device.type)
    if budget_bytes is not None:
        free = min(free, budget_bytes)
    host = psutil.virtual_memory().available + _held_bytes(model, "cpu")
    on_cpu = model.device.type != "cuda"
    if host_budget_bytes is not None:
        host = min(host, host_budget_bytes)
        free = min(free, host_budget_bytes) if on_cpu else free
    return Room(needs, free, host, on_cpu)


def weights_mark(model: WanModel, component: str, loras: Sequence[LoraUse], shares: int) -> str:
    """The same wherever a job has the same weights of a component, in as many shares; raises Refusal if a LoRA is gone.

    The model has to be placed, by which its weights have their form.
    """
    worn = [(*one.file, one.strength) for one in applying_loras.requested_loras(loras)]
    return hashlib.sha256(f"{component} {model.fingerprint(component)} {worn} {shares}".encode()).hexdigest()


def transformer_width(model: WanModel) -> TransformerWidth:
    """What the kernels of the model's transformers are compiled for."""
    config = model.config("transformer")
    heads = int(config["num_attention_heads"])
    return TransformerWidth(heads * int(config["attention_head_dim"]), heads, model.precision.transformer)


class PlacedModel:
    """A model under a memory plan: `with placement.use("vae") as vae:` has it ready on its device."""

    def __init__(
        self,
        model: WanModel,
        plan: MemoryPlan,
        on_load: Callable[[str], None] = lambda _component: None,
        on_ready: Callable[[str], None] = lambda _component: None,
        loras: Sequence[LoraUse] = (),
        on_read: Callable[[str], None] = lambda _place: None,
        kernel_findings: Path | None = None,
        begin_at_once: bool = False,
        share_rank: int = 0,
    ) -> None:
        """`on_load(component)` is called before one is read from the disk, `on_ready(component)` once it is in place.

        `on_read(place)` is called with each file or folder before it is read, and with "" when all is.
        `loras` are those that the transformer has on, and no others. `kernel_findings` is the file with the results
        of kernel trials on this machine. With `begin_at_once`, a transformer computes with torch's own kernels as long
        as there are no results, until `take_up_kernels`. Of the shares in which a plan divides the transformer's
        weights, `share_rank` is the number of the one that is kept here.
        """
        self.model = model
        self._loras, self._kernel_findings, self._kernels_chosen = loras, kernel_findings, not begin_at_once
        self.plan = plan
        self._share = Share(share_rank, plan.shares)
        model.weights_in_8_bit = plan.eight_bit
        self.load_seconds = 0.0
        """Time spent so far in reading components and moving them."""
        self._on_load, self._on_ready, self._on_read = on_load, on_ready, on_read
        self._visits: dict[str, Visit] = {}
        """Those of the components that are on the device now and go back to the machine's memory."""
        for component in model.components:
            self._make_way(component)
        self._width = transformer_width(model)
        forward_kernels.compile_ahead(model.device, self._width, kernel_findings)

    @property
    def kernels(self) -> ForwardKernels:
        """The kernels that the transformers compute with."""
        device = self.model.device
        if not self._kernels_chosen:
            self._kernels_chosen = forward_kernels.are_at_hand(device, self._width, self._kernel_findings)
        if not self._kernels_chosen:
            return TORCH_KERNELS
        return forward_kernels.choose_for(device, self._width, self._kernel_findings)

    @property
    def kernels_are_chosen(self) -> bool:
        """False while the transformers may still go over to other kernels (`take_up_kernels`)."""
        return self._kernels_chosen

    def take_up_kernels(self, step_seconds: float, steps_left: int) -> bool:
        """Between two steps, compute with the card's own kernels from now on, if they are compiled and it pays.

        True where the next step computes with others than the last one.
        """
        if self._kernels_chosen or forward_kernels.is_compiling(self.model.device, self._width):
            return False
        if not forward_kernels.pays(step_seconds, steps_left):
            return False
        self._kernels_chosen = True
        for expert in resolve.EXPERTS:
            if self.model.loaded(expert):
                module = self.model.component(expert)
                chunked_forward.make_chunked(module, self.kernels, self.plan.token_chunk_bytes)
        return True

    @contextmanager
    def use(self, component: str) -> Iterator[Any]:
        """The component's module, where it is to run; afterwards it leaves the device if the plan says so."""
        try:
            module = self._bring(component)
            self._on_ready(component)  # which may stop the job
            yield module
        finally:
            module = None
            self._make_way(component)

    def _bring(self, component: str) -> Any:
        started = time.monotonic()
        for other in resolve.EXPERTS if component in resolve.EXPERTS and self.plan.one_expert else ():
            if other != component and self.model.loaded(other):
                self.model.drop(other)
                devices.release(self.model.device)
        self._drop_share_without_its_loras(component)
        if not self.model.loaded(component):
            self._on_load(component)
            self._on_read(" + ".join(map(str, self.model.component_files.places(component))))
        module = self.model.component(component)
        if component in resolve.EXPERTS:
            chunked_forward.make_chunked(module, self.kernels, self.plan.token_chunk_bytes)
            eight_bit.multiply_with(module, self.model.matrix_product)
        self._apply_loras(component, module)
        self._on_read("")
        place = self.plan.residency_of(component)
        if place is Residency.BLOCK_OFFLOADED:
            room = self.plan.kept_bytes if component in resolve.EXPERTS else 0
            block_offload.offloaded(component, module, self.model.device).enter(room)
        elif place is Residency.SHARED:
            self._shared(component, module).enter()
        elif place is Residency.OFFLOADED:
            self._visits[component] = Visit(module)
            self._visits[component].go(self.model.device)
        elif place is Residency.ON_CPU:
            module.to("cpu")
        else:
            bulk_copies.move_to_card(module, self.model.device)
        if component == "vae":
            module.tile_pixels, module.chunk_latents = self.plan.tile_pixels, self.plan.chunk_latents
        self.load_seconds += time.monotonic() - started
        return module

    def _shared(self, component: str, module: Any) -> SharedBlocks:
        """What keeps the share of a transformer; it goes from memory if that can't be made."""
        try:
            return weight_shares.shared(component, module, self.model.device, self._share)
        except BaseException:  # some of its blocks have let go of their weights
            self.model.drop(component)
            raise

    def _drop_share_without_its_loras(self, component: str) -> None:
        """LoRAs can't come to a share of the weights, nor go: the transformer is to be read again."""
        if not self.model.loaded(component):
            return
        module = self.model.component(component)
        is_share = weight_shares.shared_blocks_of(module) is not None
        if is_share and not applying_loras.are_on(module, self._loras_of(component)):
            self.model.drop(component)
            del module
            devices.release(self.model.device)

    def _apply_loras(self, component: str, module: Any) -> None:
        """Have the job's LoRAs on a transformer; raises Refusal."""
        if component in resolve.EXPERTS:
            uses = self._loras_of(component)
            applying_loras.apply(module, uses, self.model.precision.transformer, self._on_read)

    def _loras_of(self, component: str) -> list[LoraUse]:
        """The job's LoRAs for a transformer."""
        present = [name for name in resolve.EXPERTS if self.model.classes.get(name)]
        uses = [use for use in self._loras if component in resolve.transformers_of(use.expert, present)]
        if len(present) > 1:  # a file may hold layers for both
            uses = [replace(use, expert=resolve.EXPERTS[component]) for use in uses]
        return uses

    def _make_way(self, component: str) -> None:
        """Take from the device what the plan does not leave there."""
        place = self.plan.residency_of(component)
        if not self.model.loaded(component):
            return
        if self._left_as_share(component, place):
            return
        module = self.model.component(component)
        offload = block_offload.offload_of(module)
        forgotten = offload is not None and self.plan.forget_encoder and component not in resolve.EXPERTS
        if offload is not None:
            offload.leave()
            if place is not Residency.BLOCK_OFFLOADED or forgotten:
                offload.remove()
                del module.block_offload
        if place is Residency.RELOADED or forgotten:
            self.model.drop(component)
        elif place is Residency.BLOCK_OFFLOADED and offload is not None:
            pass
        elif component in self._visits:
            self._visits.pop(component).end()
        elif place is not Residency.RESIDENT and module.device.type != "cpu":
            module.to("cpu")
        else:
            return
        del module
        devices.release(self.model.device)

    def _left_as_share(self, component: str, place: Residency) -> bool:
        """Take all but the share of a shared component from the device; False if it isn't, nor to be, shared."""
        offload = weight_shares.shared_blocks_of(self.model.component(component))
        if offload is None:
            return False
        offload.leave()
        if place is not Residency.SHARED or offload.share != self._share:
            self.model.drop(component)
        del offload
        devices.release(self.model.device)
        return True


def _needs(model: WanModel, width: int, height: int, frames: int, sources: int) -> Needs:
    number, vae_number = model.precision.transformer.itemsize, model.precision.vae.itemsize
    config, vae_config = model.config("transformer"), model.config("vae")
    hidden = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    vae_width = int(vae_config.get("decoder_base_dim") or vae_config.get("base_dim", 96))
    patch = int(vae_config.get("patch_size") or 1)
    video = VideoShape(width, height, frames, token=PLAIN_TOKEN_PIXELS * patch, sources=sources)
    channels_last = model.device.type == "cuda"
    hidden_states = HiddenStates(hidden, vae_width // patch**2, number, vae_number, channels_last)
    weights = {component: model.weight_bytes(component, in_8_bit=False) for component in model.components}
    return calculate(weights, hidden_states, video, model.quantized, model.architecture.follows_camera)


def _held_bytes(model: WanModel, device_type: str) -> int:
    """Bytes of the model's own weights that are on such a device already."""
    modules = [model.component(component) for component in model.components if model.loaded(component)]
    return sum(_bytes_of(module, device_type) for module in modules)


def _bytes_of(module: Any, device_type: str) -> int:
    shares = weight_shares.shared_blocks_of(module)
    if shares is not None:
        return shares.held_bytes(device_type)
    weights = (*module.parameters(), *module.buffers())
    return sum(w.numel() * w.element_size() for w in weights if w.device.type == device_type)
