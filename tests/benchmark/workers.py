"""Takes an hour against workers: `workers.py [--workers 1,2,4,8,16] [--real] [--ray] ...`. In the backend's Python.

What the server itself costs shows as a loss against so many times one worker, so the workers sleep. With --ray they are
on a Ray cluster of four nodes on this machine; with --real they make takes with the embedded model, a thread each,
which tells something as far as there are cores: with --pinned each has one of its own, as it has a card of its own
elsewhere, and all else has those that are left. What each row has beside it tells a loss of the server's from one of
the machine's: how long workers had no job, how busy their processors were, what a take cost them, and what it cost in
all else: the server, the line to the cluster, Ray. With --direct the last rows are real workers that are asked without
any server.

Only the steady state counts: loading and a first take of each worker are over, and there are more jobs than workers as
long as is measured. A take that is underway at an end of that counts with the share of it that lies within. Run it
where nothing else runs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.wan_backend.cluster.local_nodes import OF_SERVERS, LocalNodes
from tests.wan_backend.library import tiny_folder
from tests.wan_backend.server.served import FAKE_WORKER, ROOT, Served, request
from tests.wan_backend.worker.worker_process import Worker
from wan_backend.protocol.conversion import from_json
from wan_backend.protocol.takes import Plan, TakeRequest
from wan_backend.protocol.work import RunParams

WORKERS = "1,2,4,8,16"
NODES = 4
TAKES_EACH = 4
FRAMES = 5
REAL = {"width": 144, "height": 96, "length_frames": 17}
ENDED = ("done", "failed", "cancelled", "interrupted")
SECONDS = 180
"""Of patience with what should be over."""
WORKERS_NAMES = ("wan_backend.worker", FAKE_WORKER.name)
COLUMNS = "workers  takes an hour  of linear  no job  their processors  machine's  stolen      a take: worker    else"


@dataclass(frozen=True)
class Row:
    """What was measured with so many workers."""

    workers: int
    hourly: float
    idle: float
    """Share of the time in which a worker had no job: from the end of one to the beginning of the next."""
    busy: float
    """Share of the time in which the workers computed, each on one core."""
    cores: float
    """Of the machine that were at work, whoever had them."""
    stolen: float
    """Of the cores that would have worked, what other machines on the same host had of them."""
    by_worker: float
    """The processor's seconds for a take in its worker."""
    by_others: float
    """And in all else that runs for it."""

    def line(self, alone: Row) -> str:
        """The row, against the first one that was measured likewise."""
        share = self.hourly * alone.workers / (alone.hourly * self.workers)
        made = f"{self.workers:7d}  {self.hourly:13.0f}  {share:9.1%}"
        cores = f"{self.idle:6.1%}  {self.busy:16.1%}  {f'{self.cores:.1f} of {os.cpu_count()}':>9}  {self.stolen:6.2f}"
        return f"{made}  {cores}  {self.by_worker:15.2f} s  {self.by_others:.3f} s"


class Window:
    """What becomes of takes and of processors between two points in time; all is polled, so to 10 ms."""

    def __init__(self, spent: Callable[[], tuple[float, float]]) -> None:
        self._spent = spent
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._points: list[tuple[float, float, float, float, float]] = []

    def point(self) -> None:
        """It begins, or ends."""
        times = psutil.cpu_times()
        stolen = getattr(times, "steal", 0.0)
        work = times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq"))
        self._points.append((time.monotonic(), work, stolen, *self._spent()))

    @property
    def has_begun(self) -> bool:
        """Whether it began."""
        return bool(self._points)

    @property
    def is_over(self) -> bool:
        """Whether it ended."""
        return len(self._points) == 2

    def row(self, workers: int) -> Row:
        """What it comes to; all takes that lie in it have ended by now."""
        (start, *before), (end, *after) = self._points
        takes = worked = 0.0
        for job, ended in self.ended.items():
            begun = self.begun[job]
            within = max(0.0, min(end, ended) - max(start, begun))
            worked += within
            takes += within / (ended - begun)
        machine, stolen, by_workers, by_others = (now - then for now, then in zip(after, before, strict=True))
        seconds = end - start
        return Row(
            workers,
            takes / seconds * 3600,
            1 - worked / seconds / workers,
            by_workers / seconds / workers,
            machine / seconds,
            stolen / seconds,
            by_workers / takes,
            by_others / takes,
        )


def main() -> int:
    """Measure, and print each row as it comes; 1 if one of those that sleep loses more than 5%."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workers", default=WORKERS, help=f"how many, in this order ({WORKERS})")
    options.add_argument("--seconds", type=float, default=5.0, help="how long a take takes that is none (5)")
    options.add_argument("--takes", type=int, default=TAKES_EACH, help=f"for each worker ({TAKES_EACH})")
    options.add_argument("--ray", action="store_true", help="on a Ray cluster")
    options.add_argument("--real", action="store_true", help="real takes")
    options.add_argument("--pinned", action="store_true", help="each worker on a core of its own")
    options.add_argument(
        "--direct", default="", help="how many real workers, in this order, are asked without a server"
    )
    options.add_argument("--within", type=float, help="seconds; rows that may not be over by then are left out")
    options.add_argument("--file", type=Path, help="what is printed comes there too, as it comes")
    given = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with contextlib.ExitStack() as stack:
        files = [sys.stdout, *([stack.enter_context(given.file.open("a"))] if given.file else [])]
        nodes = stack.enter_context(LocalNodes()) if given.ray else None
        counts = [int(each) for each in given.workers.split(",")]
        for _ in range(NODES if nodes else 0):
            nodes.add(-(-max(counts) // NODES))
        limit = time.monotonic() + (given.within or 1e9)
        rows = measured(counts, lambda count: by_server(count, given, nodes), limit, files)
        direct = [int(each) for each in given.direct.split(",") if each]
        if direct:
            say(files, "without a server:")
            measured(direct, lambda count: by_hand(count, given), limit, files)
    shares = [row.hourly * rows[0].workers / (rows[0].hourly * row.workers) for row in rows]
    return int(len(rows) < len(counts) or (min(shares) < 0.95 and not given.real))


def measured(counts: Iterable[int], row_of: Callable[[int], Row], limit: float, files: list[TextIO]) -> list[Row]:
    """A row for each number of workers, printed; one that goes wrong is told of, and the next one begun."""
    rows: list[Row] = []
    took = 0.0
    say(files, COLUMNS)
    cores = os.sched_getaffinity(0)
    for count in counts:
        began = time.monotonic()
        os.sched_setaffinity(0, cores)  # the row before may have pinned this process
        if began + took > limit:
            say(files, f"{count:7d}  left out: {limit - began:.0f} s are left, and the row before took {took:.0f}")
            continue
        try:
            rows.append(row_of(count))
        except (AssertionError, RuntimeError, OSError, psutil.Error):
            say(files, f"{count:7d}  went wrong:\n{traceback.format_exc()}")
        else:
            took = time.monotonic() - began
            say(files, f"{rows[-1].line(rows[0])}  (in {took:.0f} s)")
    return rows


def say(files: list[TextIO], line: str) -> None:
    """At once."""
    for file in files:
        file.write(line + "\n")
        file.flush()


def by_server(workers: int, given: argparse.Namespace, nodes: LocalNodes | None) -> Row:
    """By the queue of a server with so many workers."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "models").mkdir()
        if not given.real:
            tiny_folder.write(folder / "models" / "embedded")
        media = folder / "media"
        media.mkdir()
        flags, around = ["--device", "cpu", "--workers", str(workers)], {}
        if nodes:
            flags += ["--ray", nodes.address, "--ray-cards", "1"]
            around |= OF_SERVERS
        command = [sys.executable, "-m", "wan_backend.worker"] if given.real else None
        with Served(folder / "state", folder / "models", *flags, command=command, **around) as server:
            try:
                begin_all(server, media, workers, given.real)
                if given.pinned:
                    pin()
                return taken(server, media, workers, given, nodes)
            except (AssertionError, RuntimeError, OSError) as error:
                raise RuntimeError(f"{error!r}; its logs end so:\n{ends_of_logs(folder / 'state')}") from error


def taken(server: Served, media: Path, workers: int, given: argparse.Namespace, nodes: LocalNodes | None) -> Row:
    """Have the takes made, and a wave of them after those that count."""
    window = Window(lambda: spent([server.process.pid, *([nodes.pid] if nodes else [])]))
    seen = len(server.messages)
    submitted = {
        server.submit(asked(media, seed, given.seconds / FRAMES, given.real))
        for seed in range(workers * (given.takes + 2))
    }
    last_within: set[str] = set()
    limit = time.monotonic() + SECONDS
    while not (window.is_over and last_within <= set(window.ended)):
        time.sleep(0.01)
        now, messages = time.monotonic(), server.messages[seen:]
        seen += len(messages)
        for job in (each["params"] for each in messages if each.get("method") == "job"):
            if job["job_id"] in submitted and job["state"] != "queued":
                window.begun.setdefault(job["job_id"], now)
                if job["state"] in ENDED:
                    assert job["state"] == "done", job
                    window.ended[job["job_id"]] = now
        assert server.process.poll() is None and now < limit, (len(window.ended), "takes were made, then no more")
        if not window.has_begun and len(window.ended) >= workers:
            window.point()
        elif window.has_begun and not window.is_over and len(window.ended) >= workers * (given.takes + 1):
            window.point()
            last_within = set(window.begun)
    return window.row(workers)


def by_hand(workers: int, given: argparse.Namespace) -> Row:
    """By as many processes of workers, each asked for its next take as soon as it has made one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "media").mkdir()
        (folder / "models").mkdir()
        job = job_as_a_server_gives_it(folder)
        window = Window(lambda: spent([os.getpid()]))
        up = threading.Barrier(workers + 1)
        stop = threading.Event()

        logs = [folder / f"{each}.log" for each in range(workers)]
        threads = [threading.Thread(target=feed, args=[log, job, window, up, stop], daemon=True) for log in logs]
        for thread in threads:
            thread.start()
        up.wait(SECONDS)
        if given.pinned:
            pin()
        for takes_each in (1, given.takes + 1):
            while len(window.ended) < workers * takes_each:
                assert all(thread.is_alive() for thread in threads), "a worker has ended"
                time.sleep(0.01)
            window.point()
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
        return window.row(workers)


def feed(log: Path, job: RunParams, window: Window, up: threading.Barrier, stop: threading.Event) -> None:
    """Have one worker make take after take; all wait for one another behind the first, which loads the model."""
    worker = Worker(log)
    try:
        made = 0
        while not stop.is_set():
            run = replace(job, job_id=uuid.uuid4().hex, request=replace(job.request, seed=made))
            if made == 1:
                up.wait(SECONDS)
            begun = time.monotonic()
            worker.run(run)
            if made > 0:
                window.begun[run.job_id], window.ended[run.job_id] = begun, time.monotonic()
            made += 1
    except BaseException:
        up.abort()
        raise
    finally:
        worker.process.kill()


def job_as_a_server_gives_it(folder: Path) -> RunParams:
    """What a worker is asked to run for a real take."""
    take = asked(folder / "media", 1, 0.0, True)
    with Served(folder / "state", folder / "models", "--device", "cpu") as server:
        plan = from_json(Plan, server.call("plan", request=take))
    model = ROOT / "wan_backend" / "embedded_model" / "weights"
    return RunParams("", from_json(TakeRequest, take), plan, str(model), "cpu", state_folder=str(folder / "kept"))


def spent(pids: list[int]) -> tuple[float, float]:
    """The processor's seconds so far: of the workers, and of all else that runs for them."""
    by_workers = by_others = 0.0
    for each in processes(pids):
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            if is_worker(each):
                by_workers += times.user + times.system
            else:
                by_others += times.user + times.system
    return by_workers, by_others


def processes(pids: list[int]) -> list[psutil.Process]:
    """These, and all below them."""
    return [each for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]


def is_worker(process: psutil.Process) -> bool:
    """Raises psutil.Error if it is gone."""
    return any(word in WORKERS_NAMES or Path(word).name in WORKERS_NAMES for word in process.cmdline())


def pin() -> None:
    """Give each worker a core, beginning with the last one, and all else of ours those that are left, if any are."""
    mine = processes([os.getpid()])
    workers = [each for each in mine if is_worker(each)]
    cores = sorted(os.sched_getaffinity(0))
    left = cores[: max(0, len(cores) - len(workers))] or cores
    for each in mine:
        where = {cores[-1 - workers.index(each) % len(cores)]} if each in workers else set(left)
        for thread in each.threads():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(thread.id, where)


def begin_all(server: Served, media: Path, workers: int, real: bool) -> None:
    """Have all workers up: each gets a job that lasts until the others have theirs.

    Real takes may be over before the last worker is up; then there is another round, in which each loads its model.
    """
    are_up, began = False, time.monotonic()
    while not are_up:
        are_up = not real or len(seen_up(server)) == workers
        jobs = [server.submit(asked(media, 1000 + each, 60.0, real)) for each in range(workers)]
        for job in jobs:
            until(server, job, "loading", "done")
            if real:
                until(server, job, "done")
            else:
                server.call("cancel", job_id=job)
                until(server, job, "cancelled")
        sys.stderr.write(f"{len(seen_up(server))} workers up after {time.monotonic() - began:.0f} s\n")


def until(server: Served, job: str, *states: str) -> None:
    """Wait until the job is there; a RuntimeError says what became of it instead, or of its worker."""

    def tells(message: dict) -> bool:
        told = message.get("params", {})
        if message.get("method") == "worker":
            return told["state"] == "broken"
        return message.get("method") == "job" and told["job_id"] == job and told["state"] in (*states, *ENDED)

    told = server.wait(tells, SECONDS)["params"]
    if told["state"] not in states:
        raise RuntimeError(told["problem"] if "problem" in told else told["sentence"])


def seen_up(server: Served) -> set[int]:
    """The places whose workers came up."""
    told = [message["params"] for message in server.messages if message.get("method") == "worker"]
    return {each["number"] for each in told if each["state"] in ("ready", "busy")}


def ends_of_logs(state: Path) -> str:
    """What was written last to each log of a server and its workers."""
    found = sorted(state.glob("logs/**/*.log"))
    return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-800:]}" for file in found)


def asked(media: Path, seed: int, frame_seconds: float, real: bool) -> dict:
    """A take: of so many seconds a frame, or a real one."""
    if real:
        return request(media, "a red circle", seed=seed, **REAL)
    return request(media, f"slow:{frame_seconds}", length_frames=FRAMES, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
