"""Each file operation of the server and of its worker failing in turn: a sentence, nothing lost, and Retry makes it.

A few of them in every run, all in the long one: of a server that starts, of one that has a job made, of a worker that
has its model loaded; and every fifth of a worker that starts and loads it, which takes seconds each time. FAULTS_SEED
repeats a run, FAULTS_EVERY=10 takes every tenth alone.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.wan_backend.server.served import ROOT, Served, request
from wan_backend.protocol import PROTOCOL_VERSION

FOLDER = Path(__file__).with_name("failing_files")
WEIGHTS = ROOT / "wan_backend" / "embedded_model" / "weights"
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EROFS)
WHO = {"server": "wan_backend serve", "worker": "wan_backend.worker"}
REAL = [sys.executable, "-m", "wan_backend.worker"]
MOST = 1500
"""Operations of one job, or something is wrong with it."""
FEW = 4
PATIENCE_SECONDS = 180.0
FRAMES = ["0001.png", "0002.png", "0003.png", "take.json"]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="made for one system; the code is the same on all"),
]


class Trials:
    """A server of which one operation fails in each trial, and what comes of a job there."""

    def __init__(self, folder: Path, models: Path, who: str) -> None:
        self.state, self.media, self.models = folder / "state", folder / "media", models
        self.orders, self.sources = folder / "orders", folder / "sources"
        for each in (self.state, self.media, self.orders, self.sources):
            each.mkdir(parents=True)
        self.who, self.number = who, 0
        self.command = REAL if who == "worker" else None
        self.kept: set[str] = set()
        """Jobs that were taken on, ended, and stay."""
        self.server: Served | None = None
        self.draw_source()

    def draw_source(self) -> None:
        from tests.world.pictures import saved

        saved("first.png")(self.sources)

    def serve(self) -> Served:
        """The server, started where there is none."""
        if self.server is None:
            under = [self.state, self.media, self.models, self.sources, *([WEIGHTS] if self.who == "worker" else ())]
            environment = {
                "PYTHONPATH": os.pathsep.join([str(FOLDER), str(ROOT)]), "WAN_FAIL_WHO": WHO[self.who],
                "WAN_FAIL_UNDER": os.pathsep.join(map(str, under)), "WAN_FAIL_ORDER": str(self.orders / "order"),
                "OMP_NUM_THREADS": "1",
            }  # fmt: skip
            self.server = Served(self.state, self.models, "--device", "cpu", command=self.command, **environment)
        return self.server

    def close(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.close()

    def order(self, at: int, error: int) -> None:
        """Have the operation of that number fail, counted from now on; 0: only count."""
        self.number += 1
        new = self.orders / "new"
        new.write_text(f"{self.number} {at} {error}")
        new.rename(self.orders / "order")

    def stand_down(self) -> None:
        (self.orders / "order").unlink(missing_ok=True)

    @property
    def operations(self) -> int:
        """How many there were in this trial."""
        count = self.orders / f"{self.number}.count"
        return count.stat().st_size if count.exists() else 0

    @property
    def failed(self) -> str:
        """What failed in this trial; empty: it never came to that."""
        said = self.orders / f"{self.number}.said"
        return said.read_text() if said.exists() else ""

    def a_start(self, at: int, error: int) -> None:
        """A server starts; it may end then, and says why."""
        self.close()
        self.order(at, error)
        server = self.serve()
        try:
            server.call("hello", protocol=PROTOCOL_VERSION)
            assert "result" in server.ask("list")
        except (AssertionError, OSError):
            server.process.wait(PATIENCE_SECONDS)
            assert server.process.poll() == 3, "it may end at its start alone, and says why"
        self.stand_down()
        self.close()
        with self.serve() as server:
            assert self.kept <= set(server.jobs()), "a job was lost"
        self.server = None

    def a_job(self, at: int, error: int) -> None:
        """A job is asked for and made; with a disk that works again, all that was taken on is made by Retry."""
        server, job_id = self.serve(), uuid.uuid4().hex
        server.forget_messages()
        self.order(at, error)
        answer = server.ask("submit", job_id=job_id, request=self.request())
        if "error" in answer:
            self.explained(answer["error"]["data"])
            self.stand_down()
            assert job_id not in server.jobs()
            return
        ended = server.wait_for(job_id, "done", "failed", "interrupted", seconds=PATIENCE_SECONDS)
        if ended["state"] != "done":
            self.explained(ended["problem"])
        assert "result" in server.ask("settle", job_ids=[job_id])
        assert "result" in server.ask("list")
        for cleared in list(self.kept)[:1]:
            answer = server.ask("clear", job_ids=[cleared])
            if "result" in answer:
                self.kept -= {*answer["result"]["job_ids"]}
            else:
                self.explained(answer["error"]["data"])
        self.stand_down()
        self.kept.add(job_id)
        self.until_made(job_id)
        assert self.kept <= set(server.jobs()), "a job was lost"

    def until_made(self, job_id: str) -> None:
        server = self.serve()
        until = time.monotonic() + PATIENCE_SECONDS
        while (job := server.jobs()[job_id])["state"] != "done":
            assert time.monotonic() < until, job["sentence"]
            if job["state"] in ("failed", "interrupted"):
                server.call("retry", job_id=job_id)
            time.sleep(0.05)
        folder = Path(job["take"]["folder"])
        assert sorted(file.name for file in folder.iterdir()) == FRAMES
        assert not list(self.media.glob("*.partial")), "a take that is not whole was left behind"

    def request(self) -> dict[str, object]:
        first = {"role": "first", "folder": str(self.sources), "files": ["first.png"], "frames": 1}
        return request(
            self.media, "frames:3", length_frames=3, width=96, height=64, steps=2, task="image_to_video",
            sources=[first], seed=self.number,
        )  # fmt: skip

    def explained(self, problem: dict[str, str]) -> None:
        sentence = problem["sentence"]
        assert sentence.endswith((".", "?")) and "Traceback" not in sentence and "Errno" not in sentence, sentence
        assert str(WEIGHTS) not in sentence or "can't be written" not in sentence, sentence
        assert problem["kind"] not in ("internal", "worker_died"), sentence


class Kind:
    """What is done in a trial, by whose operations it is counted, and what is done before it."""

    def __init__(self, who: str, cold: bool, every: int = 1) -> None:
        """`every` so many operations are tried."""
        self.who, self.cold, self.every = who, cold, every

    def do(self, trials: Trials, at: int, error: int) -> None:
        try:
            if self.who == "server" and self.cold:
                trials.a_start(at, error)
                return
            if self.cold and trials.server is not None:
                trials.server.call("release")
                trials.server.wait_for_worker("none")
            trials.a_job(at, error)
        except BaseException as found:
            found.add_note(f"{self.who}, {at}: {trials.failed or 'nothing'} with {errno.errorcode[error]}")
            raise


KINDS = {
    "a server that starts": Kind("server", True), "a server that has a job": Kind("server", False),
    "a worker that loads": Kind("worker", True, 5), "a warm worker": Kind("worker", False),
}  # fmt: skip


@pytest.fixture
def trials(tmp_path, models_folder):
    """trials(who): closed at the end."""
    made: list[Trials] = []

    def make(who: str) -> Trials:
        made.append(Trials(tmp_path, models_folder, who))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_few_operations_of_the_server_failing(trials):
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(1 << 32)))
    chance, kind = random.Random(seed), KINDS["a server that has a job"]
    few = trials("server")
    few.serve().call("hello", protocol=PROTOCOL_VERSION)
    kind.do(few, 0, errno.EIO)
    assert 5 < few.operations < MOST and not few.failed
    for at in chance.sample(range(1, few.operations), FEW):
        kind.do(few, at, chance.choice(ERRORS))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_each_operation_failing_in_turn(trials, kind):
    step = int(os.environ.get("FAULTS_EVERY", KINDS[kind].every))
    first = 1 + random.Random(int(os.environ.get("FAULTS_SEED", random.randrange(1 << 32)))).randrange(step)
    every = trials(KINDS[kind].who)
    if kind != "a server that starts":
        every.serve().call("hello", protocol=PROTOCOL_VERSION)
        if not KINDS[kind].cold:
            KINDS[kind].do(every, 0, errno.EIO)
    for at, error in zip(range(first, MOST, step), itertools.cycle(ERRORS), strict=False):
        KINDS[kind].do(every, at, error)
        if not every.failed:
            assert at > 5
            return
    pytest.fail(f"more than {MOST} operations")
