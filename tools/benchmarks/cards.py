"""`python -m tools.benchmarks.cards`: the tables of docs/memory.md, which model runs on which card and how.

From the same estimates that plan a job before anything is loaded; a test holds the document to them.
"""

from __future__ import annotations

import sys

from wan_backend.catalogue import entries
from wan_backend.catalogue.entries import ModelEntry
from wan_backend.memory import forecast
from wan_backend.memory.forecast import Machine
from wan_backend.memory.residency_plan import MemoryPlan, Residency

GIB = 1 << 30
CARDS_GIB = (6, 8, 10, 12, 16, 24, 32, 48, 80)
TAKEN_SHARE, TAKEN_GIB = 0.05, 0.5
"""Of a card, what the desktop, Blender and the driver have of it."""
HOSTS_GIB = (64, 32)
HOST_TAKEN_GIB = 8
SIZES = ("480p", "720p")


def table(host_gib: int) -> str:
    """Markdown: a row for each model and size, a column for each card."""
    head = f"| at full length, {host_gib} GB of RAM | " + " | ".join(f"{card} GB" for card in CARDS_GIB) + " |"
    lines = [head, "|---" * (len(CARDS_GIB) + 1) + "|"]
    for entry in entries.load().models.values():
        if entry.id != "embedded":
            lines += [_row(entry, name, host_gib) for name in SIZES if entry.size(name)]
    return "\n".join(lines) + "\n"


def _row(entry: ModelEntry, name: str, host_gib: int) -> str:
    size = entry.size(name)
    assert size is not None
    cells = []
    for card in CARDS_GIB:
        usable = int((card * (1 - TAKEN_SHARE) - TAKEN_GIB) * GIB)
        machine = Machine("cuda", usable, (host_gib - HOST_TAKEN_GIB) * GIB)
        plan = forecast.plan_at(
            *(entry, machine, size.width, size.height, entry.max_frames), sources=entry.least_sources
        )
        cells.append(cell(entry, plan, machine))
    return f"| {entry.label} {name}, {entry.max_frames} frames | " + " | ".join(cells) + " |"


def cell(entry: ModelEntry, plan: MemoryPlan, machine: Machine) -> str:
    """A plan in two or three words."""
    if plan.peak_bytes > machine.usable_bytes:
        return "no"
    if plan.transformer is Residency.RESIDENT:
        return "stays" if plan.text_encoder is Residency.RESIDENT else "stays but for the text"
    words = {Residency.OFFLOADED: "turns", Residency.RELOADED: "turns, from disk"}.get(plan.transformer, "")
    if plan.transformer is Residency.BLOCK_OFFLOADED:
        share = forecast.kept_share(entry, plan)
        words = f"{share:.0%} stays" if share >= 0.1 else "block by block"
    return words + (", 8 bit" if plan.eight_bit else "") + (", tiles" if plan.tile_pixels else "")


def main() -> None:
    """Print the tables."""
    sys.stdout.write("\n".join(table(host) for host in HOSTS_GIB))


if __name__ == "__main__":
    main()
