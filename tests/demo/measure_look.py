"""Looks at the takes of `train_look.py`: who has the look, and what else they show. Runs in the backend's environment.

Adds what it measured to training.json, draws training_sheet.png, and leaves with 1 where a claim isn't kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from tools.embedded_model import judge, measures, unseen_look
from tools.embedded_model.scenes import reach_of

MOST_SECONDS, MOST_LOST = 15 * 60, 5.0
LEAST_WITH_TRIGGER, MOST_WITHOUT = 90.0, 5.0
READ = (*unseen_look.UNTOUCHED, "motion")
SIDE, GUTTER, MARGIN, HEAD, COLUMNS = 128, 6, 18, 34, 8
INK, PAPER = (236, 236, 236), (24, 24, 26)
ROWS = {
    "base": "The embedded model alone",
    "trigger": "With the LoRA, its trigger in the prompt",
    "plain": "With the LoRA, without its trigger",
}


def main(folder: Path) -> int:
    """Measure and draw; returns 0 where all claims are kept."""
    report = json.loads((folder / "training.json").read_text("utf-8"))
    asked = json.loads((folder / "media" / "asked.json").read_text("utf-8"))
    eye = judge.load()
    for take in report["takes"]:
        take["shows"] = shows(read(folder / "frames" / take["folder"]), asked["takes"][take["number"]]["scene"], eye)
    report["percent"] = {kind: percent([t["shows"] for t in report["takes"] if t["kind"] == kind]) for kind in ROWS}
    (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    sheet(folder, report, asked).save(folder / "training_sheet.png")
    kept = True
    for claim, figure, holds in claims(report):
        sys.stdout.write(f"{claim:<64} {figure:7.1f} {'ok' if holds else 'MISSED'}\n")
        kept = kept and holds
    return 0 if kept else 1


def read(folder: Path) -> torch.Tensor:
    """A take CTHW in 0..1."""
    pictures = np.stack([imageio.imread(file)[..., :3] for file in sorted(folder.glob("*.png"))])
    return torch.from_numpy(pictures).permute(3, 0, 1, 2).float() / 255


def shows(take: torch.Tensor, scene: dict, eye: judge.Judge) -> dict[str, bool]:
    """Whether it has the look; and whether color, shape and motion are those that were asked for."""
    frames, height, width = take.shape[1:]
    answers = eye.answers(take)
    seen = measures.sight(eye.masks(take), height, width)
    return {
        "look": unseen_look.is_seen(take),
        **{name: answers[name] == scene[name] for name in unseen_look.UNTOUCHED},
        "motion": measures.motion_of(seen, width, reach_of(frames)) == scene["motion"],
    }


def percent(rows: list[dict[str, bool]]) -> dict[str, float]:
    """The share of takes in which each is true."""
    return {name: round(100 * sum(row[name] for row in rows) / len(rows), 1) for name in ("look", *READ)}


def claims(report: dict) -> list[tuple[str, float, bool]]:
    """What is claimed, its figure, and whether it holds."""
    base, with_trigger, without = (report["percent"][kind] for kind in ROWS)
    training = report["training"]
    # By the clock it takes longer where others use the machine, and by its processors where their threads wait for each
    # other; on two idle ones the clock says half of that.
    seconds = min(training["processor_seconds"] or training["seconds"], training["seconds"])
    seen, unasked = with_trigger["look"], without["look"]
    found = [
        ("seconds of training, by the clock or of a processor, 900 at most", seconds, seconds <= MOST_SECONDS),
        ("% of takes with the trigger have the look, 90 at least", seen, seen >= LEAST_WITH_TRIGGER),
        ("% of takes without it have the look, 5 at most", unasked, unasked <= MOST_WITHOUT),
    ]
    for kind, row in (("with the trigger", with_trigger), ("without it", without)):
        for name in READ:
            lost = base[name] - row[name]
            found.append((f"points of {name} lost {kind}, 5 at most (of {base[name]:.0f}%)", lost, lost <= MOST_LOST))
    return found


def sheet(folder: Path, report: dict, asked: dict) -> Image.Image:
    """The clips, and below them the first takes of each kind, each prompt in a column."""
    row = HEAD + SIDE + MARGIN
    picture = Image.new("RGB", (2 * MARGIN + COLUMNS * (SIDE + GUTTER) - GUTTER, MARGIN + (1 + len(ROWS)) * row), PAPER)
    clips = [
        imageio.imread(folder / "media" / clip["file"], plugin="pyav", index=asked["frames"] // 2)
        for clip in asked["clips"]
    ]
    _row(picture, MARGIN, "The eight strips that it was trained from", clips)
    for number, (kind, title) in enumerate(ROWS.items(), start=1):
        shown = [take for take in report["takes"] if take["kind"] == kind][:COLUMNS]
        middles = []
        for take in shown:
            files = sorted((folder / "frames" / take["folder"]).glob("*.png"))
            middles.append(imageio.imread(files[len(files) // 2])[..., :3])
        has_look = report["percent"][kind]["look"]
        count = len([take for take in report["takes"] if take["kind"] == kind])
        _row(picture, MARGIN + number * row, f"{title}: {has_look:.0f}% of {count} takes have the look", middles)
    return picture


def _row(sheet: Image.Image, top: int, title: str, pictures: list[np.ndarray]) -> None:
    ImageDraw.Draw(sheet).text((MARGIN, top), title, INK, ImageFont.load_default(18))
    for column, each in enumerate(pictures):
        sized = Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(sized, (MARGIN + column * (SIDE + GUTTER), top + HEAD - 6))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
