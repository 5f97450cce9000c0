"""What is held without a job leaves room, and goes when somebody else needs it."""

from __future__ import annotations

import dataclasses

import pytest

from wan_backend.memory.idle import FreeMemory, components_to_hold, is_needed_by_others
from wan_backend.memory.residency_plan import MemoryPlan, Residency

WEIGHTS = {"text_encoder": 11, "transformer": 28, "vae": 1, "transformer_2": 28}
RESIDENT = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)
OFFLOADED = MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, 0)


def held(plan: MemoryPlan, free: int, total: int = 64, on_card: bool = True) -> tuple[str, ...]:
    return components_to_hold(plan, WEIGHTS, FreeMemory(free, total), on_card)


def test_what_stays_on_the_card_needs_none_of_the_machines_memory():
    assert held(RESIDENT, free=16) == tuple(WEIGHTS)
    assert held(RESIDENT, free=16, on_card=False) == ()


@pytest.mark.parametrize(
    ("free", "parts"),
    [
        (84, ("text_encoder", "transformer", "vae", "transformer_2")),
        (83, ("text_encoder", "transformer", "vae")),
        (40, ("text_encoder", "vae")),
        (16, ()),
        (3, ()),
    ],
)
def test_a_quarter_of_the_machines_memory_stays_free(free, parts):
    assert held(OFFLOADED, free, total=64) == parts


def test_what_a_job_would_drop_or_exchange_is_not_loaded_before_it():
    reads_encoder = dataclasses.replace(OFFLOADED, text_encoder=Residency.RELOADED, one_expert=True)
    assert held(reads_encoder, free=1000) == ("transformer", "vae")
    forgets = dataclasses.replace(OFFLOADED, text_encoder=Residency.BLOCK_OFFLOADED, forget_encoder=True)
    assert "text_encoder" not in held(forgets, free=1000)


@pytest.mark.parametrize(
    ("now", "before", "needed"),
    [
        (50, 60, False),
        (4, 60, True),
        (5, 60, False),  # a twentieth is still there
        (4, 5, False),  # the model itself fills it, and nobody else came
        (2, 5, True),
    ],
)
def test_a_model_goes_when_others_take_what_was_left(now, before, needed):
    assert is_needed_by_others(FreeMemory(now, 100), FreeMemory(before, 100)) is needed
