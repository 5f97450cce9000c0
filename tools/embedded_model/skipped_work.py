"""Measures what skipped work costs: the rows of `evaluate`, exact and with each technique, and the PSNR between both.

    python -m tools.embedded_model.skipped_work [--steps 8] [--takes 1.0] [--guidance 0:0.5] [--cache 0.12:2]

`--guidance START:END` and `--cache THRESHOLD:MAX` may be given several times; each is measured alone, and the last two
together with `--both`. Takes are made by the product's own loop (`wan_backend.pipelines.denoise`), all from the same
noise. Forward passes are counted, not timed.
May import torch and numpy.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wan_backend.catalogue import entries
from wan_backend.loading import chunked_forward
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines import vace_control
from wan_backend.pipelines.conditions import Canvas, Conditions
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import ALL_WORK, SkippedWork, denoise
from wan_backend.pipelines.guidance_interval import GuidedSteps
from wan_backend.pipelines.prompt_encoding import encode
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.step_cache import CachedSteps, MagnitudeRatios
from wan_backend.planning.calibrations import Branch
from wan_backend.planning.step_cache_schedule import StepCacheSettings, skipped_steps

from . import evaluate, measures, prompts, tasks
from . import judge as judges
from .evaluate import Row, Trial

CALIBRATING_SEED = evaluate.SEED + 10**5
"""The scene that the step cache is calibrated on; no measured take shows it."""


@dataclass
class ProductPainter:
    """Paints takes as the product makes them; those that are exact are kept, to compare others with."""

    model: WanModel
    frames: int
    height: int
    width: int
    steps: int
    guidance_scale: float
    flow_shift: float
    skipped: SkippedWork = ALL_WORK
    forwards: int = 0
    """Of the last take."""
    psnrs: list[float] = field(default_factory=list)
    """Of takes with skipped work to the exact ones, in dB."""
    _exact: dict[str, Tensor] = field(default_factory=dict)
    _conditions: dict[str, Conditions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chunked_forward.make_chunked(self.model.transformer)
        self.gray = vace_control.blank(self.model.vae, self.frames, self.width, self.height)[:, :16]
        self._negative = encode(self.model.tokenizer, self.model.text_encoder, "")

    @torch.no_grad()
    def __call__(self, prompt: str, seed: int, condition: tasks.Condition | None) -> Tensor:
        """CTHW in 0..1."""
        key = _key(prompt, seed, condition)
        if key not in self._conditions:
            self._conditions[key] = self.prepare(prompt, seed, condition)
        latents = self.denoise(self._conditions[key])
        pictures = np.concatenate(list(decode(self.model.vae, latents)))
        take = torch.from_numpy(pictures).permute(3, 0, 1, 2).float() / 255
        if self.skipped is ALL_WORK:
            self._exact[key] = take
        else:
            self.psnrs.append(measures.psnr(take, self._exact[key]))
        return take

    def denoise(self, conditions: Conditions) -> Tensor:
        """Clean latents."""
        ran: list[int] = []
        hook = self.model.transformer.blocks[0].register_forward_pre_hook(lambda *_: ran.append(1))
        try:
            return denoise(
                self.model.transformer,
                make_scheduler(self.model.config("scheduler"), "unipc", self.flow_shift),
                conditions,
                steps=self.steps,
                guidance_scale=self.guidance_scale,
                skipped=self.skipped,
            )
        finally:
            hook.remove()
            self.forwards = len(ran)

    def measured_ratios(self, prompt: str) -> dict[Branch, list[float]]:
        """The ratios of one take."""
        measured = MagnitudeRatios()
        self.skipped = SkippedWork(measured=measured)
        with torch.no_grad():
            self.denoise(self.prepare(prompt, CALIBRATING_SEED, None))
        return {branch: [row[step] for step in range(self.steps)] for branch, row in measured.ratios.items()}

    def prepare(self, prompt: str, seed: int, condition: tasks.Condition | None) -> Conditions:
        """The conditions of a take."""
        canvas = Canvas()
        if condition is not None:
            shown = as_bytes(condition.inactive + condition.reactive)
            kept = {n: shown[n] for n in range(self.frames) if condition.mask[0, n] == 0}
            canvas = Canvas(kept, guide=shown if condition.reactive.any() else None)
        control, _ = vace_control.build(self.model.vae, canvas, self.frames, self.gray)
        noise = torch.randn(self.gray.shape, generator=torch.Generator("cpu").manual_seed(seed))
        words = encode(self.model.tokenizer, self.model.text_encoder, prompt)
        return Conditions(words, self._negative, noise, control=control)


def as_bytes(clip: Tensor) -> np.ndarray:
    """1CTHW in -1..1 as (T, H, W, C) bytes."""
    levels = ((clip[0] / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return np.ascontiguousarray(levels.permute(1, 2, 3, 0).numpy())


def _key(prompt: str, seed: int, condition: tasks.Condition | None) -> str:
    digest = hashlib.sha256(f"{seed} {prompt}".encode())
    for each in () if condition is None else (condition.inactive, condition.reactive, condition.mask):
        digest.update(np.ascontiguousarray(each.float().numpy()).data)
    return digest.hexdigest()


def rows(trial: Trial, takes: float) -> Iterator[Row]:
    """The rows of `evaluate` that depend on the steps; `takes` scales how many takes each is measured on."""
    from_words, filled, from_pictures = (
        max(1, round(count * takes)) for count in (evaluate.FROM_WORDS, evaluate.FILLED, evaluate.FROM_PICTURES)
    )
    yield from evaluate.word_rows(trial, from_words)
    yield from evaluate.image_rows(trial, from_pictures)
    yield from evaluate.fill_rows(trial, filled)
    yield from evaluate.extend_rows(trial, from_pictures)
    yield from evaluate.guided_rows(trial, from_pictures)


def techniques(options: argparse.Namespace, ratios: dict[Branch, list[float]]) -> Iterator[tuple[str, SkippedWork]]:
    """What is measured, with a name."""
    guided, cached = None, CachedSteps({})
    for text in options.guidance:
        start, end = map(float, text.split(":"))
        guided = GuidedSteps(round(start * options.steps), round(end * options.steps))
        yield f"guidance in steps {guided.first} to {guided.end_exclusive - 1}", SkippedWork(guided)
    for text in options.cache:
        threshold, most = text.split(":")
        settings = StepCacheSettings(float(threshold), int(most))
        steps = range(options.steps)
        cached = CachedSteps({branch: skipped_steps(row, steps, (), settings) for branch, row in ratios.items()})
        said = ", ".join(f"{branch} {list(skipped)}" for branch, skipped in cached.steps.items())
        yield f"step cache {text}: {said}", SkippedWork(cached=cached)
    if options.both:
        yield "both", SkippedWork(guided, cached)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model.skipped_work", description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--takes", type=float, default=1.0)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--height", type=int, default=144)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--guidance-scale", type=float, default=1.5)
    parser.add_argument("--guidance", action="append", default=[], metavar="START:END")
    parser.add_argument("--cache", action="append", default=[], metavar="THRESHOLD:MAX")
    parser.add_argument("--both", action="store_true")
    parser.add_argument("--weights", type=Path, default=evaluate.WEIGHTS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    size = {"frames": options.frames, "height": options.height, "width": options.width}
    shift = entries.entry("embedded").standard.flow_shift
    model = WanModel(options.weights, torch.device("cpu"))
    paint = ProductPainter(model, **size, steps=options.steps, guidance_scale=options.guidance_scale, flow_shift=shift)
    trial = Trial(paint, judges.load(judges.WEIGHTS), **size)
    exact = list(rows(trial, options.takes))
    _say(f"exact, {options.steps} steps: {paint.forwards} forward passes")
    for row in exact:
        _say(f"    {row.claim:<44} {row.figure:6.1f} {row.unit:<2} n={row.count}")
    prompt = prompts.plain(trial.scenes(CALIBRATING_SEED, 1)[0])
    for name, skipped in techniques(options, paint.measured_ratios(prompt)):
        paint.skipped, paint.psnrs = skipped, []
        found = list(rows(trial, options.takes))
        mean, least = sum(paint.psnrs) / len(paint.psnrs), min(paint.psnrs)
        _say(f"{name}: {paint.forwards} forward passes; {mean:.1f} dB to the exact takes, {least:.1f} at least")
        for row, before in zip(found, exact, strict=True):
            _say(f"    {row.claim:<44} {row.figure:6.1f} {row.unit:<2} {row.figure - before.figure:+.1f}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
