"""`python -m tools.benchmarks.farm`: a day of a large farm on paper, by figures of our own queue.

What one server's queue takes for a job is measured here, on the disk of --folder: to put a job there, to write its
changes, to hand out a page of the list, to read a queue back. Sizes of media are those of our own files; what a take
takes and what a model weighs is assumed, and printed beside what follows from it. It is a sum and a small simulation of
one day, and says which part ends first.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import JobQueue
from wan_backend.protocol.choices import MediaFormat, Sampler
from wan_backend.protocol.endpoint import Later
from wan_backend.protocol.messages import JobState, ListParams, PhaseSeconds, ProgressParams, RunResult, Take
from wan_backend.protocol.takes import FrameRate, Plan, TakeRequest

DAY_SECONDS = 86_400.0
SAMPLE_JOBS = 2_000
SERVER = "one server's thread, if it had all cards and all were busy"
MEDIA = "media on the file server, in the rush"
WARM = "models from the file server, a take going where its model is warm"
ANY = "models from the file server, a take going to any free card"
TASKS = "models from the file server, a task of its own for each take (generate --job)"
CARDS = "cards, in the rush"
COPIES = "keep a copy of the models on each machine's own disk"
REMEDIES = {
    SERVER: "have several servers, each with its part of the cards",
    MEDIA: "write takes as movies, or keep them on several file servers",
    WARM: COPIES,
    ANY: COPIES + ", or have takes go where their model is warm",
    TASKS: COPIES + ", or put several takes into a task",
    CARDS: "jobs wait: more cards, or drafts first",
    "nothing": "nothing has to be changed",
}
REPORTS_A_SECOND = 10.0
"""How often the server tells of a running job (`serve.PROGRESS_SECONDS`)."""


@dataclass(frozen=True)
class QueueCosts:
    """Seconds that one server takes, measured."""

    submit: float
    """To have a new job on the disk."""
    changes: float
    """To write what becomes of it: given to a worker, and done."""
    progress: float
    """To take in a report of its progress."""
    page: float
    """To hand out a page of 100 jobs."""
    adopt: float
    """To read a job back after a restart."""
    job_bytes: float
    """On the disk."""


@dataclass(frozen=True)
class Assumed:
    """What a take is like: 14B at 480p with 30 steps on an H100, docs/speed.md; half of them with footage."""

    take_seconds: float = 170.0
    spread: float = 0.5
    """Standard deviation of a take's time, as a share of it."""
    take_bytes: float = 81 * 832 * 480 * 3 * 0.6
    """PNG keeps about so much of the pixels."""
    source_bytes: float = 0.5 * 81 * 832 * 480 * 3 * 0.6
    model_bytes: float = 40e9
    """Text encoder, transformer and autoencoder in 16 bit."""
    models: int = 6
    """In use on the farm, all equally."""
    share_bytes_a_second: float = 1.1e9
    """Of the file server that has models and media: ten gigabits."""
    busy_share: float = 0.7
    """Of the day's jobs come within eight hours."""


def main() -> int:
    """Measure, count, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cards", type=int, default=1_000)
    options.add_argument("--jobs", type=int, default=10_000, help="a day")
    options.add_argument("--take-seconds", type=float, default=Assumed.take_seconds, help="on a card")
    options.add_argument("--folder", type=Path, help="on the disk that is measured (the temporary folder)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        costs = measured(Path(folder))
    for line in report(costs, Assumed(given.take_seconds), given.cards, given.jobs):
        sys.stdout.write(line + "\n")
    return 0


def measured(folder: Path, jobs: int = SAMPLE_JOBS) -> QueueCosts:
    """What the queue takes for a job in this folder."""
    owner = Owner(folder)
    queue = JobQueue(folder, owner, lambda *_: None)
    ids = [uuid.UUID(int=random.getrandbits(128)).hex for _ in range(jobs)]
    request, plan = _request(folder), _plan()
    submit = _seconds_each(lambda each: _answer(queue.submit(each, request, plan)), ids)
    few = ids[: jobs // 4]
    begun = _seconds_each(lambda each: queue.start(each, plan), few)
    report = ProgressParams("", JobState.DENOISING, 3, 30, 0.1, 100.0)
    reports = _seconds_each(lambda each: queue.progress(replace(report, job_id=each)), few)
    result = RunResult(
        Take(str(folder), "0001.png", MediaFormat.PNG, 81, 832, 480, FrameRate(16)), PhaseSeconds(denoise=1.0)
    )
    done = _seconds_each(lambda each: queue.finish(each, result), few)
    page = _seconds_each(lambda _: queue.page(ListParams("", 100)), ids[:20])
    size = sum(file.stat().st_size for file in (folder / "jobs").rglob("*") if file.is_file()) / jobs
    queue.close(60.0)
    owner.release()
    new_owner = Owner(folder)
    found = JobQueue(folder, new_owner, lambda *_: None)
    adopt = _seconds_each(lambda _: found.adopt(), ids[:1]) / jobs
    new_owner.release()
    return QueueCosts(submit, begun + done, reports, page, adopt, size)


def day(assumed: Assumed, cards: int, jobs: int, keeps_warm: bool, seed: int = 1) -> tuple[float, int]:
    """Simulate a day: the longest time that a job waited, in seconds, and how often a model was loaded.

    With `keeps_warm`, a job goes to a free card that has its model, as our server has it; else to any.
    """
    chance = random.Random(seed)
    arrivals = sorted(_arrival(chance, assumed) for _ in range(jobs))
    free: dict[int, list[int]] = {model: [] for model in range(-1, assumed.models)}
    free[-1] = list(range(cards))
    working: list[tuple[float, int, int]] = []
    longest, loads = 0.0, 0
    for arrival in arrivals:
        while working and working[0][0] <= arrival:
            _, card, model = heapq.heappop(working)
            free[model].append(card)
        begins = arrival
        model = chance.randrange(assumed.models)
        wanted = [model, -1] if keeps_warm else []
        others = [each for each in free if free[each] and each not in wanted]
        chance.shuffle(others)
        had = next((each for each in [*wanted, *others] if free[each]), None)
        if had is None:
            begins, card, had = heapq.heappop(working)
        else:
            card = free[had].pop()
        loads += had != model
        longest = max(longest, begins - arrival)
        takes = max(10.0, chance.gauss(assumed.take_seconds, assumed.take_seconds * assumed.spread))
        heapq.heappush(working, (begins + takes, card, model))
    return longest, loads


def report(costs: QueueCosts, assumed: Assumed, cards: int, jobs: int) -> list[str]:
    """The day in lines, and what of it ends first."""
    running = min(float(cards), jobs * assumed.take_seconds / DAY_SECONDS)
    peak = min(float(cards), running * assumed.busy_share * 3)
    longest, loads = day(assumed, cards, jobs, True)
    _, cold_loads = day(assumed, cards, jobs, False)
    server = jobs * (costs.submit + costs.changes) / DAY_SECONDS + peak * REPORTS_A_SECOND * costs.progress
    full = cards * REPORTS_A_SECOND * costs.progress
    media = jobs * (assumed.take_bytes + assumed.source_bytes) / DAY_SECONDS
    rush = media * assumed.busy_share * 3
    loading = loads * assumed.model_bytes / DAY_SECONDS
    cold = cold_loads * assumed.model_bytes / DAY_SECONDS
    start = cards * assumed.model_bytes / assumed.share_bytes_a_second
    tasks = jobs * assumed.model_bytes / DAY_SECONDS
    link = assumed.share_bytes_a_second
    shares = {
        SERVER: full,
        MEDIA: rush / link,
        WARM: loading / link,
        ANY: cold / link,
        TASKS: tasks / link,
        CARDS: peak / cards,
    }
    ends = [name for name, share in sorted(shares.items(), key=lambda each: -each[1]) if share > 1]
    return [
        f"{cards:,} cards, {jobs:,} jobs a day; {assumed}",
        f"measured: {costs.submit * 1e3:.2f} ms to take a job on, {costs.changes * 1e3:.2f} ms for its changes, "
        f"{costs.progress * 1e6:.0f} us for a report, {costs.page * 1e3:.1f} ms for a page, "
        f"{costs.adopt * 1e3:.2f} ms to read one back, {costs.job_bytes / 1e3:.1f} kB on the disk",
        f"cards at work: {running:.0f} on average, {peak:.0f} in the rush; a job waits {longest:.0f} s at most",
        f"queue on the disk: {jobs * costs.job_bytes / 1e6:.0f} MB a day; a restart reads a week of jobs back in "
        f"{7 * jobs * costs.adopt:.0f} s; one server's thread is busy {server:.1%} of the day",
        f"media: {media / 1e6:.0f} MB/s on average, {rush / 1e6:.0f} MB/s in the rush, "
        f"{jobs * (assumed.take_bytes + assumed.source_bytes) / 1e12:.2f} TB a day",
        f"models: {loads:,} loads where warm ones are kept ({loading / 1e6:.0f} MB/s), {cold_loads:,} where not "
        f"({cold / 1e6:.0f} MB/s), {jobs:,} with a task for each take ({tasks / 1e6:.0f} MB/s); all cards at once from "
        f"cold: {start / 3600:.1f} h",
        *(f"  {share:7.1%}  {name}" for name, share in sorted(shares.items(), key=lambda each: -each[1])),
        *(f"ends: {name}; then {REMEDIES[name]}" for name in ends or ["nothing"]),
    ]


def _arrival(chance: random.Random, assumed: Assumed) -> float:
    if chance.random() < assumed.busy_share:
        return (9 + 8 * chance.random()) * 3600
    return chance.random() * DAY_SECONDS


def _request(folder: Path) -> TakeRequest:
    prompt = "a red fox crosses a frozen lake at dawn, low sun behind drifting fog, slow dolly forward " * 3
    return TakeRequest(prompt, "embedded", 832, 480, 81, FrameRate(16), 1, str(folder / "media"))


def _plan() -> Plan:
    return Plan("embedded", 832, 480, 81, FrameRate(16), 81, 30, 5.0, 3.0, Sampler.UNIPC)


def _answer(later: Later) -> None:
    answers: list[object] = []
    later.start(answers.append)
    assert answers and not isinstance(answers[0], Exception), answers


def _seconds_each(do: Callable[[str], object], ids: Sequence[str]) -> float:
    """What it takes for a job, on average."""
    began = time.monotonic()
    for each in ids:
        do(each)
    return (time.monotonic() - began) / len(ids)


if __name__ == "__main__":
    sys.exit(main())
