"""Examines the installation: what is here, what is missing, how to fix it.

The worker is started and asked for its torch and its device, because that is the very process that has to work.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..catalogue import entries
from ..library import a14b_experts, compose, extras, hub_cache, locate, upscalers
from ..library.survey import Survey
from ..protocol.endpoint import Endpoint
from ..protocol.media import PROMPTS_FOLDER, WORK_FOLDER
from ..protocol.messages import Finding, ModelRow, ReadyParams, WorkerState, WorkerStatus
from ..protocol.methods import WORKER_EVENTS
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import guarded_files, signing
from ..storage.byte_sizes import existing_ancestor, free_bytes_at, size_in_words
from ..storage.disk_errors import reason
from . import cards, cluster_line, process_exit
from .cluster_line import ClusterWish
from .graphics_card import GraphicsCard
from .inbox import Inbox, WorkerExit, WorkerLine
from .worker_process import WorkerProcess, environment

WORKER_SECONDS = 120.0
CLUSTER_SECONDS = 120.0
DISK_SECONDS = 10.0
"""Time that a models folder may take to answer: a share that hangs is reported, and not waited for."""
BF16_CACHE_FOLDER = "copies"
"""The folder of the bf16 cache in the folder of what helps later jobs."""
COMFORTABLE_BYTES = 20_000_000_000
CHOOSE_ANOTHER = Sentence("Create it, fix its permissions, or choose another.")
MARKS = Finding(
    Sentence("marks"),
    True,
    Sentence(
        "Takes say that they are generated, and by what: PNG and MP4 files in XMP, Matroska in tags and attached XMP. "
        "A film rendered from them says nothing of it: list its generated ranges."
    ),
)
UNSIGNED = Sentence("Takes aren't signed (C2PA); a certificate in the preferences signs H.264 movies.")
SET_UP = Sentence("Set up the backend again with the button in the add-on's preferences.")


def examine(
    state_folder: Path | None,
    rows: list[ModelRow],
    worker: WorkerStatus | None = None,
    models_folders: Sequence[str] = (),
    memory_budget_bytes: int | None = None,
    survey: Survey | None = None,
    workers: Sequence[WorkerStatus] = (),
    cluster: ClusterWish | None = None,
    findings_folder: Path | None = None,
) -> list[Finding]:
    """All findings; takes seconds if no worker is up to be asked. `survey`: what the models folders hold.

    `workers` are all that the server has, where there are several. `cluster`: the one that they are to be on.
    `findings_folder` is where what helps later jobs is kept, if not in the state folder.
    """
    kept_folder = findings_folder or state_folder
    state = [] if state_folder is None else [_folder(state_folder)]
    state += [] if kept_folder is None else [_kept(state_folder, kept_folder)]
    copies = [] if kept_folder is None else _copies(kept_folder / BF16_CACHE_FOLDER)
    torch, found = _torch(worker)
    card = GraphicsCard.of(found, memory_budget_bytes)
    folders = [_models_folder(folder) for folder in models_folders]
    disk = _disk(state_folder or Path(os.path.expanduser("~")))
    files = [] if survey is None else _files(survey)
    return [
        *(_python(), torch, card.finding(), *_cards(), *_workers(workers), *_cluster(cluster)),
        *(*state, *copies, disk, _cache(), MARKS, _signing(), _upscaling(models_folders)),
        *(*folders, *_models(rows, card), *files),
    ]


def _signing() -> Finding:
    """Whether movies are signed, by trying it."""
    name = Sentence("signing")
    try:
        signatory = signing.Signatory.named()
        if signatory is None:
            return Finding(name, True, UNSIGNED)
        signatory.check()
    except signing.CantSign as error:
        return Finding(name, False, error.sentence)
    words = Sentence("H.264 movies are signed with {file}; PNG and FFV1 takes aren't.", file=signatory.certificate)
    return Finding(name, True, words)


def _upscaling(models_folders: Sequence[str]) -> Finding:
    """Whether takes can be made larger, and with which models."""
    name = Sentence("larger takes")
    if importlib.util.find_spec(upscalers.PACKAGE) is None:
        return Finding(name, True, upscalers.no_package().sentence, not_downloaded=True)
    known = [entry.label for entry in entries.load().upscalers.values() if extras.find(entry, models_folders)]
    here = [*known, *(file.name for file in upscalers.own_files(models_folders))]
    if not here:
        words = Sentence("No upscaling model is here; download one, or put one into 'upscale_models'.")
        return Finding(name, True, words, not_downloaded=True)
    return Finding(name, True, Sentence("Upscaling models: {names}.", names=", ".join(here)))


def _python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    fix = NO_SENTENCE if good else Sentence("Use Python 3.11, 3.12 or 3.13.")
    return Finding(
        Sentence("python"),
        good,
        Sentence("Python {version} at {executable}.", version=version, executable=sys.executable),
        fix,
    )


def _torch(worker: WorkerStatus | None) -> tuple[Finding, WorkerStatus | None]:
    """The finding on torch, and the status that the worker reported."""
    if worker is not None and worker.torch:
        return _torch_found(worker.torch, worker.device), worker
    inbox: Inbox = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as logs:
        try:
            command = [sys.executable, "-m", "wan_backend.worker"]
            process = WorkerProcess(1, command, environment(online=False), Path(logs), inbox)
        except OSError as error:
            return Finding(
                Sentence("torch"),
                False,
                Sentence("The worker can't be started ({reason}).", reason=reason(error)),
                SET_UP,
            ), None
        try:
            ready = _first_ready(inbox)
        finally:
            process.kill()
        if ready is None:
            last_line = process_exit.last_line(process.log_file) or Sentence("it says nothing")
            return Finding(
                Sentence("torch"), False, Sentence("The worker does not start: {words}.", words=last_line), SET_UP
            ), None
    status = WorkerStatus(
        WorkerState.NONE, ready.device, ready.torch, NO_SENTENCE, ready.device_bytes, ready.host_bytes
    )
    return _torch_found(ready.torch, ready.device), status


def _cards() -> list[Finding]:
    """The cards with the ids by which they are chosen, where there is a choice."""
    found = cards.listed() if cards.can_be_listed() else []
    if len(found) < 2:
        return []
    return [
        Finding(
            Sentence("card {card}", card=each.id),
            True,
            Sentence("{name}, {size} of memory.", name=each.name, size=size_in_words(each.total_bytes)),
        )
        for each in found
    ]


def _workers(workers: Sequence[WorkerStatus]) -> list[Finding]:
    """The worker of each place, where there are several, or one has several cards."""
    if len(workers) < 2 and not any(each.other_cards for each in workers):
        return []
    unknown = Sentence("It starts once there is a job for it.")
    return [
        Finding(
            Sentence("worker {number}", number=each.number + 1),
            each.state is not WorkerState.BROKEN,
            Sentence.joined(
                [
                    *([Sentence("Card {card}.", card=each.card)] if each.card else []),
                    *(Sentence("Shares takes with {card}.", card=card) for card in each.other_cards),
                    each.sentence or unknown,
                ]
            ),
            Sentence("Retry a job to have it tried again.") if each.state is WorkerState.BROKEN else NO_SENTENCE,
        )
        for each in workers
    ]


def _cluster(wish: ClusterWish | None) -> list[Finding]:
    """The cluster, and each of its nodes."""
    if wish is None:
        return []
    found = cluster_line.examine(wish, CLUSTER_SECONDS)
    return [Finding(Sentence("cluster"), good, words) for good, words in found]


def _first_ready(inbox: Inbox) -> ReadyParams | None:
    """The worker's first report; None if it ends first, or takes too long."""
    reports: list[ReadyParams] = []

    def on_event(_method: str, message: object) -> None:
        if isinstance(message, ReadyParams):
            reports.append(message)

    endpoint = Endpoint(lambda _line: None, receives=WORKER_EVENTS, on_event=on_event, peer="the worker")
    until = time.monotonic() + WORKER_SECONDS
    while not reports and (left := until - time.monotonic()) > 0:
        try:
            event = inbox.get(timeout=left)
        except queue.Empty:
            return None
        if isinstance(event, WorkerExit):
            return None
        if isinstance(event, WorkerLine):
            endpoint.take(event.line)
    return reports[0] if reports else None


def _torch_found(version: str, device: str) -> Finding:
    if device.startswith("cpu"):
        sentence = Sentence(
            "torch {version}; no graphics card that it can use, so takes are made on the processor, which is slow.",
            version=version,
        )
        return Finding(
            Sentence("torch"),
            True,
            sentence,
            Sentence("With a card: update its driver, then set up the backend again."),
        )
    return Finding(Sentence("torch"), True, Sentence("torch {version} on {device}.", version=version, device=device))


def _folder(state_folder: Path) -> Finding:
    place = existing_ancestor(state_folder)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        sentence = (
            Sentence("The queue and the logs are in {folder}.", folder=state_folder)
            if place == state_folder
            else Sentence("The queue and the logs will be in {folder}.", folder=state_folder)
        )
        return Finding(Sentence("state"), True, sentence)
    return Finding(
        Sentence("state"),
        False,
        Sentence("The folder {folder} can't be written.", folder=state_folder),
        Sentence("Make it writable."),
    )


def _kept(state_folder: Path | None, kept_folder: Path) -> Finding:
    prompts = _size(kept_folder.glob(f"{PROMPTS_FOLDER}/*"))
    steps = 0 if state_folder is None else _size(state_folder.glob(f"jobs/*/{WORK_FOLDER}/*"))
    sentence = Sentence(
        "{prompts} of encoded prompts, {steps} of finished steps of jobs that have no take yet; "
        "clearing the jobs deletes those steps.",
        prompts=size_in_words(prompts),
        steps=size_in_words(steps),
    )
    return Finding(Sentence("kept"), True, sentence)


def _size(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def _disk(folder: Path) -> Finding:
    try:
        free_bytes = free_bytes_at(folder)
    except OSError as error:
        return Finding(
            Sentence("disk"),
            False,
            Sentence("The free space at {folder} can't be read ({reason}).", folder=folder, reason=reason(error)),
        )
    good = free_bytes > COMFORTABLE_BYTES
    fix = NO_SENTENCE if good else Sentence("Make room: a large model with its takes needs tens of gigabytes.")
    return Finding(
        Sentence("disk"), good, Sentence("{free} free at {folder}.", free=size_in_words(free_bytes), folder=folder), fix
    )


def _cache() -> Finding:
    cache = hub_cache.cache_folder()
    sentence = (
        Sentence("The folder of downloaded models, {folder}, is there.", folder=cache)
        if cache.is_dir()
        else Sentence("The folder of downloaded models, {folder}, is not there yet.", folder=cache)
    )
    return Finding(Sentence("cache"), True, sentence)


def _models_folder(folder: str) -> Finding:
    answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_looked_into(folder)), name="models folder", daemon=True).start()
    try:
        return answers.get(timeout=DISK_SECONDS)
    except queue.Empty:
        sentence = Sentence(
            "The models folder {folder} does not answer; what is in it can't be used until it does.", folder=folder
        )
        return Finding(
            Sentence("models folder"),
            False,
            sentence,
            Sentence("Check the disk or the network, or choose another folder."),
        )


def _looked_into(folder: str) -> Finding:
    try:
        held = sum(1 for _ in Path(folder).iterdir())
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else Sentence("not a path")
        return Finding(
            Sentence("models folder"),
            False,
            Sentence("The models folder {folder} can't be read ({why}).", folder=folder, why=why),
            CHOOSE_ANOTHER,
        )
    return Finding(
        Sentence("models folder"),
        True,
        Sentence("The models folder {folder} holds {count} files and folders.", folder=folder, count=held),
    )


def _copies(folder: Path) -> list[Finding]:
    """The size of the bf16 cache, which a person may want to delete."""
    size_bytes = _size(folder.glob("*/*"))
    if not size_bytes:
        return []
    sentence = Sentence(
        "16-bit copies of 32-bit models take {size} in {folder}.", size=size_in_words(size_bytes), folder=folder
    )
    return [
        Finding(
            Sentence("copies"), True, sentence, Sentence("They make loading faster and may be deleted at any time.")
        )
    ]


def _files(survey: Survey) -> list[Finding]:
    """Each file of the models folders with its components, or why it can't be used; of other files, the number."""
    findings = []
    known = list(entries.load().models.values())
    unused = {each.path: why for each in survey.candidates if (why := compose.why_unused(each, survey, known))}
    in_folders = [each for each in survey.unusable if all(each.path != looked.file for looked in survey.files)]
    refused = {each.path: a14b_experts.why_unusable(each.expert) for each in in_folders}
    for looked in survey.files:
        why = looked.why or unused.get(looked.file, NO_SENTENCE)
        if why:
            refused[looked.file] = why
        used = [part.words for part in looked.components if not (why and part.component in ("transformer", "control"))]
        if used:
            findings.append(
                Finding(
                    Sentence("file"),
                    True,
                    guarded_files.encodable(
                        Sentence("{file}: {components}.", file=looked.file, components=Sentence.joined(used, "; "))
                    ),
                )
            )
    for file, why in refused.items():
        has_advice = ";" in why  # it says what to do with this very file
        fix = (
            Sentence("Until then it isn't used.")
            if has_advice
            else Sentence("Get the file again, or use another; until then it isn't used.")
        )
        findings.append(
            Finding(
                Sentence("file"),
                False,
                guarded_files.encodable(Sentence("{file} can't be used because {why}.", file=file, why=why)),
                fix,
            )
        )
    others = sum(not looked.components and not looked.why for looked in survey.files)
    if others:
        findings.append(
            Finding(
                Sentence("files"),
                True,
                Sentence("{count} files in the models folders are not part of a Wan model.", count=others),
            )
        )
    return findings


def _models(rows: list[ModelRow], card: GraphicsCard) -> list[Finding]:
    """A finding for each model: where it is, how it would run; one that can be downloaded is neither good nor wrong."""
    return [
        Finding(
            Sentence("model {model}", model=row.model),
            row.here,
            Sentence.joined(
                [
                    Sentence("{model}: {sentence}", model=row.label, sentence=row.sentence)
                    if row.here
                    else row.sentence,
                    card.forecast(row.model),
                ]
            ),
            NO_SENTENCE
            if row.here or not _fetched(row)
            else Sentence("{command}", command=locate.download_command(_fetched(row))),
            not_downloaded=not row.here and not row.broken and bool(_fetched(row)),
        )
        for row in rows
    ]


def _fetched(row: ModelRow) -> str:
    """What of a model is downloaded: itself, or the trunk of one that is put together; "" if nothing is."""
    known = entries.load().models.get(row.model)
    return known.trunk if known is not None and known.trunk else row.model if row.download_bytes else ""
