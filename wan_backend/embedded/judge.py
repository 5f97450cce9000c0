"""A small classifier of drawn frames: colour, shape, background, look, and where the shape is.

    python -m wan_backend.embedded.judge FILE --minutes 6

Trained on drawn, then blurred and noised, frames; the evaluation's eye. It never sees a take of the model.
A minute of a GPU does it; a CPU draws too slowly. May import torch and safetensors.
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
QUESTIONS: dict[str, tuple[str, ...]] = {
    "colour": COLOURS,
    "shape": SHAPES,
    "background": BACKGROUNDS,
    "look": (*LOOKS, LORA_LOOK),
}
WEIGHTS = Path(__file__).with_name("judge.safetensors")


class Judge(nn.Module):
    """Frames N3HW in 0..1 of any size to answers and masks."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b), nn.SiLU(), nn.Conv2d(b, b, 3, padding=1)
            )
            for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(nn.Conv2d(a, 24, 1) for a in widths[1:])
        self.mask = nn.Conv2d(24, 1, 3, padding=1)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(sum(widths[2:]) * 2, len(answers)) for name, answers in QUESTIONS.items()}
        )

    def forward(self, frames: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of each question, and the shape's mask logits N x 36 x 64."""
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
        return torch.sigmoid(self(take.transpose(0, 1))[1])


def load(file: Path = WEIGHTS) -> Judge:
    """The trained judge."""
    judge = Judge()
    judge.load_state_dict(load_file(file))
    return judge.eval()


def _frames(rng: random.Random, count: int, device: str) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Drawn frames as a model might paint them, their masks, and the right answers."""
    scenes = [sample_scene(rng, held_out=rng.random() < 0.1) for _ in range(count)]
    look = LORA_LOOK if rng.random() < 0.12 else None
    drawn = world.draw(scenes, frames=2, look=look, device=device)
    frames = drawn.frames.transpose(1, 2).flatten(0, 1)
    masks = drawn.mask[:, 0].flatten(0, 1)
    if rng.random() < 0.5:
        size = rng.choice((3, 5))
        frames = F.avg_pool2d(frames, size, stride=1, padding=size // 2, count_include_pad=False)
    frames = frames * rng.uniform(0.9, 1.1) + rng.uniform(-0.04, 0.04)
    frames = (frames + torch.randn_like(frames) * rng.uniform(0, 0.05)).clamp(0, 1)
    right = {
        name: torch.tensor(
            [choices.index(LORA_LOOK if name == "look" and look else getattr(s, name)) for s in scenes],
            device=device,
        ).repeat_interleave(2)
        for name, choices in QUESTIONS.items()
    }
    return frames, F.interpolate(masks.unsqueeze(1), (36, 64), mode="area").squeeze(1), right


def train(file: Path, minutes: float, device: str = "cpu", seed: int = 0) -> None:
    """Train a judge for that long and save it."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    judge = Judge().to(device)
    average = Average(judge, decay=0.99)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-3)
    pace = Pace(minutes)
    step, shown_at = 0, 0.0
    while step == 0 or not pace.over:
        frames, masks, right = _frames(rng, 64 if device == "cuda" else 16, device)
        logits, found = judge(frames)
        errors = {name: F.cross_entropy(logits[name], right[name]) for name in QUESTIONS}
        loss = torch.stack(list(errors.values())).sum() + 4 * F.binary_cross_entropy_with_logits(found, masks)
        for group in optimizer.param_groups:
            group["lr"] = pace.rate(2e-3)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update()
        step += 1
        if pace.elapsed - shown_at > 0.5:
            shown_at = pace.elapsed
            say(f"{shown_at:.1f} min step {step} " + " ".join(f"{k} {v.item():.3f}" for k, v in errors.items()))
    average.swap()
    save_file({key: value.cpu().contiguous() for key, value in judge.state_dict().items()}, file)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m wan_backend.embedded.judge", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    train(options.file, options.minutes, options.device)


if __name__ == "__main__":
    main()
