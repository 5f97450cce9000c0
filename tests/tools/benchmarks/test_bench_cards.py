"""The tables of the document are those that plans are made by, and their words are those of the plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.benchmarks import cards
from wan_backend.catalogue import entries
from wan_backend.memory.forecast import Machine
from wan_backend.memory.residency_plan import MemoryPlan, Residency

DOCUMENT = Path(__file__).parents[3] / "docs" / "memory.md"
GB = 10**9
LARGE = entries.entry("wan2.1-t2v-14b")


def test_the_document_has_the_tables_of_today():
    document = DOCUMENT.read_text("utf-8")
    for host in cards.HOSTS_GIB:
        assert cards.table(host) in document, "run python -m tools.benchmarks.cards and put its tables there"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, GB), "stays"),
        (MemoryPlan(Residency.BLOCK_OFFLOADED, Residency.RESIDENT, Residency.RESIDENT, GB), "stays but for the text"),
        (MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, GB), "turns"),
        (MemoryPlan(Residency.RELOADED, Residency.RELOADED, Residency.OFFLOADED, GB), "turns, from disk"),
        (MemoryPlan(Residency.BLOCK_OFFLOADED, Residency.BLOCK_OFFLOADED, Residency.OFFLOADED, GB), "block by block"),
        (
            MemoryPlan(
                Residency.BLOCK_OFFLOADED, Residency.BLOCK_OFFLOADED, Residency.OFFLOADED, GB, kept_bytes=14 * GB
            ),
            "49% stays",
        ),
        (
            MemoryPlan(
                Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, GB, tile_pixels=512, eight_bit=True
            ),
            "turns, 8 bit, tiles",
        ),
        (MemoryPlan(Residency.BLOCK_OFFLOADED, Residency.BLOCK_OFFLOADED, Residency.OFFLOADED, 9 * GB), "no"),
    ],
)
def test_a_plan_in_few_words(plan, words):
    assert cards.cell(LARGE, plan, Machine("cuda", 8 * GB, 64 * GB)) == words
