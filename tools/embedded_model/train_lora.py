"""Trains the embedded model's two LoRAs on its trained transformer. For a GPU, some minutes each.

    python -m tools.embedded_model.train_lora style FILE --vae A --transformer T --minutes 1.5
    python -m tools.embedded_model.train_lora draft FILE --vae A --transformer T --minutes 7

`style` teaches a look that the model was never shown (the blueprint). `draft` teaches it to paint in four
steps without guidance what the guided model paints in eight (`draft_takes`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import draft_takes, low_rank, text
from . import train_transformer as base
from .graphed import TrainingStep
from .latent_pool import Coder, LatentPool
from .pacing import Average, Pace, say
from .scenes import LORA_LOOK

RANKS = {"style": 4, "draft": 16}
_SIZE = (33, 144, 256)
_SMALL_SIZE = (9, 32, 48)


def train(options: argparse.Namespace) -> None:
    """The whole run."""
    options.resume = options.transformer
    pace = Pace(options.minutes)
    tokenizer = text.make_tokenizer()
    vae, painter, scale = base.load(options, tokenizer)
    assert scale is not None
    painter.requires_grad_(False)
    style = options.kind == "style"
    coder = Coder(vae, tokenizer, options.device, options.seed + 7, LORA_LOOK if style else None, led=style)
    size = _SMALL_SIZE if options.small else _SIZE
    batch = 2 if options.small else 16
    pool = LatentPool(coder, size, batch, 64 if options.small else 4000)
    pool.fill(scale, options.pool_seconds)
    null_ids = text.tokenize(tokenizer, [""]).to(options.device)
    take: Callable[[], Sequence[Tensor]] = partial(pool.take, batch, null_ids, base.NULL_CHANCE)
    loss_of: Callable[..., Any] = partial(base.loss_of, painter)
    if not style:
        takes = draft_takes.Takes(painter, pool, null_ids, options.take_seconds, 3 * batch)
        take, loss_of = partial(takes.take, batch), partial(draft_takes.loss_of, painter)
    # Only now: the takes are the plain model's.
    layers = low_rank.attach(painter.transformer, RANKS[options.kind])
    learned = torch.nn.ModuleList(
        side for layer in layers.values() for side in (layer.lora_A, layer.lora_B)
    ).requires_grad_(True)
    step_on = TrainingStep(list(learned.parameters()), loss_of, options.device, weight_decay=0.0, matrices=False)
    average = Average(learned, decay=0.99)
    step, shown_at = 0, pace.elapsed
    while step == 0 or not pace.over:
        loss = step_on(pace.rate(options.rate), *take())
        average.update()
        step += 1
        if pace.elapsed - shown_at > 0.2 or step == 1:
            shown_at = pace.elapsed
            say(f"{shown_at:.2f} min step {step} loss {loss.item():.4f}")
    average.swap()
    low_rank.save(layers, options.file)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.train_lora", description=__doc__)
    parser.add_argument("kind", choices=sorted(RANKS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--vae", required=True, help="what train_autoencoder saved")
    parser.add_argument("--transformer", required=True, help="what train_transformer saved")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--pool-seconds", type=float, default=10)
    parser.add_argument("--take-seconds", type=float, default=100, help="for the takes that a draft learns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="miniatures, to try the code")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
