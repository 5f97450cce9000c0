"""The server in the test's own process: no pipe, no child, the worker a plain object that does what the test says.

Everything between the client's line and the worker's is the server's own: its loop, the queue and its writer, the desk
that plans, the worker's life. The test turns the loop itself, so that nothing waits for a clock.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from wan_backend.protocol import PROTOCOL_VERSION, ProtocolError, Refusal
from wan_backend.protocol.endpoint import Answer, Endpoint, Later
from wan_backend.protocol.looks import MakeLookParams, MakeLookResult
from wan_backend.protocol.media import frame_file
from wan_backend.protocol.messages import (
    JobState,
    Nothing,
    PhaseSeconds,
    Problem,
    ProblemKind,
    ProgressParams,
    ReadyParams,
    RunParams,
    RunResult,
    Take,
    WarmUpParams,
)
from wan_backend.protocol.methods import WORKER_EVENTS, WORKER_METHODS
from wan_backend.protocol.sentences import in_english
from wan_backend.server import log_files, serve, worker_life
from wan_backend.server.inbox import ClientLine, Receiver, WorkerExit, WorkerLine

TURN_SECONDS = 0.02
"""So long a turn of the loop waits for the server's own threads."""
DEADLINE_SECONDS = 60.0


class Worker:
    """Stands for a worker process, as the server sees one."""

    living: ClassVar[list[Worker]] = []
    device: ClassVar[str] = "cpu"
    """What each says that it has."""

    def __init__(self, number: int, command: list[str], around: dict[str, str], logs: Path, inbox: Receiver) -> None:
        self.number, self.pid, self.around = number, os.getpid(), around
        self.log_file = logs / f"worker-{number}.log"
        self.job: RunParams | None = None
        self.warm_ups: list[WarmUpParams] = []
        """What it was asked to get ready; it is at the last one until `warms_up`."""
        self.looks: list[MakeLookParams] = []
        """The looks that it was asked for; it is at the last one until `sees`."""
        self.made_way = 0
        self._seen: Answer | None = None
        self._answer: Answer | None = None
        self._warmed: Answer | None = None
        self._inbox = inbox
        self._endpoint = Endpoint(
            self._say, serves=WORKER_METHODS, handler=self._serve, sends=WORKER_EVENTS, peer="the server"
        )
        Worker.living.append(self)
        sizes = (24 << 30, 64 << 30)
        self._endpoint.notify("ready", ReadyParams(PROTOCOL_VERSION, self.device, "in process", self.pid, *sizes))

    @property
    def message_at(self) -> float:
        """It is never silent."""
        return time.monotonic()

    def send(self, line: bytes) -> None:
        """The server's line arrives."""
        self._endpoint.feed(line)

    def close(self) -> None:
        """Its stdin ends, and so does it."""
        self.die(0)

    def kill(self) -> None:
        """It is ended by force."""
        self.die(-9)

    def wait(self, timeout_seconds: float) -> bool:
        """It ends at once, always."""
        return self not in Worker.living

    def goes_on(self, state: JobState, progress: float = 0.5, step: int = 1) -> None:
        """It tells how far it is."""
        assert self.job is not None
        told = ProgressParams(self.job.job_id, state, step, self.job.plan.steps, progress, 1.0, state.value)
        self._endpoint.notify("progress", told)

    def finishes(self) -> None:
        """It has made the take."""
        assert self.job is not None
        asked, plan = self.job.request, self.job.plan
        folder = str(Path(asked.media_folder) / self.job.job_id)
        made = (folder, frame_file(0), asked.media_format, asked.length_frames, plan.width, plan.height)
        self._end(RunResult(Take(*made, asked.frame_rate), PhaseSeconds(denoise=0.1)))

    def warms_up(self) -> None:
        """It has got ready, or has given that up for a run."""
        told, self._warmed = self._warmed, None
        assert told is not None
        told(Nothing())

    def sees(self, seconds: float = 0.5, pictures: bool = True) -> None:
        """It has made the look, or sees that it would take too long."""
        files = [str(Path(self.looks[-1].pictures_folder) / "0001.rgba")] if pictures else []
        self._end_look(MakeLookResult(PhaseSeconds(denoise=seconds), files))

    def sees_nothing(self, problem: Problem) -> None:
        """It can't make the look, or has made way."""
        self._end_look(Refusal(problem))

    def _end_look(self, answer: MakeLookResult | ProtocolError) -> None:
        told, self._seen = self._seen, None
        assert told is not None
        told(answer)

    def refuses(self, problem: Problem) -> None:
        """It can't make the take."""
        self._end(Refusal(problem))

    def fails(self, error: ProtocolError) -> None:
        """Something went wrong that nobody thought of."""
        self._end(error)

    def die(self, code: int) -> None:
        """It is gone; what it said before arrives before."""
        if self in Worker.living:
            Worker.living.remove(self)
            self._inbox.put(WorkerExit(self.number, code))

    def _end(self, answer: RunResult | ProtocolError) -> None:
        told, self.job, self._answer = self._answer, None, None
        assert told is not None
        told(answer)

    def _serve(self, method: str, params: Any) -> Nothing | Later:
        if method == "run":
            assert self.job is None, "the worker has a job already"
            self.job = params
            return Later(lambda answer: setattr(self, "_answer", answer))
        if method == "warm":
            assert self.job is None, "nothing is warmed up beside a job"
            self.warm_ups.append(params)
            return Later(lambda answer: setattr(self, "_warmed", answer))
        if method == "look":
            assert self.job is None, "nothing is looked at beside a job"
            self.looks.append(params)
            return Later(lambda answer: setattr(self, "_seen", answer))
        if method == "make_way":
            self.made_way += 1
        if method == "cancel" and self.job is not None:
            self.refuses(Problem(ProblemKind.CANCELED, "Canceled."))
        return Nothing()

    def _say(self, line: bytes) -> None:
        self._inbox.put(WorkerLine(self.number, line.rstrip(b"\n")))


class Output:
    """Stands for stdout: what the server told, as it was told."""

    def __init__(self, inbox: object, stream: object) -> None:
        self.messages: list[dict[str, Any]] = []

    def send(self, line: bytes, droppable: bool = False) -> None:
        self.messages.append(in_english(json.loads(line)))


class Input:
    """Stands for stdin."""

    def __init__(self, *parts: object) -> None:
        pass

    def handled(self, line: object) -> None:
        pass


class InProcess:
    """A server whose loop the test turns; greeted, with a worker."""

    def __init__(self, state: Path, models: Path, **options: Any) -> None:
        made: dict[str, Any] = {"device": "cpu", "worker_command": ["in", "process"], **options}
        options = serve.Options(state, [str(models)], **made)
        self.server = serve.Server(options)
        self.server._planning.begin()
        self.server._queue.adopt()
        self._ids, self._left = 0, False
        self.call("hello", protocol=PROTOCOL_VERSION)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Everything that the client was told."""
        return self.server._output.messages

    @property
    def worker(self) -> Worker | None:
        """The worker, where there is one."""
        return Worker.living[-1] if Worker.living else None

    def until(self, wanted: Callable[[], Any]) -> Any:
        """Turn the loop until it comes true; what came."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not (found := wanted()):
            assert time.monotonic() < end, f"it never came; last: {self.messages[-3:]}"
            self.server._take_one()
        return found

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call, and give the whole answer."""
        return self.answer(self.send(method, **params))

    def send(self, method: str, **params: Any) -> int:
        """Call, and wait for nothing; the call's number."""
        self._ids += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        self.server._inbox.put(ClientLine(line.encode()))
        return self._ids

    def answer(self, number: int) -> dict[str, Any]:
        """Turn the loop until that call is answered; the whole answer."""
        return self.until(lambda: self.answered(number))

    def answered(self, number: int) -> dict[str, Any] | None:
        """The answer to that call, as far as it came."""
        return next((m for m in self.messages if m.get("id") == number and "method" not in m), None)

    def call(self, method: str, **params: Any) -> Any:
        """Call, and give the result."""
        answer = self.ask(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def submit(self, request: dict[str, Any], job_id: str = "") -> str:
        """Queue a job; its id."""
        return self.call("submit", job_id=job_id or uuid.uuid4().hex, request=request)["job_id"]

    def runs(self, job_id: str) -> Worker:
        """Turn the loop until a worker has that job; which one."""
        return self.until(lambda: self.worker_of(job_id))

    def worker_of(self, job_id: str) -> Worker | None:
        """The worker that has that job now."""
        return next((each for each in Worker.living if each.job and each.job.job_id == job_id), None)

    def settle(self) -> None:
        """Turn the loop until it has done all that there is to do now."""
        for _ in range(5):
            self.call("ping")

    def ended(self, job_id: str) -> dict[str, Any]:
        """Turn the loop until that job has ended; how."""
        return self.until(
            lambda: next((job for job in self.told(job_id) if JobState(job["state"]).ended), None)
        )  # fmt: skip

    def last(self, job_id: str) -> dict[str, Any]:
        """What the client was last told of that job; it was answered to `submit`, if nothing since."""
        return self.told(job_id)[-1] if self.told(job_id) else {"state": "queued"}

    def told(self, job_id: str) -> list[dict[str, Any]]:
        """What the client was told of that job, in order."""
        of_jobs = (message["params"] for message in self.messages if message.get("method") == "job")
        return [job for job in of_jobs if job["job_id"] == job_id]

    def leave(self, goes_on: bool = False) -> None:
        """As the server's end, but for the end of the process; once. `goes_on`: its client asked for it."""
        if self._left:
            return
        self._left = True
        self.server._runner.leave(goes_on)
        self.server._queue.save_unsaved()
        self.server._queue.close(DEADLINE_SECONDS)
        self.server._owner.release()


@pytest.fixture
def inside(tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., InProcess]]:
    """inside() is a server in this process; called again, the next one on the same state folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(serve, "StandardOutput", Output)
    monkeypatch.setattr(serve, "StandardInput", Input)
    monkeypatch.setattr(serve, "private_stdout", lambda: None)
    monkeypatch.setattr(log_files, "start_logging", lambda file: None)
    monkeypatch.setattr(serve.Server, "_wait_seconds", lambda self: TURN_SECONDS)
    monkeypatch.setattr(worker_life, "WorkerProcess", Worker)
    monkeypatch.setattr(Worker, "living", [])
    begun: list[InProcess] = []

    def begin(state: Path = tmp_path / "state", **options: Any) -> InProcess:
        begun.append(InProcess(state, models_folder, **options))
        return begun[-1]

    yield begin
    for each in begun:
        each.leave()
