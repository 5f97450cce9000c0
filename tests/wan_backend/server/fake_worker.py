"""A worker without a model, for tests of the server: the prompt says how it behaves. Standard library and protocol.

The words of the prompt, done in turn:
    frames:N        write N frames, each in its time (see frame_seconds), then finish; without it, as the plan says
    slow:S          each frame takes S seconds
    keeps           keep what is made in the job's folder, and go on from what another worker kept there
    kept:N          of a training, keep N LoRAs on the way      fails      of a training, refuse after them
    hang            stop answering, cancel or not
    deaf            go on for a minute, and don't hear a cancel
    exit:C          end with exit code C        signal:N   end by signal N
    reads:F         say that F is read, and nothing of its end
    oom             refuse: out of memory       error      an error without a problem
    garbage         write lines that are no protocol, then finish
    lie             answer with a result of the wrong shape
    stop            be stopped as a whole, as by SIGSTOP
    spin:S          use the processor for S seconds and say nothing, not even that it is alive, as a library does that
                    holds the interpreter
    sulk            say that it is alive, but do nothing more
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan_backend.protocol import PROTOCOL_VERSION, ProtocolError, Refusal
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.endpoint import Answer, Endpoint, Later
from wan_backend.protocol.envelope import Notification
from wan_backend.protocol.errors import INTERNAL_ERROR
from wan_backend.protocol.media import PARTIAL_SUFFIX, SETTINGS_FILE, frame_file
from wan_backend.protocol.messages import (
    AliveParams,
    JobState,
    Nothing,
    PhaseSeconds,
    Problem,
    ProblemKind,
    ProgressParams,
    ReadingParams,
    ReadyParams,
    RunParams,
    RunResult,
    Take,
    TrainedLora,
    TrainingStatus,
)
from wan_backend.protocol.methods import WORKER_EVENTS, WORKER_METHODS
from wan_backend.storage import training_folder

BEAT_SECONDS = float(os.environ.get("FAKE_WORKER_BEAT", "2"))
RUNS: queue.SimpleQueue[tuple[RunParams, Answer]] = queue.SimpleQueue()
CANCELED = threading.Event()
WRITING = threading.Lock()
BEATS = threading.Event()
BEATS.set()


def main() -> None:
    """Say ready, then run what comes."""
    if os.environ.get("FAKE_WORKER_DIES"):
        sys.stderr.write("ImportError: no module named torch\n")
        sys.exit(7)
    threading.Thread(target=_read, daemon=True).start()
    ENDPOINT.notify("ready", ReadyParams(PROTOCOL_VERSION, "cpu", "fake", os.getpid()))
    threading.Thread(target=_beat, daemon=True).start()
    while True:
        params, answer = RUNS.get()
        CANCELED.clear()
        try:
            answer(Run(params).go())
        except ProtocolError as error:
            answer(error)


def _read() -> None:
    while chunk := os.read(0, 65536):
        ENDPOINT.feed(chunk)
    os._exit(0)


def _beat() -> None:
    while BEATS.wait():
        ENDPOINT.notify("alive", AliveParams(0.0, time.process_time()))
        time.sleep(BEAT_SECONDS)


def _serve(method: str, params: Any) -> Nothing | Later:
    if method == "run":
        return Later(lambda answer: RUNS.put((params, answer)))
    if method == "cancel":
        CANCELED.set()
        return Nothing()
    if method == "warm":
        return Nothing()
    os._exit(0)


def _send(line: bytes) -> None:
    with WRITING:
        os.write(1, line)


ENDPOINT = Endpoint(_send, serves=WORKER_METHODS, handler=_serve, sends=WORKER_EVENTS, peer="the server")


class Run:
    """One job."""

    def __init__(self, params: RunParams) -> None:
        self.params = params
        self.words = dict(word.partition(":")[::2] for word in params.request.prompt.split())
        self.folder = Path(params.request.media_folder) / params.job_id
        self.partial = self.folder.with_name(params.job_id + PARTIAL_SUFFIX)
        self.frames = int(self.words.get("frames") or params.plan.take_frames)
        self.frame_seconds = float(self.words.get("slow") or 0)
        self.kept = Path(params.work_folder) / "kept.txt"
        """The process that made each frame, a line each."""

    def go(self) -> Any:
        """Behave as the prompt says."""
        for state in (JobState.LOADING, JobState.ENCODING, JobState.DENOISING):
            self.tell(state, 0.1)
        self.misbehave()
        if self.params.request.training is not None:
            return RunResult(None, PhaseSeconds(denoise=0.1), training=self.train())
        self.partial.mkdir(parents=True, exist_ok=True)
        before = len(self.made_by())
        for index in range(self.frames):
            if index >= before:
                self.pause(self.frame_seconds)
                self.keep()
            self.write_frame(index)
            self.tell(JobState.DECODING, (index + 1) / self.frames)
        return Nothing() if "lie" in self.words else RunResult(self.finish(), PhaseSeconds(denoise=0.1))

    def train(self) -> TrainingStatus:
        """Keep a LoRA and a sample after each of the steps that `kept` tells, and the last four of them."""
        request = self.params.request
        assert request.training is not None
        loras, name = Path(request.media_folder), request.training.name
        folder = training_folder.claim(loras, name, self.params.job_id, {"name": name, "trigger": "zug"})
        status = TrainingStatus(trigger="zug", clips=len(request.sources))
        samples = folder / training_folder.SAMPLES_FOLDER
        samples.mkdir(exist_ok=True)
        for step in range(1, int(self.words.get("kept") or 2) + 1):
            self.pause_training()
            place = folder / f"step {step:06d}"
            place.mkdir(exist_ok=True)
            lora = place / f"{folder.name} {step:06d}.safetensors"
            lora.write_bytes(f"a LoRA of step {step}".encode() * 1000)
            (samples / f"{step:06d}.jpg").write_bytes(f"a sample of step {step}".encode())
            kept = [*status.kept, TrainedLora(step, str(lora), str(samples / f"{step:06d}.jpg"))]
            for old in kept[:-4]:
                Path(old.path).unlink()
                Path(old.path).parent.rmdir()
                Path(old.picture).unlink()
            status = replace(status, kept=kept[-4:], curve=[1.0] * step)
            told = ProgressParams(
                self.params.job_id, JobState.DENOISING, step, 100, 0.5, 1.0, "a step", training=status
            )
            ENDPOINT.notify("progress", told)
        if "fails" in self.words:
            raise Refusal(Problem(ProblemKind.BAD_SETTING, "The loss stopped being a number."))
        whole = folder / f"{folder.name}.safetensors"
        whole.write_bytes(b"the whole LoRA" * 1000)
        return replace(status, kept=[*status.kept, replace(status.kept[-1], path=str(whole))])

    def pause_training(self) -> None:
        """As long as a frame takes, unless the job is canceled meanwhile."""
        if CANCELED.wait(self.frame_seconds) if self.frame_seconds else CANCELED.is_set():
            raise Refusal(Problem(ProblemKind.CANCELED, "Canceled."))

    def made_by(self) -> list[str]:
        """The processes that made the frames so far, if that is kept."""
        return self.kept.read_text().split() if "keeps" in self.words and self.kept.exists() else []

    def keep(self) -> None:
        """Keep a frame."""
        if "keeps" in self.words:
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            with open(self.kept, "a") as stream:
                stream.write(f"{os.getpid()}\n")

    def misbehave(self) -> None:
        """What can go wrong before the first frame."""
        words = self.words
        if "garbage" in words:
            _send(b'{"half\nnot json\n[]\n' + b"\xff\xfe\n" + b"x" * (3 << 20) + b"\n")
            _send(Notification("progress", {"job_id": 7}).line())
        if "exit" in words:
            sys.stderr.write("RuntimeError: told to exit\n")
            sys.stderr.flush()
            os._exit(int(words["exit"]))
        if "reads" in words:
            ENDPOINT.notify("reading", ReadingParams(words["reads"]))
        if "signal" in words:
            os.kill(os.getpid(), int(words["signal"]))
            time.sleep(10)
        if "stop" in words:
            os.kill(os.getpid(), signal.SIGSTOP)
        if "spin" in words:
            spin(float(words["spin"]))
        if "hang" in words or "deaf" in words or "sulk" in words:
            time.sleep(60)
        if "oom" in words:
            raise Refusal(Problem(ProblemKind.OUT_OF_MEMORY, "The card's memory ran out; choose a smaller size."))
        if "error" in words:
            raise ProtocolError(INTERNAL_ERROR, "something odd")

    def pause(self, seconds: float) -> None:
        """Wait, unless the job is canceled meanwhile."""
        if CANCELED.wait(seconds) if seconds else CANCELED.is_set():
            for file in self.partial.glob("*"):
                file.unlink()
            self.partial.rmdir()
            raise Refusal(Problem(ProblemKind.CANCELED, "Canceled."))

    def write_frame(self, index: int) -> None:
        """A real PNG file, whole or not there."""
        file = self.partial / frame_file(index)
        temporary = file.with_suffix(".tmp")
        with open(temporary, "wb") as stream:
            stream.write(png(self.params.plan.width, self.params.plan.height, index))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)

    def finish(self) -> Take:
        """Write the settings, rename the folder."""
        request, plan = self.params.request, self.params.plan
        take = Take(
            str(self.folder),
            frame_file(0),
            request.media_format,
            self.frames,
            plan.width,
            plan.height,
            request.frame_rate,
        )
        settings = {"format": 1, "job_id": self.params.job_id, "request": to_json(request), "take": to_json(take)}
        settings["made_by"] = self.made_by()
        settings["model_parts"] = to_json(self.params.model_parts)
        (self.partial / SETTINGS_FILE).write_text(json.dumps(settings))
        os.rename(self.partial, self.folder)
        return take

    def tell(self, state: JobState, progress: float) -> None:
        """An event."""
        ENDPOINT.notify(
            "progress", ProgressParams(self.params.job_id, state, 1, self.params.plan.steps, progress, 1.0, state.value)
        )


def spin(seconds: float) -> None:
    """Work without a word."""
    BEATS.clear()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    BEATS.set()


def png(width: int, height: int, index: int) -> bytes:
    """A picture of one color, which is the frame's number."""
    row = b"\0" + bytes([index % 256, index // 256 % 256, 77]) * width

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height, 1))
        + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    main()
