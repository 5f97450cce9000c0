"""Measures the shipped checkpoint against its claims, on scenes and combinations of words it never saw.

    python -m tools.embedded_model.evaluate [--weights FOLDER] [--takes 1.0] [--device cpu]

Prints a table; leaves with 1 where a floor is missed. Takes are painted by diffusers' own pipeline. `--takes 0.3` is
the short form; `--frames`, `--height` and `--width` measure takes of another length or size, and
`--lora loras/draft.safetensors --steps 4 --guidance-scale 1` drafts.
May import torch, diffusers and numpy.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import WanVACEPipeline
from torch import Tensor

from . import judge as judges
from . import measures, prompts, tasks, world
from .painting import Painter, painter_of
from .scenes import LOOKS, Scene, reach_of, sample_scenes
from .sheets import Sheets

WEIGHTS = Path(__file__).parents[2] / "wan_backend" / "embedded_model" / "weights"
SEED = 10**6 + 100
KEPT_FRAMES = 9
FROM_WORDS, FILLED, FROM_PICTURES, CODED = 10, 10, 3, 4
"""Takes that a row is measured on: from words alone, of a gap, of each other task with pictures; and clips coded and
decoded. In fewer than ten takes, one that went wrong is more than 10%."""


@dataclass(frozen=True)
class Row:
    """One line of the table; `floor` is in the unit of `figure`."""

    claim: str
    figure: float
    floor: float
    unit: str
    count: int

    @property
    def kept(self) -> bool:
        """True where the figure reaches the floor."""
        return self.figure >= self.floor

    def __str__(self) -> str:
        verdict = "ok" if self.kept else "MISSED"
        return f"{self.claim:<44} {self.figure:6.1f} {self.unit:<2} of {self.floor:g}, n={self.count:<4} {verdict}"


@dataclass(frozen=True)
class Trial:
    """How takes are measured: the painter, the judge, and the size of a take."""

    paint: Painter
    judge: judges.Judge
    frames: int = 33
    height: int = 144
    width: int = 256

    def scenes(self, seed: int, count: int, moving: Sequence[str] | None = None, **fixed: Any) -> list[Scene]:
        """Held-out scenes that cover as much way as clips of this length do, of some motions, with something fixed."""
        found: list[Scene] = []
        while len(found) < count:
            for scene in sample_scenes(seed, 4 * count, held_out=True, frames=self.frames):
                if (moving is None or scene.motion in moving) and len(found) < count:
                    found.append(replace(scene, **fixed))
            seed += 1
        return found

    def draw(self, scene: Scene, look: str | None = None) -> world.Drawing:
        """The scene at this trial's size."""
        return world.draw([scene], frames=self.frames, height=self.height, width=self.width, look=look)

    @property
    def reach(self) -> float:
        """How much of the usual way its clips cover."""
        return reach_of(self.frames)

    def motion(self, seen: measures.Sighting) -> str:
        """The way that was gone, for clips of this length and width."""
        return measures.motion_of(seen, self.width, self.reach)

    def seen(self, take: Tensor) -> measures.Sighting:
        """Where the judge sees the shape."""
        return measures.sight(self.judge.masks(take), self.height, self.width)

    def prepared(self, task: str, scene: Scene, seed: int) -> tasks.Condition:
        """The condition of a task for the scene as it is drawn."""
        return tasks.prepare([task], [scene], self.draw(scene), random.Random(seed))


def share(claim: str, rights: Sequence[bool], floor: float = 90) -> Row:
    """How many of some takes are right."""
    return Row(claim, 100 * sum(rights) / max(1, len(rights)), floor, "%", len(rights))


def _least(claim: str, figures: Sequence[float], floor: float) -> Row:
    """The mean of some PSNRs."""
    return Row(claim, sum(figures) / max(1, len(figures)), floor, "dB", len(figures))


@torch.no_grad()
def autoencoder_rows(trial: Trial, vae: Any, count: int, device: str) -> list[Row]:
    """Held-out clips of the trial's size coded and decoded: 33 frames, their last eight, and 65 frames."""
    whole, last, long = [], [], []
    for frames, seed, clips in ((33, SEED, count), (65, SEED + 50, max(1, count // 4))):
        sized = replace(trial, frames=frames)
        for scene in sized.scenes(seed, clips):
            clip = sized.draw(scene).frames
            given = (clip * 2 - 1).to(device, vae.dtype)
            back = vae.decode(vae.encode(given).latent_dist.mode()).sample.float().cpu() / 2 + 0.5
            if frames == 33:
                whole.append(measures.psnr(back, clip))
                last.append(measures.psnr(back[:, :, -8:], clip[:, :, -8:]))
            else:
                long.append(measures.psnr(back, clip))
    claims = ("autoencoder, 33 frames", "autoencoder, the last 8 frames", "autoencoder, 65 frames")
    return [_least(claim, figures, 32) for claim, figures in zip(claims, (whole, last, long), strict=True)]


def word_rows(trial: Trial, count: int) -> list[Row]:
    """Takes from words alone."""
    rights: dict[str, list[bool]] = {name: [] for name in (*judges.QUESTIONS, "motion", "camera")}
    for i, scene in enumerate(trial.scenes(SEED + 100, count)):
        take = trial.paint(prompts.plain(scene), i, None)
        for name, answer in trial.judge.answers(take).items():
            rights[name].append(answer == getattr(scene, name))
        masks = trial.judge.masks(take)
        rights["camera"].append(measures.camera_of(take, masks, trial.reach) == scene.camera)
        if measures.reads_motion(scene):
            seen = trial.motion(measures.sight(masks, trial.height, trial.width))
            rights["motion"].append(seen == scene.motion)
    return [share(f"text to video: {name} as said", right) for name, right in rights.items()]


def image_rows(trial: Trial, count: int) -> list[Row]:
    """Takes from a still."""
    figures = []
    for i, scene in enumerate(trial.scenes(SEED + 200, count)):
        condition = trial.prepared("image", scene, i)
        take = trial.paint(prompts.plain(scene), i, condition)
        figures.append(measures.psnr(take[:, 0], condition.inactive[0, :, 0] / 2 + 0.5))
    return [_least("image to video: frame 1 is the still", figures, 28)]


def fill_rows(trial: Trial, count: int) -> list[Row]:
    """Takes between two stills."""
    first, last, monotone = [], [], []
    for i, scene in enumerate(trial.scenes(SEED + 300, count, ("left", "right", "up", "down"), camera="static")):
        clip = trial.draw(scene).frames
        mask = tasks.mask_of(trial.frames, 1, 1)
        kept = (clip * 2 - 1) * (1 - mask).view(1, 1, -1, 1, 1)
        take = trial.paint(prompts.plain(scene), i, tasks.Condition(kept, torch.zeros_like(kept), mask[None]))
        first.append(measures.psnr(take[:, 0], clip[0, :, 0]))
        last.append(measures.psnr(take[:, -1], clip[0, :, -1]))
        seen = trial.seen(take)
        path = seen.x if scene.motion in ("left", "right") else seen.y
        monotone.append(measures.is_monotone(path) and trial.motion(seen) == scene.motion)
    return [
        _least("fill gap: first frame", first, 28),
        _least("fill gap: last frame", last, 28),
        share("fill gap: the path goes one way", monotone),
    ]


def extend_rows(trial: Trial, count: int) -> list[Row]:
    """Takes that go on from the first frames of a clip."""
    rights = []
    kept_frames = min(KEPT_FRAMES, trial.frames - 4)
    for i, scene in enumerate(trial.scenes(SEED + 400, count, ("left", "right", "up", "down"), camera="static")):
        clip = trial.draw(scene).frames
        mask = tasks.mask_of(trial.frames, kept_frames, 0)
        kept = (clip * 2 - 1) * (1 - mask).view(1, 1, -1, 1, 1)
        take = trial.paint(prompts.plain(scene), i, tasks.Condition(kept, torch.zeros_like(kept), mask[None]))
        seen = trial.seen(take[:, kept_frames - 1 :])
        rights.append(trial.motion(seen) == scene.motion)
    return [share("extend: goes on as it went", rights)]


def guided_rows(trial: Trial, count: int) -> list[Row]:
    """Takes that follow another look's frames, and takes that follow depth."""
    restyled, followed = [], []
    aside = 4 * math.sqrt(trial.height * trial.width / (144 * 256))
    for i, scene in enumerate(trial.scenes(SEED + 500, count)):
        truth = world.track(scene, frames=trial.frames, height=trial.height, width=trial.width)
        look = LOOKS[(LOOKS.index(scene.look) + 1 + i % 3) % len(LOOKS)]
        source = trial.draw(scene).frames * 2 - 1
        ones = torch.ones(1, trial.frames)
        wanted = replace(scene, look=look)
        take = trial.paint(prompts.plain(wanted), i, tasks.Condition(torch.zeros_like(source), source, ones))
        seen = trial.seen(take)
        away = torch.hypot(seen.x - truth[:, 0], seen.y - truth[:, 1]).median()
        restyled.append(trial.judge.answers(take)["look"] == look and float(away) <= aside)
        take = trial.paint(prompts.plain(scene), i, trial.prepared("depth", scene, i))
        seen, drawn = trial.seen(take), measures.sight(trial.draw(scene).mask[0, 0], trial.height, trial.width)
        limit = 0.06 * trial.width
        apart = torch.stack([seen.x - drawn.x, seen.y - drawn.y, seen.size - drawn.size]).abs().amax(0)
        followed.append(float(apart.median()) <= limit)
    return [
        share("restyle: the look asked for, shape in place", restyled),
        share("depth control: place and size follow", followed),
    ]


def seed_rows(trial: Trial) -> list[Row]:
    """The same seed twice, and another."""
    prompt = prompts.plain(trial.scenes(SEED + 600, 1)[0])
    one, same, other = (trial.paint(prompt, seed, None) for seed in (1, 1, 2))
    return [
        share("same seed, same take", [torch.equal(one, same)], 100),
        share("other seed, other take", [float((one - other).abs().mean()) > 0.01], 100),
    ]


def table(trial: Trial, vae: Any, takes: float, device: str) -> Iterator[Row]:
    """All rows, as they come; `takes` scales how many takes each is measured on."""
    from_pictures = _many(FROM_PICTURES, takes)
    yield from autoencoder_rows(trial, vae, _many(CODED, takes), device)
    yield from word_rows(trial, _many(FROM_WORDS, takes))
    yield from image_rows(trial, from_pictures)
    yield from fill_rows(trial, _many(FILLED, takes))
    yield from extend_rows(trial, from_pictures)
    yield from guided_rows(trial, from_pictures)
    yield from seed_rows(trial)


def _many(count: int, takes: float) -> int:
    return max(1, round(count * takes))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    """What the command line asks for; leaves with 2 and a sentence where that can't be."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--judge", type=Path, default=judges.WEIGHTS)
    parser.add_argument("--takes", type=float, default=1.0)
    parser.add_argument("--frames", type=int, default=33, help="4k + 1: 9 to 65; of takes, not of the coded clips")
    parser.add_argument("--height", type=int, default=144, help="a multiple of 16, from 96 to 384")
    parser.add_argument("--width", type=int, default=256, help="a multiple of 16, from 96 to 384")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--guidance-scale", type=float, default=1.5)
    parser.add_argument("--lora", type=Path, help="a LoRA file that takes are painted with")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sheets", type=Path, help="a folder for pictures of the takes, as the model card has them")
    options = parser.parse_args(arguments)
    if options.frames not in range(9, 66, 4):
        parser.error(f"{options.frames} frames can't be made: --frames must be 9, 13, 17 and so on, up to 65")
    for side in ("height", "width"):
        if getattr(options, side) not in range(96, 385, 16):
            parser.error(f"--{side} must be a multiple of 16 from 96 to 384, not {getattr(options, side)}")
    if not 0 < options.takes < math.inf:
        parser.error("--takes must be more than 0: 1 measures the usual number")
    if not (options.weights / "model_index.json").is_file():
        parser.error(f"there is no checkpoint at {options.weights}: write one with tools.embedded_model.checkpoint")
    if options.lora is not None and not options.lora.is_file():
        parser.error(f"there is no LoRA at {options.lora}")
    if not options.judge.is_file():
        parser.error(f"there is no judge at {options.judge}: train one with tools.embedded_model.judge")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA here: leave --device out to measure on the CPU")
    return options


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    pipeline = WanVACEPipeline.from_pretrained(options.weights, dtype=torch.float32).to(options.device)
    pipeline.set_progress_bar_config(disable=True)
    if options.lora is not None:
        pipeline.load_lora_weights(options.lora.parent, weight_name=options.lora.name)
    size = {"frames": options.frames, "height": options.height, "width": options.width}
    paint = Sheets(painter_of(pipeline, **size, steps=options.steps, guidance_scale=options.guidance_scale))
    trial, kept = Trial(paint, judges.load(options.judge), **size), True
    for row in table(trial, pipeline.vae, options.takes, options.device):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        kept = kept and row.kept
    if options.sheets is not None:
        paint.save(options.sheets, _many(FROM_PICTURES, options.takes), _many(FILLED, options.takes))
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
