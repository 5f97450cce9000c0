"""Has cuts written and read by a child process, `wan_backend.interchange.process`, on a thread that waits for it.

A file that ends the child ends nothing else. What the child left unfinished is removed.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

from ..protocol.conversion import from_json, to_json
from ..protocol.cut import (
    ExportTimelineParams,
    ExportTimelineResult,
    ImportTimelineParams,
    ImportTimelineResult,
)
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import Problem, ProblemKind
from ..protocol.plain_names import is_folder, is_name
from ..protocol.sentences import Sentence
from ..storage import folder_trees
from .worker_process import environment, own_group

log = logging.getLogger(__name__)

T = TypeVar("T")
PROCESS = "wan_backend.interchange.process"
PATIENCE_SECONDS = 600.0
"""An .otioz may carry a film."""
WRITTEN = (".otio", ".otioz", ".xml", ".aaf", ".edl")
PARTIAL_SUFFIX = ".partial"
MAX_FOLDERS = 10_000


def export(params: ExportTimelineParams) -> ExportTimelineResult:
    """Write a cut. Takes up to minutes. Raises ProtocolError."""
    _check(params.file, params.cut_file)
    if Path(params.file).suffix.lower() not in WRITTEN:
        raise Refusal.of(
            ProblemKind.FOLDER, Sentence("The file's name must end in {endings}.", endings=", ".join(WRITTEN))
        )
    try:
        return _done(["export"], params, ExportTimelineResult, params.file)
    finally:
        Path(params.file + PARTIAL_SUFFIX).unlink(missing_ok=True)


def import_(params: ImportTimelineParams) -> ImportTimelineResult:
    """Read a cut. Takes up to minutes. Raises ProtocolError."""
    _check(params.file, params.cut_file)
    if not params.media_folders or not all(map(is_folder, params.media_folders)):
        raise Refusal.of(
            ProblemKind.FOLDER, Sentence("The media folder is no full path: choose another in the preferences.")
        )
    if params.search_folder and not is_folder(params.search_folder):
        raise Refusal.of(
            ProblemKind.FOLDER, Sentence("The folder to look in is no full path: choose it anew, or none.")
        )
    target = _new_folder(Path(params.media_folders[0]), Path(params.file).stem)
    try:
        return _done(["import", str(target)], params, ImportTimelineResult, params.file)
    finally:
        folder_trees.remove(target.with_name(target.name + PARTIAL_SUFFIX), ignore_errors=True)


def _check(*files: str) -> None:
    for file in files:
        if not is_folder(os.path.dirname(file)) or not is_name(os.path.basename(file)):
            raise Refusal.of(ProblemKind.FOLDER, Sentence("The file is no full path: choose another."))


def _new_folder(parent: Path, stem: str) -> Path:
    """A folder that isn't there yet: no import overwrites what another brought."""
    name = stem if is_name(stem, windows=True) else "imported"
    for number in range(1, MAX_FOLDERS):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if not folder.exists() and not folder.with_name(folder.name + PARTIAL_SUFFIX).exists():
            return folder
    raise Refusal.of(
        ProblemKind.FOLDER,
        Sentence("There are too many folders like {name} in {folder}: remove some.", name=name, folder=parent),
    )


def _done(arguments: list[str], params: Any, kind: type[T], file: str) -> T:
    without_plugins = {name: value for name, value in environment(online=False).items() if not name.startswith("OTIO_")}
    child = subprocess.Popen(
        [sys.executable, "-m", PROCESS, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=without_plugins,
        **own_group(),
    )
    try:
        said, _ = child.communicate(json.dumps(to_json(params)).encode(), PATIENCE_SECONDS)
        answer = json.loads(said)
    except subprocess.TimeoutExpired:
        child.kill()
        threading.Thread(target=child.wait, name="interchange end", daemon=True).start()
        raise _died(file, Sentence("takes too long")) from None
    except ValueError:
        raise _died(file, Sentence("ended the process that worked on it")) from None
    if "problem" in answer:
        raise Refusal(from_json(Problem, answer["problem"], "problem"))
    try:
        return from_json(kind, answer.get("result"), "result")
    except ProtocolError:
        raise _died(file, Sentence("was not understood")) from None


def _died(file: str, what: Sentence) -> Refusal:
    log.warning("%s %s", file, what)
    return Refusal.of(
        ProblemKind.BAD_SOURCE, Sentence("{file} {what}: nothing was changed.", file=os.path.basename(file), what=what)
    )
