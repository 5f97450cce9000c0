"""The messages between the server and its worker; other modules import them from messages.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from .choices import Component, JobState
from .sentences import NO_SENTENCE, Sentence
from .takes import PhaseSeconds, Plan, Take, TakeRequest
from .training import TrainingStatus


@dataclass(frozen=True)
class ReadyParams:
    """A worker can take a job."""

    protocol: int
    device: str
    torch: str
    pid: int
    device_bytes: int = 0
    """All the memory of the device; 0 if that isn't known."""
    host_bytes: int = 0
    """Free memory of the machine."""


@dataclass(frozen=True)
class ComponentFile:
    """The file or folder of one component of a model."""

    part: Component
    place: str
    """A folder in which diffusers saved the component, or one file."""


@dataclass(frozen=True)
class RunParams:
    """A job for a worker, with all that the server has settled."""

    job_id: str
    request: TakeRequest
    plan: Plan
    model_folder: str
    device: str = "auto"
    memory_budget_bytes: int | None = None
    """The most that it may have of the device's memory; None for all that is free."""
    host_budget_bytes: int | None = None
    """The most that it may have of the machine's memory, where other workers have the rest; None for all that is
    free."""
    tiny_decoder: str = ""
    """The file of the tiny autoencoder for this model's latents; empty if it is not here."""
    model_parts: list[ComponentFile] = field(default_factory=list)
    """Empty if every component is in a subfolder of `model_folder`."""
    copies_folder: str = ""
    """Folder of the bf16 cache; empty: none is kept."""
    work_folder: str = ""
    """Absolute; where the job's finished steps and its preview are kept until its take is whole. Empty: nowhere."""
    state_folder: str = ""
    """Absolute; where what helps later jobs is kept: prompts as the model reads them, what memory did not suffice
    for. Empty: nowhere."""


@dataclass(frozen=True)
class WarmUpParams:
    """What a worker may get ready before it is asked for: a job as it will probably be, under an empty id.

    Nothing is made, and nothing is reported. A run that comes meanwhile ends it.
    """

    job: RunParams
    read_prompt: bool = False
    """True where the prompt is final, so that it is worth encoding."""


@dataclass(frozen=True)
class SteadySteps:
    """How quick a take's steps were as long as all cards of its plan took part: without the first one, which warms
    things up, and without what was waited for."""

    pass_seconds: float
    """Of a forward pass of the transformer over the whole take, or of the two of guidance if cards compute them at
    once."""
    denoise_seconds: float
    """What all steps of the take would have taken so."""
    controlled: bool = False
    """True if a control model got a control."""


@dataclass(frozen=True)
class RunResult:
    """The take that a worker made, or the training that it brought to its end."""

    take: Take | None
    """None of a training."""
    seconds: PhaseSeconds
    notes: list[Sentence] = field(default_factory=list)
    """Sentences: what was unusual about how it was made."""
    training: TrainingStatus | None = None
    steady: SteadySteps | None = None
    """None where too few of its steps were such, or other things slowed them."""


@dataclass(frozen=True)
class ProgressParams:
    """Progress of a worker's job."""

    job_id: str
    state: JobState
    step: int = 0
    steps: int = 0
    progress: float = 0.0
    eta_seconds: float | None = None
    sentence: Sentence = NO_SENTENCE
    preview: str = ""
    """Absolute path of a small JPEG file of what the take looks like after `step`; empty if there is none."""
    training: TrainingStatus | None = None
    """How far a training is; None if that is as before, or a take is made."""


@dataclass(frozen=True)
class AliveParams:
    """A worker's heartbeat: its interpreter runs."""

    busy_seconds: float = 0.0
    """Time since the job last reported its progress; 0 if there is no job."""
    cpu_seconds: float = 0.0
    """Processor time that the process has used so far."""


@dataclass(frozen=True)
class ReadingParams:
    """The file that a worker is about to read into memory, so that its death can be put down to that file."""

    file: str = ""
    """Absolute path of a file or folder; empty: the reading is over."""
