"""Runs `train --request FILE`: trains the LoRA of a request in a file, for people without Blender.

The request is one as JSON, with a `training` and its clips as sources (docs/training.md has an example). What is
broken off goes on from the last kept step when the same command is given again: its work stays in a hidden folder
beside the LoRAs until the training is done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..protocol import ProtocolError, Refusal
from ..protocol.conversion import to_json
from ..protocol.messages import JobParams, JobState, JobStatus, SubmitParams, TakeRequest
from ..storage import private_files
from ..storage.disk_errors import reason
from .generate import CANCELED, FAILED, NOT_STARTED, REFUSED, exit_with, follow, say_plan
from .generate_job import read_job
from .serve_child import ServeChild

HIDDEN_FOLDER = ".wan training {}"


def main(options: argparse.Namespace) -> int:
    """Train; the exit code."""
    try:
        request = read_job(options.request)
        if request.training is None:
            raise ValueError(f'{options.request} says nothing of a training; it needs a "training" with a name.')
        request = replace(request, media_folder=str(options.output.absolute()))
        job_id = _id_of(request)
        state = options.output.absolute() / HIDDEN_FOLDER.format(job_id[:8])
        private_files.make_folder(state)
    except OSError as error:
        return exit_with(f"{error.filename or options.output} can't be used ({reason(error)}).", REFUSED)
    except ValueError as error:
        return exit_with(str(error), REFUSED)
    code, keeps = _train(options, state, job_id, request)
    if not keeps:
        shutil.rmtree(state, ignore_errors=True)
    return code


def _id_of(request: TakeRequest) -> str:
    """The same for the same request: what an earlier try has left is found by it."""
    words: dict[str, Any] = to_json(request)
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _train(options: argparse.Namespace, state: Path, job_id: str, request: TakeRequest) -> tuple[int, bool]:
    """The exit code, and whether another try has something to go on with."""
    try:
        with ServeChild(state, options, options.state) as server:
            status = server.call("submit", SubmitParams(job_id, request))
            if status.state.ended and status.state is not JobState.DONE:  # an earlier try
                status = server.call("retry", JobParams(job_id))
            say_plan(server, job_id)
            status = follow(server, status)
    except Refusal as refusal:
        return exit_with(refusal.message, REFUSED), False
    except ProtocolError as error:
        return exit_with(str(error), NOT_STARTED), True
    except KeyboardInterrupt:
        return exit_with("Stopped; the same command goes on from the last kept step.", CANCELED), True
    return _say(status)


def _say(status: JobStatus) -> tuple[int, bool]:
    if status.training is not None:
        for note in status.training.notes:
            sys.stderr.write(note + "\n")
    if status.state is JobState.CANCELED:
        return exit_with("Stopped; the same command goes on from the last kept step.", CANCELED), True
    if status.state is not JobState.DONE or status.training is None or status.training.newest is None:
        problem = status.problem
        log = f" Its log: {problem.log}" if problem and problem.log else ""
        return exit_with((problem.sentence if problem else "Nothing was trained.") + log, FAILED), True
    sys.stdout.write(f"{status.training.newest.path}\n")
    return 0, False
