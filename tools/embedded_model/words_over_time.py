"""Measures words over time: takes whose first half is told other words than their second one.

    python -m tools.embedded_model.words_over_time [--takes 1.0] [--arms words scene once] [--border 4]

A motion or a colour is said for each half, and counts as followed where the judge sees both. `words` says each half
whole, in its own time; `scene` gives what stays as the scene's prompt, and only the motion in time; `once` says both
halves in one prompt, one after the other. The same scenes, seeds and noise are used for all. Takes are made by the
product's own loop, from a request that is planned. Leaves with 1 where words in time miss their floor.
May import torch and numpy.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wan_backend.catalogue import entries
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines import prompt_relay
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.prompt_encoding import encode
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import TakeRequest, Words

from . import evaluate, measures, prompts
from . import judge as judges
from .evaluate import Row, Trial, share
from .scenes import COLOURS, Scene
from .skipped_work import ProductPainter

SEED = evaluate.SEED + 7000
TAKES = 40
FLOOR = 80
WAYS = ("left", "right", "up", "down")
ARMS = ("words", "scene", "once")
AROUND_BORDER = 2
"""Frames at each side of the middle that aren't judged."""


@dataclass(frozen=True)
class Change:
    """Two scenes that are alike but for one thing, which is what a take's halves show."""

    of: str
    """ "motion" or "colour"."""
    halves: tuple[Scene, Scene]

    @property
    def wanted(self) -> list[str]:
        """What is to be seen in each half."""
        return [str(getattr(scene, self.of)) for scene in self.halves]

    def asked(self, request: TakeRequest, arm: str) -> TakeRequest:
        """`request` with the halves in words."""
        first, second = map(prompts.plain, self.halves)
        if arm == "once":
            return replace(request, prompt=f"{first}, then {second}")
        middle = request.length_frames // 2
        parts = ((0, middle - 1), (middle, request.length_frames - 1))
        if arm == "words":
            texts, scene = [first, second], ""
        else:
            texts = [prompts.MOTION_WORDS[half.motion][0] for half in self.halves]
            scene = " ".join(first.replace(texts[0], "").split())
        words = [Words(*frames, text) for frames, text in zip(parts, texts, strict=True)]
        return replace(request, prompt=scene, words=words)


def changes(trial: Trial, of: str, count: int) -> Iterator[Change]:
    """So many changes of motion or colour, of held-out scenes."""
    for number, scene in enumerate(trial.scenes(SEED, count, WAYS, camera="static")):
        choices = WAYS if of == "motion" else COLOURS
        other = random.Random(number).choice([each for each in choices if each != getattr(scene, of)])
        changed = replace(scene, motion=other) if of == "motion" else replace(scene, colour=other)
        yield Change(of, (scene, changed))


@torch.no_grad()
def made(paint: ProductPainter, request: TakeRequest) -> Tensor:
    """The take of a request, CTHW in 0..1."""
    plan = plan_steps.plan(request, entries.entry("embedded"))
    if plan.problem is not None:
        raise ValueError(plan.problem.sentence)
    relay = prompt_relay.relay_of(request, plan)
    embeds = [encode(paint.model.tokenizer, paint.model.text_encoder, prompt) for prompt in relay.prompts]
    conditions = paint.prepare(relay.prompts[0], request.seed, None)
    latents = paint.denoise(replace(conditions, prompt_embeds=torch.cat(embeds), spans=relay.spans))
    pictures = np.concatenate(list(decode(paint.model.vae, latents)))
    return torch.from_numpy(pictures).permute(3, 0, 1, 2).float() / 255


def seen(trial: Trial, take: Tensor, of: str) -> list[str]:
    """What the judge sees in each half."""
    middle = take.shape[1] // 2
    halves = take[:, : middle - AROUND_BORDER + 1], take[:, middle + AROUND_BORDER :]
    if of == "colour":
        return [trial.judge.answers(half)["colour"] for half in halves]
    reach = trial.reach * halves[0].shape[1] / take.shape[1]
    return [measures.motion_of(trial.seen(half), trial.width, reach) for half in halves]


def rows(trial: Trial, paint: ProductPainter, arms: Sequence[str], count: int, media: Path) -> Iterator[Row]:
    """For each arm, how many takes show both halves as said, and how many keep what was said for the whole."""
    request = TakeRequest(
        "", "embedded", trial.width, trial.height, trial.frames, entries.entry("embedded").rate, 0, str(media)
    )
    for arm in arms:
        together: list[bool] = []
        for of in ("motion", "colour") if arm != "scene" else ("motion",):
            both, kept = [], []
            for seed, change in enumerate(changes(trial, of, count)):
                take = made(paint, change.asked(replace(request, seed=seed), arm))
                both.append(seen(trial, take, of) == change.wanted)
                answers = trial.judge.answers(take)
                kept.append(all(answers[name] == getattr(change.halves[0], name) for name in ("shape", "background")))
            together += both
            yield share(f"{arm}: {of} of each half as said", both, 0)
            yield share(f"{arm}: shape and background ({of})", kept, 0)
        yield share(f"{arm}: what is said of each half", together, FLOOR if arm == "words" else 0)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.words_over_time", description=__doc__)
    parser.add_argument("--takes", type=float, default=1.0, help=f"1 measures each row on {TAKES} takes")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--border", type=int, default=prompt_relay.BORDER_FRAMES, help="frames that a border takes")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--guidance-scale", type=float, default=1.5)
    options = parser.parse_args(arguments)
    prompt_relay.BORDER_FRAMES = options.border
    size = {"frames": options.frames, "height": options.height, "width": options.width}
    shift = entries.entry("embedded").standard.flow_shift
    model = WanModel(evaluate.WEIGHTS, torch.device("cpu"))
    paint = ProductPainter(model, **size, steps=options.steps, guidance_scale=options.guidance_scale, flow_shift=shift)
    trial, followed = Trial(paint, judges.load(judges.WEIGHTS), **size), True
    count = max(1, round(TAKES * options.takes))
    for row in rows(trial, paint, options.arms, count, Path.cwd()):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        followed = followed and row.kept
    return 0 if followed else 1


if __name__ == "__main__":
    raise SystemExit(main())
