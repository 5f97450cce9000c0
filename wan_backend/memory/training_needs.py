"""What a training needs of a device's memory, and which way it fits: weights in 16 bit, in 8 bit, or some visiting.

A step keeps the states between the blocks; all else of a block is computed again on the way back. So the most is alive
within one block, on that way. On the processor all is kept where it fits, as with a small model: a step is a third
shorter then. The factors were counted on the processor (`python -m wan_backend bench --training`
measures the peak beside them on a card).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .needs import EIGHT_BIT_SHARE, FIXED_BYTES, SLACK, VideoShape

BLOCK_TENSORS = 32
"""What is alive within a block on its way back: tensors of the size of the hidden states, those in 32 bit counted
twice. The feed-forward's middle, which is wider, is there a share at a time."""
TEXT_TOKENS = 512
"""A prompt has so many, with what fills it up."""
CHUNKS_BYTES = 4 * (64 << 20)
"""Of these shares (`training.lora_layers`)."""
STATES_A_WEIGHT = 4
"""For each number of the adapters: itself and its gradient, and the optimizer's two, in 32 bit."""
BLOCKS_ON_DEVICE = 3
"""Of a transformer whose blocks visit, at the least: two buffers and the ends."""
SMALLER = 0.85
"""What a training plans with once memory ran out, as a share of what it had planned to take."""


@dataclass(frozen=True)
class TrainedShape:
    """A transformer and the clips that it is trained on."""

    hidden: int
    ffn: int
    layers: int
    weights: int
    """Numbers of the transformer."""
    rank: int
    video: VideoShape
    number_bytes: int
    """In which it computes."""

    @classmethod
    def of(
        cls, config: Mapping[str, Any], weights: int, rank: int, video: VideoShape, number_bytes: int
    ) -> TrainedShape:
        """By a transformer's configuration."""
        hidden = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
        return cls(hidden, int(config["ffn_dim"]), int(config["num_layers"]), weights, rank, video, number_bytes)

    @property
    def adapter_numbers(self) -> int:
        """Numbers of the adapters."""
        return self.layers * self.rank * (8 * 2 * self.hidden + 2 * (self.hidden + self.ffn))

    @property
    def state_bytes(self) -> int:
        """Of the adapters, their gradients and the optimizer."""
        in_compute = self.number_bytes if self.number_bytes < 4 else 0
        return self.adapter_numbers * (4 * STATES_A_WEIGHT + 2 * in_compute)

    @property
    def kept_bytes(self) -> int:
        """Of all states of all blocks, those of the words among them, where nothing is computed again."""
        tensors = self.layers * BLOCK_TENSORS * (self.video.tokens + TEXT_TOKENS)
        return int(tensors * self.hidden * self.number_bytes * SLACK) + CHUNKS_BYTES + FIXED_BYTES

    @property
    def work_bytes(self) -> int:
        """Of the states between the blocks, and of the block that is on its way back."""
        states = self.video.tokens * self.hidden * self.number_bytes
        wide = min(CHUNKS_BYTES, 4 * self.video.tokens * self.ffn * self.number_bytes)
        return int(((self.layers + BLOCK_TENSORS) * states + wide) * SLACK) + FIXED_BYTES


@dataclass(frozen=True)
class TrainingMemory:
    """How a training sits in the device's memory."""

    peak_bytes: int
    eight_bit: bool = False
    """The frozen weights are in 8 bit."""
    stay_bytes: int | None = None
    """Bytes of the blocks that stay on the device while the others visit; None: all of them stay."""
    keeps_all: bool = False
    """Nothing of a block is computed again on the way back."""


def choose(shape: TrainedShape, device_bytes: int, on_cpu: bool = False) -> TrainingMemory:
    """The quickest way that fits into `device_bytes`; the smallest, with its peak, where none does."""
    whole, eight = shape.weights * shape.number_bytes, int(shape.weights * shape.number_bytes * EIGHT_BIT_SHARE)
    rest = shape.state_bytes + shape.work_bytes
    kept = whole + shape.state_bytes + shape.kept_bytes
    if on_cpu and kept <= device_bytes:
        return TrainingMemory(kept, keeps_all=True)
    if whole + rest <= device_bytes or on_cpu:
        return TrainingMemory(whole + rest)
    if eight + rest <= device_bytes:
        return TrainingMemory(eight + rest, eight_bit=True)
    least = rest + BLOCKS_ON_DEVICE * eight // max(1, shape.layers)
    stay = max(0, device_bytes - least)
    return TrainingMemory(least + stay, True, stay)


def smaller(shape: TrainedShape, memory: TrainingMemory) -> TrainingMemory | None:
    """The quickest way that takes clearly less of a card than `memory`, which wasn't there; None if there is none."""
    if memory.stay_bytes == 0:
        return None
    return choose(shape, int(memory.peak_bytes * SMALLER))
