"""Each file operation of the server and of its worker failing in turn: a sentence, nothing lost, and Retry makes it.

A few of them in every run, all in the long one.
"""

from __future__ import annotations

import errno
import os
import random
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.wan_backend.server.served import ROOT, Served, request, wait_until

FOLDER = Path(__file__).with_name("failing_files")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)
WHO = {"server": "wan_backend serve", "worker": "wan_backend.worker"}
REAL = [sys.executable, "-m", "wan_backend.worker"]
MOST = 400
"""Operations of one run, or something is wrong with it."""
FEW = 4
PATIENCE_SECONDS = 180.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="made for one system; the code is the same on all"),
]


class Run:
    """A server of which one operation fails, and what came of a job there."""

    def __init__(self, folder: Path, models: Path, who: str, at: int, error: int = errno.EIO) -> None:
        self.state, self.media, self.models = folder / "state", folder / "media", models
        self.count_file = folder / "count"
        self.state.mkdir(parents=True)
        self.media.mkdir()
        self.at = at
        environment = {
            "PYTHONPATH": os.pathsep.join([str(FOLDER), str(ROOT)]), "WAN_FAIL_WHO": WHO[who],
            "WAN_FAIL_UNDER": f"{self.state}{os.pathsep}{self.media}", "WAN_FAIL_AT": str(at),
            "WAN_FAIL_WITH": str(error), "WAN_FAIL_COUNT": str(self.count_file),
        }  # fmt: skip
        self.first, self.second = uuid.uuid4().hex, uuid.uuid4().hex
        self.taken: set[str] = set()
        self.cleared: set[str] = set()
        self.command = REAL if who == "worker" else None
        server = self.served(**environment)
        try:
            self.work(server)
        finally:
            self.code = server.process.poll()
            server.close()

    @property
    def operations(self) -> int:
        """How many there were."""
        return self.count_file.stat().st_size if self.count_file.exists() else 0

    @property
    def failed(self) -> str:
        """What failed; empty: it never came to that."""
        said = Path(f"{self.count_file}.said")
        return said.read_text() if said.exists() else ""

    def served(self, **environment: str) -> Served:
        return Served(
            self.state, self.models, "--device", "cpu", command=self.command, OMP_NUM_THREADS="1", **environment
        )

    def request(self) -> dict[str, object]:
        return request(self.media, "frames:3", length_frames=3, width=96, height=64, steps=2)

    def work(self, server: Served) -> None:
        """Two jobs, one settled, one cleared; every call is answered, or the server ends at its start."""
        try:
            server.call("hello", protocol=3)
        except AssertionError:
            wait_until(lambda: server.process.poll() is not None)
            assert server.process.poll() == 3, "it may end at its start alone, and says why"
            return
        for job_id in (self.first, self.second)[: 1 if self.command else 2]:
            answer = server.ask("submit", job_id=job_id, request=self.request())
            if "result" in answer:
                self.taken.add(job_id)
            else:
                self.explained(answer["error"]["data"]["sentence"])
        for job_id in self.taken:
            ended = server.wait_for(job_id, "done", "failed", "interrupted", seconds=PATIENCE_SECONDS)
            if ended["state"] != "done":
                self.explained(ended["problem"]["sentence"])
        server.ask("settle", job_ids=[self.first])
        answer = server.ask("clear", job_ids=[self.second])
        self.cleared.update(answer["result"]["job_ids"] if "result" in answer else [])
        assert "result" in server.ask("list")

    def explained(self, sentence: str) -> None:
        assert sentence.endswith((".", "?")) and "Traceback" not in sentence and "Errno" not in sentence, sentence

    def check(self) -> None:
        """With a disk that works again: nothing is lost, and all that was taken on is made."""
        with self.served() as server:
            jobs = server.jobs()
            assert self.taken - self.cleared <= set(jobs), "a job was lost"
            for job_id in self.taken - self.cleared:
                if jobs[job_id]["state"] not in ("done", "queued"):
                    server.call("retry", job_id=job_id)
            self.until_done(server, self.taken - self.cleared)
            for job_id in self.taken - self.cleared:
                folder = Path(server.jobs()[job_id]["take"]["folder"])
                assert sorted(file.name for file in folder.iterdir()) == [
                    "0001.png", "0002.png", "0003.png", "take.json",
                ]  # fmt: skip
        assert not list(self.media.glob("*.partial")) and not list((self.state / "jobs").glob(".*"))

    def until_done(self, server: Served, ids: set[str]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not all(server.jobs()[job_id]["state"] == "done" for job_id in ids):
            assert time.monotonic() < until, {job_id: server.jobs()[job_id]["sentence"] for job_id in ids}
            time.sleep(0.1)


def tried(folder: Path, models: Path, who: str, at: int) -> Run:
    error = ERRORS[at % len(ERRORS)]
    try:
        run = Run(folder / f"{who}-{at}", models, who, at, error)
        run.check()
    except BaseException as found:
        said = folder / f"{who}-{at}" / "count.said"
        found.add_note(
            f"the {who}'s operation {at} failed with {errno.errorcode[error]}: "
            f"{said.read_text() if said.exists() else 'never'}"
        )
        raise
    return run


def test_a_few_operations_of_the_server_failing(tmp_path, models_folder):
    whole = tried(tmp_path, models_folder, "server", 0)
    assert 5 < whole.operations < MOST and whole.taken == {whole.first, whole.second}
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(1 << 32)))
    for at in random.Random(seed).sample(range(1, whole.operations), FEW):
        tried(tmp_path, models_folder, "server", at)


@pytest.mark.long
@pytest.mark.parametrize("who", WHO)
def test_each_operation_failing_in_turn(tmp_path, models_folder, who):
    for at in range(1, MOST):
        if not tried(tmp_path, models_folder, who, at).failed:
            assert at > 5
            return
    pytest.fail(f"more than {MOST} operations for two jobs")
