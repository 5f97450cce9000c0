"""The messages: what travels as params and results on both hops. Standard library only.

Every class is a frozen dataclass of plain values; `conversion` writes and reads them. Ranges are `start` and
`end_exclusive`; units are in the names. The docstrings here are what docs/protocol.md is written from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .choices import TELLING_ROLES, Conform, Decoder, Guide, JobState, MediaFormat, Quality, Role, Task
from .loras import LEAST_STRENGTH, MAX_LORAS, MOST_STRENGTH, Expert, LoraUse
from .takes import (
    MAX_PROMPT_CHARACTERS,
    Fix,
    FrameRate,
    Framing,
    JobStatus,
    Origin,
    PhaseSeconds,
    Plan,
    Problem,
    Source,
    Take,
    TakeRequest,
)
from .work import ModelPart, ProgressParams, ReadyParams, RunParams, RunResult

__all__ = [
    "LEAST_STRENGTH",
    "MAX_LORAS",
    "MAX_PROMPT_CHARACTERS",
    "MOST_STRENGTH",
    "PROTOCOL_VERSION",
    "TELLING_ROLES",
    "Conform",
    "Decoder",
    "DoctorResult",
    "Expert",
    "ExtraRow",
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
    "LoraUse",
    "MediaFormat",
    "ModelPart",
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
    "Thumbnail",
    "ThumbnailsParams",
    "ThumbnailsResult",
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
    notes: str = ""
    """What an artist should know of it, in a sentence or two."""
    memory_bytes: int = 0
    """About what its default size takes of a card's memory at the longest; 0: not known."""
    least_memory_bytes: int = 0
    """The same where the card has less: slower, from the machine's memory."""
    broken: bool = False
    """True where it is here, but can't be used; `sentence` says why."""


@dataclass(frozen=True)
class ExtraRow:
    """A LoRA or a tiny autoencoder of the catalogue, and whether it is here."""

    model: str
    """Its own id, by which it is downloaded as a model is."""
    label: str
    models: list[str]
    """Those that it is for."""
    here: bool
    sentence: str
    """Where it was found, or that it is not here."""
    licence: str
    download_bytes: int
    notes: str = ""


@dataclass(frozen=True)
class WorkerStatus:
    """The worker's life as the server sees it."""

    state: str
    """none, starting, ready, busy, broken."""
    device: str = ""
    torch: str = ""
    sentence: str = ""
    device_bytes: int = 0
    """All the memory of the device; 0 where that isn't known."""
    host_bytes: int = 0
    """What was free of the machine's memory when the worker came up."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    topic: str
    good: bool
    sentence: str
    mend: str = ""
    not_downloaded: bool = False
    """True of what is not here and need not be: then it is neither good nor wrong."""


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
    extras: list[ExtraRow] = field(default_factory=list)


@dataclass(frozen=True)
class PlanParams:
    """A request to be planned, not done."""

    request: TakeRequest


@dataclass(frozen=True)
class ThumbnailsParams:
    """Sources to be shown small, as they lie in a scene's frame of that size, with what a guide makes of them."""

    sources: list[Source]
    width: int
    height: int
    guide: Guide = Guide.NONE


@dataclass(frozen=True)
class Thumbnail:
    """One small picture, a JPEG file; `control` says that it was made of the source to guide the take."""

    role: Role
    file: str
    control: bool = False


@dataclass(frozen=True)
class ThumbnailsResult:
    """The sources' pictures that matter: those beside the take, or first and last. None of files that can't be read."""

    pictures: list[Thumbnail]


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
