"""How long a take stands still when one of the cards that make it together dies, or hangs.

    python -m tools.benchmarks.lost_card [--random-weights 1.3B | --folder MODEL] [--size 832x480] [--frames 81]

It makes a take on one card, then three on several. Nothing happens in the first; one process is killed (SIGKILL) in the
middle of a step of the second, and stopped (SIGSTOP) in that of the third. Each line has the seconds of every step but
one, and how far the take is from that of one card. No step should take half a minute longer than the others.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch

from wan_backend.bench import cards
from wan_backend.bench.engines import Ours, StepTimes, Work, as_request
from wan_backend.bench.random_weights import TRANSFORMER_CONFIGS, RandomModel
from wan_backend.loading import devices
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.denoise import DenoisingStep, denoise
from wan_backend.pipelines.elsewhere import NOWHERE
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import RunParams, Sampler
from wan_backend.worker.other_cards import COMMAND, OtherCards

STEPS = 6
HARMED_AFTER = 3
INTO_STEP_SECONDS = 0.1


def made(model: WanModel, work: Work, others: OtherCards | None, number: int = 0) -> tuple[torch.Tensor, list[float]]:
    """The latents and the seconds of each step but the first; the last process gets that signal on the way."""
    engine = Ours(model, work)
    conditions = engine.encode()
    if others is not None:
        request, plan = as_request(work)
        shared = replace(plan, cards=len(others.environments) + 1, cards_per_forward=len(others.environments) + 1)
        params = RunParams("", request, shared, model.folder.as_posix(), model.device.type)
        others.prepare(params, model.device, engine.placement.plan.eight_bit, begin_at_once=False)
        others.turn("transformer")
        if not others.wait_until_ready(cards.READY_SECONDS):
            raise SystemExit("the other cards didn't get ready")
    times = StepTimes(model.device)

    def after(step: DenoisingStep) -> None:
        times.note()
        if number and step.done == HARMED_AFTER and others is not None:
            pid = others.processes[-1].pid
            threading.Timer(INTO_STEP_SECONDS, os.kill, (pid, number)).start()

    with engine.placement.use("transformer") as transformer:
        scheduler = make_scheduler(model.config("scheduler"), Sampler.UNIPC, work.flow_shift)
        latents = denoise(
            *(transformer, scheduler, conditions),
            steps=work.steps,
            guidance_scale=1.0,
            after_step=after,
            elsewhere=NOWHERE if others is None else others,
        )
    if others is not None:
        others.rest()
    return latents.float().cpu(), times.seconds


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--random-weights", choices=list(TRANSFORMER_CONFIGS), default="1.3B")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--cards", type=int, default=2)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = devices.choose(options.device)
    width, height = map(int, options.size.split("x"))
    work = Work(width, height, options.frames, STEPS, 1.0, 3.0)
    model = WanModel(options.folder, device) if options.folder else RandomModel(options.random_weights, device)
    command = COMMAND if options.folder else cards.RANDOM_COMMAND
    others = OtherCards(cards.environments(device, options.cards), command)
    one, _ = made(model, work, None)
    for number in (0, signal.SIGKILL, signal.SIGSTOP):
        began = time.monotonic()
        latents, seconds = made(model, work, others, number)
        name = signal.Signals(number).name if number else "none"
        sys.stdout.write(
            f"{name}: {others.forwards_made} of {STEPS} steps shared, {'lost' if others.was_lost else 'all well'}, "
            f"steps {' '.join(f'{each:.2f}' for each in seconds)} s, in all {time.monotonic() - began:.1f} s, "
            f"differs by {float((latents - one).norm() / one.norm()):.1e}\n"
        )
        sys.stdout.flush()
    others.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
