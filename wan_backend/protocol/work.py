"""What the server and its worker say to each other. Standard library only; to be imported from messages.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from .choices import Component, JobState
from .takes import PhaseSeconds, Plan, Take, TakeRequest


@dataclass(frozen=True)
class ReadyParams:
    """A worker can take a job."""

    protocol: int
    device: str
    torch: str
    pid: int
    device_bytes: int = 0
    """All the memory of the device; 0 where that isn't known."""
    host_bytes: int = 0
    """What is free of the machine's memory."""


@dataclass(frozen=True)
class ModelPart:
    """Where one part of a model is."""

    part: Component
    place: str
    """A folder as diffusers saves a part, or one file."""


@dataclass(frozen=True)
class RunParams:
    """A job for a worker, with all that the server has settled."""

    job_id: str
    request: TakeRequest
    plan: Plan
    model_folder: str
    device: str = "auto"
    memory_budget_bytes: int | None = None
    tiny_decoder: str = ""
    """The file of the tiny autoencoder for this model's latents; empty where it is not here."""
    model_parts: list[ModelPart] = field(default_factory=list)
    """Empty where every part is in a subfolder of `model_folder`."""
    copies_folder: str = ""
    """Where 16 bit copies of weights may be kept; empty: nowhere."""
    work_folder: str = ""
    """Absolute; where the job's finished steps and its preview are kept until its take is whole. Empty: nowhere."""
    state_folder: str = ""
    """Absolute; where what helps later jobs is kept: prompts as the model reads them, what memory did not suffice
    for. Empty: nowhere."""


@dataclass(frozen=True)
class RunResult:
    """What a worker made."""

    take: Take
    seconds: PhaseSeconds
    notes: list[str] = field(default_factory=list)
    """Sentences: what was unusual about how it was made."""


@dataclass(frozen=True)
class ProgressParams:
    """How far a worker is with a job."""

    job_id: str
    state: JobState
    step: int = 0
    steps: int = 0
    progress: float = 0.0
    eta_seconds: float | None = None
    sentence: str = ""
    preview: str = ""
    """Absolute path of a small JPEG file of what the take looks like after `step`; empty where there is none."""


@dataclass(frozen=True)
class AliveParams:
    """A worker's heartbeat: it tells that its interpreter runs, and how long what it does has been silent."""

    busy_seconds: float = 0.0
    """Since the job last said how far it is; 0 where there is none."""
    cpu_seconds: float = 0.0
    """What the process has used of the processor so far."""


@dataclass(frozen=True)
class ReadingParams:
    """What a worker is about to read into memory: should it die of that, it can be said of what."""

    file: str = ""
    """Absolute path of a file or folder; empty: it is through."""
