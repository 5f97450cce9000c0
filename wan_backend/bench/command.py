"""The benchmark's command line and its course.

After a take that does not count, both engines make one in turn, `--repeat` times; the medians are compared.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from ..catalogue import entries
from ..library import locate
from ..loading import devices
from ..loading.wan_model import BASE_COMPONENTS, Precision, WanModel
from ..protocol.errors import Refusal
from . import caps, cards, comparison, figures, first_step, slow_link, speed_table, table_rows, training_steps
from .engines import Engine, EngineRun, Ours, Stock, Work, run_once
from .random_weights import TRANSFORMER_CONFIGS, RandomModel
from .terminal import say
from .time_and_memory import Measured, Meter

FAILED, CANCELED = 2, 130
FORMS: dict[str, frozenset[str]] = {
    "caps": frozenset({"gib"}),
    "first_step": frozenset(),
    "training": frozenset({"device"}),
    "table": frozenset({"models_folder"}),
    "link": frozenset({"model", "folder", "random_weights", "models_folder", "size", "frames", "device"}),
    "cards": frozenset(
        {"model", "folder", "random_weights", "models_folder", "size", "frames", "device"}
        | {"steps", "guidance", "flow_shift", "repeat", "gib", "shards"}
    ),
}
"""The flags that each form of the benchmark has besides `--json`; the others would do nothing."""
MAX_CARDS = 8


def run(arguments: list[str]) -> int:
    """Do what the command line says; the exit code."""
    options = _options(arguments)
    try:
        code = _run(options)
    except (Refusal, entries.UnknownModel) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("Canceled.\n")
        return CANCELED
    return code or (FAILED if figures.is_lost(options.json) else 0)


def _run(options: argparse.Namespace) -> int:
    if options.caps:
        return caps.run(options.caps, options.gib, options.json)
    diffusers.utils.logging.disable_progress_bar()
    transformers.logging.disable_progress_bar()
    if options.first_step:
        return first_step.run(options.first_step, devices.choose("cuda"), options.json)
    if options.training is not None:
        return training_steps.run(options.training, devices.choose(options.device), options.json)
    if options.table is not None:
        return speed_table.run(options.table, options.models_folder, options.json)
    device = devices.choose(options.device)
    work = _work(options)
    model, load = _load(options, device)
    if options.link is not None:
        return slow_link.run(model, work, options.link, options.json)
    if options.cards:
        gib = options.gib[0] if options.gib else None
        how = model, work, options.repeat, bool(options.random_weights), options.json, options.cards
        return cards.run(*how, options.shards, gib)
    rows, difference = _measure(model, work, options.repeat, load)
    say("")
    about: dict[str, Any] = {
        "device": devices.name(device),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "model": str(model.folder),
        "work": vars(work),
        "repeat": options.repeat,
        "largest_difference_of_frames": difference,
    }
    size = f"{work.width}x{work.height}, {work.frames} frames, {work.steps} steps, guidance {work.guidance_scale:g}"
    sys.stdout.write(f"{model.folder.name} on {about['device']}, torch {torch.__version__}: {size}\n")
    sys.stdout.write(comparison.table(rows) + "\n")
    sys.stdout.write(f"largest difference of the frames: {difference} of 255\n")
    figures.write(options.json, comparison.to_json(rows, about))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wan_backend bench", description="Our speed and memory beside stock diffusers', in one run."
    )
    forms = parser.add_mutually_exclusive_group()
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", default="embedded", help="an id that `models` lists")
    which.add_argument("--folder", type=Path, help="a folder with a model in it")
    which.add_argument(
        "--random-weights", choices=list(TRANSFORMER_CONFIGS), help="a full-size model, made on the spot"
    )
    parser.add_argument("--models-folder", action="append", default=[], help="where models are looked for")
    parser.add_argument("--size", default="256x144", help="width x height, multiples of 16")
    parser.add_argument("--frames", type=int, default=33, help="4k + 1")
    parser.add_argument("--steps", type=int, default=4, help="at least 2: the first is left out")
    parser.add_argument("--guidance", type=float, default=5.0, help="1 runs the transformer once a step")
    parser.add_argument("--flow-shift", type=float, default=3.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    forms.add_argument(
        "--caps", nargs="+", choices=list(caps.WORKS), help="instead: full-size takes under caps of a card's memory"
    )
    parser.add_argument(
        "--gib",
        type=_some,
        nargs="+",
        default=[],
        help="with --caps: other caps than the takes' own; with --cards: what each card may have",
    )
    forms.add_argument(
        "--table",
        nargs="*",
        choices=list(table_rows.WORKS),
        help="instead: full-size takes, phase by phase, on a card",
    )
    forms.add_argument(
        "--first-step",
        nargs="+",
        choices=list(first_step.WORKS),
        help="instead: from a request to the first step and the first preview, on a card, with all files in the cache",
    )
    forms.add_argument(
        "--link",
        nargs="*",
        type=_some,
        metavar="GB/S",
        help="instead: how long a forward takes if the transformer's blocks come over links of such speeds",
    )
    forms.add_argument(
        "--cards",
        nargs="?",
        type=int,
        const=2,
        choices=range(2, MAX_CARDS + 1),
        help="instead: a take on one card and on so many (2), in turn in one run",
    )
    parser.add_argument(
        "--shards",
        action="store_true",
        help="with --cards and --gib: also with the transformer's weights divided between them",
    )
    forms.add_argument(
        "--training",
        nargs="*",
        choices=list(training_steps.WORKS),
        help="instead: steps of a training at full size, under a cap too, beside a plain loop of diffusers and PEFT",
    )
    parser.add_argument("--json", type=figures.writable, help="write the figures to this file, too")
    return parser


def _options(arguments: list[str]) -> argparse.Namespace:
    """What the command line says; ends with a sentence if a flag would do nothing."""
    parser = _parser()
    usual = vars(parser.parse_args([]))
    # What has a value already gets no default: what is None after it wasn't given.
    parsed = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(usual)))
    given = {name: value for name, value in vars(parsed).items() if value is not None}
    form = next((name for name in FORMS if name in given), "")
    known = FORMS[form] | {form} if form else usual.keys() - FORMS.keys() - {"gib", "shards"}
    idle = sorted(f"--{name.replace('_', '-')}" for name in given.keys() - known - {"json"})
    if idle:
        beside = f"with --{form.replace('_', '-')}" if form else "without --caps or --cards"
        parser.error(f"{', '.join(idle)} would do nothing {beside}; leave it out")
    return argparse.Namespace(**{**usual, **given})


def _some(number: str) -> float:
    """A number above 0."""
    value = float(number)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("give numbers above 0")
    return value


def _work(options: argparse.Namespace) -> Work:
    try:
        width, height = (int(side) for side in options.size.lower().split("x"))
    except ValueError:
        _parser().error(f"--size {options.size}: give width x height, as 832x480")
    if width % 16 or height % 16 or min(width, height) < 16:
        _parser().error(f"--size {options.size}: both must be multiples of 16")
    if options.frames < 1 or options.frames % 4 != 1:
        _parser().error(f"--frames {options.frames}: give 4k + 1, as 81")
    if options.shards and not (options.cards and options.gib):
        _parser().error("--shards: give --cards, and --gib, what each may have")
    if options.cards and len(options.gib) > 1:
        _parser().error("--gib: give one number with --cards")
    if options.steps < 2 or options.repeat < 1:
        _parser().error("give at least 2 --steps and 1 --repeat")
    return Work(width, height, options.frames, options.steps, options.guidance, options.flow_shift)


def _load(options: argparse.Namespace, device: torch.device) -> tuple[WanModel, comparison.Row]:
    """The model with all its components on the device, and how long that took each engine."""
    if options.random_weights:
        held = bool(options.cards and options.gib)
        model: WanModel = RandomModel(options.random_weights, device, held)
        devices.release(device)
        return model, comparison.Row("load", None, None, None, None)
    folder = options.folder or _find(options.model, options.models_folder)
    WanModel(folder, device)  # says what is wrong with the folder, if something is
    stock, ours = Measured(), Measured()
    # Twice, and the better counts: the first to read finds nothing in the system's cache.
    for number in (1, 2):
        say(f"Loading with diffusers, {number} of 2")
        _load_stock(folder, device, stock)
        say(f"Loading with Wan VSE, {number} of 2")
        model = _load_ours(folder, device, ours)
    row = comparison.Row("load", min(stock.seconds), min(ours.seconds), stock.peak_bytes, ours.peak_bytes)
    return model, row


def _load_stock(folder: Path, device: torch.device, measured: Measured) -> None:
    precision = Precision.for_device(device)
    dtypes = {component: getattr(precision, component) for component in BASE_COMPONENTS}
    with Meter(device, measured):
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype={**dtypes, "default": torch.float32}, local_files_only=True
        ).to(device)
    del pipe
    devices.release(device)


def _load_ours(folder: Path, device: torch.device, measured: Measured) -> WanModel:
    devices.release(device)
    with Meter(device, measured):
        model = WanModel(folder, device)
        for component in BASE_COMPONENTS:
            model.component(component).to(device)
        _ = model.tokenizer
    return model


def _find(model_id: str, models_folders: list[str]) -> Path:
    found = locate.find(entries.entry(model_id), models_folders)
    if isinstance(found, locate.UnavailableModel):
        raise Refusal(found.problem)
    return found.folder


def _measure(model: WanModel, work: Work, repeat: int, load: comparison.Row) -> tuple[list[comparison.Row], int]:
    """The table's rows, and the largest difference between the engines' frames."""
    engines: list[Engine] = [Stock(model, work), Ours(model, work)]
    names = ("diffusers", "Wan VSE")
    for name, engine in zip(names, engines, strict=True):  # unmeasured: whoever comes first warms things up for both
        say(f"A take with {name}, not measured")
        run_once(engine, EngineRun(), model.device)
    runs = [EngineRun(), EngineRun()]
    for number in range(1, repeat + 1):
        for name, engine, engine_run in zip(names, engines, runs, strict=True):
            say(f"A take with {name}, {number} of {repeat}")
            run_once(engine, engine_run, model.device)
    stock, ours = runs
    assert stock.frames is not None and ours.frames is not None
    difference = int(np.abs(stock.frames.astype(np.int16) - ours.frames).max())
    rows = [load]
    for phase in ("encode", "decode"):
        theirs, own = getattr(stock, phase), getattr(ours, phase)
        rows.append(comparison.Row(phase, theirs.median_seconds, own.median_seconds, theirs.peak_bytes, own.peak_bytes))
    step = comparison.Row(
        "step",
        float(np.median(stock.steps)),
        float(np.median(ours.steps)),
        stock.denoise.peak_bytes,
        ours.denoise.peak_bytes,
    )
    rows.insert(2, step)
    return rows, difference
