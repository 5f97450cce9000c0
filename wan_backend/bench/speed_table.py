"""`python -m wan_backend bench --table [NAME...]`: diffusers and our pipeline, phase by phase and in all, on one card.

Both run the same modules, in turn, in one process: with real weights if they are on this machine, else with random
ones of full size. Ours has the memory plan that a job would have, and its whole take is made by the worker's own
`make_take`, from the request to the pictures in a folder. The errors are the differences of one forward of a short clip
to the same weights in float32. In the rows whose names end in 8bit, our matrices are multiplied in 8 bit, where the
trial on the card finds that faster; diffusers has run before the weights are rounded for that.
"""

from __future__ import annotations

import json
import shutil
import sys
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
from ..pipelines.conditions import Conditions
from ..protocol.media import KERNELS_FILE, PROMPTS_FOLDER
from ..protocol.messages import MatrixPrecision, RunParams
from ..worker.take_job import make_take
from ..worker.warm_model import WarmModel
from .engines import Engine, EngineRun, Ours, Stock, Work, as_request, run_once
from .random_weights import RandomModel
from .time_and_memory import synchronize

SHORT_FRAMES = 17
"""Length of the clip whose error is measured: in float32 a full one takes minutes."""
TIMESTEP = 700.0
PHASES = ("encode", "denoise", "decode")


@dataclass(frozen=True)
class TableWork:
    """The take of a row; `work` has the steps that are measured, `steps` are those of a real take."""

    random: str
    """The name in TRANSFORMER_CONFIGS of a random model of its size."""
    model_id: str
    work: Work
    steps: int
    trunk: bool = True
    """False if a control model is to run with its control, as it does for every task but text to video."""
    in_8_bit: bool = False
    """True if our matrices are to be multiplied in 8 bit."""


def _work(width: int, height: int, frames: int = 81, guidance: float = 5.0, shift: float = 5.0) -> Work:
    return Work(width, height, frames, 3, guidance, shift)


WORKS = {
    "1.3B-480p": TableWork("1.3B", "wan2.1-t2v-1.3b", _work(832, 480, shift=8.0), 50),
    "VACE-1.3B-480p": TableWork("VACE-1.3B", "wan2.1-vace-1.3b", _work(832, 480, shift=3.0), 50),
    "VACE-1.3B-480p-control": TableWork("VACE-1.3B", "wan2.1-vace-1.3b", _work(832, 480, shift=3.0), 50, trunk=False),
    "14B-480p": TableWork("14B", "wan2.1-t2v-14b", _work(832, 480), 50),
    "14B-720p": TableWork("14B", "wan2.1-t2v-14b", replace(_work(1280, 720, guidance=1.0), steps=3), 4),
    "VACE-14B-480p": TableWork("VACE-14B", "wan2.1-vace-14b", replace(_work(832, 480, guidance=1.0), steps=3), 50),
    "5B-720p": TableWork("5B", "wan2.2-ti2v-5b", _work(1280, 704, 121), 50),
}
WORKS |= {
    f"{name}-8bit": replace(WORKS[name], in_8_bit=True)
    for name in ("1.3B-480p", "VACE-1.3B-480p-control", "14B-480p", "14B-720p", "5B-720p")
}


@dataclass
class Side:
    """The figures of one engine: seconds, and bytes in addition to those of the weights."""

    encode: float = 0.0
    forward: float = 0.0
    step: float = 0.0
    decode: float = 0.0
    whole: float = 0.0
    """From the request to all pictures in a folder, with the steps that were measured."""
    denoise_bytes: int = 0
    decode_bytes: int = 0
    weights_bytes: int = 0
    """Of the transformer."""
    error: float | None = None
    """The relative difference of a forward to float32; None if memory is too small for that."""


@dataclass
class TableResult:
    """A row of the table."""

    name: str
    model: str
    steps: int
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
    _say(f"{about['card']}, torch {about['torch']}, diffusers {about['diffusers']}, {about['date']}")
    results: list[TableResult] = []
    model: WanModel | None = None
    held = ""
    with tempfile.TemporaryDirectory() as state:
        for name in names or WORKS:
            row = WORKS[name]
            if model is None or held != row.random:
                model = None
                devices.release(device)
                model, held = _model(row, models_folders, device), row.random
            results.append(measured(name, row, model, Path(state)))
            if row.in_8_bit:  # what was rounded has no other numbers any more
                held = ""
            if file is not None:
                file.write_text(json.dumps({**about, "rows": [asdict(each) for each in results]}, indent=2) + "\n")
    _say(table(results))
    return 0


def _model(row: TableWork, models_folders: Sequence[str], device: torch.device) -> WanModel:
    found = locate.find(entries.entry(row.model_id), list(models_folders))
    if isinstance(found, locate.UnavailableModel):
        return RandomModel(row.random, device)
    return WanModel(found.folder, device)


def measured(name: str, row: TableWork, model: WanModel, state: Path) -> TableResult:
    """The row of both engines, which run in turn; `state` stands for the state folder of a server."""
    if row.in_8_bit:
        return _measured_in_8_bit(name, row, model, state)
    work = replace(row.work, model_id=row.model_id if row.trunk else "")
    result = TableResult(name, str(model.folder), work.steps)
    began = time.perf_counter()
    stock, ours = Stock(model, work), Ours(model, work, state / KERNELS_FILE)
    result.kernels = ours.placement.kernels.description
    runs = EngineRun(), EngineRun()
    run_once(ours, EngineRun(), model.device)
    cold = time.perf_counter() - began
    run_once(stock, EngineRun(), model.device)
    engines: tuple[Engine, ...] = (stock, ours)
    for engine, engine_run in zip(engines, runs, strict=True):
        began = time.perf_counter()
        run_once(engine, engine_run, model.device)
    result.first = cold - (time.perf_counter() - began)
    for engine_run, side in zip(runs, (result.stock, result.ours), strict=True):
        _note(side, engine_run, work, model)
    with tempfile.TemporaryDirectory() as folder:
        result.ours.whole = _our_whole(model, work, Path(folder, "ours"), state, result)
        result.stock.whole = _stock_whole(stock, model, Path(folder, "stock"))
    result.stock.error, result.ours.error = errors(model, row)
    return result


def _measured_in_8_bit(name: str, row: TableWork, model: WanModel, state: Path) -> TableResult:
    """A row of which diffusers runs first, and ours once the weights are rounded for products in 8 bit.

    If no such product is faster on this card, ours has no figures.
    """
    work = replace(row.work, model_id=row.model_id if row.trunk else "")
    result = TableResult(name, str(model.folder), work.steps)
    model.matrix_product = None
    stock, run = Stock(model, work), EngineRun()
    run_once(stock, EngineRun(), model.device)
    run_once(stock, run, model.device)
    _note(result.stock, run, work, model)
    flows = _Flows(model, row)
    with tempfile.TemporaryDirectory() as folder:
        result.stock.whole = _stock_whole(stock, model, Path(folder, "stock"))
    del stock
    width = MatrixWidth.of(model.config("transformer"), model.precision.transformer)
    product = matrix_products.choose_for(model.device, width, state / KERNELS_FILE)
    result.trials = _trials(state / KERNELS_FILE)
    if product is None:
        result.kernels = "no product in 8 bit is available and faster"
        return result
    model.matrix_product = product
    ours = Ours(model, work, state / KERNELS_FILE)
    result.kernels = f"{ours.placement.kernels.description}, {product.description}"
    cold, run = EngineRun(), EngineRun()
    for each in (cold, run):
        run_once(ours, each, model.device)
    _note(result.ours, run, work, model)
    result.first = sum(getattr(cold, phase).median_seconds - getattr(run, phase).median_seconds for phase in PHASES)
    with tempfile.TemporaryDirectory() as folder:
        result.ours.whole = _our_whole(model, work, Path(folder, "ours"), state, result, MatrixPrecision.FAST_8_BIT)
    result.stock.error, result.ours.error = flows.errors(model)
    return result


def _note(side: Side, run: EngineRun, work: Work, model: WanModel) -> None:
    """Write the figures of a run to its side."""
    side.encode, side.decode = run.encode.median_seconds, run.decode.median_seconds
    side.step = median(run.steps)
    side.forward = side.step / (2 if work.guidance_scale > 1 else 1)
    side.denoise_bytes, side.decode_bytes = run.denoise.peak_bytes, run.decode.peak_bytes
    side.weights_bytes = model.weight_bytes("transformer")


def _trials(file: Path) -> dict[str, dict[str, Any]]:
    """The results of the trials of products in 8 bit, of kernels that failed, too."""
    try:
        findings: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))["findings"]
    except (OSError, ValueError, KeyError):
        return {}
    return {key: found for key, found in findings.items() if key.startswith(matrix_products.TRIALS)}


def _our_whole(
    model: WanModel,
    work: Work,
    folder: Path,
    state: Path,
    result: TableResult,
    precision: MatrixPrecision = MatrixPrecision.EXACT,
) -> float:
    """Seconds of the worker's own job; its phases are written to `result`."""
    folder.mkdir()
    request, plan = as_request(work, str(folder / "media"))
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
    folder.mkdir()
    stock.restore()
    synchronize(model.device)
    began = time.perf_counter()
    for number, picture in enumerate(stock.decode(stock.denoise(stock.encode())[0]), start=1):
        imageio.imwrite(folder / f"{number:04d}.png", picture)
    return time.perf_counter() - began


def errors(model: WanModel, row: TableWork) -> tuple[float | None, float | None]:
    """The relative differences to float32 of diffusers' forward and of ours; None if memory runs out."""
    return _Flows(model, row).errors(model)


class _Flows:
    """A forward of a short clip by diffusers with the weights as they are, and with the same in float32."""

    @torch.no_grad()
    def __init__(self, model: WanModel, row: TableWork) -> None:
        self._work = replace(row.work, frames=SHORT_FRAMES, model_id="")
        stock = Stock(model, self._work)
        self._conditions, transformer = Ours(model, self._work).encode(), model.transformer
        stock.restore()
        devices.release(model.device)
        self._stock, self._exact = _flow(transformer, self._conditions), None
        formats = {name: weight.dtype for name, weight in transformer.named_parameters()}
        try:
            for weight in transformer.parameters():
                weight.data = weight.data.float()
            self._exact = _flow(transformer, self._conditions)
        except torch.OutOfMemoryError:
            pass
        finally:
            for name, weight in transformer.named_parameters():
                weight.data = weight.data.to(formats[name])
            devices.release(model.device)

    @torch.no_grad()
    def errors(self, model: WanModel) -> tuple[float | None, float | None]:
        """The relative differences to float32 of diffusers' forward and of ours, with the model as it is now."""
        if self._exact is None:
            return None, None
        with Ours(model, self._work).placement.use("transformer") as transformer:
            our_flow = _flow(transformer, self._conditions)
        exact = self._exact
        return tuple(float((flow - exact).norm() / exact.norm()) for flow in (self._stock, our_flow))  # type: ignore[return-value]


def _flow(transformer: Any, conditions: Conditions) -> torch.Tensor:
    dtype = transformer.patch_embedding.weight.dtype
    more = {} if conditions.control is None else {"control_hidden_states": conditions.control.to(dtype)}
    timestep = torch.full((1,), TIMESTEP, device=conditions.latents.device)
    flow: torch.Tensor = transformer(
        hidden_states=conditions.latents.to(dtype),
        timestep=timestep,
        encoder_hidden_states=conditions.prompt_embeds.to(dtype),
        return_dict=False,
        **more,
    )[0]
    return flow.float()


def table(results: Sequence[TableResult]) -> str:
    """The table as Markdown: the phases of each row for both engines, and how many times faster ours is."""
    lines = ["| take | phase | stock s | ours s | times faster | stock GiB | ours GiB |", "|---" * 7 + "|"]
    for result in results:
        full = WORKS[result.name].steps if result.name in WORKS else result.steps
        stock, ours = result.stock, result.ours
        rows = [
            ("prompts and noise", stock.encode, ours.encode, 0, 0),
            ("one forward", stock.forward, ours.forward, stock.denoise_bytes, ours.denoise_bytes),
            ("pictures", stock.decode, ours.decode, stock.decode_bytes, ours.decode_bytes),
            (f"whole take, {result.steps} steps", stock.whole, ours.whole, 0, 0),
            (f"the same with {full}", _at(stock, result.steps, full), _at(ours, result.steps, full), 0, 0),
        ]
        lines += [_line(result.name, *row) for row in rows]
        if stock.error is not None and ours.error is not None:
            lines.append(f"| {result.name} | error to float32 | {stock.error:.2e} | {ours.error:.2e} | | | |")
        weights = f"{stock.weights_bytes / 2**30:.2f} | {ours.weights_bytes / 2**30:.2f}"
        lines.append(f"| {result.name} | the transformer's weights | | | | {weights} |")
        lines.append(f"| {result.name} | first take more by | | {result.first:.1f} | | | |")
    kernels = {result.kernels for result in results}
    tried = {f"{key}: {found}" for result in results for key, found in result.trials.items()}
    return "\n".join([*lines, "", f"Ours: {'; '.join(sorted(kernels))}.", *sorted(tried)]) + "\n"


def _at(side: Side, measured_steps: int, steps: int) -> float:
    """The seconds of a whole take with that many steps."""
    return side.whole + (steps - measured_steps) * side.step


def _line(name: str, phase: str, stock: float, ours: float, stock_bytes: int, our_bytes: int) -> str:
    peaks = f"{stock_bytes / 2**30:.2f} | {our_bytes / 2**30:.2f}" if stock_bytes or our_bytes else " | "
    return f"| {name} | {phase} | {stock:.3f} | {ours:.3f} | {stock / ours if ours else 0:.2f} | {peaks} |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
