"""Trains the embedded model's autoencoder on clips drawn as it goes. For a GPU, in minutes.

`python -m tools.embedded_model.train_autoencoder --minutes 8 --out FOLDER [--resume FOLDER]`
Beside whole clips it sees what VACE feeds an encoder: depth, edges, and clips with grey frames.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from . import autoencoder, checkpoint, world
from .graphed import TrainingStep
from .pacing import Average, Pace, load_split, save_split, say
from .scenes import LOOKS, LORA_LOOK, sample_scenes

Size = tuple[int, int, int]  # frames, height, width
FIRST_FRAME_COUNTS = 4.0  # it stands alone in its latent, and stills are kept by it
_TILE = (72, 64)  # eight of them make a frame of 144x256
_WHOLE: Size = (33, 144, 256)
_STAGES: list[tuple[float, list[tuple[Size, int]]]] = [
    (0.45, [((33, *_TILE), 16)]),
    (1.01, [(_WHOLE, 4), ((65, *_TILE), 12), (_WHOLE, 4), ((17, 208, 384), 3)]),
]
"""Until which part of the time: sizes in turn, each with its batch. Long clips teach colours that don't drift."""


class Supply:
    """Drawn clips of one size, as uint8, a chunk at a time."""

    def __init__(self, size: Size, chunk: int, seed: int, device: str) -> None:
        self.size, self.chunk, self.device = size, chunk, device
        self.rng = random.Random(seed)
        self.ready = torch.empty(0)

    def take(self, count: int) -> Tensor:
        """NCTHW in -1..1."""
        while self.ready.shape[0] < count:
            drawn = self._draw()
            self.ready = torch.cat([self.ready, drawn]) if self.ready.numel() else drawn
        taken, self.ready = self.ready[:count], self.ready[count:]
        return taken.float() / 127.5 - 1

    def _draw(self) -> Tensor:
        frames, height, width = self.size
        tiled = (height, width) == _TILE
        if tiled:
            height, width = 2 * height, 4 * width
        scenes = sample_scenes(self.rng.randrange(10**6), self.chunk, frames=frames)
        shown = self.rng.choices((*LOOKS, LORA_LOOK), (22, 22, 22, 22, 12))[0]
        look = shown if shown == LORA_LOOK else None
        drawn = world.draw(scenes, frames=frames, height=height, width=width, look=look, device=self.device)
        clips = torch.stack([self._view(drawn, i) for i in range(self.chunk)])
        if tiled:
            clips = clips.unflatten(3, (2, _TILE[0])).unflatten(5, (4, _TILE[1]))
            clips = clips.permute(0, 3, 5, 1, 2, 4, 6).flatten(0, 2)
        order = torch.randperm(clips.shape[0], device=self.device)
        return (clips[order] * 255).round().to(torch.uint8)

    def _view(self, drawn: world.Drawing, i: int) -> Tensor:
        """The clip, its depth, its edges, or the clip with grey frames: CTHW in 0..1."""
        clip = drawn.frames[i]
        lot = self.rng.random()
        if lot < 0.07:
            return world.depth_frames(drawn.depth[i : i + 1])[0]
        if lot < 0.11:
            return world.edges(drawn.frames[i : i + 1])[0]
        if lot < 0.24 and clip.shape[1] > 1:
            first = self.rng.choice((0, 1, 1, 4, 5, 9))
            last = self.rng.choice((0, 1, 1, 4, 8))
            clip = clip.clone()
            clip[:, min(first, clip.shape[1]) : max(first, clip.shape[1] - last)] = 0.5
        return clip


def loss_of(whole: autoencoder.WholeClip, clip: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
    """The loss, and the mean squared error in the range -1..1."""
    mean, log_variance = whole.encode(clip)
    latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    error = whole.decode(latents) - clip
    share = 1 + (FIRST_FRAME_COUNTS - 1) * (torch.arange(clip.shape[2], device=clip.device) == 0)
    share = share / share.mean()
    squared = error.square().mean((0, 1, 3, 4))
    lost = ((error.abs().mean((0, 1, 3, 4)) + 2 * squared) * share).mean()
    return lost + kl_weight * kl, squared.mean().detach()


def psnr(squared_error: float) -> float:
    """PSNR in dB of a mean squared error in the range -1..1."""
    return float(10 * torch.log10(torch.tensor(4.0 / max(squared_error, 1e-12))))


@torch.no_grad()
def check(whole: autoencoder.WholeClip, frames: int, count: int, device: str) -> str:
    """PSNR over held-out clips: all frames, the first, the last eight; and the latents' scale."""
    scenes = sample_scenes(10**6 + 1, count, held_out=True, frames=frames)
    errors, latents = [], []
    for i in range(0, count, 8):
        clip = world.draw(scenes[i : i + 8], frames=frames, device=device).frames * 2 - 1
        mean, _ = whole.encode(clip)
        errors.append((whole.decode(mean).clamp(-1, 1) - clip).square().mean((1, 3, 4)))
        latents.append(mean)
    error = torch.cat(errors)
    std = torch.cat(latents).std((0, 2, 3, 4))
    return (
        f"{frames} frames: all {psnr(error.mean().item()):.2f} first {psnr(error[:, 0].mean().item()):.2f} "
        f"last8 {psnr(error[:, -8:].mean().item()):.2f} dB, latent std {std.min():.2f}..{std.max():.2f}"
    )


def _make(options: argparse.Namespace) -> Any:
    """The autoencoder, new or resumed, on its device."""
    torch.manual_seed(options.seed)
    vae: Any = AutoencoderKLWan(**(checkpoint.SMALL_VAE if options.small else autoencoder.CONFIG))
    if options.resume:
        vae.load_state_dict(load_split(sorted(Path(options.resume).glob("vae-*.safetensors"))))
    else:
        with torch.no_grad():  # begin with little noise, or colour is learned late or never
            vae.quant_conv.bias[vae.config.z_dim :] = -5
    if options.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    return vae.to(options.device)


def _sizes(progress: float, stage: int | None) -> list[tuple[Size, int]]:
    """What is trained on at that part of the time, or in that stage where one is given."""
    if stage is not None:
        return _STAGES[stage][1]
    return next(sizes for end, sizes in _STAGES if progress < end)


def train(options: argparse.Namespace) -> None:
    """The whole run."""
    torch._dynamo.config.suppress_errors = True  # what does not compile runs as it is
    torch._dynamo.config.cache_size_limit = 64
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    vae = _make(options)
    whole = autoencoder.WholeClip(vae, autoencoder.compiled_stacked_norm_silu() if options.device == "cuda" else None)
    weights = [p for p in vae.parameters() if p.requires_grad]
    ends = [vae.encoder.conv_in.weight, vae.decoder.conv_out.weight, vae.quant_conv.weight, vae.post_quant_conv.weight]
    step_on = TrainingStep(
        weights,
        lambda clip: loss_of(whole, clip, options.kl),
        options.device,
        adam_only=ends,
        matrices=options.optimizer == "muon",
    )
    average = Average(vae)
    supplies: dict[Size, Supply] = {}
    pace = Pace(options.minutes, done=options.done, total=options.total)
    step, shown_at, saved_at = 0, 0.0, 0.0
    while step == 0 or not pace.over:
        sizes = _sizes(pace.progress, options.stage)
        size, batch = sizes[step % len(sizes)]
        if options.small:
            size, batch = (5, *_TILE), 2
        torch.backends.cudnn.benchmark = size[1:] == _TILE  # seconds for each new size: only where it pays
        if size not in supplies:
            supplies[size] = Supply(size, 2 if options.small else 24, options.seed + step, options.device)
        squared = step_on(pace.rate(options.rate), supplies[size].take(batch))
        average.update()
        step += 1
        if pace.elapsed - shown_at > 0.2 or step in (1, 10, 50):
            shown_at = pace.elapsed
            say(f"{pace.elapsed:.3f} min step {step} {size} {psnr(squared.item()):.2f} dB")
        if pace.elapsed - saved_at > 2:
            saved_at = pace.elapsed
            _save(vae, whole, average, options)
    _save(vae, whole, average, options)


def _save(vae: Any, whole: autoencoder.WholeClip, average: Average, options: argparse.Namespace) -> None:
    average.swap()
    save_split(Path(options.out), "vae", vae.state_dict(), 2)
    with torch.autocast(options.device, torch.bfloat16):
        for frames, count in ((9, 2),) if options.small else ((33, 24), (65, 8)):
            say("  held out, " + check(whole, frames, count, options.device))
    average.swap()


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.train_autoencoder", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--done", type=float, default=0.0, help="minutes of earlier runs")
    parser.add_argument("--total", type=float, help="minutes of all runs together")
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--stage", type=int, choices=range(len(_STAGES)), help="only this stage, all the time")
    parser.add_argument("--kl", type=float, default=1e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--decoder-only", action="store_true")
    parser.add_argument("--small", action="store_true", help="a miniature, to try the code")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
