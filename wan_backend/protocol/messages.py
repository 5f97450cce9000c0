"""The messages that travel as params and results on both hops.

Every class is a frozen dataclass of plain values; `conversion` writes and reads them. Ranges are `start` and
`end_exclusive`; units are in the names. docs/protocol.md is written from these docstrings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .choices import (
    PROMPTLESS_ROLES,
    Component,
    Conform,
    Decoder,
    FixAction,
    FixSetting,
    Guide,
    Hold,
    JobState,
    MatrixPrecision,
    MediaFormat,
    ProblemKind,
    Quality,
    Role,
    Sampler,
    SetupState,
    StepCache,
    Task,
    TransformerPart,
    WorkerState,
)
from .sentences import NO_SENTENCE, Sentence
from .takes import (
    CAMERA_NUMBERS,
    CANCELED,
    FINISH_FACTORS,
    HANDLE_FRAMES,
    MAX_CAMERA_FRAMES,
    MAX_HANDLE_FRAMES,
    MAX_JUMP,
    MAX_KEPT_PICTURES,
    MAX_LORAS,
    MAX_PROMPT_CHARACTERS,
    MAX_REFERENCES,
    MAX_SHOWN_FILES,
    MAX_STRENGTH,
    MAX_TAKE_FRAMES,
    MAX_TITLE_CHARACTERS,
    MAX_WORDS,
    MIN_STRENGTH,
    READ_PROMPT_CHARACTERS,
    CameraMove,
    Expert,
    Finish,
    Fix,
    FrameRate,
    Framing,
    GuidanceInterval,
    JobDetails,
    JobStatus,
    JobSummary,
    Jump,
    KeptPicture,
    LoraUse,
    Origin,
    PhaseSeconds,
    Pictures,
    Plan,
    Problem,
    ReusedSteps,
    Source,
    StepRange,
    Take,
    TakeRequest,
    Words,
    as_searched,
)
from .training import (
    ENOUGH_CLIPS,
    ENOUGH_STILLS,
    KEPT_LORAS,
    MAX_CAPTION_CHARACTERS,
    MAX_CLIPS,
    MAX_CURVE,
    MAX_RANK,
    MAX_TRAINING_NAME,
    MAX_TRAINING_STEPS,
    MAX_TRIGGER,
    TrainedLora,
    Training,
    TrainingKind,
    TrainingLength,
    TrainingPlan,
    TrainingStatus,
)
from .work import (
    AliveParams,
    ComponentFile,
    ProgressParams,
    ReadingParams,
    ReadyParams,
    RunParams,
    RunResult,
    SteadySteps,
    WarmUpParams,
)
from .workers import CardRow, CardsResult, WorkersResult, WorkerStatus

__all__ = [
    "CAMERA_NUMBERS",
    "CANCELED",
    "ENOUGH_CLIPS",
    "ENOUGH_STILLS",
    "FINISH_FACTORS",
    "HANDLE_FRAMES",
    "KEPT_LORAS",
    "MAX_CAMERA_FRAMES",
    "MAX_CAPTION_CHARACTERS",
    "MAX_CLIPS",
    "MAX_CURVE",
    "MAX_HANDLE_FRAMES",
    "MAX_JUMP",
    "MAX_KEPT_PICTURES",
    "MAX_LORAS",
    "MAX_PROMPT_CHARACTERS",
    "MAX_RANK",
    "MAX_REFERENCES",
    "MAX_SHOWN_FILES",
    "MAX_STRENGTH",
    "MAX_TAKE_FRAMES",
    "MAX_TITLE_CHARACTERS",
    "MAX_TRAINING_NAME",
    "MAX_TRAINING_STEPS",
    "MAX_TRIGGER",
    "MAX_WORDS",
    "MIN_STRENGTH",
    "PROMPTLESS_ROLES",
    "PROTOCOL_VERSION",
    "READ_PROMPT_CHARACTERS",
    "AliveParams",
    "CameraMove",
    "CardRow",
    "CardsResult",
    "Component",
    "ComponentFile",
    "Conform",
    "Decoder",
    "DoctorResult",
    "Expert",
    "ExtraRow",
    "Film",
    "FilmstripsParams",
    "FilmstripsResult",
    "Finding",
    "Finish",
    "Fix",
    "FixAction",
    "FixSetting",
    "FrameRate",
    "Framing",
    "GuidanceInterval",
    "Guide",
    "HelloParams",
    "HelloResult",
    "Hold",
    "HoldParams",
    "JobDetails",
    "JobIdsParams",
    "JobParams",
    "JobState",
    "JobStatus",
    "JobSummary",
    "Jump",
    "KeptPicture",
    "ListParams",
    "ListResult",
    "LoraUse",
    "MatrixPrecision",
    "MediaFormat",
    "ModelRow",
    "ModelsResult",
    "MoveParams",
    "NameTransformerParams",
    "Nothing",
    "Origin",
    "PauseParams",
    "PauseResult",
    "PhaseSeconds",
    "Pictures",
    "PingResult",
    "Plan",
    "PlanParams",
    "Problem",
    "ProblemKind",
    "ProgressParams",
    "Quality",
    "ReadingParams",
    "ReadyParams",
    "ReusedSteps",
    "Role",
    "RunParams",
    "RunResult",
    "Sampler",
    "SearchParams",
    "SearchResult",
    "SetupPlan",
    "SetupProgress",
    "SetupState",
    "SizeRow",
    "Source",
    "SourceProblem",
    "SteadySteps",
    "StepCache",
    "StepRange",
    "SubmitParams",
    "Take",
    "TakeRequest",
    "Task",
    "Thumbnail",
    "ThumbnailsParams",
    "ThumbnailsResult",
    "TrainedLora",
    "Training",
    "TrainingKind",
    "TrainingLength",
    "TrainingPlan",
    "TrainingStatus",
    "TransformerPart",
    "WarmParams",
    "WarmUpParams",
    "Words",
    "WorkerState",
    "WorkerStatus",
    "WorkersResult",
    "as_searched",
]

PROTOCOL_VERSION = 6


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
    tasks: list[Task]
    here: bool
    sentence: Sentence
    """The folder where it was found, or what is missing and how to fix it."""
    frame_rate: FrameRate
    max_frames: int
    """The largest number of frames that it makes in one go."""
    sizes: list[SizeRow]
    licence: str
    download_bytes: int
    folder: str = ""
    notes: Sentence = NO_SENTENCE
    """Advice for a person, in a sentence or two."""
    memory_bytes: int = 0
    """Estimated memory of the card for its default size and greatest length; 0: not known."""
    least_memory_bytes: int = 0
    """Estimated memory of the card at the least, if weights stay in the machine's memory, which is slower."""
    broken: bool = False
    """True if it is here, but can't be used; `sentence` says why."""
    two_experts: bool = False
    """True if it has a transformer for the noisy steps and one for the rest."""
    follows_camera: bool = False
    """True if a previs follows the scene's camera with it, in place of the scene's depth."""


@dataclass(frozen=True)
class ExtraRow:
    """A LoRA, a tiny autoencoder or an upscaling model, and whether it is here."""

    model: str
    """Its own id, by which it is downloaded as a model is; for a person's own upscaling model, the name of its file."""
    label: str
    models: list[str]
    """Ids of the models that it is for."""
    here: bool
    sentence: Sentence
    """The folder where it was found, or that it is not here."""
    licence: str
    download_bytes: int
    notes: Sentence = NO_SENTENCE
    upscales: bool = False
    """True for an upscaling model."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    topic: Sentence
    good: bool
    sentence: Sentence
    mend: Sentence = NO_SENTENCE
    not_downloaded: bool = False
    """True if something is not here and need not be: then it is neither good nor wrong."""


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
    """The server's answer to the greeting."""

    protocol: int
    version: str
    tasks: list[Task]
    pid: int
    state_folder: str
    log: str


@dataclass(frozen=True)
class ModelsResult:
    """The catalogue's models and extras, each with whether it is known to be here at this moment."""

    models: list[ModelRow]
    extras: list[ExtraRow] = field(default_factory=list)
    looking: Sentence = NO_SENTENCE
    """Progress of the first search of the models folders, in a sentence; empty once it is over. Until then, what is
    not here may yet be found; the event `models` reports that."""


@dataclass(frozen=True)
class NameTransformerParams:
    """What the transformer in a file is, as a person says. It is remembered, and counts where no name says it."""

    file: str
    """The file, or the folder in the diffusers layout, as a plan's problem names it."""
    part: TransformerPart


@dataclass(frozen=True)
class PlanParams:
    """A request to be planned, not done."""

    request: TakeRequest


@dataclass(frozen=True)
class WarmParams:
    """A request that will probably be submitted soon. Its prompt may be empty, and its sources still be rendered."""

    request: TakeRequest
    read_prompt: bool = False
    """True where the prompt is final, so that it is worth encoding before the job comes."""


@dataclass(frozen=True)
class ThumbnailsParams:
    """Sources to be shown small, framed in a scene's frame of that size, with the control pictures of the guide."""

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
class SourceProblem:
    """Why a source's file can't be used; as long as the file stays as it is, plans say so, too."""

    role: Role
    file: str
    """Its name in the source's folder."""
    problem: Problem
    at_frame: int = 0
    """The source's `at_frame`, which tells one kept picture from another."""


@dataclass(frozen=True)
class ThumbnailsResult:
    """The sources' pictures that matter: those beside the take, or first and last. None of files that can't be read."""

    pictures: list[Thumbnail]
    problems: list[SourceProblem] = field(default_factory=list)
    """Of the files that no take can be made from."""


@dataclass(frozen=True)
class Film:
    """A take, or any source, and the size of its pictures."""

    source: Source
    width: int
    height: int
    side: int = 0
    """If it is given, every frame is to be seen (at most `media.MAX_REEL_FRAMES`), at so many pixels a side."""


@dataclass(frozen=True)
class FilmstripsParams:
    """What is to be seen small, from its first frame to its last; at most `media.MAX_FILMSTRIPS` at once."""

    films: list[Film]


@dataclass(frozen=True)
class FilmstripsResult:
    """A file for each film, in the form of `media.FILMSTRIP_HEAD`, with every frame in that of `media.REEL_MARK`; empty
    where there is none."""

    files: list[str]


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
class HoldParams:
    """A job that is to wait until it is resumed, and why."""

    job_id: str
    hold: Hold = Hold.PERSON


@dataclass(frozen=True)
class MoveParams:
    """A queued job that is to have its turn right before another one."""

    job_id: str
    before: str
    """A queued job; nothing is moved if it is none any more."""


@dataclass(frozen=True)
class PauseParams:
    """Whether no job is to be begun."""

    paused: bool


@dataclass(frozen=True)
class PauseResult:
    """Whether no job is begun."""

    paused: bool


@dataclass(frozen=True)
class JobIdsParams:
    """Some jobs."""

    job_ids: list[str]


@dataclass(frozen=True)
class ListParams:
    """The page of the jobs that is asked for."""

    after: str = ""
    """`next` of the page before; empty: the first page."""
    most: int = 100
    """Largest number of jobs; a page may hold fewer."""


@dataclass(frozen=True)
class ListResult:
    """A page of the jobs that this server has: first those that have not ended, then the others, newest first. If a
    server dies later on, the event `job` reports its jobs as they become this server's."""

    jobs: list[JobStatus]
    next: str = ""
    """The `after` of the next page; empty: this is the last one."""
    held_elsewhere: int = 0
    """Number of further jobs that other live servers on the same state folder have: they are in their lists."""


@dataclass(frozen=True)
class SearchParams:
    """A text, of which case and line breaks don't count."""

    text: str


@dataclass(frozen=True)
class SearchResult:
    """The jobs whose prompt has the text. Those of which `title` is the whole prompt are not among them: a client has
    these."""

    job_ids: list[str]


@dataclass(frozen=True)
class ElsewhereParams:
    """The jobs that other live servers on the same state folder have."""

    jobs: int
    """Their number, which is `held_elsewhere` of a page. Which of their jobs are shown here may have changed, too: ask
    for the list anew if any are."""


@dataclass(frozen=True)
class PingResult:
    """The server lives; what it is doing, and for how long."""

    busy_seconds: float = 0.0
    """0 if it waits for something to do."""
    busy_with: str = ""
    """A method, or another word for its activity."""


@dataclass(frozen=True)
class DoctorResult:
    """Findings: what is here, what is missing, how to fix it."""

    findings: list[Finding]


@dataclass(frozen=True)
class SetupPlan:
    """A plan for setting up the backend's environment; shown before gigabytes are fetched."""

    python: str
    """The Python of this machine that would do if the set-up can't fetch its own; empty if none would."""
    torch_build: str
    """cuda, rocm, mps or cpu."""
    folder: str
    download_bytes: int
    sentence: Sentence
    problem: Problem | None = None


@dataclass(frozen=True)
class SetupProgress:
    """Progress of the set-up; its last line has `state` done or failed."""

    state: SetupState
    step: int = 0
    steps: int = 0
    progress: float = 0.0
    sentence: Sentence = NO_SENTENCE
    problem: Problem | None = None
    done_bytes: int = 0
    """Of what this step fetches, what is here; a file on its way is an estimate."""
    total_bytes: int = 0
    """0 if nobody knows, or nothing is fetched."""
    seconds_left: float | None = None
    """Of fetching; null while it isn't known."""
