"""A small classifier of drawn frames: colour, shape, background, look, and where the shape is.

    python -m tools.embedded_model.judge FILE --minutes 6

Trained on drawn, then blurred and noised, frames; the evaluation's eye. It never sees a take of the model.
It finds the shape in a small picture of the frame, then takes a second look at the shape alone, at full resolution:
a shape's name is in its corners. A minute of a GPU does it, or some minutes of a CPU with `--resume`, which learns
the second look alone. May import torch and safetensors.
"""

from __future__ import annotations

import argparse
import random
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import world
from .pacing import Average, Pace, say
from .scenes import BACKGROUNDS, COLOURS, LOOKS, LORA_LOOK, SHAPES, sample_scene

SIZE = (72, 128)
GLIMPSE = 48
QUESTIONS: dict[str, tuple[str, ...]] = {
    "colour": COLOURS,
    "shape": SHAPES,
    "background": BACKGROUNDS,
    "look": (*LOOKS, LORA_LOOK),
}
WEIGHTS = Path(__file__).with_name("judge.safetensors")


def glimpse(frames: Tensor, masks: Tensor, jitter: float = 0.0) -> Tensor:
    """The shape alone, N x 3 x GLIMPSE x GLIMPSE, cut from frames N3HW by its masks of any size.

    `jitter` moves and scales the cut at random, by that share of its size.
    """
    n, _, height, width = frames.shape
    weight = masks.clamp_min(0) ** 2 + 1e-6
    xs = (torch.arange(masks.shape[2], device=masks.device) + 0.5) * 2 / masks.shape[2] - 1
    ys = (torch.arange(masks.shape[1], device=masks.device) + 0.5) * 2 / masks.shape[1] - 1
    total = weight.sum((1, 2))
    x, y = (weight.sum(1) * xs).sum(1) / total, (weight.sum(2) * ys).sum(1) / total
    half = (1.25 * (masks.mean((1, 2)) * height * width).sqrt()).clamp_min(8)  # in pixels
    if jitter:
        half = half * torch.exp(jitter * (2 * torch.rand_like(half) - 1))
        x = x + jitter * (2 * torch.rand_like(x) - 1) * half / width
        y = y + jitter * (2 * torch.rand_like(y) - 1) * half / height
    along = torch.linspace(-1, 1, GLIMPSE, device=frames.device)
    grid_x = x.view(-1, 1, 1) + (2 * half / width).view(-1, 1, 1) * along.view(1, 1, -1)
    grid_y = y.view(-1, 1, 1) + (2 * half / height).view(-1, 1, 1) * along.view(1, -1, 1)
    grid = torch.stack([grid_x.expand(n, GLIMPSE, -1), grid_y.expand(n, -1, GLIMPSE)], dim=-1)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=False)


def _halving(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1),
        nn.GroupNorm(4, after),
        nn.SiLU(),
        nn.Conv2d(after, after, 3, padding=1),
    )


class Judge(nn.Module):
    """Frames N3HW in 0..1 of any size to answers and masks."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        self.down = nn.ModuleList(_halving(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(a, 24, 1) for a in widths[1:])
        self.mask = nn.Conv2d(24, 1, 3, padding=1)
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(sum(widths[2:]) * 2, len(answers))
                for name, answers in QUESTIONS.items()
                if name != "shape"
            }
        )
        closer = (3, 24, 48, 96)
        layers = [layer for a, b in pairwise(closer) for layer in (_halving(a, b), nn.SiLU())]
        self.shape = nn.Sequential(*layers, nn.Flatten(), nn.Linear(closer[-1] * (GLIMPSE // 8) ** 2, len(SHAPES)))

    def forward(self, frames: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of each question, and the shape's mask logits N x 36 x 64."""
        logits, mask = self.overview(frames)
        logits["shape"] = self.shape(glimpse(frames, torch.sigmoid(mask.detach())) * 2 - 1)
        return logits, mask

    def overview(self, frames: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """All but the shape's name, from the whole frame made small."""
        x = F.interpolate(frames, SIZE, mode="area") * 2 - 1
        levels = []
        for layer in self.down:
            x = F.silu(layer(x))
            levels.append(x)
        fused = torch.zeros((), device=frames.device)
        for lateral, level in zip(self.up, levels, strict=True):
            fused = fused + F.interpolate(lateral(level), levels[0].shape[2:], mode="bilinear")
        mask = self.mask(F.silu(fused)).squeeze(1)
        shown = torch.sigmoid(mask.detach()).unsqueeze(1)
        seen = []
        for level in levels[1:]:
            near = F.interpolate(shown, level.shape[2:], mode="area")
            seen.append((level * near).sum((2, 3)) / (near.sum((2, 3)) + 0.5))
            seen.append((level * (1 - near)).mean((2, 3)))
        features = torch.cat(seen, dim=1)
        return {name: head(features) for name, head in self.heads.items()}, mask

    @torch.no_grad()
    def answers(self, take: Tensor) -> dict[str, str]:
        """What a take CTHW shows, judged over nine of its frames together."""
        chosen = torch.linspace(0, take.shape[1] - 1, 9).round().long()
        logits, _ = self(take[:, chosen].transpose(0, 1))
        return {name: QUESTIONS[name][int(value.log_softmax(1).mean(0).argmax())] for name, value in logits.items()}

    @torch.no_grad()
    def masks(self, take: Tensor) -> Tensor:
        """The shape's mask in each frame of a take CTHW: T x 36 x 64 in 0..1."""
        return torch.sigmoid(self.overview(take.transpose(0, 1))[1])


def load(file: Path = WEIGHTS) -> Judge:
    """The trained judge."""
    judge = Judge()
    judge.load_state_dict(load_file(file))
    return judge.eval()


class _Pool:
    """Drawn frames, their masks and the right answers; new ones push out the oldest."""

    def __init__(self, rng: random.Random, device: str, most: int) -> None:
        self.rng, self.device, self.most = rng, device, most
        self.frames = torch.empty(0, dtype=torch.uint8, device=device)
        self.masks = torch.empty(0, device=device)
        self.right: dict[str, Tensor] = {name: torch.empty(0, dtype=torch.long, device=device) for name in QUESTIONS}

    def draw(self, count: int) -> None:
        """Draw that many scenes, each at two moments."""
        scenes = [sample_scene(self.rng, held_out=self.rng.random() < 0.1) for _ in range(count)]
        look = LORA_LOOK if self.rng.random() < 0.12 else None
        drawn = world.draw(scenes, frames=2, look=look, device=self.device)
        frames = (drawn.frames.transpose(1, 2).flatten(0, 1) * 255).round().byte()
        masks = F.interpolate(drawn.mask[:, 0].flatten(0, 1).unsqueeze(1), (36, 64), mode="area").squeeze(1)
        self.frames = torch.cat([self.frames, frames])[-self.most :]
        self.masks = torch.cat([self.masks, masks])[-self.most :]
        for name, choices in QUESTIONS.items():
            said = [LORA_LOOK if name == "look" and look else getattr(scene, name) for scene in scenes]
            index = torch.tensor([choices.index(word) for word in said], device=self.device).repeat_interleave(2)
            self.right[name] = torch.cat([self.right[name], index])[-self.most :]

    def take(self, count: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Some frames in 0..1, their masks, and the right answers."""
        chosen = torch.randint(self.frames.shape[0], (count,), device=self.device)
        right = {name: right[chosen] for name, right in self.right.items()}
        return self.frames[chosen].float() / 255, self.masks[chosen], right


def _spoil(frames: Tensor, rng: random.Random) -> Tensor:
    """The frames as a model might paint them: blurred, paler or darker, noised."""
    if rng.random() < 0.5:
        size = rng.choice((3, 5))
        frames = F.avg_pool2d(frames, size, stride=1, padding=size // 2, count_include_pad=False)
    frames = frames * rng.uniform(0.9, 1.1) + rng.uniform(-0.04, 0.04)
    return (frames + torch.randn_like(frames) * rng.uniform(0, 0.05)).clamp(0, 1)


def _errors(judge: Judge, pool: _Pool, count: int, *, overview: bool) -> dict[str, Tensor]:
    """What is to be lessened, by its name; without the overview, for the shape's name alone."""
    frames, masks, right = pool.take(count)
    near = _spoil(glimpse(frames, masks, jitter=0.3), pool.rng)
    errors = {"shape": F.cross_entropy(judge.shape(near * 2 - 1), right["shape"])}
    if overview:
        logits, found = judge.overview(_spoil(frames, pool.rng))
        errors |= {name: F.cross_entropy(logits[name], right[name]) for name in logits}
        errors["mask"] = 4 * F.binary_cross_entropy_with_logits(found, masks)
    return errors


def train(file: Path, minutes: float, device: str = "cpu", seed: int = 0, resume: Path | None = None) -> None:
    """Train a judge for that long and save it; with `resume`, only its second look, the rest being that file's."""
    torch.manual_seed(seed)
    pool = _Pool(random.Random(seed), device, 16_000 if device == "cuda" else 4000)
    judge = Judge().to(device)
    if resume:
        earlier = load_file(resume)
        judge.load_state_dict({key: earlier.get(key, value) for key, value in judge.state_dict().items()})
    average = Average(judge, decay=0.99)
    learned = judge.shape if resume else judge
    optimizer = torch.optim.AdamW(learned.parameters(), lr=2e-3, weight_decay=1e-3)
    pace = Pace(minutes)
    step, shown_at, drawing = 0, 0.0, 0.0
    while step == 0 or not pace.over:
        if drawing <= 0.4 * pace.elapsed:
            began = pace.elapsed
            pool.draw(64 if device == "cuda" else 16)
            drawing += pace.elapsed - began
        errors = _errors(judge, pool, 128 if device == "cuda" else 64, overview=not resume)
        for group in optimizer.param_groups:
            group["lr"] = pace.rate(2e-3)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(errors.values())).sum().backward()
        optimizer.step()
        average.update()
        step += 1
        if pace.elapsed - shown_at > 0.5:
            shown_at = pace.elapsed
            said = " ".join(f"{k} {v.item():.3f}" for k, v in errors.items())
            say(f"{shown_at:.1f} min step {step}, {len(pool.frames)} frames, {said}")
    average.swap()
    save_file({key: value.cpu().contiguous() for key, value in judge.state_dict().items()}, file)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.judge", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--resume", type=Path, help="an earlier judge, whose second look alone is to be learned")
    options = parser.parse_args(arguments)
    train(options.file, options.minutes, options.device, resume=options.resume)


if __name__ == "__main__":
    main()
