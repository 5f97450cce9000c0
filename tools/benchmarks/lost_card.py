"""How long a take stands still when one of the cards that make it together dies, or hangs.

    python -m tools.benchmarks.lost_card [--random-weights 1.3B | --folder MODEL] [--size 832x480] [--frames 81]

It makes a take on one card, then three on several. Nothing happens in the first; one process is killed (SIGKILL) in the
middle of a step of the second, and stopped (SIGSTOP) in that of the third. Each line has the seconds of every step but
one, and how far the take is from that of one card. No step should take half a minute longer than the others.

With `--gib`, which each card has no more of, they have shares of the transformer's weights. A take that loses a share
ends there, and its job would read the transformer again; the line has the seconds from the harm to that end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from wan_backend.bench import cards
from wan_backend.bench.caps import GIB, capped
from wan_backend.bench.engines import Ours, StepTimes, Work, as_request
from wan_backend.bench.random_weights import TRANSFORMER_CONFIGS, RandomModel
from wan_backend.loading import devices
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.denoise import DenoisingStep, denoise
from wan_backend.pipelines.elsewhere import NOWHERE
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import RunParams, Sampler
from wan_backend.worker.other_cards import COMMAND, OtherCards, SharesLost

STEPS = 6
HARMED_AFTER = 3
INTO_STEP_SECONDS = 0.1


@dataclass
class Made:
    """A take's latents, None if it ended as a share was lost, and the seconds of each of its steps but the first."""

    latents: torch.Tensor | None
    seconds: list[float]
    lost_after_seconds: float = 0.0


def made(
    model: WanModel, work: Work, others: OtherCards | None, number: int = 0, budget_bytes: int | None = None
) -> Made:
    """Make a take; the last process gets that signal on the way. With a budget, cards have shares of the weights."""
    cards_in_all = 1 if others is None else len(others.environments) + 1
    shares = 1 if budget_bytes is None else cards_in_all
    engine = Ours(model, work, budget_bytes=budget_bytes, shares=shares)
    conditions = engine.encode()
    if others is not None:
        request, plan = as_request(work)
        shared = replace(plan, cards=cards_in_all, cards_per_forward=cards_in_all, shared_weights=shares > 1)
        params = RunParams(
            *("", request, shared, model.folder.as_posix(), model.device.type), memory_budget_bytes=budget_bytes
        )
        memory = engine.placement.plan
        if memory.shares != shares:
            raise SystemExit("a card has no room for its share of the transformer")
        others.prepare(params, model, memory, begin_at_once=False)
        others.turn("transformer")
        if not others.wait_until_ready(cards.READY_SECONDS):
            raise SystemExit("the other cards didn't get ready")
    times, harmed_at = StepTimes(model.device), 0.0

    def harm(pid: int) -> None:
        nonlocal harmed_at
        harmed_at = time.monotonic()
        os.kill(pid, number)

    def after(step: DenoisingStep) -> None:
        times.note()
        if number and step.done == HARMED_AFTER and others is not None:
            threading.Timer(INTO_STEP_SECONDS, harm, (others.processes[-1].pid,)).start()

    try:
        with engine.placement.use("transformer") as transformer:
            scheduler = make_scheduler(model.config("scheduler"), Sampler.UNIPC, work.flow_shift)
            latents = denoise(
                *(transformer, scheduler, conditions),
                steps=work.steps,
                guidance_scale=1.0,
                after_step=after,
                elsewhere=NOWHERE if others is None else others,
            )
        return Made(latents.float().cpu(), times.seconds)
    except SharesLost:
        return Made(None, times.seconds, time.monotonic() - harmed_at)
    finally:
        if others is not None:
            others.rest()


def compared(each: Made, one: Made) -> str:
    """How far a take is from that of one card, or how soon it ended."""
    if each.latents is None or one.latents is None:
        return f"ended {each.lost_after_seconds:.1f} s after the harm"
    return f"differs by {float((each.latents - one.latents).norm() / one.latents.norm()):.1e}"


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--random-weights", choices=list(TRANSFORMER_CONFIGS), default="1.3B")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--cards", type=int, default=2)
    parser.add_argument("--gib", type=float, help="what each card may have; with it, they have shares of the weights")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = devices.choose(options.device)
    width, height = map(int, options.size.split("x"))
    work = Work(width, height, options.frames, STEPS, 1.0, 3.0)
    held = options.gib is not None
    model = WanModel(options.folder, device) if options.folder else RandomModel(options.random_weights, device, held)
    devices.release(device)
    command = COMMAND if options.folder else cards.RANDOM_COMMAND
    others = OtherCards(cards.environments(device, options.cards), command)
    with nullcontext() if options.gib is None else capped(device, options.gib):
        budget_bytes = int(options.gib * GIB) if held else None
        one = made(model, work, None, budget_bytes=budget_bytes)
        for number in (0, signal.SIGKILL, signal.SIGSTOP):
            began = time.monotonic()
            each = made(model, work, others, number, budget_bytes)
            name = signal.Signals(number).name if number else "none"
            sys.stdout.write(
                f"{name}: {others.forwards_made} of {STEPS} steps shared, {'lost' if others.was_lost else 'all well'}, "
                f"steps {' '.join(f'{step:.2f}' for step in each.seconds)} s, in all {time.monotonic() - began:.1f} s, "
                f"{compared(each, one)}\n"
            )
            sys.stdout.flush()
    others.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
