"""A worker's second card: the process that computes the negative prompt's half of guidance there, job by job.

Nothing waits for that process to begin: it loads beside the worker, and takes part from the step at which it is ready.
What it was asked for and doesn't answer, because it died, hangs or ran out of memory, is computed by the worker itself
in the same step; from then on the job has one card. So no step is lost, and the take is the same.

The two talk through pipes, since all that moves in a step is the latents and one prediction, a hundredth of a forward
pass at the most. There is no collective of a library that would hang with a dead process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from ..pipelines import transfers
from ..pipelines.negative_elsewhere import Answer
from ..pipelines.stopping import ShouldStop, check, never
from ..protocol.conversion import to_json
from ..protocol.messages import RunParams
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..protocol.workers import SECOND_CARD_VARIABLE
from . import payload_frames
from .payload_frames import Message, NotAMessage, packed

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "wan_backend.worker.second_card_process")
VISIBLE = "CUDA_VISIBLE_DEVICES"
PROCESSOR = "cpu"
"""In place of a card: both processes compute on the processor."""
PATIENCE_SECONDS = 15.0
PATIENCE_SHARE = 0.5
"""How much longer than the worker's own half the other one may take: so many seconds, or such a share of the half if
that is more. After that it hangs, or is of no use."""
LOOK_SECONDS = 0.05
MAX_DEATHS = 3
"""Once so many of its processes in a row ended without an answer, no other is started."""
CHANGING = ("hidden_states", "timestep")
"""The transformer's inputs that are new in each step; the others are sent when they are another tensor."""

LOST = Sentence("The second card failed during the take, so the take went on with one card.")
NO_USE = Sentence("One card made the take, as the second one couldn't take part ({reason}).")
NO_PROCESS = Sentence("its process has ended; the backend's log says why")
NEVER_READY = Sentence("The second card wasn't ready before the take's steps were done, so one card made it.")


class Process:
    """The process on the second card, with what it says. A thread reads that, another writes what it is told."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises OSError."""
        hidden: dict[str, Any] = {}
        if sys.platform == "win32":
            hidden = {"creationflags": subprocess.CREATE_NO_WINDOW}
        # No group of its own: whoever kills the worker's group ends this process as well.
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment), **hidden
        )
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._heard = threading.Condition()
        self._made: dict[int, bytes] = {}
        self.ready_for = 0
        """The number of the last turn for which it has the transformer in place."""
        self.failed = ""
        """What it says of why it can't go on with the job."""
        self.is_gone = False
        self._job = 0
        """The number of the first message of this job: what comes late of the one before says nothing of it."""
        threading.Thread(target=self._read, name="second-card-stdout", daemon=True).start()
        threading.Thread(target=self._write, name="second-card-stdin", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, frame: bytes) -> None:
        """Have a message written to it."""
        self._outgoing.put(frame)

    def wait_for(self, number: int, timeout_seconds: float) -> bytes | None:
        """The answer of that number, if it comes in time."""
        with self._heard:
            self._heard.wait_for(lambda: number in self._made or self.is_lost, timeout_seconds)
            return self._made.pop(number, None)

    def wait_until_ready(self, turn: int, timeout_seconds: float) -> bool:
        """Wait until it is ready for that turn; False if it isn't in time, or fails."""
        with self._heard:
            self._heard.wait_for(lambda: self.ready_for == turn or self.is_lost, timeout_seconds)
            return self.ready_for == turn and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether it does nothing more for this job."""
        return self.is_gone or bool(self.failed)

    def begin_job(self, number: int) -> None:
        """Forget what it said of another job: the messages of this one begin with that number."""
        with self._heard:
            self._made.clear()
            self.ready_for, self.failed, self._job = 0, "", number

    def wait(self, timeout_seconds: float) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired."""
        return self._process.wait(timeout_seconds)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with self._heard:
            self.is_gone = True
            self._heard.notify_all()
        self._outgoing.put(None)

    def close(self, timeout_seconds: float) -> None:
        """Have it end by itself, and kill it if it doesn't."""
        self._outgoing.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        self.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError, NotAMessage), self._process.stdout as stdout:
            while (came := payload_frames.read(stdout)) is not None:
                self._hear(*came)
        self.kill()
        code = self._process.wait()
        log.info("the second card's process %d ended with %d", self.pid, code)

    def _hear(self, message: Message, payload: bytes) -> None:
        with self._heard:
            number = int(message["number"])
            if number < self._job:
                return
            match message.get("said"):
                case "ready":
                    self.ready_for = number
                case "made":
                    self._made[number] = payload
                case "failed":
                    self.failed = str(message.get("words"))
                    log.warning("the second card does no more for this job: %s", self.failed)
            self._heard.notify_all()

    def _write(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while (frame := self._outgoing.get()) is not None:
                stdin.write(frame)
                stdin.flush()
        with contextlib.suppress(OSError, ValueError):
            stdin.close()


@dataclass
class SecondCard:
    """What a worker has its second card do; `pipelines.negative_elsewhere.Elsewhere` for `denoise`."""

    environment: Mapping[str, str]
    command: Sequence[str] = COMMAND
    patience_seconds: float = PATIENCE_SECONDS
    forwards_made: int = 0
    """How many of this job's forward passes it made."""
    was_lost: bool = False
    """Whether it failed in this job after it had been asked for something."""
    process: Process | None = None
    _deaths: int = 0
    _number: int = 0
    _turn: tuple[int, str] = (0, "")
    _is_busy: bool = False
    _kept: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    """The inputs that the process has kept, by window and name."""
    _should_stop: ShouldStop = never
    _steps_left: Callable[[], int] = lambda: 0

    @classmethod
    def of_environment(cls, around: Mapping[str, str] = os.environ) -> SecondCard | None:
        """The second card that the server gave this worker; None if it has one card."""
        card = around.get(SECOND_CARD_VARIABLE, "")
        if not card:
            return None
        own = {name: value for name, value in around.items() if name != SECOND_CARD_VARIABLE}
        return cls(own if card == PROCESSOR else {**own, VISIBLE: card})

    def start(self) -> None:
        """Have a process, unless too many have ended."""
        if self.process is not None and self.process.is_gone:
            self.process, self._deaths = None, self._deaths + 1
        if self.process is not None or self._deaths >= MAX_DEATHS:
            return
        try:
            self.process = Process(self.command, self.environment)
        except OSError as error:
            self._deaths += 1
            log.warning("the second card's process can't be started: %s", error)
            return
        log.info("the second card's process is %d", self.process.pid)

    def prepare(
        self,
        params: RunParams,
        device: torch.device,
        eight_bit: bool,
        should_stop: ShouldStop = never,
        steps_left: Callable[[], int] = lambda: 0,
    ) -> None:
        """Have it get ready for the job on a device like the worker's, with weights in 8 bit if the worker has them so.

        `steps_left()` are those that the worker has yet to make.
        """
        self.start()
        self.forwards_made, self.was_lost, self._turn = 0, False, (0, "")
        self._should_stop, self._steps_left = should_stop, steps_left
        self._kept.clear()
        if self.process is not None:
            self.process.begin_job(self._number + 1)
            self._tell("prepare", job=to_json(params), device=device.type, eight_bit=eight_bit)
            self._is_busy = True

    def warm_up(self, params: RunParams, device: torch.device, eight_bit: bool) -> None:
        """Have it load what such a job will need first."""
        self.prepare(params, device, eight_bit)
        self._tell("warm", component="transformer")
        self._is_busy = False

    def turn(self, component: str) -> None:
        """The transformer of that name makes the next steps."""
        if component != self._turn[1] and self._is_busy:
            self._kept.clear()
            self._turn = self._tell("turn", component=component), component

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait until it takes part; False if it doesn't in time."""
        return self.process is not None and self.process.wait_until_ready(self._turn[0], timeout_seconds)

    def ask(self, window: int, inputs: dict[str, Tensor]) -> Answer | None:
        """Have the prediction for the transformer's `inputs` computed there; None if it isn't ready."""
        process, turn = self.process, self._turn[0]
        if not self._is_busy or process is None or process.is_lost:
            self.was_lost = self.was_lost or self.forwards_made > 0
            return None
        if not turn or process.ready_for != turn:
            return None
        new = {name: each for name, each in inputs.items() if self._kept.get((window, name)) is not each}
        keep = [name for name in new if name not in CHANGING]
        self._kept.update({(window, name): new[name] for name in keep})
        kept = [name for name in inputs if name not in new]
        device = inputs["hidden_states"].device
        copies = {name: transfers.copied(each) for name, each in new.items()}
        _finish(device)
        payload = safetensors.save(copies)
        number = self._tell("forward", payload, window=window, keep=keep, kept=kept, steps_left=self._steps_left())
        return partial(self._answer, process, number, device, time.monotonic())

    def rest(self) -> None:
        """The job's steps are over, or it failed: nobody waits for anything any more."""
        if self._is_busy:
            self._is_busy = False
            self._kept.clear()
            self._tell("rest")

    def drop(self) -> None:
        """Have it let go of its model: other programs need the memory."""
        self._tell("drop")

    @property
    def note(self) -> Sentence:
        """What a person should know of its part in this job; empty if all is well."""
        if self.was_lost:
            return LOST
        if self.forwards_made:
            return NO_SENTENCE
        if self.process is None or self.process.is_gone:
            return NO_USE.with_values(reason=NO_PROCESS)
        if self.process.failed:
            return NO_USE.with_values(reason=self.process.failed)
        return NEVER_READY

    def close(self, timeout_seconds: float = 2.0) -> None:
        """End the process."""
        if self.process is not None:
            self.process.close(timeout_seconds)
            self.process = None

    def _answer(self, process: Process, number: int, device: torch.device, asked_at: float) -> Tensor | None:
        """The prediction on `device`; None, and the card is lost, if there is none in time."""
        _finish(device)  # the worker's own half: the other one was begun at the same time
        now = time.monotonic()
        deadline = now + max(self.patience_seconds, PATIENCE_SHARE * (now - asked_at))
        while (payload := process.wait_for(number, LOOK_SECONDS)) is None:
            check(self._should_stop)
            if process.is_lost:
                self.was_lost = True
                return None
            if time.monotonic() >= deadline:
                log.warning("the second card hangs; its process is ended")
                self.was_lost = True
                process.kill()
                return None
        self.forwards_made += 1
        self._deaths = 0
        return safetensors.load(payload)["prediction"].to(device)

    def _tell(self, do: str, payload: bytes = b"", **values: Any) -> int:
        """Tell the process to do something; the number of that."""
        self._number += 1
        if self.process is not None and not self.process.is_gone:
            self.process.tell(packed({"do": do, "number": self._number, **values}, payload))
        return self._number


def _finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    event = transfers.record(device)
    if event is not None:
        event.synchronize()
