"""`python -m wan_backend bench --training NAME...`: steps of a training, beside a plain loop of diffusers and PEFT.

Full-size transformers with random weights on random latents, on one card in one run: first the plain loop (gradient
checkpointing, AdamW, adapters in 32 bit under autocast as its examples have it, and once more in 16 bit), then ours
with all of the card, then ours under a cap of torch's allocator. Where a way runs out of memory, the next smaller one
is tried, as in a training, and the row says so. `tiny` is for seeing that each way runs, on any device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import torch
from peft import LoraConfig
from torch import nn

from ..loading import devices, eight_bit
from ..loading.wan_model import Precision
from ..memory import training_needs
from ..memory.needs import VideoShape
from ..memory.training_needs import TrainedShape, TrainingMemory
from ..pipelines.stopping import never
from ..protocol.messages import TrainingPlan
from ..training import lora_layers
from ..training.kept_clips import EncodedClip
from ..training.noising import NoisedClip, Times
from ..training.trained_model import TrainedModel
from . import figures
from .caps import GIB, capped
from .random_weights import TRANSFORMER_CONFIGS, made_on, restore_fp32
from .terminal import show
from .time_and_memory import synchronize

RANK = 32
LEFT_OUT = 1
TEXT_WIDTH, TEXT_TOKENS = 4096, 512
PLAIN, PLAIN_16_BIT = "diffusers + PEFT", "the same, adapters in 16 bit"
OURS = "ours"
FORCED = (("8 bit", None), ("8 bit, all blocks visiting", 0))
"""Ways in which `tiny` is trained beside the one that fits, with the bytes of blocks that stay."""


@dataclass(frozen=True)
class TrainingWork:
    """Clips that a transformer is trained on, and the cap (GiB) under which ours has to do it."""

    config: dict[str, Any]
    width: int
    height: int
    frames: int
    cap_gib: float
    steps: int = 5
    """The first of them is left out."""


_TINY = {"num_attention_heads": 2, "attention_head_dim": 24, "ffn_dim": 96, "num_layers": 3}
WORKS = {
    "1.3B": TrainingWork(TRANSFORMER_CONFIGS["1.3B"], 832, 480, 33, 12),
    "14B": TrainingWork(TRANSFORMER_CONFIGS["14B"], 832, 480, 33, 24, steps=3),
    "tiny": TrainingWork(_TINY, 64, 48, 5, 1),
}


@dataclass(frozen=True)
class TrainingRow:
    """What a step took."""

    name: str
    seconds: float
    allocated_bytes: int
    """The most that tensors had of the card; 0 on the processor."""
    reserved_bytes: int
    """The most that torch had of it."""
    memory: str = ""
    planned_bytes: int = 0
    """What the plan says that it takes; 0 for the plain loop."""
    failed: int = 0
    """So many ways ran out of memory before this one."""


class _OneTransformer:
    """As much of a WanModel as a training asks for: one transformer of random weights."""

    controlled = False

    def __init__(self, transformer: Any, device: torch.device) -> None:
        self._transformer, self.device = transformer, device
        self.precision = Precision.for_device(device)
        self.weights_in_8_bit = False

    def component(self, _name: str) -> Any:
        """The transformer; with its weights in 8 bit if that is wanted."""
        transformer, self._transformer = self._transformer, None
        return transformer

    def drop(self, _name: str) -> None:
        """It is the training's."""


def run(names: list[str], device: torch.device, file: Path | None = None) -> int:
    """Measure and print; the exit code."""
    found = {}
    for name in names or [each for each in WORKS if each != "tiny"]:
        work = WORKS[name]
        show(f"{name}: {work.frames} frames of {work.width}x{work.height}, rank {RANK}, {devices.name(device)}, "
             f"torch {torch.__version__}, diffusers {diffusers.__version__}")  # fmt: skip
        rows: list[TrainingRow] = []
        for row in _measured(work, device):
            rows.append(row)
            plain = [each for each in rows if each.name in (PLAIN, PLAIN_16_BIT)]
            best = min((each.seconds for each in plain), default=0.0)
            show(_line(row, best, min((each.allocated_bytes for each in plain), default=0)))
            found[name] = [asdict(each) for each in rows]
            figures.write(file, {"device": devices.name(device), "rows": found})  # what was measured stays
    return 0


def _measured(work: TrainingWork, device: torch.device) -> Iterator[TrainingRow]:
    for name in (PLAIN, PLAIN_16_BIT):
        row = _unless_out_of_memory(name, device, partial(_plain, work, device, name))
        if row is not None:
            yield row
    shape = _shape(work, device)
    whole = training_needs.choose(shape, devices.free_bytes(device), device.type == "cpu")
    ways: list[tuple[str, TrainingMemory, int | None]] = [(OURS, whole, None)]
    if device.type == "cuda":
        cap_bytes = int(work.cap_gib * GIB)
        ways.append((f"{OURS}, {work.cap_gib:g} GiB", training_needs.choose(shape, cap_bytes), cap_bytes))
    if work is WORKS["tiny"]:
        ways += [(f"{OURS}, {words}", replace(whole, eight_bit=True, stay_bytes=stay), None) for words, stay in FORCED]
    for name, memory, cap in ways:
        row = _smaller_until_it_fits(work, device, name, shape, memory, cap)
        if row is not None:
            yield row


def _smaller_until_it_fits(
    work: TrainingWork,
    device: torch.device,
    name: str,
    shape: TrainedShape,
    memory: TrainingMemory,
    cap_bytes: int | None,
) -> TrainingRow | None:
    """The row of the first way that doesn't run out of memory; None if each does."""
    way: TrainingMemory | None = memory
    failed = 0
    while way is not None:
        row = _unless_out_of_memory(f"{name} {way}", device, partial(_ours, work, device, name, way, cap_bytes))
        if row is not None:
            return replace(row, failed=failed)
        way, failed = training_needs.smaller(shape, way), failed + 1
    return None


def _unless_out_of_memory(name: str, device: torch.device, measure: Callable[[], TrainingRow]) -> TrainingRow | None:
    try:
        return measure()
    except Exception as error:
        if not devices.is_out_of_memory(error):
            raise
        words = next(iter(str(error).splitlines()), type(error).__name__)
    finally:
        devices.release(device)
    devices.release(device)  # only here is the error gone, and with its traceback its tensors
    show(f"  {name}: {words}")
    return None


def _shape(work: TrainingWork, device: torch.device) -> TrainedShape:
    transformer = _transformer(work, torch.device("meta"), torch.float32)
    weights = sum(weight.numel() for weight in transformer.parameters())
    video = VideoShape(work.width, work.height, work.frames)
    return TrainedShape.of(transformer.config, weights, RANK, video, Precision.for_device(device).transformer.itemsize)


def _transformer(work: TrainingWork, device: torch.device, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    with made_on(device, dtype):
        made: Any = diffusers.WanTransformer3DModel(text_dim=TEXT_WIDTH, **work.config)
    restore_fp32(made)
    return made.eval().requires_grad_(False)


def _inputs(work: TrainingWork, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and a prompt's embeddings."""
    generator = torch.Generator("cpu").manual_seed(1)
    latents = torch.randn(1, 16, (work.frames - 1) // 4 + 1, work.height // 8, work.width // 8, generator=generator)
    embeds = torch.randn(1, TEXT_TOKENS, TEXT_WIDTH, generator=generator)
    return latents.to(device), embeds.to(device, dtype)


def _plain(work: TrainingWork, device: torch.device, name: str) -> TrainingRow:
    """The loop of the examples: everything as diffusers, PEFT and torch have it."""
    dtype = Precision.for_device(device).transformer
    transformer = _transformer(work, device, dtype)
    transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=lora_layers.TARGETS))
    transformer.enable_gradient_checkpointing()
    transformer.train()
    factors = [weight for weight in transformer.parameters() if weight.requires_grad]
    for factor in factors:
        factor.data = factor.data.to(dtype if name == PLAIN_16_BIT else torch.float32)
    optimizer = torch.optim.AdamW(factors, lr=1e-4, fused=True)
    latents, embeds = _inputs(work, device, dtype)
    mixed = name == PLAIN and dtype is not torch.float32

    def step(number: int) -> None:
        noised = NoisedClip.of(latents, Times(3.0), 1, number)
        with torch.autocast(device.type, dtype) if mixed else nullcontext():
            said = transformer(
                hidden_states=noised.noised.to(dtype),
                timestep=torch.tensor([1000 * noised.share], device=device),
                encoder_hidden_states=embeds,
                return_dict=False,
            )[0]
        loss = nn.functional.mse_loss(said.float(), noised.velocity)
        loss.backward()
        nn.utils.clip_grad_norm_(factors, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return _timed(name, device, work.steps, step)


def _ours(
    work: TrainingWork, device: torch.device, name: str, memory: TrainingMemory, cap_bytes: int | None
) -> TrainingRow:
    dtype = Precision.for_device(device).transformer
    transformer = _transformer(work, device, dtype)
    if memory.eight_bit:
        eight_bit.quantize(transformer)
    if memory.stay_bytes is not None:
        transformer.to("cpu")
    devices.release(device)
    plan = TrainingPlan(work.steps, work.steps, RANK, 1e-4, 0, 1, 3.0)
    model: Any = _OneTransformer(transformer, device)
    del transformer
    latents, embeds = _inputs(work, device, dtype)
    clip = EncodedClip(latents)
    limit = capped(device, cap_bytes / GIB) if cap_bytes is not None else nullcontext()
    with limit, TrainedModel(model, plan, memory, 1, trunk_alone=False) as trained:
        trained.bring("transformer")

        def step(number: int) -> None:
            trained.learn(clip, NoisedClip.of(latents, Times(3.0), 1, number), embeds, None, never)
            trained.apply(number)

        return _timed(name, device, work.steps, step, memory)


def _timed(
    name: str, device: torch.device, steps: int, step: Callable[[int], None], memory: TrainingMemory | None = None
) -> TrainingRow:
    on_card = device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for number in range(steps):
        began = time.perf_counter()
        step(number)
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    allocated = torch.cuda.max_memory_allocated(device) if on_card else 0
    reserved = torch.cuda.max_memory_reserved(device) if on_card else 0
    words, planned = ("", 0) if memory is None else (str(memory), memory.peak_bytes)
    return TrainingRow(name, median(seconds[LEFT_OUT:]), allocated, reserved, words, planned)


def _line(row: TrainingRow, best: float, least: int) -> str:
    ratio = best / row.seconds
    ways = f", after {row.failed} that ran out of memory" if row.failed else ""
    share = f", {row.allocated_bytes / least:.2f} of its memory" if least else ""
    gib = f", {row.allocated_bytes / GIB:.2f} GiB ({row.reserved_bytes / GIB:.2f} reserved)" if least else ""
    ours = f" ({ratio:.2f}x as fast as the faster plain loop{share})" if row.name.startswith(OURS) else ""
    return f"  {row.name:<30} {row.seconds:.3f} s a step{gib}{ours} {row.memory}{ways}"
