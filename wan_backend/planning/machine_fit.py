"""A plan on the machine that is there: how the model would sit in its memory, and what would fit where it doesn't.

From the catalogue's numbers, before anything is loaded; the worker plans again with the model's own files and what is
free then. So a take is refused only where it would not fit with nothing else on the device either. No torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..catalogue.entries import ModelEntry
from ..memory import forecast
from ..memory.forecast import Machine
from ..memory.residency_plan import MemoryPlan
from ..protocol.messages import Fix, FixSetting, Plan, Problem, ProblemKind, TakeRequest, Task
from ..storage.media_folder import size_in_words
from . import plan_steps

SHORTEST_FRAMES = 17
"""A take of fewer of the model's frames isn't offered: nothing happens in it."""
FREE_LENGTH = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
"""Tasks whose length is a wish; that of the others is the footage's or the hole's."""


@dataclass(frozen=True)
class Fitting:
    """A request for a model on a machine."""

    request: TakeRequest
    entry: ModelEntry
    machine: Machine
    packed_bytes: int = 0
    """Of a transformer whose file has it in 8 bit or less; 0: it is in 16 bit."""

    def memory(self, plan: Plan, machine: Machine) -> MemoryPlan:
        """How the model would sit there."""
        at_once = min(plan.model_frames, plan.window_frames or plan.model_frames)
        return forecast.plan_at(self.entry, machine, plan.width, plan.height, at_once, self.packed_bytes)

    def fits_with(self, **changes: str | int) -> bool:
        """Whether the request with those changes can be planned and fits."""
        request = dataclasses.replace(self.request, **changes)  # type: ignore[arg-type]
        plan = plan_steps.plan(request, self.entry)
        if plan.problem is not None:
            return False
        return self.memory(plan, self.machine).peak_bytes <= self.machine.usable_bytes


def settle(
    plan: Plan,
    request: TakeRequest,
    entry: ModelEntry,
    machine: Machine,
    others: Callable[[], Iterable[ModelEntry]],
    packed_bytes: int = 0,
) -> Plan:
    """The plan with its memory on that machine; where it is too large, with what would fit, as buttons.

    `others` gives the models that are here; `packed_bytes` is that of a Fitting.
    """
    fitting = Fitting(request, entry, machine, packed_bytes)
    now, emptied = (fitting.memory(plan, each) for each in (machine, machine.emptied))
    memory = now if now.peak_bytes <= machine.usable_bytes else emptied
    words = forecast.residencies_in_words(entry, memory, machine)
    told = dataclasses.replace(plan, memory_bytes=memory.peak_bytes, memory=f"{words[:1].upper()}{words[1:]}.")
    if memory.peak_bytes <= machine.usable_bytes:
        return told
    needed = size_in_words(memory.peak_bytes)
    place = "of the card" if machine.is_card else "of memory"
    if emptied.peak_bytes <= machine.emptied.usable_bytes:
        free = size_in_words(machine.usable_bytes)
        note = (
            f"When last looked at, only {free} {place} were free: close other programs, or it will be slower or fail."
        )
        return dataclasses.replace(told, notes=[*plan.notes, note])
    there = size_in_words(machine.emptied.usable_bytes)
    fixes = _fixes(dataclasses.replace(fitting, machine=machine.emptied), plan, others())
    sentence = f"{entry.label} needs about {needed} {place} for this, and there are {there}; "
    sentence += "choose what fits." if fixes else "nothing here fits, so use another machine."
    problem = plan.problem or Problem(ProblemKind.TOO_LARGE, sentence, fixes)
    return dataclasses.replace(plan, memory_bytes=memory.peak_bytes, problem=problem)


def _fixes(fitting: Fitting, plan: Plan, others: Iterable[ModelEntry]) -> list[Fix]:
    """The largest size, the longest length and the models that fit; each was tried."""
    entry, pixels = fitting.entry, plan.width * plan.height
    by_size = sorted(entry.sizes, key=lambda size: size.width * size.height, reverse=True)
    smaller = [size.name for size in by_size if size.width * size.height < pixels]
    name = next((name for name in smaller if fitting.fits_with(resolution=name)), "")
    fixes = [Fix(f"Use {name}", FixSetting.RESOLUTION, name)] if name else []
    if fitting.request.task in FREE_LENGTH and not plan.window_frames:
        for frames in range(plan.model_frames - 4, SHORTEST_FRAMES - 1, -4):
            length = max(1, plan.take_frames * frames // plan.model_frames)
            if fitting.fits_with(length_frames=length):
                fixes.append(Fix(f"Use {length} frames", FixSetting.LENGTH_FRAMES, str(length)))
                break
    for other in others:
        tried = Fitting(fitting.request, other, fitting.machine)
        if other.id != entry.id and tried.fits_with(model=other.id, resolution=other.default_size):
            fixes.append(Fix(f"Use {other.label}", FixSetting.MODEL, other.id))
    return fixes
