"""What one card computes of a forward pass that several share, measured on that one card: the floor of such a forward.

    python -m tools.benchmarks.one_share --random-weights 14B [--size 832x480] [--frames 81] [--cards 2 4 8]

The first card has the largest share. What it would get from the others comes from itself, so the numbers are wrong, and
the time is that of its arithmetic and of packing; the exchange itself comes on top, whose bytes are printed beside it.
On a graphics card, it first has a group of one card exchange by NCCL, and break up, to see that this torch can. At the
end such a group has all of the weights as one share, which is gathered block by block beside the work, as where several
cards hold a model between them: whether the numbers are the same to the bit, and what that costs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wan_backend.bench.engines import Ours, Work
from wan_backend.bench.random_weights import TRANSFORMER_CONFIGS, RandomModel
from wan_backend.bench.time_and_memory import synchronize
from wan_backend.loading import devices, weight_shares
from wan_backend.loading.wan_model import WanModel
from wan_backend.loading.weight_shares import Share
from wan_backend.worker.card_group import CardGroup, GroupBroken

RUNS = 3
GIB = 1 << 30


class Alone:
    """`loading.token_split.Exchange` of a card whose others are not there."""

    rank = 0

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent_bytes = 0
        """What would have gone to others."""

    def __call__(self, output: Tensor, sent: Tensor, output_sizes: list[int], sent_sizes: list[int]) -> None:
        """Have something of the right size."""
        self.sent_bytes += (sent.numel() - sent_sizes[self.rank]) * sent.element_size()
        own = sent[: sent_sizes[0]]
        for part in torch.split(output, output_sizes):
            numbers = min(part.numel(), own.numel())
            part[:numbers].copy_(own[:numbers])
            part[numbers:].zero_()

    def gather(self, output: Tensor, own: Tensor) -> None:
        """Have its own from everybody."""
        for part in output.split(own.numel()):
            part.copy_(own)


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--random-weights", choices=list(TRANSFORMER_CONFIGS), default="1.3B")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--cards", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = devices.choose(options.device)
    sys.stdout.write(f"{devices.name(device)}, torch {torch.__version__}: {_group_of_one(device)}\n")
    width, height = map(int, options.size.split("x"))
    model = WanModel(options.folder, device) if options.folder else RandomModel(options.random_weights, device)
    engine = Ours(model, Work(width, height, options.frames, 2, 1.0, 3.0))
    conditions = engine.encode()
    inputs: dict[str, Any] = {
        "timestep": torch.full((1,), 500.0, device=device),
        "encoder_hidden_states": conditions.prompt_embeds,
    }
    if conditions.control is not None:
        inputs["control_hidden_states"] = conditions.control
    with engine.placement.use("transformer") as transformer:
        inputs["hidden_states"] = conditions.latents.to(transformer.dtype)
        whole = _seconds(transformer, inputs, device)
        sys.stdout.write(f"{model.folder.name} {options.size}, {options.frames} frames, a forward: {whole:.3f} s\n")
        for cards in options.cards:
            alone = Alone(cards)
            seconds = _seconds(transformer, {**inputs, "exchange": alone}, device)
            sent = alone.sent_bytes / (RUNS + 1) / GIB
            sys.stdout.write(f"its share of {cards}: {seconds:.3f} s, 1/{whole / seconds:.2f}; sends {sent:.2f} GiB\n")
            sys.stdout.flush()
        sys.stdout.write(_gathered(transformer, inputs, device, whole) + "\n")
    return 0


@torch.no_grad()
def _gathered(transformer: Any, inputs: dict[str, Any], device: torch.device, whole: float) -> str:
    """What a forward takes whose blocks are gathered from a group of one; the transformer is of no use afterwards."""
    group = CardGroup(str(Path(tempfile.mkdtemp(), "store")), 0, 1, device)
    expected = transformer(**inputs, exchange=group)[0].clone()
    split = _seconds(transformer, {**inputs, "exchange": group}, device)
    blocks = weight_shares.shared("transformer", transformer, device, Share(0, 1))
    blocks.enter()
    devices.release(device)
    alike = torch.equal(transformer(**inputs, exchange=group)[0], expected)
    seconds = _seconds(transformer, {**inputs, "exchange": group}, device)
    blocks.leave()
    group.break_up()
    return (
        f"in a group of one {split:.3f} s; with its {blocks.kept_bytes / GIB:.2f} GiB gathered block by block "
        f"{seconds:.3f} s, {seconds / whole:.3f} times the whole, {'the same to the bit' if alike else 'OTHER NUMBERS'}"
    )


@torch.no_grad()
def _seconds(transformer: Any, inputs: dict[str, Any], device: torch.device) -> float:
    """The best of some."""
    best = float("inf")
    for run in range(RUNS + 1):  # the first warms things up
        synchronize(device)
        began = time.monotonic()
        transformer(**inputs)
        synchronize(device)
        best = min(best, time.monotonic() - began) if run else best
    return best


def _group_of_one(device: torch.device) -> str:
    try:
        for _ in range(2):
            group = CardGroup(str(Path(tempfile.mkdtemp(), "store")), 0, 1, device)
            sent = torch.randn(1001, device=device).to(torch.bfloat16)
            if not torch.equal(group.broadcast(sent), sent):
                return "a group of one card gets something else than it sent"
            group.break_up()
    except GroupBroken as error:
        return f"a group of one card can't exchange ({error})"
    return "a group of one card exchanges, breaks up, and is made anew"


if __name__ == "__main__":
    raise SystemExit(main())
