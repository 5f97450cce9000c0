"""The benchmark's table and JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One phase of both engines; `None` if it was not measured."""

    phase: str
    stock_seconds: float | None
    ours_seconds: float | None
    stock_peak_bytes: int | None
    ours_peak_bytes: int | None

    @property
    def speedup(self) -> float | None:
        """How many times faster ours is."""
        if not self.stock_seconds or not self.ours_seconds:
            return None
        return self.stock_seconds / self.ours_seconds


def table(rows: list[Row]) -> str:
    """The rows for a person, in columns."""
    head = ["phase", "diffusers s", "ours s", "times faster", "diffusers peak GB", "ours peak GB"]
    lines = [head] + [
        [
            row.phase,
            _number(row.stock_seconds),
            _number(row.ours_seconds),
            _number(row.speedup),
            _number(row.stock_peak_bytes, 1e9),
            _number(row.ours_peak_bytes, 1e9),
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def to_json(rows: list[Row], about: dict[str, object]) -> dict[str, object]:
    """The rows for a program, with what was measured and where."""
    return {
        **about,
        "phases": {
            row.phase: {
                "diffusers_seconds": row.stock_seconds,
                "ours_seconds": row.ours_seconds,
                "times_faster": row.speedup,
                "diffusers_peak_bytes": row.stock_peak_bytes,
                "ours_peak_bytes": row.ours_peak_bytes,
            }
            for row in rows
        },
    }


def _number(value: float | None, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:.3f}"
