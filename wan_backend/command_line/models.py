"""`models`: what there is and what is here; `--download` fetches one, the only thing here that uses the network."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..models import catalogue, download
from ..models.media_place import size_in_words
from ..protocol.conversion import to_json
from ..protocol.messages import ModelRow
from ..server.planner import Planner


def main(options: argparse.Namespace) -> int:
    """List the models or fetch one; the exit code."""
    if options.download:
        return fetch(options.download, options.yes)
    planner = Planner([os.path.abspath(folder) for folder in options.models_folder], None)
    planner.library.look()
    rows = planner.rows()
    sys.stdout.write(json.dumps(to_json(rows), indent=1) + "\n" if options.json else table(rows))
    return 0


def table(rows: list[ModelRow]) -> str:
    """The models as lines for a terminal."""
    lines = []
    for row in rows:
        sizes = ", ".join(size.name for size in row.sizes)
        lines.append(f"{'*' if row.here else ' '} {row.model:<18} {row.label}")
        lines.append(f"    {sizes}; up to {row.max_frames} frames at {row.frame_rate.fps} a second; {row.licence}")
        lines.append(f"    {row.sentence}")
    return "\n".join([*lines, "", "* is on this machine.", ""])


def fetch(model_id: str, yes: bool) -> int:
    """Fetch a model, after saying how much it is; the exit code."""
    try:
        entry = catalogue.entry(model_id)
        problem = download.why_not(entry)
    except catalogue.UnknownModel as unknown:
        problem = str(unknown)
    if problem:
        sys.stderr.write(problem + "\n")
        return 2
    sys.stderr.write(
        f"{entry.label}: up to {size_in_words(entry.download_bytes)} from huggingface.co/{entry.repo} "
        f"({entry.licence}) into {download.place()}.\n"
    )
    if not yes and not _agreed():
        sys.stderr.write("Nothing was fetched.\n")
        return 1
    try:
        folder = download.fetch(entry)
    except download.DownloadFailed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


def _agreed() -> bool:
    sys.stderr.write("Fetch it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
