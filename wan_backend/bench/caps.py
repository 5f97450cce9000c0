"""`python -m wan_backend bench --caps NAME...`: takes under a hard cap of the card's memory, beside one in all of it.

Full-size models with random weights, on an NVIDIA card. What is capped is torch's allocator
(`torch.cuda.set_per_process_memory_fraction`); CUDA's own context, about half a gigabyte, comes on top. Each take goes
the product's own way: memory plan, placement, prompts, steps, pictures; if a plan runs out of memory, the next
smaller one is tried, and the row says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..loading import devices
from ..loading.residency import PlacedModel, room_for
from ..loading.wan_model import WanModel
from ..memory import fallbacks
from ..memory.residency_plan import MemoryPlan, Residency
from ..pipelines import text_to_video
from ..pipelines.decode import decode
from ..pipelines.denoise import denoise_in_turn
from ..pipelines.experts import experts_of
from ..pipelines.preparation import Preparation
from ..pipelines.sampling import make_scheduler
from ..protocol.messages import FrameRate, Plan, Sampler, TakeRequest
from . import figures
from .engines import PROMPT, RESIDENT, StepTimes
from .random_weights import RandomModel
from .terminal import show
from .time_and_memory import synchronize

GIB = 1 << 30
ALL = "all of it resident"


@dataclass(frozen=True)
class CapWork:
    """A take, and the caps (GiB) that it is made under."""

    model: str
    width: int
    height: int
    frames: int
    caps_gib: tuple[float, ...]
    steps: int = 3


WORKS = {
    "1.3B-480p": CapWork("1.3B", 832, 480, 81, (6, 4), steps=4),
    "14B-480p": CapWork("14B", 832, 480, 81, (10, 6)),
    "14B-720p": CapWork("14B", 1280, 720, 81, (24, 16, 8), steps=2),
    "14B-720p-4s": CapWork("14B", 1280, 720, 65, (24,), steps=2),
    "5B-720p": CapWork("5B", 1280, 704, 121, (12, 7)),
    "A14B-480p": CapWork("A14B", 832, 480, 81, (12,), steps=4),
    "VACE-A14B-480p": CapWork("VACE-A14B", 832, 480, 81, (12,), steps=4),
}


@dataclass
class Course:
    """What one take took. Seconds without those of loading, which are their own."""

    plan: MemoryPlan
    encode: float = 0.0
    steps: list[float] = field(default_factory=list)
    decode: float = 0.0
    load: float = 0.0
    reserved_bytes: int = 0
    """The most that torch's allocator had of the card: what the cap holds down."""
    allocated_bytes: int = 0
    peaks: dict[str, int] = field(default_factory=dict)
    """The most that was allocated in each phase."""
    failed_plans: int = 0
    """So many plans ran out of memory before this one."""

    @property
    def step(self) -> float:
        """The fastest step: one guided step of a real take is two of these."""
        return min(self.steps)


def run(names: list[str], gib: list[float], file: Path | None = None) -> int:
    """Measure and print; the exit code. `gib` are caps to use in place of the works' own."""
    device = devices.choose("cuda")
    model: RandomModel | None = None
    size = ""
    found: dict[str, Any] = {"device": devices.name(device), "torch": torch.__version__, "takes": {}}
    for name in names:
        work = WORKS[name]
        if model is None or work.model != size:
            model, size = None, work.model
            devices.release(device)
            model = RandomModel(size, device)
        courses = found["takes"][name] = {}
        for limit, course in _courses(name, work, model, gib or list(work.caps_gib)):
            courses[limit] = None if course is None else asdict(course)
            figures.write(file, found)
    return 0


def _courses(name: str, work: CapWork, model: RandomModel, caps: list[float]) -> Iterator[tuple[str, Course | None]]:
    """Each course by its limit, printed as soon as it is known; None where no plan fits."""
    show(f"{name}: {work.width}x{work.height}, {work.frames} frames, {devices.name(model.device)}, {torch.__version__}")
    whole = _course(model, work, RESIDENT)
    show(_line(ALL, whole, whole))
    yield ALL, whole
    for cap in caps:
        with capped(model.device, cap):
            course = _within(model, work, int(cap * GIB))
        limit = f"{cap:g} GiB"
        show(f"  {limit}: no plan fits" if course is None else _line(limit, course, whole))
        if course is not None:
            show(f"    {course.plan}")
        yield limit, course


@contextmanager
def capped(device: torch.device, gib: float) -> Iterator[None]:
    """Meanwhile, torch's allocator has no more of the card than that."""
    limit(device, gib)
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, torch.cuda.current_device())


def limit(device: torch.device, gib: float) -> None:
    """From now on, torch's allocator has no more of a card than that; the processor has none."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total), torch.cuda.current_device())


def _within(model: WanModel, work: CapWork, cap_bytes: int) -> Course | None:
    """The take by the plan for that much, or by a smaller one; None if none does it."""
    for component in model.components:
        model.component(component).to("cpu")
    devices.release(model.device)
    room = room_for(model, work.width, work.height, work.frames, cap_bytes)
    plan, failed_plans = room.plan(), 0
    while True:
        course = Course(plan, failed_plans=failed_plans)
        try:
            return _course(model, work, plan, course)
        except torch.OutOfMemoryError as error:
            show(f"    out of memory: {plan}: {str(error)[:150]}")
            component = "vae" if course.steps else "transformer" if course.encode else "text_encoder"
        lower = fallbacks.next_smaller_plan(plan, room.needs, component, room.host_bytes, on_cpu=False)
        if lower is None:
            return None
        plan, failed_plans = lower, failed_plans + 1
        devices.release(model.device)


@torch.no_grad()
def _course(model: WanModel, work: CapWork, plan: MemoryPlan, course: Course | None = None) -> Course:
    course = course or Course(plan)
    request, settings = _asked(work)
    placement, device = PlacedModel(model, plan), model.device
    if plan.transformer is Residency.RESIDENT:
        for component in model.components:
            with placement.use(component):
                pass
        placement.load_seconds = 0.0
    torch.cuda.reset_peak_memory_stats(device)
    with _phase(course, "encode", device) as began:
        conditions = text_to_video.prepare(Preparation(placement, request, settings))
    course.encode = time.perf_counter() - began - placement.load_seconds
    with _phase(course, "denoise", device):
        scheduler = make_scheduler(model.config("scheduler"), Sampler.UNIPC, settings.flow_shift)
        steps = StepTimes(device)
        latents = denoise_in_turn(
            experts_of(placement, settings, scheduler.config.num_train_timesteps),
            scheduler,
            conditions,
            steps=work.steps,
            after_step=lambda _step: steps.note(),
        )
    course.steps = steps.seconds
    del conditions
    loaded = placement.load_seconds
    with _phase(course, "decode", device) as began, placement.use("vae") as vae:
        for _pictures in decode(vae, latents):
            pass
        synchronize(device)
        course.decode = time.perf_counter() - began - (placement.load_seconds - loaded)
    course.load = placement.load_seconds
    return course


@contextmanager
def _phase(course: Course, name: str, device: torch.device) -> Iterator[float]:
    torch.cuda.reset_peak_memory_stats(device)
    try:
        yield time.perf_counter()
        synchronize(device)
    finally:
        course.peaks[name] = torch.cuda.max_memory_allocated(device)
        course.allocated_bytes = max(course.allocated_bytes, course.peaks[name])
        course.reserved_bytes = max(course.reserved_bytes, torch.cuda.max_memory_reserved(device))


def _asked(work: CapWork) -> tuple[TakeRequest, Plan]:
    rate = FrameRate(16)
    request = TakeRequest(PROMPT, "", work.width, work.height, work.frames, rate, 0, "")
    return request, Plan(
        "", work.width, work.height, work.frames, rate, work.frames, work.steps, 1.0, 3.0, Sampler.UNIPC
    )


def _line(name: str, course: Course, whole: Course) -> str:
    peaks = ", ".join(f"{phase} {peak / GIB:.2f}" for phase, peak in course.peaks.items())
    return (
        f"  {name:<20} peak {course.reserved_bytes / GIB:.2f} GiB ({peaks}); step {course.step:.3f} s"
        f" ({course.step / whole.step:.2f} times), decode {course.decode:.2f} s"
        f" ({course.decode / whole.decode:.2f} times), encode {course.encode:.2f} s, moving {course.load:.1f} s"
        f"{f', after {course.failed_plans} smaller plans' if course.failed_plans else ''}"
    )
