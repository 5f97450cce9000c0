"""What a worker without a job may hold of the memory, and when it has to let go because other programs need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .residency_plan import MemoryPlan, Residency

LEFT_SHARE = 0.25
"""Share of the machine's memory that has to stay free beside what is held without a job."""
SHORT_SHARE = 0.05
"""Memory of which no more than this share is free is short."""


@dataclass(frozen=True)
class FreeMemory:
    """Bytes of a memory, and how many of them are free."""

    free_bytes: int
    total_bytes: int

    @property
    def is_short(self) -> bool:
        """Whether the next program that wants some will probably get none."""
        return self.free_bytes < self.total_bytes * SHORT_SHARE


def components_to_hold(
    plan: MemoryPlan, weights: Mapping[str, int], machine: FreeMemory, on_card: bool
) -> tuple[str, ...]:
    """The components to have in memory before a job comes, in the order in which it uses them.

    They are those that `plan` keeps from job to job anyway, by name with the bytes of their weights, as long as enough
    of the machine's memory stays free. What stays on the card leaves there the working memory that the plan includes.
    """
    left = machine.free_bytes - int(machine.total_bytes * LEFT_SHARE)
    held = []
    for component, size_bytes in weights.items():
        residency = plan.residency_of(component)
        if residency is Residency.RELOADED or (plan.one_expert and component == "transformer_2"):
            continue
        if residency is Residency.BLOCK_OFFLOADED and plan.forget_encoder and not component.startswith("transformer"):
            continue
        stays = residency in (Residency.RESIDENT, Residency.SHARED)
        in_machine = 0 if stays and on_card else size_bytes
        if in_machine > left:
            continue
        left -= in_machine
        held.append(component)
    return tuple(held)


def is_needed_by_others(now: FreeMemory, before: FreeMemory) -> bool:
    """Whether other programs took so much since `before` that a model that does nothing should go.

    A model that fills the memory nearly by itself stays, as long as nobody asks for more.
    """
    return now.is_short and 2 * now.free_bytes < before.free_bytes
