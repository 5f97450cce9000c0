"""Fails where the demo did not do what it says: `python check_report.py out/demo`. Standard library only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

PHASES = {"setup", "queue", "load", "denoise", "decode", "place"}


def check(folder: Path) -> None:
    """Raises AssertionError that names what is wrong."""
    for name in ("demo.blend", "timeline.mp4", "contact_sheet.png"):
        assert (folder / name).stat().st_size > 10_000, f"{name} is missing or empty"
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["blender"] and set(report["backend"]) == {"device", "torch", "model"}
    assert all(report["backend"].values()), report["backend"]
    assert len(report["steps"]) >= 2
    for number, step in enumerate(report["steps"], start=1):
        strip = step["strip"]
        length = strip["end_exclusive"] - strip["start"]
        assert set(step["seconds"]) >= PHASES, step["seconds"]
        assert (strip["start"], length) == (step["asked"]["start"], step["asked"]["length_frames"]), step
        frames = sorted((folder / "frames" / f"{number:02d}").glob("*.png"))
        assert len(frames) == length, f"{len(frames)} frames for {length}"
    hole = report["steps"][1]["strip"]
    assert (hole["start"], hole["end_exclusive"]) == (97, 145), "the take does not fill the hole"


if __name__ == "__main__":
    check(Path(sys.argv[1]))
    sys.stdout.write("The demo's report is right.\n")
