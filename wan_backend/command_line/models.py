"""Runs `models`: lists the models; `--download` fetches one, the only thing here that uses the network."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys

from ..catalogue import entries
from ..downloads import model_download
from ..library import locate
from ..library.transformer_answers import TransformerAnswers
from ..protocol.conversion import to_json
from ..protocol.downloads import DownloadPlan, DownloadStatus
from ..protocol.messages import ExtraRow, ModelRow
from ..protocol.sentences import in_english
from ..server.planner import Planner
from ..storage.byte_sizes import size_in_words

REFUSED = 2
log = logging.getLogger(__name__)


def main(options: argparse.Namespace) -> int:
    """List the models or fetch one; the exit code."""
    folders = [os.path.abspath(folder) for folder in options.models_folder]
    if idle := _idle_flags(options):
        beside = "with" if options.download else "without"
        sys.stderr.write(f"{', '.join(idle)} would do nothing {beside} --download; leave it out.\n")
        return REFUSED
    if options.download:
        return fetch(options.download, options.yes, folders, options.accept_changes)
    planner = Planner(folders, None, answers=TransformerAnswers(given=dict(options.transformer)))
    planner.library.refresh()
    rows = planner.rows()
    words = (
        json.dumps(in_english(to_json(rows)), indent=1) + "\n" if options.json else table(rows, planner.extra_rows())
    )
    sys.stdout.write(words)
    return 0


def _idle_flags(options: argparse.Namespace) -> list[str]:
    """The flags that nothing would come of."""
    of_download = {"--yes": options.yes, "--accept-changes": options.accept_changes}
    of_list = {"--json": options.json, "--transformer": options.transformer}
    return [flag for flag, given in (of_list if options.download else of_download).items() if given]


def table(rows: list[ModelRow], extras: list[ExtraRow]) -> str:
    """The models, and what goes with them, as lines for a terminal."""
    lines = []
    for row in rows:
        sizes = ", ".join(size.name for size in row.sizes)
        lines.append(f"{'*' if row.here else ' '} {row.model:<18} {row.label}")
        lines.append(
            f"    {sizes}; up to {row.max_frames} frames in one go at {row.frame_rate.fps} a second; {row.licence}"
        )
        lines += [f"    {sentence}" for sentence in (row.notes, row.sentence) if sentence]
    for extra in extras:
        lines.append(f"{'*' if extra.here else ' '} {extra.model:<21} {extra.label}; {extra.licence}")
        lines += [f"    {sentence}" for sentence in (extra.notes, extra.sentence) if sentence]
    fetched = f"Download one with {locate.download_command('ID')}"
    return "\n".join([*lines, "", "* is on this machine.", fetched, ""])


def fetch(model_id: str, yes: bool, folders: list[str], accept_changes: bool = False) -> int:
    """Fetch something of the catalogue, after saying how much it is; the exit code."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        entry = entries.any_entry(model_id)
    except entries.UnknownModel as unknown:
        sys.stderr.write(f"{unknown}\n")
        return REFUSED
    planned = model_download.plan(entry, folders, accept_changes)
    if planned.problem is not None:
        sys.stderr.write(f"{planned.problem.sentence}\n")
        return REFUSED
    sys.stderr.write(_summary(planned, entry.repo))
    if not yes and not _agreed():
        sys.stderr.write("Nothing was downloaded.\n")
        return 1
    try:
        folder = model_download.fetch(entry, folders, _show_progress, accept_changes=accept_changes)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; run the same command to resume.\n")
        return 1
    except Exception as error:  # the edge of the process: whatever went wrong becomes a sentence
        log.debug("%s was not fetched", entry.id, exc_info=error)
        sys.stderr.write(f"\n{model_download.problem_for(error, entry, folders).sentence}\n")
        return 1
    sys.stderr.write("\n")
    sys.stdout.write(f"{folder}\n")
    return 0


def _summary(planned: DownloadPlan, repo: str) -> str:
    """The summary that a person reads before the first byte is fetched."""
    here = planned.total_bytes - planned.fetch_bytes
    lines = [
        f"{planned.label} from huggingface.co/{repo}: {size_in_words(planned.fetch_bytes)} to download"
        + (f", {size_in_words(here)} are here already." if here else "."),
        f"License: {planned.licence} ({planned.licence_url})",
        f"Folder: {planned.folder}, where {size_in_words(planned.free_bytes)} are free.",
        *planned.notes,
    ]
    return "\n".join([*lines, ""])


def _show_progress(status: DownloadStatus) -> None:
    """Show the progress of the download, over the line before."""
    words = f"{status.done_bytes / 1e9:.2f} of {status.total_bytes / 1e9:.2f} GB"
    if status.bytes_per_second:
        words += f", {status.bytes_per_second / 1e6:.1f} MB/s"
    if status.seconds_left is not None:
        words += f", {status.seconds_left / 60:.0f} min left"
    sys.stderr.write(f"\r{words}, {status.sentence[:60]:<60}")
    sys.stderr.flush()


def _agreed() -> bool:
    sys.stderr.write("Download it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
