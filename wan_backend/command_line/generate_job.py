"""Runs `generate --job FILE`: makes the take of a request in a file, for render farms.

A farm needs to know one thing of what failed: whether another try can help. Exit codes: 0 made; 65 give up, as the same
request fails everywhere; 75 try again, here or on another machine; 130 canceled. The codes are those of sysexits.h.

A try that was broken off leaves its finished steps in a hidden folder beside the output, where the next try goes on
from them, also on another machine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shutil
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ..protocol import ProtocolError, Refusal, bounds
from ..protocol.conversion import from_json, to_json
from ..protocol.media import SETTINGS_FILE
from ..protocol.messages import JobParams, JobState, JobStatus, ProblemKind, SubmitParams, TakeRequest
from ..storage import private_files, whole_file
from ..storage.disk_errors import reason
from . import take_words
from .generate import CANCELED, exit_with, follow, say_plan
from .serve_child import ServeChild
from .take_output import TakeOutput, check_folder

GIVE_UP, TRY_AGAIN = 65, 75
PASSES = frozenset(
    {
        *(ProblemKind.WORKER_DIED, ProblemKind.INTERRUPTED, ProblemKind.OUT_OF_MEMORY, ProblemKind.DISK_FULL),
        *(ProblemKind.FOLDER, ProblemKind.BUSY, ProblemKind.OFFLINE, ProblemKind.HUB_FAILED, ProblemKind.BAD_DEVICE),
        *(ProblemKind.NO_PYTHON, ProblemKind.SETUP, ProblemKind.INTERNAL),
    }
)
"""Problems of the machine or of the moment. All others are of the request, or of what is installed."""
REQUEST_FLAGS = (
    *("prompt", "model", "frames", "size", "seed", "negative", "words", "keep", "steps"),
    *("guidance", "guidance_interval", "step_cache", "lora", "quality", "matrices", "edit", "reference"),
)
"""What of `generate` is of a request, which the file says whole."""
MAX_JOB_BYTES = bounds.MAX_JSON_CHARACTERS


class Stopped(Exception):
    """The farm ends this process; the take isn't canceled."""


@dataclass(frozen=True)
class Place:
    """Where the take of a job file goes, and where it is made."""

    output: TakeOutput
    job_id: str
    state: Path

    @property
    def hidden_folder(self) -> Path:
        """Everything that is there until the take is whole."""
        return self.state.parent


def main(options: argparse.Namespace) -> int:
    """Make the take; the exit code."""
    given = [_flag(name) for name in REQUEST_FLAGS if getattr(options, name) not in (None, "", [])]
    if given:
        return exit_with(
            f"{options.job} says all of the take: leave out {', '.join(given)}, or change the file.", GIVE_UP
        )
    try:
        request = read_job(options.job)
        place = choose_place(request, options.output, options.overwrite)
    except OSError as error:
        return exit_with(f"{options.job} can't be read ({reason(error)}).", TRY_AGAIN)
    except ValueError as error:
        return exit_with(str(error), GIVE_UP)
    if is_made(place):
        return _made(place)
    signal.signal(signal.SIGTERM, _stop)
    try:
        private_files.make_folder(place.state)
        code = _make(options, place, replace(request, media_folder=str(place.output.work_folder)))
    except OSError as error:
        return exit_with(f"{place.hidden_folder} can't be written ({reason(error)}).", TRY_AGAIN)
    if code != TRY_AGAIN:
        shutil.rmtree(place.hidden_folder, ignore_errors=True)
    return code


def _flag(name: str) -> str:
    return "the prompt" if name == "prompt" else f"--{name.replace('_', '-')}"


def read_job(file: Path) -> TakeRequest:
    """The request in a file: alone, or under "request" as a take's own settings have it.

    Raises OSError, or ValueError with a sentence.
    """
    try:
        values = whole_file.read_json(file, MAX_JOB_BYTES)
    except ValueError as error:
        raise ValueError(f"{file} is no job: {error}.") from None
    if isinstance(values, dict) and isinstance(values.get("request"), dict):
        values = values["request"]
    try:
        request = from_json(TakeRequest, values, "request")
    except ProtocolError as wrong:
        raise ValueError(f"{file} is no job: {wrong.message}") from None
    if not bounds.is_sane_request(request):
        raise ValueError(f"{file} is no job: it has values that no request can have.")
    return request


def choose_place(request: TakeRequest, path: Path, overwrite: bool) -> Place:
    """The take's folder; raises ValueError with a sentence. A request says nothing of where this process writes."""
    target = path.absolute()
    words: dict[str, Any] = to_json(replace(request, media_folder=""))
    digest = hashlib.sha256(json.dumps([words, str(target)], sort_keys=True).encode("utf-8", "surrogatepass"))
    job_id = digest.hexdigest()[:32]
    hidden = target.with_name(f".{target.name}.{job_id[:8]}")
    output = TakeOutput(target, request.media_format, hidden / "takes", in_folder=True)
    place = Place(output, job_id, hidden / "state")
    if not is_made(place):
        check_folder(target, overwrite)
    return place


def is_made(place: Place) -> bool:
    """Whether an earlier try, here or elsewhere, has put this very take there."""
    with contextlib.suppress(OSError, ValueError):
        settings = whole_file.read_json(place.output.target / SETTINGS_FILE)
        return isinstance(settings, dict) and settings.get("job_id") == place.job_id
    return False


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _make(options: argparse.Namespace, place: Place, request: TakeRequest) -> int:
    try:
        with ServeChild(place.state, options, options.state) as server:
            status = server.call("submit", SubmitParams(place.job_id, request))
            if status.held_elsewhere:
                return exit_with("Another process is making this take.", TRY_AGAIN)
            if status.state.ended and status.state is not JobState.DONE:  # an earlier try
                status = server.call("retry", JobParams(place.job_id))
            said = say_plan(server, place.job_id)
            status = follow(server, status)
    except Refusal as refusal:
        return exit_with(refusal.message, _code_of(refusal.problem.kind))
    except ProtocolError as error:
        return exit_with(str(error), TRY_AGAIN)
    except Stopped:
        return exit_with("Stopped; the next try goes on from the last step.", TRY_AGAIN)
    except KeyboardInterrupt:
        return exit_with("Canceled.", CANCELED)
    return _deliver(status, place, said)


def _code_of(kind: ProblemKind) -> int:
    return TRY_AGAIN if kind in PASSES else GIVE_UP


def _deliver(status: JobStatus, place: Place, said: Collection[str]) -> int:
    if status.state is JobState.CANCELED:
        return exit_with("Canceled.", CANCELED)
    if status.take is None:
        problem = status.problem
        if problem is None:
            return exit_with("The take was not made.", TRY_AGAIN)
        log = f" Its log: {problem.log}" if problem.log and problem.kind in PASSES else ""
        return exit_with(problem.sentence + log, _code_of(problem.kind))
    target = place.output.target
    take_words.say(Path(status.take.folder), said)
    try:
        place.output.publish(status.take)
    except OSError as error:
        if is_made(place):  # by another machine, just now
            return _made(place)
        return exit_with(f"{target} can't be written ({reason(error)}).", TRY_AGAIN)
    return _made(place)


def _made(place: Place) -> int:
    sys.stdout.write(f"{place.output.target}\n")
    return 0
