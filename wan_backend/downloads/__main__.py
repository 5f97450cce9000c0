"""`python -m wan_backend.downloads plan|run --model ID`: fetches a model for the server.

It reports in the protocol's lines on stdout, logs on stderr, and ends when its stdin does, or at a kill: what was
fetched stays, and the next one goes on from there.
"""

from __future__ import annotations

import argparse
import logging
import os

from ..catalogue import entries
from ..protocol import process_setup
from ..protocol.downloads import DownloadPlan, DownloadState, DownloadStatus
from ..protocol.endpoint import Endpoint
from ..protocol.methods import FETCH_EVENTS
from ..protocol.sentences import Sentence
from ..storage import private_files
from . import model_download

log = logging.getLogger(__name__)

FAILED = 1


def main() -> int:
    """Plan, or fetch. Returns 0 if that went well."""
    private_files.end()  # models are the person's
    parser = argparse.ArgumentParser(prog="wan_backend.downloads")
    parser.add_argument("verb", choices=["plan", "run"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--models-folder", action="append", default=[])
    options = parser.parse_args()
    source, sink = process_setup.guard_standard_streams()
    server = Endpoint(lambda line: _write(sink, line), sends=FETCH_EVENTS, peer="the server")
    process_setup.log_to_stderr()
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs each address, with the keys that a hub puts into it
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    process_setup.exit_with(source)
    entry = entries.any_entry(options.model)
    if options.verb == "plan":
        server.notify("fetch_plan", model_download.plan(entry, options.models_folder))
        return 0
    return _run(entry, options.models_folder, server)


def _run(entry: entries.AnyEntry, models_folders: list[str], server: Endpoint) -> int:
    planned: list[DownloadPlan] = []

    def on_plan(plan: DownloadPlan) -> None:
        planned.append(plan)
        server.notify("fetch_plan", plan)

    try:
        folder = model_download.fetch(entry, models_folders, lambda status: server.notify("fetch", status), on_plan)
    except Exception as error:  # the edge of the process: whatever went wrong becomes a sentence
        log.warning("%s was not fetched", entry.id, exc_info=error)
        problem = model_download.problem_for(error, entry, models_folders)
        server.notify("fetch", DownloadStatus(entry.id, DownloadState.FAILED, problem=problem))
        return FAILED
    total = planned[0].total_bytes
    done = DownloadStatus(entry.id, DownloadState.DONE, total, total, sentence=Sentence("In {folder}.", folder=folder))
    server.notify("fetch", done)
    return 0


def _write(sink: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(sink, rest) :]


if __name__ == "__main__":
    raise SystemExit(main())
