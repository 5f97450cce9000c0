"""Fits the matrix from the embedded autoencoder's latents to colors, for previews: to be run after its training.

    python -m tools.embedded_model.latent_colors

Least squares over drawn clips, a latent against the mean color of the pixels that it stands for.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.nn.functional as F

from wan_backend.pipelines import preview
from wan_backend.pipelines.encode import normalize

from . import world
from .evaluate import WEIGHTS
from .scenes import sample_scenes

CLIPS, FRAMES, HEIGHT, WIDTH = 24, 9, 72, 128
NAME = "Wan VSE embedded"


@torch.no_grad()
def samples(vae: Any, seed: int, count: int = CLIPS) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised latents (N, C) and the colors (N, 3), -1 to 1, that they stand for."""
    clips = world.draw(sample_scenes(seed, count), frames=FRAMES, height=HEIGHT, width=WIDTH).frames * 2 - 1
    latents, colors = [], []
    for clip in clips.split(1):
        latents.append(normalize(vae, vae.encode(clip).latent_dist.mode()))
        first, others = clip[:, :, :1], clip[:, :, 1:]
        size = latents[0].shape[3:]
        groups = F.adaptive_avg_pool3d(others, (others.shape[2] // 4, *size))
        colors.append(torch.cat([F.adaptive_avg_pool3d(first, (1, *size)), groups], dim=2))
    return _rows(torch.cat(latents)), _rows(torch.cat(colors))


def fit(latents: torch.Tensor, colors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights (C, 3) and the bias (3,) with the least squared error."""
    ones = torch.ones(len(latents), 1)
    solved = torch.linalg.lstsq(torch.cat([latents, ones], dim=1), colors).solution
    return solved[:-1], solved[-1]


def main() -> None:
    """Put the embedded autoencoder's entry into the file of all."""
    from diffusers import AutoencoderKLWan

    vae: Any = AutoencoderKLWan.from_pretrained(WEIGHTS / "vae", dtype=torch.float32).eval()
    weights, bias = fit(*samples(vae, seed=11))
    entry = {
        "name": NAME,
        "source": "least squares over drawn clips",
        "latents_mean": [round(mean, 4) for mean in vae.config.latents_mean],
        "weights": [[round(number, 4) for number in row] for row in weights.tolist()],
        "bias": [round(number, 4) for number in bias.tolist()],
    }
    known = json.loads(preview.FILE.read_text("ascii"))["autoencoders"]
    others = [each for each in known if each["name"] != NAME]
    preview.FILE.write_text(written([*others, entry]), "ascii")


def written(autoencoders: list[dict[str, Any]]) -> str:
    """The file's text, a row of numbers a line."""
    blocks = []
    for each in autoencoders:
        rows = ",\n   ".join(json.dumps(row) for row in each["weights"])
        head = {name: value for name, value in each.items() if name != "weights"}
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
        blocks.append(" {\n" + ",\n".join([*lines, f'  "weights": [\n   {rows}\n  ]']) + "\n }")
    return '{"autoencoders": [\n' + ",\n".join(blocks) + "\n]}\n"


def _rows(whole: torch.Tensor) -> torch.Tensor:
    return whole.movedim(1, -1).reshape(-1, whole.shape[1])


if __name__ == "__main__":
    main()
