"""The page's line to the server: its jobs as events and lists tell of them. The server is the test."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from wan_backend.protocol import ProtocolError, Refusal
from wan_backend.protocol.messages import (
    FrameRate,
    HelloResult,
    JobDetails,
    JobState,
    JobStatus,
    JobSummary,
    ListResult,
    ModelsResult,
    Origin,
    ProblemKind,
    ProgressParams,
    TakeRequest,
)
from wan_backend.protocol.sentences import Sentence
from wan_backend.web import server_line
from wan_backend.web.server_line import PROJECT, ServerLine

FORM = TakeRequest("a red circle", "small", 256, 144, 17, FrameRate(16), 7, "/takes", origin=Origin(project_id=PROJECT))
BLENDERS = replace(FORM, origin=Origin("/film.blend", "f" * 32))
HELLO = HelloResult(6, "0.1.0", [], 1, "/state", "/state/log")


class Far:
    """In the place of `relay.line.Line`: what is called is kept, and answered by the test."""

    def __init__(self, *arguments: Any, environment: dict[str, str]) -> None:
        self.name, self.command, _, _, self.on_open, self.on_event, self.on_change = arguments
        self.is_open, self.sentence = False, Sentence("Connecting to {name}.", name=self.name)
        self.calls: list[tuple[str, Any, Any, Any]] = []
        self.closed = threading.Event()

    def call(self, method: str, params: Any, answered: Any = None, failed: Any = None) -> None:
        """Keep it."""
        self.calls.append((method, params, answered, failed))

    def take(self, method: str) -> tuple[Any, Any, Any]:
        """The first call of that method that was not answered yet."""
        found = next(call for call in self.calls if call[0] == method)
        self.calls.remove(found)
        return found[1:]

    def tick(self) -> None:
        """Nothing is due."""

    def seconds_to_deadline(self) -> float:
        """Never."""
        return 60.0

    def close(self) -> None:
        """Leave."""
        self.closed.set()


@pytest.fixture
def line(tmp_path, monkeypatch) -> ServerLine:
    monkeypatch.setattr(server_line, "Line", Far)
    made = ServerLine(tmp_path, ["--device", "cpu"])
    assert made._line.command[2:] == ["wan_backend", "serve", "--stay", "--state", str(tmp_path), "--device", "cpu"]
    assert made.sentence == "Connecting to the server."
    made._line.sentence = Sentence("")
    made._line.on_open(HELLO)
    return made


def status(number: int, state: JobState = JobState.QUEUED, request: TakeRequest = FORM, **values: Any) -> JobStatus:
    return JobStatus(f"{number:032x}", state, JobSummary.of(request), created=float(number), **values)


def test_jobs_are_listed_page_by_page_waiting_ones_by_their_turn(line):
    far = line._line
    params, answered, _ = far.take("list")
    assert params.after == ""
    answered(ListResult([status(3, turn=2), status(4, turn=1)], next="more"))
    assert line.jobs() == []  # half a list would show that takes are gone
    params, answered, _ = far.take("list")
    assert params.after == "more"
    answered(ListResult([status(1, JobState.DONE), status(2, JobState.FAILED)]))
    assert [int(job.job_id, 16) for job in line.jobs()] == [4, 3, 2, 1]
    assert line.all_details() is None  # of none is known yet what it is made from


def test_what_is_told_while_the_list_comes_is_newer(line):
    far = line._line
    _, answered, _ = far.take("list")
    far.on_event("job", status(1, JobState.DONE))
    answered(ListResult([status(1, JobState.DENOISING), status(2)]))
    assert {int(job.job_id, 16): job.state for job in line.jobs()} == {1: JobState.DONE, 2: JobState.QUEUED}
    line._list()
    _, first, _ = far.take("list")
    line._list()
    _, second, _ = far.take("list")
    first(ListResult([]))
    assert len(line.jobs()) == 2  # a later look has begun
    second(ListResult([]))
    assert line.jobs() == []  # another client forgot them


def test_progress_is_that_of_its_job(line):
    far = line._line
    far.on_event("job", status(1))
    seen = line.version
    report = ProgressParams(f"{1:032x}", JobState.DENOISING, 2, 8, 0.25, 9.0, Sentence("Step 2 of 8"), "/p.jpg")
    far.on_event("progress", report)
    far.on_event("progress", replace(report, job_id="f" * 32))
    (job,) = line.jobs()
    assert (job.state, job.progress, job.eta_seconds, job.preview) == (JobState.DENOISING, 0.25, 9.0, "/p.jpg")
    assert line.version > seen


def test_the_pages_jobs_are_asked_what_they_are_once(line):
    far = line._line
    for state in (JobState.QUEUED, JobState.LOADING):
        far.on_event("job", status(1, state))
    far.on_event("job", status(2, request=BLENDERS))
    params, _, failed = far.take("details")
    assert params.job_id == f"{1:032x}" and not [call for call in far.calls if call[0] == "details"]
    failed(ProtocolError(-32005, "the line broke"))
    far.on_event("job", status(1, JobState.DENOISING))
    _, answered, _ = far.take("details")
    answered(JobDetails(f"{1:032x}", FORM))
    assert line.details(f"{1:032x}").request == FORM and len(line.all_details()) == 1


def test_a_job_of_the_page_that_was_canceled_is_forgotten(line):
    far = line._line
    far.on_event("job", status(1))
    far.on_event("job", status(2, request=BLENDERS))
    for number, request in ((1, FORM), (2, BLENDERS)):
        far.on_event("job", status(number, JobState.CANCELED, request))
    params, _, _ = far.take("clear")
    assert params.job_ids == [f"{1:032x}"] and [int(job.job_id, 16) for job in line.jobs()] == [2]


def test_the_models_are_those_that_were_told_last(line):
    far = line._line
    far.on_event("models", ModelsResult([], looking=Sentence("Looking at the models folders.")))
    assert line.models.looking
    _, answered, _ = far.take("models")
    answered(ModelsResult([]))
    assert not line.models.looking


def test_a_call_waits_for_its_answer_whichever_thread_asks(line):
    far = line._line
    line.start()
    asked = threading.Event()
    keep = far.call

    def call(method: str, params: Any, answered: Any, failed: Any) -> None:
        keep(method, params, answered, failed)
        asked.set()
        answered("done") if method == "cancel" else failed(Refusal.of(ProblemKind.BUSY, Sentence("Not now.")))

    far.call = call
    assert line.call("cancel", None) == "done" and asked.is_set()
    with pytest.raises(ProtocolError, match=r"Not now\."):
        line.call("retry", None)
    line.close()
    assert far.closed.is_set()


def test_a_server_that_is_silent_is_said(line, monkeypatch):
    monkeypatch.setattr(server_line, "ANSWER_SECONDS", 0.05)
    with pytest.raises(ProtocolError, match="The server does not answer; try again in a minute"):
        line.call("cancel", None)
