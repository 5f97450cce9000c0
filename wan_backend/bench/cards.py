"""`python -m wan_backend bench --cards`: a take on one card and on several, in turn in one run.

With guidance, also by the halves of it, where the number of cards is even; always by shares of the tokens, on which all
cards compute each forward pass together. On the processor, where the processes share the cores, it shows that the
pictures are the same but for rounding, and nothing of speed.

With `--shards`, also with the transformer's weights divided between the cards. Moving weights takes longer than takes,
so each way makes all its takes before the next one's turn. With `--gib`, each card has no more memory than that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..loading import devices
from ..loading.wan_model import WanModel
from ..memory.residency_plan import MemoryPlan
from ..pipelines.elsewhere import NOWHERE
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind, RunParams
from ..protocol.sentences import Sentence
from ..worker.other_cards import COMMAND, PROCESSOR, VISIBLE, OtherCards
from . import figures
from .caps import GIB, capped
from .engines import EngineRun, Ours, Work, as_request, run_once
from .terminal import note, show

RANDOM_COMMAND = (sys.executable, "-m", "wan_backend.bench.random_other_card")
READY_SECONDS, SAY_SECONDS = 900.0, 10.0
WARM_UP_STEPS = 1
ONE_CARD = Sentence("torch doesn't find {cards} cards, which this compares with one; --device cpu shows the way.")
NO_ROOM = Sentence("A card has no room for its share of the transformer; give another number of cards, or more --gib.")
NOT_READY = Sentence("The processes of the other cards didn't get ready: {reason}.")


@dataclass(frozen=True)
class Way:
    """How so many cards share a take."""

    name: str
    cards: int
    cards_per_forward: int
    shares: int = 1
    """Between how many cards the transformer's weights are divided."""


@dataclass
class Measurement:
    """What one way took, and what it made."""

    way: Way
    run: EngineRun = field(default_factory=EngineRun)
    latents: torch.Tensor | None = None
    seconds: list[float] = field(default_factory=list)
    """Of whole takes."""
    most_bytes: int = 0
    """The most that torch's allocator had of the first card."""
    residencies: str = ""
    """Where its memory plan has the transformer."""


def ways(cards: int, guidance_scale: float, shards: bool = False) -> list[Way]:
    """What is compared; one card comes first. With `shards`, shares of the weights too."""
    found = [Way("one card", 1, 1)]
    if guidance_scale > 1 and cards % 2 == 0:
        each = cards // 2
        found.append(Way("halves of guidance" + (f", each on {each}" if each > 1 else ""), cards, each))
    found.append(Way("shares of tokens", cards, cards))
    return [*found, Way("shares of tokens and weights", cards, cards, cards)] if shards else found


def run(
    model: WanModel,
    work: Work,
    repeat: int,
    is_random: bool,
    json_file: Path | None = None,
    cards: int = 2,
    shards: bool = False,
    gib: float | None = None,
) -> int:
    """Measure, print each row as soon as it is known, and write the figures to `json_file`; the exit code.

    With `shards`, shares of the weights too; `gib` is what each card may have. Raises Refusal.
    """
    others = OtherCards(environments(model.device, cards), RANDOM_COMMAND if is_random else COMMAND)
    found: dict[str, Any] = {
        "device": devices.name(model.device),
        "torch": torch.__version__,
        "model": model.folder.name,
        "cards": cards,
        "gib": gib,
        "work": vars(work),
        "ways": [],
    }
    show(heading(found))
    try:
        with nullcontext() if gib is None else capped(model.device, gib):
            bench = _Bench(model, work, repeat, others, None if gib is None else int(gib * GIB))
            for way in bench.compared(ways(cards, work.guidance_scale, shards), in_turn=not shards):
                found["ways"].append(way)
                show(row(found["ways"][0], way))
                figures.write(json_file, found)
    finally:
        others.close()
    return 0


def heading(found: dict[str, Any]) -> str:
    """What stands above the rows."""
    size = "{width}x{height}, {frames} frames, {steps} steps, guidance {guidance_scale:g}".format(**found["work"])
    size += f", {found['gib']:g} GiB of each" if found.get("gib") else ""
    return "\n".join(
        [
            f"{found['model']} on {found['cards']} of {found['device']}, torch {found['torch']}: {size}",
            "",
            "| | a step, s | times | the take, s | times | frames differ by | latents by | transformer | GiB |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
    )


def row(first: dict[str, Any], way: dict[str, Any]) -> str:
    """The figures of one way, beside those of the first."""
    times, take_times = (first[name] / way[name] for name in ("step_seconds", "take_seconds"))
    return (
        f"| {way['name']} | {way['step_seconds']:.3f} | {times:.2f} | {way['take_seconds']:.3f} | {take_times:.2f} "
        f"| {way['difference_of_frames']} of 255 | {way['difference_of_latents']:.1e} "
        f"| {way['transformer']} | {way['most_bytes'] / GIB:.1f} |"
    )


@dataclass
class _Bench:
    """What is made in each way."""

    model: WanModel
    work: Work
    repeat: int
    others: OtherCards
    budget_bytes: int | None

    def compared(self, compared: list[Way], in_turn: bool) -> Iterator[dict[str, Any]]:
        """The figures of each way, in their order; takes are made in turn, or each way's all at once."""
        runs = [Measurement(way) for way in compared]
        for each in runs if in_turn else ():
            self._warm_up(each.way)
        for turn in range(self.repeat if in_turn else 1):
            for each in runs:
                if not in_turn:
                    self._warm_up(each.way)
                for _ in range(1 if in_turn else self.repeat):
                    self._make(self.work, each)
                if not in_turn or turn == self.repeat - 1:
                    yield _figures(runs[0], each)

    def _warm_up(self, way: Way) -> None:
        """Make what does not count: whoever comes first warms things up."""
        self._make(replace(self.work, steps=min(self.work.steps, WARM_UP_STEPS)), Measurement(way))

    def _make(self, work: Work, measured: Measurement) -> None:
        """Make one take, and add its measurements. Raises Refusal where others don't take part in all of it."""
        way, model, others = measured.way, self.model, self.others
        elsewhere = others if way.cards > 1 else NOWHERE
        engine = Ours(model, work, elsewhere=elsewhere, budget_bytes=self.budget_bytes, shares=way.shares)
        memory = engine.placement.plan
        if memory.shares != way.shares:
            raise _refusal(NO_ROOM)
        measured.residencies = memory.transformer.value
        if way.cards > 1:
            self._prepare(work, way, memory)
        if model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(model.device)
        began = time.monotonic()
        run = measured.run
        measured.latents = run_once(engine, run, model.device)
        measured.seconds.append(time.monotonic() - began)
        phases = ", ".join(f"{name} {getattr(run, name).seconds[-1]:.1f}" for name in ("encode", "denoise", "decode"))
        note(f"{way.name}: {work.steps} steps made ({phases} s)")
        if model.device.type == "cuda":
            measured.most_bytes = max(measured.most_bytes, torch.cuda.max_memory_reserved(model.device))
        if way.cards > 1:
            others.rest()
            forwards = work.steps * (2 if work.guidance_scale > 1 and way.cards == way.cards_per_forward else 1)
            if others.forwards_made < forwards:
                raise _refusal(NOT_READY.with_values(reason="one was lost on the way"))

    def _prepare(self, work: Work, way: Way, memory: MemoryPlan) -> None:
        """Have the others ready. Raises Refusal."""
        request, plan = as_request(work)
        shared = replace(plan, cards=way.cards, cards_per_forward=way.cards_per_forward, shared_weights=way.shares > 1)
        params = RunParams(
            *("", request, shared, self.model.folder.as_posix(), self.model.device.type),
            memory_budget_bytes=self.budget_bytes,
        )
        self.others.prepare(params, self.model, memory, begin_at_once=False)
        self.others.turn("transformer")
        if not self._are_ready(way):
            failed = next((process.failed for process in self.others.processes if process.failed), "")
            raise _refusal(NOT_READY.with_values(reason=failed or "they ended, or can't reach each other"))

    def _are_ready(self, way: Way) -> bool:
        """Wait for the others, which make the model first, or bring it to its place."""
        began = time.monotonic()
        while not self.others.wait_until_ready(SAY_SECONDS):
            waited = time.monotonic() - began
            if self.others.are_lost or waited > READY_SECONDS:
                return False
            note(f"{way.name}: the other cards aren't ready after {waited:.0f} s")
        note(f"{way.name}: the other cards were ready after {time.monotonic() - began:.1f} s")
        return True


def _figures(one: Measurement, each: Measurement) -> dict[str, Any]:
    """Those of a way, whose takes are compared with those of one card."""
    assert one.run.frames is not None and one.latents is not None
    assert each.run.frames is not None and each.latents is not None
    return {
        **vars(each.way),
        "step_seconds": float(np.median(each.run.steps)),
        "take_seconds": float(np.median(each.seconds)),
        "transformer": each.residencies,
        "most_bytes": each.most_bytes,
        "difference_of_frames": int(np.abs(one.run.frames.astype(np.int16) - each.run.frames).max()),
        "difference_of_latents": float((one.latents - each.latents).norm() / one.latents.norm()),
    }


def environments(device: torch.device, cards: int) -> list[dict[str, str]]:
    """The environments of the other cards' processes. Raises Refusal."""
    around = dict(os.environ)
    if device.type == PROCESSOR:
        return [around] * (cards - 1)
    if device.type != "cuda" or torch.cuda.device_count() < cards:
        raise _refusal(ONE_CARD.with_values(cards=cards))
    left = [each.strip() for each in around.get(VISIBLE, "").split(",") if each.strip()]
    ids = left if len(left) >= cards else [str(number) for number in range(cards)]
    return [{**around, VISIBLE: card} for card in ids[1:cards]]


def _refusal(sentence: Sentence) -> Refusal:
    return Refusal(Problem(ProblemKind.BAD_SETTING, sentence))
