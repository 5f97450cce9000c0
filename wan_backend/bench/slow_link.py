"""`python -m wan_backend bench --link [GB/S ...]`: from which speed of the link on block offload costs no time.

A transformer's forward is measured with all of it on the device. What its blocks weigh then says how long it would take
if they came over a link of any speed, as `loading.block_offload` brings them: two buffers, one copy at a time, each
begun as soon as a buffer is free. On an NVIDIA card the same is measured as well, with copies that are held up for as
long as the slow link would take. On the CPU, where there is no link, it is the arithmetic alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..loading import block_offload, devices
from ..loading.block_offload import BUFFERS, copy_pack
from ..loading.residency import PlacedModel
from ..loading.wan_model import WanModel
from ..pipelines import text_to_video
from ..pipelines.conditions import Conditions
from ..pipelines.denoise import denoise
from ..pipelines.preparation import Preparation
from ..pipelines.sampling import make_scheduler
from ..protocol.messages import Sampler
from . import figures
from .engines import RESIDENT, StepTimes, Work, as_request
from .terminal import show

GB = 1_000_000_000
USUAL_SPEEDS = (3.0, 6.0, 12.0, 25.0, 50.0)
"""GB/s that PCI Express moves in practice, from 3.0 x4 (a laptop, an adapter) to 5.0 x16."""
KEPT_SHARES = (0.0, 0.5)
"""Shares of the transformer that stay on the device."""
FREE_TIMES = 1.02
"""Offloading is free if a forward takes no longer than so many times as with all blocks on the device."""
_TRIED_CYCLES = 200_000_000


@dataclass(frozen=True)
class OffloadedForward:
    """A forward by block offload: what its blocks weigh, and how long each of them works."""

    block_bytes: tuple[int, ...]
    staying: frozenset[int]
    """The numbers of the blocks that are on the device already."""
    block_seconds: float

    @property
    def link_bytes(self) -> int:
        """What comes over the link."""
        return sum(size for number, size in enumerate(self.block_bytes) if number not in self.staying)

    @property
    def resident_seconds(self) -> float:
        """How long it takes if nothing has to come."""
        return self.block_seconds * len(self.block_bytes)

    def seconds(self, bytes_per_second: float) -> float:
        """How long it takes over such a link; of the forwards after the first, which finds its first block there."""
        course = _Course(self, bytes_per_second)
        before = course.forward()
        return course.forward() - before

    def free_from(self) -> float:
        """The slowest link, in bytes per second, over which it takes no more than FREE_TIMES as long."""
        if not self.link_bytes:
            return 0.0
        longest = self.resident_seconds * FREE_TIMES
        slow, fast = self.link_bytes / longest, 2 * max(self.block_bytes) / self.block_seconds
        for _ in range(50):
            middle = (slow + fast) / 2
            slow, fast = (slow, middle) if self.seconds(middle) <= longest else (middle, fast)
        return fast


class _Course:
    """Forwards one after another, with the times at which the link and the buffers are free."""

    def __init__(self, work: OffloadedForward, bytes_per_second: float) -> None:
        self._work, self._speed = work, bytes_per_second
        self._now = self._link_free = 0.0
        self._buffer_free = [0.0] * BUFFERS
        self._coming: dict[int, tuple[int, float]] = {}
        """The buffer of each block that is on its way, and when it is there."""

    def forward(self) -> float:
        """The time at its end."""
        for number in range(len(self._work.block_bytes)):
            buffer = self._arrive(number)
            self._fetch_next(number, buffer)
            self._now += self._work.block_seconds
            if buffer is not None:
                self._buffer_free[buffer] = self._now
        return self._now

    def _arrive(self, number: int) -> int | None:
        if number in self._work.staying:
            return None
        if number not in self._coming:
            self._fetch(number, avoid=None)
        buffer, there = self._coming.pop(number)
        self._now = max(self._now, there)
        return buffer

    def _fetch_next(self, number: int, working: int | None) -> None:
        count = len(self._work.block_bytes)
        following = next(
            (n % count for n in range(number + 1, number + 1 + count) if n % count not in self._work.staying), None
        )
        room = len(self._coming) < BUFFERS - (working is not None)
        if following is not None and following != number and following not in self._coming and room:
            self._fetch(following, working)

    def _fetch(self, number: int, avoid: int | None) -> None:
        taken = {buffer for buffer, _ in self._coming.values()} | {avoid}
        buffer = next(each for each in range(BUFFERS) if each not in taken)
        begins = max(self._now, self._link_free, self._buffer_free[buffer])
        self._link_free = begins + self._work.block_bytes[number] / self._speed
        self._coming[number] = buffer, self._link_free


class SlowedCopy:
    """Copies a block's weights as a link of `bytes_per_second` would; on the CPU it counts them alone."""

    def __init__(self, bytes_per_second: float, device: torch.device) -> None:
        self._speed, self._device = bytes_per_second, device
        self.copied_bytes = 0
        self._cycles_per_second = self._own_speed = 0.0
        if device.type == "cuda":
            self._cycles_per_second = _TRIED_CYCLES / _seconds_of(lambda: torch.cuda._sleep(_TRIED_CYCLES))
            self._own_speed = own_link_speed(device)

    def __call__(self, target: Tensor, pack: Tensor) -> None:
        """See `block_offload.Copy`."""
        copy_pack(target, pack)
        self.copied_bytes += pack.numel()
        if self._cycles_per_second:
            held_up = pack.numel() / self._speed - pack.numel() / self._own_speed
            torch.cuda._sleep(max(0, int(held_up * self._cycles_per_second)))


def own_link_speed(device: torch.device) -> float:
    """The bytes per second of the card's own link, from pinned memory."""
    pinned = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
    target = torch.empty_like(pinned, device=device)
    copy_pack(target, pinned)
    return float(pinned.numel() / _seconds_of(lambda: copy_pack(target, pinned)))


def _seconds_of(work: Any) -> float:
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    work()
    ended.record()
    torch.cuda.synchronize()
    return float(begun.elapsed_time(ended)) / 1000


def run(model: WanModel, work: Work, gigabytes_per_second: Sequence[float], file: Path | None = None) -> int:
    """Measure and print; the exit code."""
    speeds = [each * GB for each in gigabytes_per_second or USUAL_SPEEDS]
    placement = PlacedModel(model, RESIDENT)
    conditions = text_to_video.prepare(Preparation(placement, *as_request(work)))
    with placement.use("transformer") as transformer:
        seconds = _forward_seconds(model, transformer, conditions, work)
    size = f"{work.width}x{work.height}, {work.frames} frames"
    show(f"{model.folder.name} on {devices.name(model.device)}, {size}: {seconds:.3f} s with all blocks on the device")
    transformer.to("cpu")
    devices.release(model.device)
    found: dict[str, Any] = {
        "device": devices.name(model.device),
        "model": model.folder.name,
        "work": vars(work),
        "resident_seconds": seconds,
        "shares": [],
    }
    for share in KEPT_SHARES:
        found["shares"].append(_one_share(model, transformer, conditions, work, seconds, share, speeds))
        figures.write(file, found)
    return 0


def _one_share(
    model: WanModel,
    transformer: Any,
    conditions: Conditions,
    work: Work,
    seconds: float,
    share: float,
    speeds: Sequence[float],
) -> dict[str, Any]:
    """Print its rows; they, as they are written to a file."""
    with_blocks = block_offload.offloaded("transformer", transformer, model.device)
    sizes = tuple(with_blocks.pack_bytes)
    room = int(share * sum(sizes))
    with_blocks.enter(room)
    forward = OffloadedForward(sizes, with_blocks.staying, seconds / len(sizes))
    _undo(transformer)
    show(
        f"\n{share:.0%} of the blocks on the device, {forward.link_bytes / GB:.2f} GB a forward over the link; "
        f"free from {forward.free_from() / GB:.3g} GB/s on\n\n"
        "| link, GB/s | one forward, s | times | measured, s |\n|---|---|---|---|"
    )
    rows = []
    for speed in speeds:
        expected = forward.seconds(speed)
        measured = _measured(model, transformer, conditions, work, room, speed)
        shown = "-" if measured is None else f"{measured:.3f}"
        show(f"| {speed / GB:g} | {expected:.3f} | {expected / seconds:.2f} | {shown} |")
        rows.append({"gigabytes_per_second": speed / GB, "seconds": expected, "measured_seconds": measured})
    return {
        "staying": share,
        "link_bytes": forward.link_bytes,
        "free_from_gigabytes_per_second": forward.free_from() / GB,
        "links": rows,
    }


def _measured(
    model: WanModel, transformer: Any, conditions: Conditions, work: Work, room: int, speed: float
) -> float | None:
    """The seconds of a forward over the slowed link; None if there is none, or it is slower itself."""
    if model.device.type != "cuda" or speed > own_link_speed(model.device):
        return None
    offload = block_offload.offloaded("transformer", transformer, model.device, SlowedCopy(speed, model.device))
    try:
        offload.enter(room)
        return _forward_seconds(model, transformer, conditions, work)
    finally:
        _undo(transformer)


def _undo(transformer: Any) -> None:
    """Make it an ordinary module on the CPU again."""
    offload = block_offload.offload_of(transformer)
    if offload is not None:
        offload.remove()
        del transformer.block_offload


def _forward_seconds(model: WanModel, transformer: Any, conditions: Conditions, work: Work) -> float:
    """Seconds of one forward: the quickest step, without guidance."""
    steps = StepTimes(model.device)
    denoise(
        transformer,
        make_scheduler(model.config("scheduler"), Sampler.UNIPC, work.flow_shift),
        conditions,
        steps=work.steps,
        guidance_scale=1.0,
        after_step=lambda _step: steps.note(),
    )
    return min(steps.seconds)
