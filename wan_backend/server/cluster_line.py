"""The line to a Ray cluster: a child process that carries the lines of workers there, and the workers at its far end.

Ray is imported in that process alone (`wan_backend.cluster`), so the server stays as it is, and a cluster that takes
its driver with it takes no queue. When the process ends, the workers that had begun are lost; those that wait for a
place are asked for again by the next one, which is started after a while.
"""

from __future__ import annotations

import functools
import json
import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..protocol import OverlongLine, carrying, sentences
from ..protocol.carrying import Carried, carry, carry_line
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import private_files
from ..storage.disk_errors import reason
from . import worker_process
from .inbox import Call, Event, Inbox, WorkerExit, WorkerLine, WorkerLost, WorkerUnfit
from .worker_process import WorkerProcess
from .worker_pulse import Signs

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
LONGEST_RUN_SECONDS = 60.0
"""A line that lived so long is begun anew at once."""
STALE_SECONDS = 15.0
MARK_FOLDER = "cluster"
MARK_FILE = "seen-{id}.txt"

JOINING = Sentence("The Ray cluster at {address} is being joined.")
LOST_LINE = Sentence("was lost with the line to the Ray cluster at {address}")
NO_LINE = Sentence("What joins the Ray cluster at {address} ended; it is started again by itself.")
NOT_STARTED = Sentence("What joins the Ray cluster can't be started ({reason}).")
SILENT = Sentence("The Ray cluster at {address} doesn't answer in time.")
JOINED_AGAIN = Sentence("{why} It is tried again by itself, and jobs wait.")


@dataclass(frozen=True)
class ClusterWish:
    """Which cluster the workers are on, and what each is given there."""

    address: str
    cards: int = 1
    """0: takes are made on the nodes' processors."""
    resource: str = ""
    silent_seconds: float | None = None
    turn_seconds: float = 0.0
    """After so long a worker gives its place to whoever waits for one; 0: never, while it has jobs."""


@dataclass
class FarWorker:
    """A worker on the cluster, as the server sees one; its lines and its end come into the inbox under `number`."""

    number: int
    line: ClusterLine
    order: dict[str, Any]
    log_file: Path
    node: str = ""
    """Empty while it waits for a place."""
    shared: int = 1
    """So many workers such a node has room for; they share its memory."""
    words: Sentence = NO_SENTENCE
    """What it waits for."""
    out: bool = False
    """Whether its node can't be reached at the moment; the cluster says when that is for good."""
    last_message_at: float = 0.0
    last_signs: tuple[float, Signs] | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def pid(self) -> int:
        """It has none here."""
        return 0

    @property
    def waits(self) -> bool:
        """Whether it has no place yet."""
        return not self.node and not self.ended.is_set()

    @property
    def message_at(self) -> float:
        """The time of its last message; where nobody can know of one, it isn't silent."""
        return time.monotonic() if self.waits or self.out else self.last_message_at

    def signs(self) -> Signs | None:
        """What its node last saw of its process. A node that says nothing more has it stand still."""
        if self.last_signs is None:
            return None
        at, signs = self.last_signs
        stale = time.monotonic() - at > STALE_SECONDS
        return Signs(signs.cpu_seconds, signs.moved) if stale else signs

    def send(self, line: bytes) -> None:
        """Have `line` written to its stdin."""
        self.line.send(carry_line(self.number, line))

    def close(self) -> None:
        """Close its stdin: it should end by itself. One that waits gives its place up."""
        self._end(carrying.CLOSE)

    def kill(self) -> None:
        """End it at once."""
        self._end(carrying.KILL)

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended in time."""
        return self.ended.wait(timeout_seconds)

    def _end(self, word: str) -> None:
        waited = self.waits
        self.line.send(carry(self.number, carrying.KILL if waited else word))
        if waited:
            self.line.forget(self, WorkerExit(self.number, 0))


class ClusterLine:
    """The line, and all workers at its end. The main thread calls it; the line's own thread puts into the inbox."""

    def __init__(
        self, wish: ClusterWish, state: Path, logs: Path, inbox: Inbox, command: list[str], online: bool = False
    ) -> None:
        """`command` is that of a worker on a node; empty: the ordinary one, in the node's own Python."""
        self._wish, self._state, self._logs, self._inbox, self._online = wish, state, logs, inbox, online
        self._order = {"command": command, "state": str(state), "logs": str(logs), "online": online}
        self._workers: dict[int, FarWorker] = {}
        self._process: WorkerProcess | None = None
        self._runs = 0
        self._begun_at = 0.0
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._words = JOINING.with_values(address=wish.address)
        self._joined = self._asked = False
        self._mark: Path | None = None
        self._anew = False

    @property
    def turn_seconds(self) -> float:
        """How long a worker keeps its place; 0: while it has jobs."""
        return self._wish.turn_seconds

    def start(self, number: int) -> FarWorker:
        """Have a worker; it waits for a place first. Raises OSError."""
        worker = FarWorker(number, self, self._marked(), self._logs / f"worker-on-cluster-{number}.log")
        worker.words = self._words
        self._workers[number] = worker
        if self._process is None and not self._asked:
            self._begin()
        elif self._joined:
            self._ask_for(worker)
        return worker

    def try_anew(self) -> None:
        """A person wants to try again: nodes that could have no worker may have been mended."""
        self._anew = True

    def send(self, line: bytes) -> None:
        """Send a line to the cluster, if there is one."""
        if self._process is not None:
            self._process.send(line)

    def forget(self, worker: FarWorker, event: Event) -> None:
        """It has ended, which `event` tells."""
        if self._workers.pop(worker.number, None) is not None:
            worker.ended.set()
            self._inbox.put(event)

    def close(self) -> None:
        """The server leaves: the far end sees the end of its stdin, and ends what is there."""
        if self._process is not None:
            self._process.close()
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)

    def _marked(self) -> dict[str, Any]:
        """The order for a worker, with a file by which a node sees that it has this very folder."""
        if self._mark is None:
            folder = self._state / MARK_FOLDER
            private_files.make_folder(folder)
            words = uuid.uuid4().hex
            mark = folder / MARK_FILE.format(id=words[:8])
            mark.write_text(words, "utf-8")
            self._mark = mark
            self._order |= {"mark": str(mark), "words": words}
        anew, self._anew = self._anew, False
        return {**self._order, "anew": anew}

    def _ask_for(self, worker: FarWorker) -> None:
        self.send(carry(worker.number, carrying.START, worker.order))

    # The process

    def _begin(self) -> None:
        """Start the process that joins the cluster. By the main thread: it dies with the thread that starts it."""
        self._asked, self._joined = False, False
        self._runs += 1
        wish = self._wish
        command = [sys.executable, "-m", "wan_backend.cluster", "--address", wish.address, "--cards", str(wish.cards)]
        command += ["--resource", wish.resource] if wish.resource else []
        command += [] if wish.silent_seconds is None else ["--silent-seconds", str(wish.silent_seconds)]
        self._begun_at = time.monotonic()
        receiver = _Receiver(self._runs, self._take, self._inbox, self._over)
        longest = carrying.MAX_CARRIED_BYTES
        around = worker_process.environment(self._online)
        try:
            self._process = WorkerProcess(self._runs, command, around, self._logs, receiver, "cluster", longest)
        except OSError as error:
            self._say(NOT_STARTED.with_values(reason=reason(error)))
            self._begin_again()

    def _begin_again(self) -> None:
        """Try anew after a while, if a worker is still wanted then."""
        if self._asked:
            return
        self._asked = True
        timer = threading.Timer(self._wait_seconds, lambda: self._inbox.put(Call(self._begin_if_wanted)))
        timer.daemon = True
        timer.start()
        self._wait_seconds = min(LONGEST_WAIT_SECONDS, 2 * self._wait_seconds)

    def _begin_if_wanted(self) -> None:
        self._asked = False
        if self._workers and self._process is None:
            self._begin()

    def _over(self, run: int) -> None:
        """The process ended, with all workers that had begun."""
        if run != self._runs or self._process is None:
            return
        log.warning("The line to the cluster ended; its log is %s", self._process.log_file)
        self._process = None
        if time.monotonic() - self._begun_at > LONGEST_RUN_SECONDS:
            self._wait_seconds = FIRST_WAIT_SECONDS
        lost = LOST_LINE.with_values(address=self._wish.address)
        for worker in [each for each in self._workers.values() if not each.waits]:
            self.forget(worker, WorkerLost(worker.number, lost))
        if self._joined:
            self._say(NO_LINE.with_values(address=self._wish.address))
        self._joined = False
        self._begin_again()

    def _say(self, words: Sentence) -> None:
        """All that wait do so for this."""
        self._words = words
        for worker in self._workers.values():
            if worker.waits:
                worker.words = words

    # What it tells; a line of a worker goes its way at once, all else is for the main thread

    def _take(self, run: int, line: bytes) -> None:
        told = carrying.read(line)
        if told is None:
            log.info("The line to the cluster says: %.200r", line)
            return
        worker = self._workers.get(told.worker)
        if worker is not None and told.word in (carrying.LINE, carrying.LONG):
            worker.last_message_at = time.monotonic()
            long = told.word == carrying.LONG
            self._inbox.put(WorkerLine(told.worker, OverlongLine(bytes.fromhex(told.value)) if long else told.rest))
        else:
            self._inbox.put(Call(functools.partial(self._do, run, told)))

    def _do(self, run: int, told: Carried) -> None:
        if run != self._runs:
            return
        if told.word == carrying.CLUSTER:
            self._on_cluster()
        elif told.word == carrying.NO_CLUSTER:
            self._say(JOINED_AGAIN.with_values(why=told.sentence))
        elif (worker := self._workers.get(told.worker)) is not None:
            self._on_worker(worker, told)

    def _on_cluster(self) -> None:
        self._joined, self._wait_seconds = True, FIRST_WAIT_SECONDS
        self._say(JOINING.with_values(address=self._wish.address))
        for worker in self._workers.values():
            self._ask_for(worker)

    def _on_worker(self, worker: FarWorker, told: Carried) -> None:
        value = told.value
        if told.word == carrying.WAITS:
            worker.words = told.sentence
        elif told.word == carrying.BEGAN:
            worker.node, worker.shared, worker.log_file = value["node"], value["shared"], Path(value["log"])
            worker.last_message_at = time.monotonic()
        elif told.word == carrying.OUT:
            worker.out = bool(value)
        elif told.word == carrying.SIGNS:
            worker.last_signs = None if value is None else (time.monotonic(), Signs(*value))
        elif told.word == carrying.EXIT:
            self.forget(worker, WorkerExit(worker.number, int(value)))
        elif told.word in (carrying.LOST, carrying.DIED):
            innocent = told.word == carrying.LOST
            self.forget(worker, WorkerLost(worker.number, told.sentence, innocent))
        elif told.word == carrying.UNFIT:
            self.forget(worker, WorkerUnfit(worker.number, told.sentence))


class _Receiver:
    """Takes what the process's pipe gives, on its threads."""

    def __init__(self, run: int, take: Callable[[int, bytes], None], inbox: Inbox, over: Callable[[int], None]) -> None:
        self._run, self._take, self._inbox, self._over = run, take, inbox, over

    def put(self, event: Event) -> None:
        """A line, or the end."""
        if isinstance(event, WorkerLine) and isinstance(event.line, bytes):
            self._take(self._run, event.line)
        elif isinstance(event, WorkerExit):
            self._inbox.put(Call(lambda: self._over(self._run)))


def examine(wish: ClusterWish, seconds: float) -> list[tuple[bool, Sentence]]:
    """What the cluster has for takes: whether each thing is good, and a sentence. It takes some seconds."""
    command = [sys.executable, "-m", "wan_backend.cluster", "--examine", "--address", wish.address]
    command += ["--cards", str(wish.cards), *(["--resource", wish.resource] if wish.resource else [])]
    try:
        done = subprocess.run(
            command,
            env=worker_process.environment(online=False),
            capture_output=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
            **worker_process.own_group(),
        )
        return [(bool(good), sentences.unpack(words) or NO_SENTENCE) for good, words in json.loads(done.stdout)]
    except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
        log.warning("The cluster could not be examined: %s", error)
        return [(False, SILENT.with_values(address=wish.address))]
