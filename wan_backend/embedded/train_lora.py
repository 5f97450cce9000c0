"""Trains the embedded model's two LoRAs on its trained transformer. For a GPU, a minute or two each.

    python -m wan_backend.embedded.train_lora style FILE --vae A --transformer T --minutes 1.5
    python -m wan_backend.embedded.train_lora draft FILE --vae A --transformer T --minutes 2

`style` teaches a look that the model was never shown (the blueprint). `draft` teaches it to paint in four
steps without guidance: its velocity at each of the four times becomes the mean velocity of the guided
model on the way to the next time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import low_rank, tasks, text
from . import train_transformer as base
from .graphed import TrainingStep
from .latent_pool import Coder, LatentPool
from .pacing import Average, Pace, say
from .scenes import LORA_LOOK

RANKS = {"style": 4, "draft": 16}
DRAFT_STEPS = 4
TEACHER_STEPS = 2  # of the guided model, for each of the draft's
GUIDANCE_SCALE = 2.0
_SIZE = (33, 144, 256)
_SMALL_SIZE = (9, 32, 48)


def draft_sigmas() -> list[float]:
    """The five ends of the four steps, from noise to clip, shifted as the scheduler has them."""
    even = [1 - step / DRAFT_STEPS for step in range(DRAFT_STEPS + 1)]
    return [base.SHIFT * u / (1 + (base.SHIFT - 1) * u) for u in even]


def _guided(painter: base.Painter, x: Tensor, sigma: Tensor, control: Tensor, ids: Tensor, null_ids: Tensor) -> Tensor:
    said = painter.velocity(x, sigma, control, ids).float()
    unsaid = painter.velocity(x, sigma, control, null_ids.expand_as(ids)).float()
    return unsaid + GUIDANCE_SCALE * (said - unsaid)


def draft_loss(
    painter: base.Painter, layers: dict[str, low_rank.LowRank], null_ids: Tensor, ends: Tensor, *batch: Tensor
) -> tuple[Tensor, Tensor]:
    """How far one draft step is from the guided model's several over the same stretch."""
    x, _, inactive, reactive, mask, _, ids = batch
    which = torch.randint(DRAFT_STEPS, (x.shape[0],), device=x.device)
    start, end = ends[which], ends[which + 1]
    shape = (-1, 1, 1, 1, 1)
    x = x.float()
    noisy = (1 - start.view(shape)) * x + start.view(shape) * torch.randn_like(x)
    control = tasks.control(inactive.float(), reactive.float(), mask)
    way = (start - end) / TEACHER_STEPS
    low_rank.switch(layers, False)
    with torch.no_grad():
        going = noisy
        for step in range(TEACHER_STEPS):
            velocity = _guided(painter, going, start - step * way, control, ids, null_ids)
            going = going - way.view(shape) * velocity
        wanted = (noisy - going) / (start - end).view(shape)
    low_rank.switch(layers, True)
    loss = (painter.velocity(noisy, start, control, ids).float() - wanted).square().mean()
    return loss, loss


def train(options: argparse.Namespace) -> None:
    """The whole run."""
    options.resume = options.transformer
    pace = Pace(options.minutes)
    tokenizer = text.make_tokenizer()
    vae, painter, scale = base.load(options, tokenizer)
    assert scale is not None
    painter.requires_grad_(False)
    layers = low_rank.attach(painter.transformer, RANKS[options.kind])
    look = LORA_LOOK if options.kind == "style" else None
    coder = Coder(vae, tokenizer, options.device, options.seed + 7, look)
    size = _SMALL_SIZE if options.small else _SIZE
    pool = LatentPool(coder, size, 2 if options.small else 16, 64 if options.small else 4000)
    pool.fill(scale, options.pool_seconds)
    null_ids = text.tokenize(tokenizer, [""]).to(options.device)
    loss_of: Callable[..., Any] = partial(base.loss_of, painter)
    if options.kind == "draft":
        loss_of = partial(draft_loss, painter, layers, null_ids, torch.tensor(draft_sigmas(), device=options.device))
    learned = torch.nn.ModuleList(
        side for layer in layers.values() for side in (layer.lora_A, layer.lora_B)
    ).requires_grad_(True)
    step_on = TrainingStep(list(learned.parameters()), loss_of, options.device, weight_decay=0.0, matrices=False)
    average = Average(learned, decay=0.99)
    step, shown_at = 0, pace.elapsed
    while step == 0 or not pace.over:
        null_chance = base.NULL_CHANCE if options.kind == "style" else 0.0
        loss = step_on(pace.rate(options.rate), *pool.take(2 if options.small else 16, null_ids, null_chance))
        average.update()
        step += 1
        if pace.elapsed - shown_at > 0.2 or step == 1:
            shown_at = pace.elapsed
            say(f"{shown_at:.2f} min step {step} loss {loss.item():.4f}")
    average.swap()
    low_rank.save(layers, options.file)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m wan_backend.embedded.train_lora", description=__doc__)
    parser.add_argument("kind", choices=sorted(RANKS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--vae", required=True, help="what train_autoencoder saved")
    parser.add_argument("--transformer", required=True, help="what train_transformer saved")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--pool-seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="miniatures, to try the code")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
