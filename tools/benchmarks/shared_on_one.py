"""Takes with shares of the weights where there is one card: what can be seen of them without a second one.

    python -m tools.benchmarks.shared_on_one [--random-weights 14B] [--size 1280x720] [--frames 81] [--gib 24]
    python -m tools.benchmarks.shared_on_one --pair [--random-weights 1.3B] [--size 832x480] [--frames 17] [--gib 12]

In the first form this process is the first of two cards, and what it would get from the other comes from itself, on the
same streams: each take is wrong, while its phases take the time and the memory that they do on one of two cards. Each
line has the seconds of a take's phases, and how often torch had to give memory back to get some.

With `--pair`, two processes share the card and exchange by Gloo, through the machine's memory: slow, but everything
else is as on two. The takes are compared with that of one process that has all of the weights.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from torch import Tensor

from tools.benchmarks.one_share import Alone
from wan_backend.bench import cards
from wan_backend.bench.caps import GIB, capped
from wan_backend.bench.engines import EngineRun, Ours, Work, as_request, run_once
from wan_backend.bench.random_weights import TRANSFORMER_CONFIGS, RandomModel
from wan_backend.loading import devices
from wan_backend.pipelines.elsewhere import NOWHERE, Elsewhere, Nowhere
from wan_backend.pipelines.step_cache import Forward
from wan_backend.protocol.messages import RunParams
from wan_backend.worker.card_group import GLOO, OVER_VARIABLE
from wan_backend.worker.other_cards import OtherCards

CARDS = 2
RESIDENT, SHARED = 1, CARDS


class OneOfTwo(Nowhere):
    """`pipelines.elsewhere.Elsewhere` of a card whose other isn't there."""

    def with_others(self, forward: Forward) -> Forward:
        """`forward`, with what the other would send from here."""

        def shared(*which: Any, **inputs: Any) -> Tensor:
            return forward(*which, **inputs, exchange=Alone(CARDS))

        return shared


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--random-weights", choices=list(TRANSFORMER_CONFIGS), default="14B")
    parser.add_argument("--layers", type=int, help="so many, in place of all of the transformer's")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--takes", type=int, default=2)
    parser.add_argument("--gib", type=float, default=24.0, help="what each process may have of the card")
    parser.add_argument(
        "--pair", action="store_true", help="two processes, which exchange through the machine's memory"
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    diffusers.utils.logging.disable_progress_bar()
    transformers.logging.disable_progress_bar()
    device = devices.choose(options.device)
    width, height = map(int, options.size.split("x"))
    work = Work(width, height, options.frames, options.steps, 1.0, 3.0)
    size = options.random_weights + (f":{options.layers}" if options.layers else "")
    layers = 1 if options.pair else None  # no prompt is read well by random weights
    model = RandomModel(size, device, held=True, encoder_layers=layers)
    devices.release(device)
    _write(f"{size} {options.size}, {options.frames} frames, {options.gib:g} GiB, {vars(options)}")
    if options.pair:
        _pair(model, work, options.takes, options.gib)
    else:
        with capped(device, options.gib):
            for _ in range(options.takes):
                _take(model, work, int(options.gib * GIB), SHARED, OneOfTwo())
    return 0


def _pair(model: RandomModel, work: Work, takes: int, gib: float) -> None:
    """Takes of two processes, compared with one's."""
    one = _take(model, work, None, RESIDENT, NOWHERE)
    model.drop("transformer")  # off the card; one that is read again is in the machine's memory
    devices.release(model.device)
    os.environ[OVER_VARIABLE] = GLOO
    others, budget_bytes = OtherCards([dict(os.environ)], cards.RANDOM_COMMAND), int(gib * GIB)
    try:
        with capped(model.device, gib) if model.device.type == "cuda" else nullcontext():
            for _ in range(takes):
                both = _take(model, work, budget_bytes, SHARED, others, partial(_prepare, others, model, work))
                difference = float((both.latents - one.latents).norm() / one.latents.norm())
                frames = int(np.abs(both.frames.astype(np.int16) - one.frames).max())
                _write(
                    f"forwards {others.forwards_made} of {work.steps}, latents {difference:.1e}, frames {frames} of 255"
                )
    finally:
        others.close()


def _prepare(others: OtherCards, model: RandomModel, work: Work, engine: Ours, budget_bytes: int) -> None:
    request, plan = as_request(work)
    shared = replace(plan, cards=CARDS, cards_per_forward=CARDS, shared_weights=True)
    params = RunParams(
        *("", request, shared, model.folder.as_posix(), model.device.type), memory_budget_bytes=budget_bytes
    )
    others.prepare(params, model, engine.placement.plan, begin_at_once=False)
    others.turn("transformer")
    began = time.monotonic()
    if not others.wait_until_ready(cards.READY_SECONDS):
        raise SystemExit(f"the other process didn't get ready: {[each.failed for each in others.processes]}")
    _write(f"the other process was ready after {time.monotonic() - began:.1f} s")


class Made:
    """A take's latents and frames."""

    def __init__(self, latents: Tensor, run: EngineRun) -> None:
        assert run.frames is not None
        self.latents, self.frames = latents, run.frames


def _take(
    model: RandomModel,
    work: Work,
    budget_bytes: int | None,
    shares: int,
    elsewhere: Elsewhere,
    prepare: Callable[[Ours, int], None] = lambda _engine, _bytes: None,
) -> Made:
    """Make a take and print its line."""
    on_card = model.device.type == "cuda"
    engine = Ours(model, work, elsewhere=elsewhere, budget_bytes=budget_bytes, shares=shares)
    if engine.placement.plan.shares != shares:
        raise SystemExit("a card has no room for its share")
    _write(str(engine.placement.plan))
    prepare(engine, budget_bytes or 0)
    if on_card:
        torch.cuda.reset_peak_memory_stats(model.device)
    before, run = _retries(on_card), EngineRun()
    latents = run_once(engine, run, model.device)
    if isinstance(elsewhere, OtherCards):
        elsewhere.rest()
    peak = torch.cuda.max_memory_reserved(model.device) / GIB if on_card else 0.0
    phases = ", ".join(f"{name} {getattr(run, name).median_seconds:.2f}" for name in ("encode", "denoise", "decode"))
    steps = " ".join(f"{step:.2f}" for step in run.steps)
    _write(
        f"shares {shares}: {phases}, steps {steps} s, {peak:.1f} GiB, memory given back {_retries(on_card) - before}"
    )
    return Made(latents, run)


def _retries(on_card: bool) -> int:
    return int(torch.cuda.memory_stats().get("num_alloc_retries", 0)) if on_card else 0


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
