"""The messages: what travels as params and results on both hops. Standard library only.

Every class is a frozen dataclass of plain values; `conversion` writes and reads them. Ranges are `start` and
`end_exclusive`; units are in the names. The docstrings here are what docs/protocol.md is written from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .takes import (
    MAX_PROMPT_CHARACTERS,
    Conform,
    Fix,
    FrameRate,
    Framing,
    Guide,
    JobState,
    JobStatus,
    MediaFormat,
    Origin,
    PhaseSeconds,
    Plan,
    Problem,
    Quality,
    Role,
    Source,
    Take,
    TakeRequest,
    Task,
)

__all__ = [
    "MAX_PROMPT_CHARACTERS",
    "PROTOCOL_VERSION",
    "Conform",
    "DoctorResult",
    "Finding",
    "Fix",
    "FrameRate",
    "Framing",
    "Guide",
    "HelloParams",
    "HelloResult",
    "JobIdsParams",
    "JobParams",
    "JobState",
    "JobStatus",
    "ListResult",
    "MediaFormat",
    "ModelRow",
    "ModelsResult",
    "Nothing",
    "Origin",
    "PhaseSeconds",
    "Plan",
    "PlanParams",
    "Problem",
    "ProgressParams",
    "Quality",
    "ReadyParams",
    "Role",
    "RunParams",
    "RunResult",
    "SetupPlan",
    "SetupProgress",
    "SizeRow",
    "Source",
    "SubmitParams",
    "Take",
    "TakeRequest",
    "Task",
    "WorkerStatus",
]

PROTOCOL_VERSION = 2


@dataclass(frozen=True)
class SizeRow:
    """A named size of a model: so many pixels, in any aspect."""

    name: str
    width: int
    height: int
    default: bool = False
    """True for the one to begin with."""


@dataclass(frozen=True)
class ModelRow:
    """A model of the catalogue, and whether it is here."""

    model: str
    label: str
    tasks: list[str]
    here: bool
    sentence: str
    """Where it was found, or what is missing and how to mend it."""
    frame_rate: FrameRate
    max_frames: int
    sizes: list[SizeRow]
    licence: str
    download_bytes: int
    folder: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """The worker's life as the server sees it."""

    state: str
    """none, starting, ready, busy, broken."""
    device: str = ""
    torch: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    topic: str
    good: bool
    sentence: str
    mend: str = ""


@dataclass(frozen=True)
class Nothing:
    """No values."""


@dataclass(frozen=True)
class HelloParams:
    """The client's greeting; must be the first call."""

    protocol: int
    client: str = ""


@dataclass(frozen=True)
class HelloResult:
    """Who answers."""

    protocol: int
    version: str
    tasks: list[str]
    pid: int
    state_folder: str
    log: str


@dataclass(frozen=True)
class ModelsResult:
    """The catalogue."""

    models: list[ModelRow]


@dataclass(frozen=True)
class PlanParams:
    """A request to be planned, not done."""

    request: TakeRequest


@dataclass(frozen=True)
class SubmitParams:
    """A request to be done. The client makes the id (32 hexadecimal digits): sent twice, it counts once."""

    job_id: str
    request: TakeRequest


@dataclass(frozen=True)
class JobParams:
    """One job."""

    job_id: str


@dataclass(frozen=True)
class JobIdsParams:
    """Some jobs."""

    job_ids: list[str]


@dataclass(frozen=True)
class ListResult:
    """Every job that this server has, oldest first."""

    jobs: list[JobStatus]


@dataclass(frozen=True)
class DoctorResult:
    """What is here, what is missing, how to mend it."""

    findings: list[Finding]


@dataclass(frozen=True)
class ReadyParams:
    """A worker can take a job."""

    protocol: int
    device: str
    torch: str
    pid: int


@dataclass(frozen=True)
class RunParams:
    """A job for a worker, with all that the server has settled."""

    job_id: str
    request: TakeRequest
    plan: Plan
    model_folder: str
    device: str = "auto"
    memory_budget_bytes: int | None = None
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
class SetupPlan:
    """What setting up the backend's environment would do here; shown before gigabytes are fetched."""

    python: str
    """The Python that the environment would be made with; empty where none fits."""
    torch_build: str
    """cuda, rocm, mps or cpu."""
    folder: str
    download_bytes: int
    sentence: str
    problem: Problem | None = None


@dataclass(frozen=True)
class SetupProgress:
    """How far the set-up is; its last line has `state` done or failed."""

    state: str
    """running, done, failed."""
    step: int = 0
    steps: int = 0
    progress: float = 0.0
    sentence: str = ""
    problem: Problem | None = None
