"""A page without a server behind it, for what needs none: its line answers at once, and knows the jobs it is given."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.wan_backend.server.served import ROOT, processes_with, wait_until
from wan_backend.protocol import ProtocolError
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import UPLOAD_FILE, UPLOAD_LINE_FILE
from wan_backend.protocol.messages import (
    FrameRate,
    JobDetails,
    JobIdsParams,
    JobState,
    JobStatus,
    JobSummary,
    ModelRow,
    ModelsResult,
    Plan,
    SizeRow,
    SubmitParams,
    TakeRequest,
    Task,
)
from wan_backend.protocol.sentences import Sentence
from wan_backend.protocol.uploads import Upload
from wan_backend.storage import whole_file
from wan_backend.web.uploads import Uploads

PORT_SECONDS = 300.0
SMALL = ModelRow(
    "small",
    "Small",
    [Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.RESTYLE, Task.EXTEND],
    True,
    Sentence("here"),
    FrameRate(16),
    33,
    [SizeRow("144p", 256, 144, True), SizeRow("128p", 128, 128)],
    "GPL",
    0,
)


@dataclass
class StandInLine:
    """In the place of `ServerLine`: what is called is noted, and jobs are as the test says."""

    models: ModelsResult = field(default_factory=lambda: ModelsResult([SMALL]))
    sentence: str = ""
    version: int = 1
    statuses: dict[str, JobStatus] = field(default_factory=dict)
    requests: dict[str, TakeRequest] = field(default_factory=dict)
    called: list[tuple[str, Any]] = field(default_factory=list)
    refusal: ProtocolError | None = None

    def add(self, request: TakeRequest, state: JobState = JobState.QUEUED, **values: Any) -> JobStatus:
        """A job of the server's."""
        job_id = f"{len(self.statuses) + 1:032x}"
        self.requests[job_id] = request
        self.statuses[job_id] = JobStatus(job_id, state, JobSummary.of(request), **values)
        return self.statuses[job_id]

    def jobs(self) -> list[JobStatus]:
        """All of them."""
        return [*self.statuses.values()]

    def job(self, job_id: str) -> JobStatus | None:
        """One of them."""
        return self.statuses.get(job_id)

    def details(self, job_id: str) -> JobDetails | None:
        """Of one of them."""
        return JobDetails(job_id, self.requests[job_id]) if job_id in self.requests else None

    def all_details(self) -> list[JobDetails] | None:
        """Of all of them."""
        return [JobDetails(job_id, request) for job_id, request in self.requests.items()]

    def forget(self, job_id: str) -> None:
        """It was cleared."""
        self.statuses.pop(job_id, None)

    def call(self, method: str, params: Any) -> Any:
        """Note it; `submit` is taken on, unless the test refuses it."""
        self.called.append((method, params))
        if self.refusal is not None:
            raise self.refusal
        if isinstance(params, SubmitParams):
            return self.add(params.request)
        if method == "details":
            return JobDetails(params.job_id, next(iter(self.requests.values())), None)
        return params if isinstance(params, JobIdsParams) else None


@pytest.fixture
def line() -> StandInLine:
    return StandInLine()


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def sent(uploads: Uploads):
    """sent(upload) is the id of one that was looked at already, as the process would have."""

    def put(upload: Upload) -> str:
        upload_id = f"{len([*uploads.folder_of('').iterdir()]) + 1:032x}"
        folder = uploads.folder_of(upload_id)
        folder.mkdir()
        (folder / UPLOAD_FILE).write_bytes(b"pixels")
        whole_file.write_json(folder / UPLOAD_LINE_FILE, to_json(upload), flushed=False)
        return upload_id

    return put


def with_plan(details: JobDetails, *notes: str) -> JobDetails:
    """The details, with a plan that has these notes."""
    return replace(details, plan=replace(Plan(details.request.model), notes=[*map(Sentence, notes)]))


@dataclass
class Served:
    """`wan-backend web`, in a process that writes down whom it speaks to."""

    state: Path
    address: str
    connections: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page with the embedded model, once for all tests of a process that click."""
    state = tmp_path_factory.mktemp("web") / "state"
    connections, output = state.parent / "connections", state.parent / "output"
    loras = ROOT / "wan_backend" / "embedded_model" / "loras"
    command = [sys.executable, str(Path(__file__).with_name("watched.py")), str(connections), "web"]
    command += ["--state", str(state), "--port", "0", "--device", "cpu", "--lora-folder", str(loras)]
    with open(output, "wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        until = time.monotonic() + PORT_SECONDS
        while "Open " not in (said := output.read_text()):
            assert process.poll() is None and time.monotonic() < until, said
            time.sleep(0.1)
        yield Served(state, said.split("Open ")[1].split()[0], connections)
    finally:
        process.terminate()
        process.wait(30)
        for pid in processes_with(str(state)):  # the server would stay for a while, and longer if a test failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not processes_with(str(state)))
