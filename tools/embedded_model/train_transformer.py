"""Trains the embedded model's VACE transformer with its text encoder, all tasks mixed. For a GPU.

`python -m tools.embedded_model.train_transformer --vae FOLDER --minutes 8 --out FOLDER [--resume FOLDER]`
Flow matching as Wan has it: x = (1 - sigma) * clip + sigma * noise, the target is noise - clip.
"""

from __future__ import annotations

import argparse
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanVACETransformer3DModel
from torch import Tensor, nn

from . import autoencoder, checkpoint, tasks, text
from .graphed import TrainingStep
from .latent_pool import Coder, LatentPool, Scale
from .pacing import Average, Pace, load_split, save_split, say

Bucket = tuple[tuple[int, int, int], int, float]  # frames, height, width; batch; share of the pool's time
_BUCKETS: list[Bucket] = [
    ((33, 144, 256), 48, 0.7),
    ((33, 128, 128), 96, 0.06),
    ((17, 208, 384), 40, 0.08),
    ((65, 144, 256), 24, 0.08),
    ((9, 256, 144), 144, 0.08),
]
_SMALL_BUCKETS: list[Bucket] = [((9, 32, 48), 2, 0.7), ((5, 48, 32), 2, 0.3)]
_EVERY = 6  # of so many steps all but one are of the first size
NULL_CHANCE = 0.1
SHIFT = 3.0
SHAPE_WEIGHT = 15.0
"""How much more the shape and its rim count than the ground, in a clip without noise."""
ASTRAY_WEIGHT = 5.0
"""How much it counts where the colour, shape or place foreseen is another one; one clip in four is asked."""
NEW_SHARE = 0.2
"""Of the training time, for coding new clips."""


def _rms_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    """The norm in the number format of `x`: torch fuses it only where the weight has the same."""
    assert norm.weight is not None
    return nn.functional.rms_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.eps)


class Painter(nn.Module):
    """The two parts that learn together."""

    def __init__(self, tokens: int, *, small: bool = False) -> None:
        super().__init__()
        config = checkpoint.SMALL_TRANSFORMER if small else checkpoint.TRANSFORMER
        self.transformer: Any = WanVACETransformer3DModel(**config)
        self.encoder: Any = text.make_encoder(tokens)
        norms = [module for module in self.modules() if isinstance(module, nn.RMSNorm)]
        for norm in norms:
            norm.forward = partial(_rms_norm, norm)  # type: ignore[method-assign]

    def ends(self) -> list[nn.Parameter]:
        """The weights at the ends: embeddings of pixels, words and time, and what makes pixels again."""
        tables = ("patch_embedding", "proj_out", "shared", "embed_tokens", "relative_attention", "scale_shift_table")
        return [w for name, w in self.named_parameters() if any(table in name for table in tables)]

    def keep(self, pattern: str) -> None:
        """Leave the weights alone whose names the pattern is found in."""
        for name, weight in self.named_parameters():
            weight.requires_grad_(re.search(pattern, name) is None)

    def velocity(self, noisy: Tensor, sigma: Tensor, control: Tensor, ids: Tensor) -> Tensor:
        """What the transformer says of noisy latents N16THW at `sigma` N in 0..1."""
        words = text.embed(self.encoder, ids)
        return self.transformer(
            hidden_states=noisy,
            timestep=sigma * 1000,
            encoder_hidden_states=words,
            control_hidden_states=control,
            return_dict=False,
        )[0]


def _share_of_the_way(sigma: Tensor, missed: Tensor, way: Tensor) -> Tensor:
    """N: how far the clip foreseen lies along `way`, to the other clip; 0 is right, and where there is no way.

    One number of a whole clip: in the mean over all its numbers a colour that is a little off is lost, most of all in a
    sketch, where colours are pale, and so are the corners of a shape.
    """
    along, length = (missed * way).flatten(1).sum(1), way.square().flatten(1).sum(1)
    return torch.where(length > 0, sigma * along / length.clamp_min(1e-6), 0)


def loss_of(painter: Painter, *batch: Tensor) -> tuple[Tensor, Tensor]:
    """The flow matching loss of one batch of the pool: to learn from (the shape counts more) and to show (it doesn't).

    A shape is a tenth of the picture and its name is in its corners: in a plain mean it comes last. Where noise hides
    the shape's place, weighing by the true place would ask for a shape everywhere, so the weight goes with the noise.
    While a take is made the colour or the shape may drift from what was said, or the shape stand in two places at once,
    and a model that never saw this paints on what it sees. So some noisy clips lean to another clip (`astray`), and the
    way from there is asked for.
    """
    x, astray, inactive, reactive, mask, near, ids = batch
    x = x.float()
    u = torch.sigmoid(torch.randn(x.shape[0], device=x.device))
    sigma = SHIFT * u / (1 + (SHIFT - 1) * u)
    noise = torch.randn_like(x)
    share = sigma.view(-1, 1, 1, 1, 1)
    way = astray.float() - x
    # Near the end hardly anything is wrong any more, and the way back would be asked for in one leap.
    away = torch.rand_like(share) * torch.minimum(share, 1 - share) * way
    noisy = (1 - share) * x + share * noise + away
    control = tasks.control(inactive.float(), reactive.float(), mask)
    missed = painter.velocity(noisy, sigma, control, ids).float() - (noise - x + away / share)
    error = missed.square()
    aside = _share_of_the_way(sigma, missed, way).square().clamp_max(2)
    weight = 1 + SHAPE_WEIGHT * (1 - share) * near.float()
    return (weight * error).mean() / weight.mean() + ASTRAY_WEIGHT * aside.mean(), error.mean()


def _fill(coder: Coder, options: argparse.Namespace, scale: Scale | None) -> tuple[list[LatentPool], Scale]:
    buckets = _SMALL_BUCKETS if options.small else _BUCKETS
    pools = []
    for size, _, share in buckets:
        pool = LatentPool(coder, size, 2 if options.small else 32, 64 if options.small else int(32_000 * share))
        scale = pool.fill(scale, options.pool_seconds * share)
        pools.append(pool)
        say(f"pool of {size}: {len(pool)} clips")
    assert scale is not None
    return pools, scale


def load(options: argparse.Namespace, tokenizer: Any) -> tuple[Any, Painter, Scale | None]:
    """The autoencoder and the painter on their device, with the scale of the latents where resumed."""
    torch.manual_seed(options.seed)
    vae: Any = AutoencoderKLWan(**(checkpoint.SMALL_VAE if options.small else autoencoder.CONFIG))
    files = sorted(Path(options.vae).glob("vae-*.safetensors"))
    vae.load_state_dict(load_split(files))
    painter = Painter(len(tokenizer), small=options.small)
    scale = None
    if options.resume:
        folder = Path(options.resume)
        painter.transformer.load_state_dict(load_split(sorted(folder.glob("transformer-*.safetensors"))))
        painter.encoder.load_state_dict(load_split(sorted(folder.glob("text-*.safetensors"))))
        held = load_split([folder / "latents-0.safetensors"])
        scale = Scale(held["mean"].to(options.device), held["std"].to(options.device))
    return vae.to(options.device).requires_grad_(False), painter.to(options.device), scale


def _save(painter: Painter, average: Average, scale: Scale, out: Path) -> None:
    average.swap()
    save_split(out, "transformer", painter.transformer.state_dict(), 4)
    save_split(out, "text", painter.encoder.state_dict(), 1)
    save_split(out, "latents", {"mean": scale.mean, "std": scale.std}, 1)
    average.swap()


def _prepare_device() -> None:
    torch._dynamo.config.suppress_errors = True  # what does not compile runs as it is
    torch._dynamo.config.cache_size_limit = 64
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


class _Coding:
    """New clips for the pools while training goes on, for a fixed share of its time."""

    def __init__(self, coder: Coder, pools: list[LatentPool], shares: list[float], scale: Scale) -> None:
        self.coder, self.pools, self.shares, self.scale = coder, pools, shares, scale
        self.clock = Pace(math.inf)
        self.minutes = 0.0

    def some(self, waited_for: Tensor) -> None:
        """Code a chunk if it is time; what waits on the device for `waited_for` is training's time, not coding's."""
        if self.minutes >= NEW_SHARE * self.clock.elapsed:
            return
        waited_for.item()
        started = self.clock.elapsed
        self.coder.rng.choices(self.pools, self.shares)[0].fill(self.scale)
        self.minutes += self.clock.elapsed - started


def train(options: argparse.Namespace) -> None:
    """The whole run."""
    pace = Pace(options.minutes, done=options.done, total=options.total)
    _prepare_device()
    tokenizer = text.make_tokenizer()
    vae, painter, scale = load(options, tokenizer)
    if options.keep:
        painter.keep(options.keep)
    coder = Coder(vae, tokenizer, options.device, options.seed + 1)
    pools, scale = _fill(coder, options, scale)
    if options.compile:
        painter.transformer.compile_repeated_blocks(dynamic=False)
    null_ids = text.tokenize(tokenizer, [""]).to(options.device)
    step_on = TrainingStep(
        [weight for weight in painter.parameters() if weight.requires_grad],
        lambda *batch: loss_of(painter, *batch),
        options.device,
        adam_only=painter.ends(),
        weight_decay=0.01,
        matrices=options.optimizer == "muon",
    )
    average = Average(painter)
    buckets = _SMALL_BUCKETS if options.small else _BUCKETS
    coding = _Coding(coder, pools, [share for _, _, share in buckets], scale)
    step, shown_at, saved_at = 0, pace.elapsed, pace.elapsed
    while step == 0 or not pace.over:
        which = 1 + (step // _EVERY) % (len(buckets) - 1) if step % _EVERY == _EVERY - 1 else 0
        loss = step_on(pace.rate(options.rate), *pools[which].take(buckets[which][1], null_ids, NULL_CHANCE))
        if step == 0:  # compiling for each of the other sizes would take longer than it spares
            torch.compiler.set_stance("eager_on_recompile")
        average.update()
        step += 1
        coding.some(loss)
        if pace.elapsed - shown_at > 0.2 or step in (1, 10, 50):
            shown_at, clips = pace.elapsed, sum(len(pool) for pool in pools)
            say(f"{shown_at:.3f} min step {step} {buckets[which][0]} loss {loss.item():.4f}, {clips} clips")
        if pace.elapsed - saved_at > 1:
            saved_at = pace.elapsed
            _save(painter, average, scale, Path(options.out))
    _save(painter, average, scale, Path(options.out))


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.train_transformer", description=__doc__)
    parser.add_argument("--vae", required=True, help="what train_autoencoder saved")
    parser.add_argument("--minutes", type=float, required=True, help="all of the run, the pool too")
    parser.add_argument("--done", type=float, default=0.0, help="minutes of earlier runs")
    parser.add_argument("--total", type=float, help="minutes of all runs together")
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume")
    parser.add_argument("--keep", help="weights that stay as they are: a pattern that is found in their names")
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--pool-seconds", type=float, default=30)
    parser.add_argument("--compile", action="store_true", help="a minute's wait, then faster steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="miniatures, to try the code")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
