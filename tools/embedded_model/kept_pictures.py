"""Measures pictures kept at chosen times: how near the model's own frame comes to the picture, with it and without.

    python -m tools.embedded_model.kept_pictures [--takes 1.0]

Each take is of a held-out scene in words; the picture is a frame of that scene as it is drawn, another one in each
take. The same words, seeds and noise are used with the picture and without. What is compared is what the model made:
in a take's files, the frame is the picture itself. Leaves with 1 where the picture brings less than its floor.
May import torch and numpy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wan_backend.catalogue import entries
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.vace_control import build
from wan_backend.worker.gather import with_pictures
from wan_backend.worker.take_pictures import finished

from . import evaluate, prompts
from . import judge as judges
from .evaluate import Row, Trial
from .skipped_work import ProductPainter, as_bytes

SEED = evaluate.SEED + 8000
TAKES = 4
PLACES = (16, 10, 22, 14, 19, 25)
"""Frames that the pictures are kept at: at each place within a latent frame."""
GAIN = 6.0
"""Floor of what the picture must bring, in dB."""


@torch.no_grad()
def made(paint: ProductPainter, prompt: str, seed: int, canvas: Canvas) -> np.ndarray:
    """(T, H, W, 3) as the model makes it of the canvas."""
    conditions = paint.prepare(prompt, seed, None)
    gray = paint.gray
    control, _ = build(paint.model.vae, canvas, paint.frames, gray)
    latents = paint.denoise(replace(conditions, control=control))
    return np.concatenate(list(decode(paint.model.vae, latents)))


def psnr(made: np.ndarray, true: np.ndarray) -> float:
    """In dB, of two pictures of bytes."""
    error = np.mean((made.astype(np.float64) - true) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def rows(trial: Trial, paint: ProductPainter, count: int) -> Iterator[Row]:
    """The mean over the takes, at the picture's frame, beside it, and in the finished take."""
    figures: dict[str, list[float]] = {}
    for seed, scene in enumerate(trial.scenes(SEED, count, camera="static")):
        at = PLACES[seed % len(PLACES)]
        film = as_bytes(trial.draw(scene).frames * 2 - 1)
        kept = {at: film[at]}
        without = made(paint, prompts.plain(scene), seed, Canvas())
        taken = made(paint, prompts.plain(scene), seed, with_pictures(Canvas(), kept))
        written = np.stack(list(finished(taken, paint.frames, kept, Path("unused"), None, {}, kept)))
        for name, take in (("without the picture", without), ("with it", taken), ("with it, as written", written)):
            figures.setdefault(f"the frame, {name}", []).append(psnr(take[at], film[at]))
            beside = [psnr(take[each], film[each]) for each in (at - 1, at + 1)]
            figures.setdefault(f"the frames beside it, {name}", []).append(sum(beside) / 2)
        said = ", ".join(f"{each[-1]:.1f}" for each in figures.values())
        sys.stdout.write(f"seed {seed}, frame {at}: {said}\n")
        sys.stdout.flush()
    for name, values in figures.items():
        yield Row(name, sum(values) / len(values), 0, "dB", len(values))
    pairs = zip(figures["the frame, with it"], figures["the frame, without the picture"], strict=True)
    gains = [with_it - without for with_it, without in pairs]
    yield Row("what the picture brings at its frame", sum(gains) / len(gains), GAIN, "dB", len(gains))
    yield Row("and at the least", min(gains), 0, "dB", len(gains))


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.kept_pictures", description=__doc__)
    parser.add_argument("--takes", type=float, default=1.0, help=f"1 measures {TAKES} takes with and without")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--guidance-scale", type=float, default=1.5)
    options = parser.parse_args(arguments)
    size = {"frames": options.frames, "height": options.height, "width": options.width}
    shift = entries.entry("embedded").standard.flow_shift
    model = WanModel(evaluate.WEIGHTS, torch.device("cpu"))
    paint = ProductPainter(model, **size, steps=options.steps, guidance_scale=options.guidance_scale, flow_shift=shift)
    trial, kept = Trial(paint, judges.load(judges.WEIGHTS), **size), True
    for row in rows(trial, paint, max(1, round(TAKES * options.takes))):
        sys.stdout.write(f"{row}\n")
        kept = kept and row.kept
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
