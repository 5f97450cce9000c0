"""kill -9 of server and worker at random moments, and what is lost by it: nothing.

A dozen kills in every run, and FAULTS_KILLS (50) in the long one, and there FAULTS_REAL_KILLS (15) of whatever process
there is where takes are made in truth: server, worker, its reader of sources, who makes thumbnails. FAULTS_SEED repeats
a run.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import random
import signal
import sys
import time
import uuid
import zlib
from pathlib import Path

import pytest

from tests.wan_backend.server.served import Served, processes_with, request

log = logging.getLogger(__name__)

KILLS = int(os.environ.get("FAULTS_KILLS", "50"))
REAL_KILLS = int(os.environ.get("FAULTS_REAL_KILLS", "15"))
LIVES = ("queued", "loading", "encoding", "denoising", "decoding")
MARK = "wan-vse-kill-test"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


def is_whole_png(file: Path) -> bool:
    """Every chunk is there, with its checksum, to the last."""
    content = file.read_bytes()
    place, kind = 8, b""
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        if zlib.crc32(kind + body) != int.from_bytes(content[place + 8 + length : place + 12 + length], "big"):
            return False
        place += 12 + length
    return content.startswith(b"\x89PNG\r\n\x1a\n") and kind == b"IEND"


class Campaign:
    """A client that goes on through one server after another, and counts."""

    longest_pause = 0.4
    patience_seconds = 60.0

    def __init__(self, state: Path, models: Path, media: Path, seed: int) -> None:
        self.state, self.models, self.media = state, models, media
        self.random = random.Random(seed)
        self.answered: set[str] = set()
        self.kills: collections.Counter[str] = collections.Counter()
        self.server = self.start()

    def start(self) -> Served:
        return Served(self.state, self.models, MARK=f"{MARK}-{os.getpid()}").__enter__()

    def submit_some(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            frames = self.random.randint(2, 12)
            prompt = f"frames:{frames} slow:{self.random.choice([0, 0.005, 0.02])}"
            self.answered.add(self.server.submit(request(self.media, prompt, length_frames=frames)))

    def wait_for_a_random_moment(self) -> None:
        time.sleep(self.random.uniform(0, self.longest_pause))

    def kill_server(self) -> None:
        """In half of the cases while it takes a job on; then whether it has the job is open, but not broken."""
        states = self.running_states()
        if self.random.random() < 0.5:
            body = f'{{"jsonrpc":"2.0","id":"x","method":"submit","params":{{"job_id":"{uuid.uuid4().hex}","request":'
            wanted = request(self.media, "frames:3")
            self.server.send((body + str(wanted).replace("'", '"') + "}}\n").encode())
            time.sleep(self.random.uniform(0, 0.01))
        self.server.kill()
        self.kills["server " + states] += 1
        deadline = time.monotonic() + 60
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not self.processes(), "a process was left behind for more than a minute"
        self.server = self.start()

    def kill_worker(self) -> None:
        workers = [pid for pid in self.processes() if pid != self.server.process.pid]
        if not workers:
            return
        self.kills["worker " + self.running_states()] += 1
        os.kill(workers[0], signal.SIGKILL)

    def processes(self) -> list[int]:
        return processes_with(f"{MARK}-{os.getpid()}")

    def running_states(self) -> str:
        told = [m["params"]["state"] for m in self.server.messages if m.get("method") == "job"]
        return told[-1] if told else "idle"

    def check(self) -> None:
        """Every job that was ever answered is here; done ones are whole."""
        jobs = self.server.jobs()
        assert self.answered <= set(jobs), "a job was lost"
        for job in jobs.values():
            if job["state"] == "done":
                self.check_take(job)
            elif job["state"] not in LIVES:
                assert job["problem"]["sentence"].endswith("."), job

    def check_take(self, job: dict) -> None:
        folder = Path(job["take"]["folder"])
        assert (folder / "take.json").is_file()
        names = {file.name for file in folder.iterdir()}
        assert names == {"take.json"} | {f"{n + 1:04d}.png" for n in range(job["take"]["frames"])}

    def retry_ended(self) -> None:
        for job in self.server.jobs().values():
            if job["state"] in ("failed", "interrupted"):
                self.server.call("retry", job_id=job["job_id"])

    def finish(self) -> dict[str, dict]:
        """Let every job be made, with no more kills."""
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            jobs = self.server.jobs()
            if all(job["state"] == "done" for job in jobs.values()):
                return jobs
            self.retry_ended()
            time.sleep(0.2)
        raise AssertionError(collections.Counter(job["state"] for job in self.server.jobs().values()))


class RealCampaign(Campaign):
    """The same with the real worker, pictures to read, and thumbnails asked for."""

    longest_pause = 12.0
    patience_seconds = 600.0

    def start(self) -> Served:
        from tests.world.pictures import saved

        self.sources = self.media.with_name("sources")
        self.sources.mkdir(exist_ok=True)
        saved("first.png", size=(3000, 2000))(self.sources)
        worker = [sys.executable, "-m", "wan_backend.worker"]
        more = {"MARK": f"{MARK}-{os.getpid()}", "OMP_NUM_THREADS": "1"}
        return Served(self.state, self.models, "--device", "cpu", command=worker, **more).__enter__()

    def submit_some(self) -> None:
        source = {"role": "first", "folder": str(self.sources), "files": ["first.png"], "frames": 1}
        size = {"width": 96, "height": 64}
        asked = {"sources": [{**source, "role": role} for role in ("first", "last", "look")], **size}
        line = {"jsonrpc": "2.0", "id": f"t{uuid.uuid4().hex}", "method": "thumbnails", "params": asked}
        self.server.send(json.dumps(line).encode() + b"\n")
        waiting = sum(job["state"] in LIVES for job in self.server.jobs().values())
        if waiting < 3:
            more = {"length_frames": 3, "steps": 2, "task": "image_to_video", "sources": [source], **size}
            self.answered.add(self.server.submit(request(self.media, seed=len(self.answered), **more)))

    def kill_worker(self) -> None:
        """Any but the server."""
        others = [pid for pid in self.processes() if pid != self.server.process.pid]
        if not others:
            return
        killed = self.random.choice(others)
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{killed}/cmdline").read_bytes().split(b"\0")
            self.kills[f"{words[2].decode()} {self.running_states()}"] += 1
            os.kill(killed, signal.SIGKILL)


class FourWorkers(Campaign):
    """The same with four workers side by side, and more jobs."""

    def start(self) -> Served:
        return Served(self.state, self.models, "--workers", "4", MARK=f"{MARK}-{os.getpid()}").__enter__()

    def submit_some(self) -> None:
        for _ in range(2):
            super().submit_some()

    def kill_worker(self) -> None:
        workers = [pid for pid in self.processes() if pid != self.server.process.pid]
        if not workers:
            return
        self.kills[f"one of {len(workers)} workers"] += 1
        with contextlib.suppress(OSError):
            os.kill(self.random.choice(workers), signal.SIGKILL)


@pytest.mark.long
def test_no_kill_of_any_process_loses_anything_where_takes_are_made_in_truth(tmp_path, models_folder, media):
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(1 << 32)))
    hold_out(RealCampaign(tmp_path / "state", models_folder, media, seed), REAL_KILLS, seed)


@pytest.mark.parametrize("kills", [12, pytest.param(KILLS, marks=pytest.mark.long)])
def test_no_kill_loses_anything(tmp_path, models_folder, media, record_property, kills):
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(1 << 32)))
    record_property("seed", seed)
    hold_out(Campaign(tmp_path / "state", models_folder, media, seed), kills, seed)


@pytest.mark.parametrize("kills", [12, pytest.param(KILLS, marks=pytest.mark.long)])
def test_no_kill_loses_anything_of_four_workers(tmp_path, models_folder, media, record_property, kills):
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(1 << 32)))
    record_property("seed", seed)
    hold_out(FourWorkers(tmp_path / "state", models_folder, media, seed), kills, seed)


def hold_out(campaign: Campaign, kills: int, seed: int) -> None:
    """Go through so many kills; all that was taken on is made, and nothing is left behind."""
    state, media = campaign.state, campaign.media
    try:
        while campaign.kills.total() < kills:
            campaign.submit_some()
            campaign.wait_for_a_random_moment()
            if campaign.random.random() < 0.6:
                campaign.kill_server()
            else:
                campaign.kill_worker()
            campaign.check()
            campaign.retry_ended()
        jobs = campaign.finish()
        campaign.check()
    except BaseException as error:
        error.add_note(f"FAULTS_SEED={seed}; kills: {dict(campaign.kills)}")
        raise
    finally:
        campaign.server.close()
    log.warning("%d kills, %d jobs, all made; %s", campaign.kills.total(), len(jobs), dict(campaign.kills))
    assert len(jobs) >= len(campaign.answered) > 0
    assert all(is_whole_png(file) for file in media.glob("*/*.png"))
    takes = sorted(Path(job["take"]["folder"]).name for job in jobs.values())
    assert sorted(entry.name for entry in media.iterdir()) == takes, "half-made takes were left behind, or one twice"
    assert not [entry for entry in (state / "jobs").glob(".*")]
    assert not list((state / "jobs").glob("*/*.tmp"))
    time.sleep(0.2)
    assert campaign.processes() == []
