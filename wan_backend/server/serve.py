"""Runs `python -m wan_backend serve`: the server's start, its main loop, its end.

One thread has all the state and takes one event after another from the inbox; see standard_io and worker_process for
the others.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..job_queue.owners import Owner
from ..job_queue.queue import JobQueue
from ..library.transformer_answers import TransformerAnswers
from ..planning.calibrations import Calibrations
from ..planning.measured_times import MeasuredTimes
from ..planning.measured_ways import MeasuredWays
from ..protocol import ProtocolError
from ..protocol.downloads import DownloadStatus
from ..protocol.endpoint import Endpoint, Later
from ..protocol.errors import INVALID_REQUEST
from ..protocol.media import CALIBRATIONS_FILE, MEASURED_TIMES_FILE, MEASURED_WAYS_FILE, TRANSFORMERS_FILE
from ..protocol.messages import (
    ElsewhereParams,
    JobStatus,
    ModelsResult,
    ProgressParams,
    TransformerPart,
    WorkerStatus,
)
from ..protocol.methods import SERVER_EVENTS, SERVER_METHODS, Method
from ..protocol.workers import is_card_id
from ..storage import compiled_kernels, private_files, whole_file
from ..storage.disk_errors import reason
from . import cards, log_files, looks, stay, worker_process
from .cards import Card
from .cluster_line import ClusterLine, ClusterWish
from .diagnosis import BF16_CACHE_FOLDER
from .download_process import DownloadCommand
from .download_queue import Downloads
from .graphics_card import GraphicsCardWatch
from .handlers import ASKED_FOR, Handlers
from .inbox import Call, ClientLine, Event, Inbox, Leave, WorkerExit, WorkerLine, WorkerLost, WorkerUnfit
from .job_runner import JobRunner
from .planner import Planner
from .planning_queue import PlanningQueue
from .seats import MAX_CARDS_PER_TAKE, MAX_SEATS, Seat, Seats, environments, take_places
from .standard_io import Busy, StandardInput, StandardOutput, exit_hard_after, leave_at_signals, private_stdout
from .worker_life import WorkerLife

log = logging.getLogger(__name__)

CANT_START = 3
FAR_IDLE_MINUTES = 5.0
"""On a cluster, others may wait for its place."""
FAR_TURN_MINUTES = 30.0
FAR_WORKERS = 16
"""At most, where nobody says how many; so many places are asked for while as many jobs wait, and none otherwise."""
MAX_CARDS_EACH = 64
PROGRESS_SECONDS = 0.1
"""Shortest time between two reports of a job's progress."""
IDLE_SECONDS = 5.0
"""Interval at which the server tries to write what could not be written before."""
LEAVE_SECONDS = 1.8
"""A disk that stalls must not hold the server: what is not written by then, the next server finds out by itself."""


_WORDS = {
    ClientLine: "a call",
    WorkerLine: "a line of the worker",
    WorkerExit: "the worker's end",
    WorkerLost: "the worker's end",
    Call: "what came",
}
"""Names of the main thread's work, for the client that pings."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
"""How an object store's place begins, such as s3://; a drive of Windows has one letter."""


@dataclass(frozen=True)
class Options:
    """The options of the server."""

    state: Path
    models_folders: list[str] = field(default_factory=list)
    device: str = "auto"
    memory_budget_bytes: int | None = None
    online: bool = False
    idle_seconds: float = 0.0
    """A worker that had nothing to do for so long is ended; 0: never."""
    worker_command: list[str] = field(default_factory=list)
    paused: bool = False
    """Begin no job before the client resumes the queue."""
    transformers: Mapping[str, TransformerPart] = field(default_factory=dict)
    """What transformers' files are of which nothing else tells it, by path."""
    cards: list[str] = field(default_factory=list)
    """The cards that may be used, in the order in which jobs go to them; empty: all."""
    workers: int = 0
    """How many workers there may be; 0: one for each card."""
    cluster: ClusterWish | None = None
    """The cluster on which the workers are; None: they are on this machine."""
    cards_per_take: int = 1
    """How many cards a worker has, which make each of its takes together."""
    shares_weights: bool = False
    """Whether they are to hold a transformer between them where one of them doesn't."""
    findings: Path | None = None
    """Where what helps later jobs is kept; None: in `state`."""
    tries_ways: bool = False
    """Whether takes are made in each way in which several cards can share them, to measure it."""

    @property
    def kept(self) -> Path:
        """The folder of what helps later jobs: calibrations, times, kernels, prompts, copies in 16 bit."""
        return self.findings or self.state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `serve`."""
    add_state_argument(parser, "folder of the queue and the logs")
    add_findings_argument(parser, "--findings", None, "the folder of the queue")
    parser.add_argument(
        "--stay", action="store_true", help="go on with the queue when stdin ends; another --stay comes back to it"
    )
    parser.add_argument("--try-card-ways", action="store_true", help=argparse.SUPPRESS)
    add_start_arguments(parser)


def add_findings_argument(
    parser: argparse.ArgumentParser, flag: str, default: Path | None, words: str = "%(default)s"
) -> None:
    """The flag that says where what was found out on this machine is kept."""
    parser.add_argument(
        flag,
        type=folder,
        default=default,
        metavar="FOLDER",
        help="folder of what helps later takes: kernels that were tried, what memory didn't suffice for, the step "
        "cache's calibrations, how cards share takes best, prompts as models read them, copies of weights in 16 bit "
        f"({words})",
    )


def add_start_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say how a server works."""
    add_machine_arguments(parser)
    parser.add_argument("--online", action="store_true", help="allow the network")
    parser.add_argument(
        "--idle-minutes",
        type=float,
        metavar="X",
        help=f"end a worker that is idle for so long; 0: never (0; with --ray {FAR_IDLE_MINUTES:g})",
    )
    parser.add_argument("--paused", action="store_true", help="begin no job before the queue is resumed")
    parser.add_argument(
        "--workers",
        type=_count,
        default=0,
        metavar="N",
        help="how many workers make takes side by side: at most one on a card, and so many on the processor "
        "(one for each card, else one)",
    )
    cluster = parser.add_argument_group("a studio's cluster (docs/farms.md)")
    add_cluster_arguments(cluster)
    cluster.add_argument(
        "--ray-turn-minutes",
        type=float,
        default=FAR_TURN_MINUTES,
        metavar="X",
        help="between two takes, have a worker that had its place for so long ask anew, behind others who wait; "
        f"0: never ({FAR_TURN_MINUTES:g})",
    )
    cluster.add_argument("--ray-silent-seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--worker-command", type=json.loads, default=[], help=argparse.SUPPRESS)


def add_cluster_arguments(parser: argparse._ActionsContainer) -> None:
    """The flags that say on which cluster workers are, and what each is given there."""
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="have the workers on a Ray cluster: HOST:PORT, or auto for this machine's"
    )
    parser.add_argument(
        "--ray-cards",
        type=_card_count,
        metavar="N",
        help="how many cards each worker asks the cluster for (1; with --device cpu 0)",
    )
    parser.add_argument(
        "--ray-resource", default="", metavar="NAME", help="only on nodes with this resource of Ray's, as `wan_models`"
    )


def _card_count(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_CARDS_EACH:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of cards; give 0 to {MAX_CARDS_EACH}")
    return int(text)


def cluster_of(options: argparse.Namespace) -> ClusterWish | None:
    """The cluster that the flags name; None where the workers are on this machine."""
    if options.ray is None:
        return None
    cards_each = (
        options.ray_cards if options.ray_cards is not None else int(getattr(options, "device", "auto") != "cpu")
    )
    silent = getattr(options, "ray_silent_seconds", None)
    turn_minutes = max(0.0, getattr(options, "ray_turn_minutes", 0.0))
    return ClusterWish(options.ray, cards_each, options.ray_resource, silent, turn_minutes * 60)


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say where models are and what may be used."""
    add_models_arguments(parser)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    parser.add_argument(
        "--card",
        action="append",
        default=[],
        type=_card,
        metavar="UUID",
        help="a card that may be used, as `nvidia-smi -L` names it, or by its number; may be given several times (all)",
    )
    parser.add_argument(
        "--cards-per-take",
        type=_cards_per_take,
        default=1,
        metavar="N",
        help="so many cards make one take together: with guidance, half of them for the prompt and half for the "
        "negative prompt, and else by shares of each frame (1: each card makes takes of its own)",
    )
    parser.add_argument(
        "--share-weights",
        action="store_true",
        help="with --cards-per-take: have the cards hold a transformer between them where one has no room for it, "
        "in place of moving its blocks from the machine's memory; measured on cards with NVLink",
    )
    parser.add_argument("--memory-budget-gib", type=float, metavar="X", help="use at most so much of each device")


def _card(text: str) -> str:
    if not is_card_id(text):
        raise argparse.ArgumentTypeError(f"'{text}' names no card; `nvidia-smi -L` lists their UUIDs (GPU-...)")
    return text


def _cards_per_take(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_CARDS_PER_TAKE:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of cards; give 1 to {MAX_CARDS_PER_TAKE}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_SEATS:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of workers; give 1 to {MAX_SEATS}")
    return int(text)


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say where models are, and what a transformer's file is."""
    parser.add_argument(
        "--models-folder",
        type=folder_as_text,
        action="append",
        default=[],
        metavar="FOLDER",
        help="also look in this folder",
    )
    parser.add_argument(
        "--transformer",
        action="append",
        type=_transformer,
        default=[],
        metavar="FILE=PART",
        help="a file that may be a whole 14B model or one expert of a Wan 2.2: whole, high or low",
    )


def _transformer(text: str) -> tuple[str, TransformerPart]:
    file, is_said, part = text.rpartition("=")
    if not is_said or part not in (TransformerPart.WHOLE, TransformerPart.HIGH, TransformerPart.LOW):
        raise argparse.ArgumentTypeError(f"'{text}' doesn't end in =whole, =high or =low")
    return os.path.abspath(file), TransformerPart(part)


def own_state_folder() -> Path | None:
    """Where a server that was told no folder keeps its queue: the person's own, by each system's custom.

    None where nobody knows the person's home, as in a container whose user is a mere number.
    """
    try:
        return _persons_folder() / "wan-backend"
    except RuntimeError:  # Python's, where there is no home
        return None


def _persons_folder() -> Path:
    """The folder in which programs keep what is a person's own. Raises RuntimeError where that has no name."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    named = os.environ.get("XDG_STATE_HOME", "")  # by its standard, one that is no absolute path doesn't count
    return Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state"


def folder(text: str) -> Path:
    """A folder that a flag names. Raises ArgumentTypeError for an address: a folder of that name would be made here."""
    if _ADDRESS.match(text):
        raise argparse.ArgumentTypeError(
            f"{text} is an address, and not a folder; give the path at which it is mounted, the same on every machine"
        )
    return Path(text)


def folder_as_text(text: str) -> str:
    """The same as it was given, for those that are told to other processes."""
    folder(text)
    return text


def add_state_argument(parser: argparse.ArgumentParser, words: str) -> None:
    """The flag that names the state folder, which has to be given where the person has no home."""
    own = own_state_folder()
    parser.add_argument(
        "--state", type=folder, default=own, required=own is None, metavar="FOLDER", help=f"{words} (%(default)s)"
    )


def flags_of(options: argparse.Namespace) -> list[str]:
    """The flags with which a server is started for the options of `add_start_arguments`."""
    flags = ["--device", options.device]
    flags += [] if options.idle_minutes is None else ["--idle-minutes", str(options.idle_minutes)]
    if options.ray is not None:
        flags += ["--ray", options.ray, *(["--ray-resource", options.ray_resource] if options.ray_resource else [])]
        flags += [] if options.ray_cards is None else ["--ray-cards", str(options.ray_cards)]
        flags += ["--ray-turn-minutes", str(options.ray_turn_minutes)]
        silent = options.ray_silent_seconds
        flags += [] if silent is None else ["--ray-silent-seconds", str(silent)]
    for folder in options.models_folder:
        flags += ["--models-folder", os.path.abspath(folder)]
    if options.memory_budget_gib:
        flags += ["--memory-budget-gib", str(options.memory_budget_gib)]
    if options.worker_command:
        flags += ["--worker-command", json.dumps(options.worker_command)]
    for card in options.card:
        flags += ["--card", card]
    for file, part in options.transformer:
        flags += ["--transformer", f"{file}={part.value}"]
    flags += ["--workers", str(options.workers)] if options.workers else []
    flags += ["--cards-per-take", str(options.cards_per_take)] if options.cards_per_take > 1 else []
    flags += ["--share-weights"] * options.share_weights
    findings = getattr(options, "findings", None)
    flags += [] if findings is None else ["--findings", os.path.abspath(findings)]
    return flags + ["--online"] * options.online + ["--paused"] * options.paused


def _contradiction(options: argparse.Namespace) -> str:
    """Which flags don't go together, in a sentence; empty if all do."""
    if options.share_weights and options.cards_per_take < 2:
        return "--share-weights is for takes of several cards: give --cards-per-take too, or leave it out."
    if options.ray is None:
        idle = [] if options.ray_cards is None else ["--ray-cards"]
        idle += ["--ray-resource"] if options.ray_resource else []
        return f"{' and '.join(idle)} would do nothing without --ray: give that too, or leave it out." if idle else ""
    if options.card:
        return "--card names a card of this machine, and --ray has the cluster choose: give one of them."
    if options.cards_per_take > 1:
        return "--cards-per-take is for the cards of this machine, and not for --ray: leave one of them out."
    return ""


def main(options: argparse.Namespace) -> int:
    """Serve until stdin ends; the exit code."""
    contradiction = _contradiction(options)
    if contradiction:
        sys.stderr.write(contradiction + "\n")
        return CANT_START
    if options.stay and stay.is_possible():
        return stay.main(options.state.absolute(), flags_of(options))
    idle_minutes = options.idle_minutes
    if idle_minutes is None:
        idle_minutes = FAR_IDLE_MINUTES if options.ray is not None else 0.0
    private_files.begin()
    budget = options.memory_budget_gib
    made = Options(
        options.state.absolute(),
        options.models_folder,
        options.device,
        int(budget * (1 << 30)) if budget and budget > 0 else None,
        options.online,
        max(0.0, idle_minutes) * 60,
        options.worker_command,
        options.paused,
        dict(options.transformer),
        options.card,
        options.workers,
        cluster_of(options),
        options.cards_per_take,
        options.share_weights,
        None if options.findings is None else options.findings.absolute(),
        options.try_card_ways,
    )
    try:
        server = Server(made)
    except OSError as error:
        sentence = f"The state folder {made.state} can't be used ({reason(error)}); choose another."
        sys.stderr.write(sentence + "\n")
        return CANT_START
    server.run()
    return 0


class _HelloFirst(dict[str, Method]):
    """The methods; until the client has greeted, `hello` alone, and `ping`, which says nothing of anybody's jobs."""

    greeted = False

    def get(self, name: str, default: Any = None) -> Any:
        """The method of that name; raises ProtocolError if it can't be called yet."""
        if not self.greeted and name in self and name not in ("hello", "ping"):
            raise ProtocolError(INVALID_REQUEST, "Call 'hello' first.")
        return super().get(name, default)


class Server:
    """The server, with all its components."""

    def __init__(self, options: Options) -> None:
        """Take the state folder. Raises OSError."""
        private_files.make_folder(options.state)
        with contextlib.suppress(OSError):  # then nothing helps later jobs, and each file says so in the log
            private_files.make_folder(options.kept)
        offline = os.environ.get("HF_HUB_OFFLINE", "")
        if not options.online:
            os.environ["HF_HUB_OFFLINE"] = "1"
        owner = Owner(options.state)
        logs = options.state / "logs"
        log_file = logs / (f"server-{owner.id[:8]}.log" if owner.others_alive() else "server.log")
        log_files.start_logging(log_file)
        self._owner, self._state, self._kept = owner, options.state, options.kept
        self._inbox: Inbox = queue.SimpleQueue()
        self._leaving = ""
        self._progress: dict[str, JobStatus] = {}
        self._sent_at = 0.0
        self._saves_at = 0.0
        self._connect_client()
        self._make_components(options, log_file, DownloadCommand(options.models_folders, logs / "downloads", offline))

    def _connect_client(self) -> None:
        """Make the endpoint to the client, on stdin and stdout."""
        self._output = StandardOutput(self._inbox, private_stdout())
        self._methods = _HelloFirst(SERVER_METHODS)
        self._endpoint = Endpoint(
            self._output.send,
            serves=self._methods,
            handler=self._answer,
            receives=SERVER_METHODS,
            on_event=self._do,
            sends=SERVER_EVENTS,
            peer="The client",
        )
        self._busy = Busy()
        self._input = StandardInput(
            self._inbox, sys.stdin.buffer, self._endpoint.lines, self._output.send, self._busy
        )  # fmt: skip

    def _make_components(self, options: Options, log_file: Path, fetch: DownloadCommand) -> None:
        """Make the queue, the workers' places, planning, downloads and the handlers."""
        owner = self._owner
        self._queue = JobQueue(
            options.state, owner, self._on_job, lambda do: self._inbox.put(Call(do)), self._on_elsewhere
        )
        self._options, self._logs, self._numbers = options, log_file.parent, itertools.count(1)
        self._seats = Seats()
        self._cluster: ClusterLine | None = None
        calibrations = Calibrations(options.kept / CALIBRATIONS_FILE)
        answers = TransformerAnswers(options.state / TRANSFORMERS_FILE, options.transformers)
        ways = MeasuredWays(options.kept / MEASURED_WAYS_FILE)
        planner = Planner(
            *(options.models_folders, options.memory_budget_bytes, lambda: self._seats.machine, calibrations, answers),
            *(ways, options.tries_ways),
        )
        self._planning = PlanningQueue(planner, self._inbox, self._on_models)
        self._runner = JobRunner(
            *(self._queue, self._seats, self._planning, options.device, options.memory_budget_bytes, options.kept),
            *(self._on_worker, str(options.kept / BF16_CACHE_FOLDER), options.idle_seconds),
            MeasuredTimes(options.kept / MEASURED_TIMES_FILE),
            bool(options.cards),
            options.state / looks.FOLDER / owner.id,
            ways,
        )
        if options.paused:
            self._runner.pause(True)
        self._downloads = Downloads(options.state, fetch, self._inbox, self._on_download)
        self._handlers = Handlers(
            *(options.state, log_file, self._inbox, self._queue, self._planning, self._runner, self._seats),
            *(self._downloads, fetch, self._leave, options.kept),
        )
        self._find_cards()

    def _find_cards(self) -> None:
        """Open the workers' places; where the cards have to be asked for, beside everything else."""
        options = self._options
        if options.cluster is not None:
            self._open_far_seats(options.cluster)
        elif options.device not in ("auto", "cuda"):
            self._open_seats([])
        elif options.cards:
            self._open_seats(cards.named(options.cards))
        elif (left := cards.left_visible()) is not None:
            self._open_seats(left if len(left) > 1 else [])  # a single one is the worker's by itself
        elif not cards.can_be_listed():
            self._open_seats([])
        else:
            threading.Thread(target=self._list_cards, name="cards", daemon=True).start()

    def _open_far_seats(self, wish: ClusterWish) -> None:
        """Have places whose workers are on the cluster, each only while there is a job for it."""
        options = self._options
        line = ClusterLine(wish, options.state, self._logs, self._inbox, options.worker_command, options.online)
        self._cluster = line
        log.info("Workers are on the Ray cluster %s, each with %d cards", wish.address, wish.cards)
        seats = []
        for number in range(options.workers or FAR_WORKERS):
            watch = GraphicsCardWatch(options.memory_budget_bytes, options.device, asks=False)
            life = WorkerLife([], {}, self._logs, self._inbox, numbers=self._numbers, cluster=line)
            seats.append(Seat(number, life, watch=watch))
            seats[-1].needs_card = wish.cards > 0 and options.device != "cpu"
        self._seats.open(seats)

    def _list_cards(self) -> None:
        found = cards.for_takes(cards.listed())
        self._inbox.put(Call(lambda: self._open_seats(found)))

    def _open_seats(self, found: list[Card]) -> None:
        """Have a place for each card that was found, or for as many workers as were asked for."""
        options = self._options
        places = take_places(options.workers, found, options.cards_per_take, options.device)
        command = options.worker_command or [sys.executable, "-m", "wan_backend.worker"]
        if options.cards_per_take > 1 and not any(place.others for place in places):
            log.warning("A take has one card: there aren't several that it could have")
        around = environments(places, worker_process.environment(options.online, options.kept))
        log.info("Workers: %d; cards: %s", len(places), ", ".join(f"{each.id} {each.name}" for each in found) or "any")
        seats = [
            Seat(
                number,
                WorkerLife(command, environment, self._logs, self._inbox, numbers=self._numbers),
                place.card,
                GraphicsCardWatch(options.memory_budget_bytes, options.device, place.card),
                place.others,
            )
            for number, (place, environment) in enumerate(zip(places, around, strict=True))
        ]
        for seat in seats:
            seat.shares_weights = options.shares_weights
        self._seats.open(seats)

    def run(self) -> None:
        """Serve until there is no client or a signal says to leave."""
        leave_at_signals(self._inbox)
        log.info("Process %d serves", os.getpid())
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
        self._output.start()
        self._input.start()
        self._planning.begin()
        self._queue.adopt()
        while not self._leaving:
            self._take_one()
        self._end()

    def _tidy(self) -> None:
        """See to what earlier servers left, beside everything else."""
        compiled_kernels.prune(self._kept)
        looks.prune(self._state)
        with contextlib.suppress(OSError):
            for folder in (self._kept, self._state, *filter(Path.is_dir, self._state.iterdir())):
                whole_file.prune(folder)
        private_files.tighten_all(self._state)

    def _take_one(self) -> None:
        try:
            event = self._inbox.get(timeout=self._wait_seconds())
        except queue.Empty:
            event = None
        self._busy.begin(_WORDS.get(type(event), "the queue"))
        try:
            if event is not None:
                self._handle(event)
            self._busy.name_work("the queue")
            self._seats.tick()
            self._planning.tick()
            self._send_progress()
            if self._methods.greeted:
                self._runner.advance()
            if time.monotonic() >= self._saves_at:  # not when nothing comes: a worker's heartbeat always does
                self._saves_at = time.monotonic() + IDLE_SECONDS
                self._queue.save_unsaved()
                self._queue.adopt_freed()
        except Exception:  # the edge of the process: the queue must outlive any one event
            log.exception("Something failed while handling %.200r", event)
        self._busy.end()

    def _handle(self, event: Event) -> None:
        match event:
            case ClientLine(line):
                self._input.handled(line)
                self._endpoint.take(line)
            case WorkerLine():
                self._seats.on_line(event)
            case WorkerExit():
                self._seats.on_exit(event)
            case WorkerLost():
                self._seats.on_lost(event)
            case WorkerUnfit():
                self._seats.on_unfit(event)
            case Call(do):
                do()
            case Leave(why):
                self._leave(why)

    def _answer(self, method: str, params: Any) -> Any:
        self._busy.name_work(method)
        result = getattr(self._handlers, method)(params)
        if method == "hello":
            self._methods.greeted = True
        return result

    def _do(self, method: str, params: Any) -> None:
        """A call that wants no answer."""
        if self._methods.greeted:
            result = self._answer(method, params)
            if isinstance(result, Later):
                result.start(lambda _: None)

    def _wait_seconds(self) -> float:
        waits = [IDLE_SECONDS]
        if self._progress:
            waits.append(max(0.0, self._sent_at + PROGRESS_SECONDS - time.monotonic()))
        deadline = self._seats.seconds_to_deadline()
        if deadline is not None:
            waits.append(deadline)
        return min(waits)

    def _on_job(self, status: JobStatus, state_changed: bool) -> None:
        if state_changed:
            self._progress.pop(status.job_id, None)
            self._send_event("job", status)
        else:
            self._progress[status.job_id] = status

    def _on_elsewhere(self, jobs: int) -> None:
        self._send_event("elsewhere", ElsewhereParams(jobs))

    def _on_worker(self, status: WorkerStatus) -> None:
        self._send_event("worker", status)

    def _on_models(self, known: ModelsResult) -> None:
        self._send_event("models", known)

    def _on_download(self, status: DownloadStatus) -> None:
        self._send_event("download", status, droppable=status.state.active)

    def _send_progress(self) -> None:
        now = time.monotonic()
        if self._progress and now >= self._sent_at + PROGRESS_SECONDS:
            for status in self._progress.values():
                self._send_event("progress", _progress_of(status), droppable=True)
            self._progress.clear()
            self._sent_at = now

    def _send_event(
        self,
        method: str,
        message: JobStatus | ProgressParams | WorkerStatus | ModelsResult | DownloadStatus | ElsewhereParams,
        droppable: bool = False,
    ) -> None:
        if self._methods.greeted:
            line = self._endpoint.event_line(method, message)
            if line is not None:
                self._output.send(line, droppable)

    def _leave(self, why: str) -> None:
        log.info("Leaving: %s", why)
        self._leaving = why

    def _end(self) -> None:
        """Within two seconds: no worker, no half-made take, everything on disk."""
        exit_hard_after(LEAVE_SECONDS)
        self._downloads.leave()
        self._runner.leave(goes_on=self._leaving == ASKED_FOR)
        if self._cluster is not None:
            self._cluster.close()
        self._queue.save_unsaved()
        self._queue.close(0.5)
        self._owner.release()
        self._output.close(0.5)
        log.info("Left")
        logging.shutdown()
        os._exit(0)  # threads that wait at a pipe can't be joined


def _progress_of(status: JobStatus) -> ProgressParams:
    return ProgressParams(
        status.job_id,
        status.state,
        status.step,
        status.steps,
        status.progress,
        status.eta_seconds,
        status.sentence,
        status.preview,
        status.training,
    )
