"""Draws out/demo/contact_sheet.png from the demo's frames and its film. Runs in the backend's environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio.v3 as imageio
from PIL import Image, ImageDraw, ImageFont

WIDE, TALL, COLUMNS, MARGIN, HEAD = 256, 144, 6, 16, 46
INK, PAPER, GREY = (236, 236, 236), (24, 24, 26), (150, 150, 156)


def main(folder: Path) -> int:
    """Draw a row for each take, and one for the film; returns 0."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    rows = [take_row(folder, number, step) for number, step in enumerate(report["steps"], start=1)]
    film = imageio.imread(folder / "timeline.mp4", plugin="pyav")
    title = f"The film, rendered by Blender {report['blender']}: {len(film)} frames"
    rows.append((title, "Dawn | take above it | night still | take in the hole | street", pick(list(film))))
    width = MARGIN + COLUMNS * (WIDE + MARGIN)
    sheet = Image.new("RGB", (width, MARGIN + len(rows) * (HEAD + TALL + MARGIN)), PAPER)
    pen, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(17), ImageFont.load_default(13)
    for index, (head, line, pictures) in enumerate(rows):
        top = MARGIN + index * (HEAD + TALL + MARGIN)
        pen.text((MARGIN, top), head, INK, large)
        pen.text((MARGIN, top + 22), line, GREY, small)
        for column, picture in enumerate(pictures):
            sheet.paste(fit(picture), (MARGIN + column * (WIDE + MARGIN), top + HEAD))
    sheet.save(folder / "contact_sheet.png")
    return 0


def take_row(folder: Path, number: int, step: dict) -> tuple[str, str, list]:
    """The words and pictures of one take."""
    files = sorted((folder / "frames" / f"{number:02d}").glob("*.png"))
    strip, seconds = step["strip"], step["seconds"]
    work = sum(seconds[phase] for phase in ("load", "encode", "denoise", "decode"))
    line = (
        f"{step['where']}, seed {step['seed']}: channel {strip['channel']}, frames {strip['start']} to "
        f"{strip['end_exclusive'] - 1}; made in {work:.1f} s, placed in {seconds['place'] * 1000:.0f} ms"
    )
    return f"“{step['prompt']}”", line, [Image.open(file) for file in pick(files)]


def pick(items: list) -> list:
    """As many of `items` as there are columns, spread evenly, the first and the last among them."""
    last = len(items) - 1
    return [items[round(column * last / (COLUMNS - 1))] for column in range(COLUMNS)]


def fit(picture) -> Image.Image:
    """`picture` (an image or an array H, W, 3) at a cell's size."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return image.convert("RGB").resize((WIDE, TALL), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
