"""`python -m wan_backend bench --table [NAME...]`: diffusers and our pipeline, phase by phase and in all, on one card.

Both run the same modules, in turn, in one process: with real weights if they are on this machine, else with random
ones of full size. Ours has the memory plan that a job would have, and its whole take is made by the worker's own
`make_take`, from the request to the pictures in a folder. The errors are those of a short clip to the same weights in
float32 (`table_errors`). In the rows whose names end in 8bit, our matrices are multiplied in 8 bit, where the trial on
the card finds that faster; diffusers' figures are those of the same row before, or it runs before the weights are
rounded.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import imageio.v3 as imageio
import torch

from ..catalogue import entries
from ..library import locate
from ..loading import devices, matrix_products
from ..loading.matrix_products import MatrixWidth
from ..loading.wan_model import WanModel
from ..protocol.media import KERNELS_FILE, PROMPTS_FOLDER
from ..protocol.messages import MatrixPrecision, RunParams
from ..worker.take_job import make_take
from ..worker.warm_model import WarmModel
from . import figures
from .engines import Engine, EngineRun, Ours, Stock, Work, as_request, first_picture, run_once
from .random_weights import RandomModel
from .table_errors import AutoencoderErrors, Flows, of_autoencoder
from .table_rows import EIGHT_BIT_SUFFIX, WORKS, TableWork
from .terminal import show
from .time_and_memory import Measured, Meter, synchronize


@dataclass
class Side:
    """The figures of one engine: seconds, and bytes in addition to those of the weights."""

    encode: float = 0.0
    forward: float = 0.0
    step: float = 0.0
    decode: float = 0.0
    footage: float = 0.0
    """Of encoding as many pictures as the take has."""
    whole: float = 0.0
    """From the request to all pictures in a folder, with `whole_steps` steps."""
    whole_steps: int = 0
    denoise_bytes: int = 0
    decode_bytes: int = 0
    footage_bytes: int = 0
    weights_bytes: int = 0
    """Of the transformer."""
    error: float | None = None
    """The relative difference of a forward to float32; None if it wasn't measured, or memory is too small for that."""
    autoencoder: AutoencoderErrors | None = None


@dataclass
class TableResult:
    """A row of the table."""

    name: str
    model: str
    steps: int
    """Of a real take."""
    stock: Side = field(default_factory=Side)
    ours: Side = field(default_factory=Side)
    kernels: str = ""
    first: float = 0.0
    """Seconds that our first take needs more than its second, to choose and compile kernels."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of the phases of our whole take, as the worker reports them."""
    trials: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the trials of products in 8 bit found, by their keys: milliseconds, those in 16 bit, and the error."""


def run(names: Sequence[str], models_folders: Sequence[str], file: Path | None) -> int:
    """Measure the rows, print the table and return the exit code; raises Refusal if there is no card."""
    device = devices.choose("cuda")
    about = {
        "card": devices.name(device),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    show(f"{about['card']}, torch {about['torch']}, diffusers {about['diffusers']}, {about['date']}")
    results: dict[str, TableResult] = {}
    model: WanModel | None = None
    held = ""
    with tempfile.TemporaryDirectory() as state:
        for name in names or WORKS:
            row, began = WORKS[name], time.perf_counter()
            exact = results.get(name.removesuffix(EIGHT_BIT_SUFFIX)) if row.in_8_bit else None
            # What was rounded has no other numbers any more.
            rounded = model is not None and model.matrix_product is not None
            if model is None or held != row.random or (rounded and exact is None):
                model = None
                devices.release(device)
                model, held = _model(row, models_folders, device), row.random
            results[name] = result = measured(name, row, model, Path(state), exact)
            show(f"{table([result])}\n({name} took {time.perf_counter() - began:.0f} s to measure.)\n")
            figures.write(file, {**about, "rows": [asdict(each) for each in results.values()]})
    return 0


def _model(row: TableWork, models_folders: Sequence[str], device: torch.device) -> WanModel:
    found = locate.find(entries.entry(row.model_id), list(models_folders))
    if isinstance(found, locate.UnavailableModel):
        return RandomModel(row.random, device)
    return WanModel(found.folder, device)


def measured(name: str, row: TableWork, model: WanModel, state: Path, exact: TableResult | None = None) -> TableResult:
    """The row of both engines, which run in turn; `state` stands for the state folder of a server.

    `exact` is the same row with exact matrices, if that was measured with this model.
    """
    work = replace(row.work, model_id=row.model_id if row.trunk or row.work.from_picture else "")
    result = TableResult(name, str(model.folder), row.steps)
    if row.in_8_bit:
        _measure_in_8_bit(row, work, model, state, result, exact)
        return result
    result.kernels = Ours(model, work, state / KERNELS_FILE).placement.kernels.description
    _measure_ours(row, work, model, state, result)
    show(_ours_so_far(name, result))
    _measure_stock(row, work, model, result)
    if row.errors:
        result.stock.error, result.ours.error = Flows(model, row).errors(model)
        result.stock.autoencoder, result.ours.autoencoder = of_autoencoder(model, row)
    return result


def _measure_in_8_bit(
    row: TableWork, work: Work, model: WanModel, state: Path, result: TableResult, exact: TableResult | None
) -> None:
    """If no product in 8 bit is faster on this card, ours has no figures."""
    flows = None
    if model.matrix_product is None:
        flows = Flows(model, row) if row.errors else None
        if exact is None:
            _measure_stock(row, work, model, result)
    if exact is not None:
        result.stock = exact.stock
    width = MatrixWidth.of(model.config("transformer"), model.precision.transformer)
    product = matrix_products.choose_for(model.device, width, state / KERNELS_FILE)
    result.trials = _trials(state / KERNELS_FILE)
    if product is None:
        result.kernels = "no product in 8 bit is available and faster"
        return
    model.matrix_product = product
    kernels = Ours(model, work, state / KERNELS_FILE).placement.kernels.description
    result.kernels = f"{kernels}, {product.description}"
    _measure_ours(row, work, model, state, result, MatrixPrecision.FAST_8_BIT)
    if flows is not None:
        stock_error, result.ours.error = flows.errors(model)
        result.stock = replace(result.stock, error=stock_error)


def _measure_ours(
    row: TableWork,
    work: Work,
    model: WanModel,
    state: Path,
    result: TableResult,
    precision: MatrixPrecision = MatrixPrecision.EXACT,
) -> None:
    """Ours: a take of one step, which warms it up, one whose phases are measured, and a whole one by the worker."""
    cold, run, side = EngineRun(), EngineRun(), result.ours
    run_once(Ours(model, replace(work, steps=1), state / KERNELS_FILE), cold, model.device)
    ours = Ours(model, work, state / KERNELS_FILE)
    run_once(ours, run, model.device)
    _note(side, run, work, model)
    result.first = cold.encode.median_seconds + cold.decode.median_seconds - side.encode - side.decode
    result.first += cold.denoise.median_seconds - side.step
    if row.footage and not row.in_8_bit:
        side.footage, side.footage_bytes = _footage(ours, run, model)
    with tempfile.TemporaryDirectory() as folder:
        in_full = replace(work, steps=row.steps) if row.in_full and not row.in_8_bit else work
        side.whole, side.whole_steps = _our_whole(model, in_full, Path(folder), state, result, precision), in_full.steps


def _measure_stock(row: TableWork, work: Work, model: WanModel, result: TableResult) -> None:
    """diffusers: a take of one step, which warms it up, one whose phases are measured, and a whole one."""
    run, stock, side = EngineRun(), Stock(model, work), result.stock
    run_once(Stock(model, replace(work, steps=1)), EngineRun(), model.device)
    run_once(stock, run, model.device)
    _note(side, run, work, model)
    if row.footage:
        side.footage, side.footage_bytes = _footage(stock, run, model)
    with tempfile.TemporaryDirectory() as folder:
        side.whole, side.whole_steps = _stock_whole(stock, model, Path(folder)), work.steps


def _note(side: Side, run: EngineRun, work: Work, model: WanModel) -> None:
    """Write the figures of a run to its side."""
    side.encode, side.decode = run.encode.median_seconds, run.decode.median_seconds
    side.step = median(run.steps)
    side.forward = side.step / (2 if work.guidance_scale > 1 else 1)
    side.denoise_bytes, side.decode_bytes = run.denoise.peak_bytes, run.decode.peak_bytes
    side.weights_bytes = model.weight_bytes("transformer")


def _footage(engine: Engine, run: EngineRun, model: WanModel) -> tuple[float, int]:
    """Seconds and bytes of encoding the pictures that were made, after a first time that doesn't count."""
    assert run.frames is not None
    engine.encode_footage(run.frames)
    found = Measured()
    with Meter(model.device, found):
        engine.encode_footage(run.frames)
    return found.median_seconds, found.peak_bytes


def _trials(file: Path) -> dict[str, dict[str, Any]]:
    """The results of the trials of products in 8 bit, of kernels that failed, too."""
    try:
        findings: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))["findings"]
    except (OSError, ValueError, KeyError):
        return {}
    return {key: found for key, found in findings.items() if key.startswith(matrix_products.TRIALS)}


def _our_whole(
    model: WanModel, work: Work, folder: Path, state: Path, result: TableResult, precision: MatrixPrecision
) -> float:
    """Seconds of the worker's own job; its phases are written to `result`."""
    picture = folder / "first.png" if work.from_picture else None
    if picture is not None:
        imageio.imwrite(picture, first_picture(work))
    request, plan = as_request(work, str(folder / "media"), picture)
    plan = replace(plan, matrix_precision=precision)
    params = RunParams(
        "0" * 32, request, plan, str(model.folder), str(model.device.type), work_folder=str(folder / "work"),
        state_folder=str(state),
    )  # fmt: skip
    shutil.rmtree(state / PROMPTS_FOLDER, ignore_errors=True)  # the prompts are read anew, as stock reads them
    warm = WarmModel(model)
    synchronize(model.device)
    began = time.perf_counter()
    made = make_take(params, warm, lambda _progress: None, lambda: False)
    seconds = time.perf_counter() - began
    result.phases = asdict(made.seconds)
    return seconds


def _stock_whole(stock: Stock, model: WanModel, folder: Path) -> float:
    """Seconds of diffusers' own pipeline, and of writing its pictures one after another."""
    stock.restore()
    synchronize(model.device)
    began = time.perf_counter()
    latents = stock.denoise(stock.encode(with_control=False))[0]
    for number, picture in enumerate(stock.decode(latents), start=1):
        imageio.imwrite(folder / f"{number:04d}.png", picture)
    return time.perf_counter() - began


def table(results: Sequence[TableResult]) -> str:
    """The table as Markdown: the phases of each row for both engines, and how many times faster ours is."""
    lines = ["| take | phase | stock s | ours s | times faster | stock GiB | ours GiB |", "|---" * 7 + "|"]
    for result in results:
        lines += [f"| {result.name} | {row}" for row in _rows(result)]
    kernels = {result.kernels for result in results}
    tried = {f"{key}: {found}" for result in results for key, found in result.trials.items()}
    return "\n".join([*lines, "", f"Ours: {'; '.join(sorted(kernels))}.", *sorted(tried)]) + "\n"


def _rows(result: TableResult) -> list[str]:
    """The rows of one take, without its name."""
    stock, ours = result.stock, result.ours
    rows = [
        _timed("prompts and noise", stock.encode, ours.encode),
        _timed("one forward", stock.forward, ours.forward, stock.denoise_bytes, ours.denoise_bytes),
        _timed("pictures", stock.decode, ours.decode, stock.decode_bytes, ours.decode_bytes),
    ]
    if ours.footage:
        rows.append(_timed("latents of footage", stock.footage, ours.footage, stock.footage_bytes, ours.footage_bytes))
    counts = sorted({side.whole_steps for side in (stock, ours) if side.whole_steps} | {result.steps})
    rows += [_timed(f"whole take, {count} steps", _at(stock, count), _at(ours, count)) for count in counts]
    rows.append(_both("steps of the whole take that was measured", stock.whole_steps, ours.whole_steps))
    if ours.error is not None and stock.error is not None:
        rows.append(_both("error of a forward to float32", f"{stock.error:.3e}", f"{ours.error:.3e}"))
    if stock.autoencoder is not None and ours.autoencoder is not None:
        one, other = stock.autoencoder, ours.autoencoder
        rows.append(_both("dB of pictures to float32", f"{one.pictures_db:.1f}", f"{other.pictures_db:.1f}"))
        rows.append(_both("error of latents to float32", f"{one.latents:.2e}", f"{other.latents:.2e}"))
    weights = f"{stock.weights_bytes / 2**30:.2f} | {ours.weights_bytes / 2**30:.2f}"
    rows.append(f"the transformer's weights | | | | {weights} |")
    rows.append(_both("first take more by", "", f"{result.first:.1f}"))
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in result.phases.items() if seconds)
    return [*rows, _both("phases of our whole take", "", phases)]


def _ours_so_far(name: str, result: TableResult) -> str:
    """What is known before diffusers' turn, which may take longer than someone has the card."""
    ours = result.ours
    return (
        f"{name}, ours: a forward {ours.forward:.3f} s, pictures {ours.decode:.3f} s,"
        f" whole take of {ours.whole_steps} steps {ours.whole:.3f} s"
    )


def _at(side: Side, steps: int) -> float:
    """The seconds of a whole take with that many steps: measured with another number, and as many steps more."""
    return side.whole + (steps - side.whole_steps) * side.step if side.whole else 0.0


def _timed(phase: str, stock: float, ours: float, stock_bytes: int = 0, our_bytes: int = 0) -> str:
    peaks = f"{stock_bytes / 2**30:.2f} | {our_bytes / 2**30:.2f}" if stock_bytes or our_bytes else " | "
    return f"{phase} | {stock:.3f} | {ours:.3f} | {stock / ours if ours else 0:.2f} | {peaks} |"


def _both(what: str, stock: object, ours: object) -> str:
    return f"{what} | {stock} | {ours} | | | |"
