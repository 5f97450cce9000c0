"""Draws out/demo/contact_sheet.png: for each task what it was made from, beside the take; and the film.

Runs in the backend's environment, after measure.py.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import imageio.v3 as imageio
import measure
from PIL import Image, ImageDraw, ImageFont

WIDE, TALL, COLUMNS, GUTTER, MARGIN, HEAD = 208, 117, 4, 6, 18, 48
MIDDLE = 40
"""Between what a take was made from and the take."""
INK, PAPER, GRAY, FIELD = (236, 236, 236), (24, 24, 26), (150, 150, 156), (40, 40, 44)
BLOCK = COLUMNS * (WIDE + GUTTER) - GUTTER
TITLES = {
    "text_to_video": "Text to video",
    "image_to_video": "Image to video",
    "restyle": "Restyle",
    "fill_gap": "Fill gap",
    "extend": "Extend",
    "previs": "Previs",
}
MADE_FROM = {
    "first": "the still",
    "last": "the last picture",
    "footage": "the footage, at the same times",
    "before": "the strip before it",
    "after": "the strip after it",
    "depth": "depth, rendered from the scene strip by Blender in the background",
    "look": "the picture of the look",
}


def main(folder: Path) -> int:
    """Draw a row for each task, one for each place with several takes, and one for the film; returns 0."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    film = list(imageio.imread(folder / "timeline.mp4", plugin="pyav"))
    row = HEAD + TALL + MARGIN
    rows = len(report["steps"]) + sum("takes" in step for step in report["steps"]) + 1
    sheet = Image.new("RGB", (2 * MARGIN + 2 * BLOCK + MIDDLE, MARGIN + rows * row), PAPER)
    top = MARGIN
    for number, step in enumerate(report["steps"], start=1):
        draw_step(sheet, top, folder, number, step)
        top += row
        if "takes" in step:
            draw_takes(sheet, top, folder, number, step)
            top += row
    title = f"The film, rendered by Blender {report['blender']}: {len(film)} frames"
    draw_words(sheet, MARGIN, top, title, "the cut with its takes, evenly spread")
    for column, frame in enumerate(spread(film, 2 * COLUMNS)):
        left = MARGIN + column * (WIDE + GUTTER) + (MIDDLE - GUTTER) * (column >= COLUMNS)
        sheet.paste(fit(frame), (left, top + HEAD))
    sheet.save(folder / "contact_sheet.png")
    return 0


def draw_step(sheet: Image.Image, top: int, folder: Path, number: int, step: dict) -> None:
    """What the take was made from at the left, the take at the right."""
    files = sorted((folder / "frames" / f"{number:02d}").glob("*.png"))
    sources = step["sources"]
    words = " and ".join(MADE_FROM[source["role"]] for source in sources) or "a prompt alone"
    draw_words(sheet, MARGIN, top, f"{TITLES[step['task']]}: “{step['prompt']}”", f"Made from {words}")
    right = MARGIN + BLOCK + MIDDLE
    draw_words(sheet, right, top, "", caption(step))
    if not sources:
        lines = textwrap.fill(f"“{step['prompt']}”", 44)
        pen = ImageDraw.Draw(sheet)
        pen.rectangle((MARGIN, top + HEAD, MARGIN + BLOCK - 1, top + HEAD + TALL - 1), FIELD)
        place = (MARGIN + BLOCK // 2, top + HEAD + TALL // 2)
        pen.multiline_text(place, lines, INK, ImageFont.load_default(22), anchor="mm", align="center")
    for column, picture in enumerate(source_pictures(sources)):
        sheet.paste(fit(picture), (MARGIN + column * (WIDE + GUTTER), top + HEAD))
    pen = ImageDraw.Draw(sheet)
    middle = (MARGIN + BLOCK + MIDDLE // 2, top + HEAD + TALL // 2)
    x, y = middle
    pen.polygon([(x - 7, y - 10), (x - 7, y + 10), (x + 9, y)], GRAY)
    for column, file in enumerate(spread(files, COLUMNS)):
        sheet.paste(fit(Image.open(file)), (right + column * (WIDE + GUTTER), top + HEAD))


def draw_takes(sheet: Image.Image, top: int, folder: Path, number: int, step: dict) -> None:
    """The takes that one strip keeps side by side, in the order of asking."""
    share = 2 * COLUMNS // len(step["takes"])
    for index, take in enumerate(step["takes"]):
        left = MARGIN + index * (share * (WIDE + GUTTER) + MIDDLE)
        words = [f"Take {index + 1} of {len(step['takes'])}", f"seed {take['seed']}"]
        words += ["starred"] * (take["mark"] == "star") + ["shown by the strip"] * take["shown"]
        draw_words(
            sheet, left, top, f"{TITLES[step['task']]}, the takes of one strip" if not index else "", ", ".join(words)
        )
        files = sorted((folder / "frames" / f"{number:02d}-seed-{take['seed']}").glob("*.png"))
        for column, file in enumerate(spread(files, share + 2)[1:-1]):  # at both ends all takes meet the same strips
            sheet.paste(fit(Image.open(file)), (left + column * (WIDE + GUTTER), top + HEAD))


def caption(step: dict) -> str:
    """Where the take is, how long it took, and how near it is to what it touches."""
    strip, seconds, found = step["strip"], step["seconds"], step["measures"]
    work = sum(seconds[phase] for phase in ("load", "encode", "denoise", "decode"))
    words = [
        f"The take: channel {strip['channel']}, frames {strip['start']} to {strip['end_exclusive'] - 1}",
        f"made in {work:.0f} s",
    ]
    if "first_frame_psnr_db" in found:
        words.append(f"its first frame against the still: {found['first_frame_psnr_db']:.0f} dB")
    for side in ("before", "after"):
        if f"seam_{side}" in found:
            words.append(f"seam {side} {found[f'seam_{side}']:.1f} (own {found[f'neighbor_{side}']:.1f})")
    return "; ".join(words)


def source_pictures(sources: list[dict]) -> list:
    """As many pictures as there are columns, shared by the sources; a still is one picture."""
    share = COLUMNS // max(1, len(sources))
    pictures = []
    for source in sources:
        count = min(share, source["frames"])
        indices = spread(range(source["frames"]), count)
        pictures += measure.pictures_of(source, indices, 2 * WIDE, 2 * TALL)
    return pictures


def draw_words(sheet: Image.Image, left: int, top: int, head: str, line: str) -> None:
    """A heading and a smaller line below it."""
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top), head, INK, ImageFont.load_default(17))
    pen.text((left, top + 24), line, GRAY, ImageFont.load_default(13))


def spread(items, count: int) -> list:
    """`count` of `items`, spread evenly, the first and the last among them."""
    last = len(items) - 1
    return [items[round(column * last / max(1, count - 1))] for column in range(count)]


def fit(picture) -> Image.Image:
    """`picture` (an image or an array H, W, 3) at a cell's size."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return image.convert("RGB").resize((WIDE, TALL), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
