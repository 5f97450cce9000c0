"""A card that runs over into the machine's memory is told from one that is only slow, or only full."""

from __future__ import annotations

import dataclasses

import pytest

from wan_backend.memory.spilled import SENTENCE, StepSigns, driver_may_spill, has_spilled

GIB = 1 << 30
FULL = StepSigns(40.0, 5.0, int(23.5 * GIB), int(23.9 * GIB), 24 * GIB)


@pytest.mark.parametrize(
    ("changes", "spilled"),
    [
        ({}, True),
        ({"seconds": 15.0}, False),  # three times as long is not yet far over
        ({"seconds": 15.1}, True),
        ({"expected_seconds": None}, False),  # the first step of the first take: nothing to compare with
        ({"reserved_bytes": 12 * GIB, "used_bytes": 20 * GIB}, False),  # slow for another reason
        ({"reserved_bytes": 12 * GIB, "used_bytes": int(23.9 * GIB)}, True),  # other programs fill it
        ({"seconds": 1.0, "expected_seconds": None, "reserved_bytes": 25 * GIB}, True),  # it can't all be there
        ({"seconds": 1.0, "expected_seconds": 1.0, "reserved_bytes": 24 * GIB}, False),
        ({"reserved_bytes": 0, "used_bytes": 0, "total_bytes": 0}, False),
    ],
)
def test_a_slow_step_on_a_full_card_or_more_than_the_card_has(changes, spilled):
    assert has_spilled(dataclasses.replace(FULL, **changes)) is spilled


@pytest.mark.parametrize(
    ("system", "release", "may"),
    [
        ("win32", "11", True),
        ("linux", "5.15.153.1-microsoft-standard-WSL2", True),
        ("linux", "6.8.0-45-generic", False),
        ("darwin", "24.1.0", False),
    ],
)
def test_it_is_the_driver_of_windows_that_does_so(system, release, may):
    assert driver_may_spill(system, release) is may


def test_the_sentence_says_what_to_do():
    assert "CUDA - Sysmem Fallback Policy" in SENTENCE and "smaller size" in SENTENCE
