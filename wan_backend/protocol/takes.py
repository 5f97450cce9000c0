"""What a take is: what is asked, planned, worked at and made. Standard library only.

The other messages, in messages.py, are built of these; they are to be imported from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

MAX_PROMPT_CHARACTERS = 5000
"""About ten times what the text encoder reads (512 tokens); a longer one is refused, not cut."""


class JobState(StrEnum):
    """Where a job is. The last four are ends; a job that ended can be retried."""

    QUEUED = "queued"
    LOADING = "loading"
    ENCODING = "encoding"
    DENOISING = "denoising"
    DECODING = "decoding"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """True where the job will not go on by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED)


class Quality(StrEnum):
    """How much work a take is worth; the catalogue says what it means for each model."""

    DRAFT = "draft"
    STANDARD = "standard"
    BEST = "best"


class MediaFormat(StrEnum):
    """How a take is kept: numbered PNG files, or one movie file."""

    PNG = "png"
    FFV1 = "ffv1"
    H264 = "h264"


@dataclass(frozen=True)
class FrameRate:
    """Frames a second as Blender keeps it: `fps / fps_base` (23.976 is 24 / 1.001)."""

    fps: int
    fps_base: float = 1.0

    def exact(self) -> Fraction:
        """The rate as a fraction; 1.001 is read as 1001/1000, not as Blender's 32 bit float nearest to it."""
        return Fraction(self.fps) / Fraction(self.fps_base).limit_denominator(10_000)


@dataclass(frozen=True)
class Origin:
    """Where on whose timeline a take is meant to land. The backend only keeps it and hands it back."""

    project: str = ""
    """The .blend file's absolute path; empty while it was never saved."""
    project_id: str = ""
    """Told apart from other unsaved projects by this id, which the add-on makes."""
    scene: str = ""
    channel: int = 1
    start: int = 1


@dataclass(frozen=True)
class TakeRequest:
    """Everything needed to make a take, and to make it again."""

    prompt: str
    model: str
    width: int
    height: int
    length_frames: int
    """How many frames of the scene the take is to cover."""
    frame_rate: FrameRate
    """The scene's rate."""
    seed: int
    media_folder: str
    """Absolute; the take's own folder is made in it."""
    task: str = "text_to_video"
    negative_prompt: str = ""
    quality: Quality = Quality.STANDARD
    resolution: str = "exact"
    """`exact` asks for width x height; a size name of the model (as "480p") asks for that many pixels in the
    aspect of width:height."""
    steps: int | None = None
    guidance_scale: float | None = None
    flow_shift: float | None = None
    media_format: MediaFormat = MediaFormat.PNG
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True)
class Fix:
    """One thing that would help, for a button: set `setting` of the request to `value`, or do `action`."""

    label: str
    setting: str = ""
    value: str = ""
    action: str = ""


@dataclass(frozen=True)
class Problem:
    """What went wrong or can't be done: one sentence for a person, which also says what to do."""

    kind: str
    """bad_prompt, bad_size, bad_length, bad_setting, model_missing, model_broken, folder, disk_full, out_of_memory,
    worker_died, cancelled, interrupted, internal."""
    sentence: str
    fixes: list[Fix] = field(default_factory=list)
    log: str = ""
    """Path of a log file with the details, where there is one."""


@dataclass(frozen=True)
class Plan:
    """What would be done for a request: every value that the worker needs, settled."""

    model: str
    width: int
    height: int
    model_frames: int
    """Frames that the model makes, at its own rate: 4k + 1."""
    model_frame_rate: FrameRate
    take_frames: int
    """Frames that the take will have, at the scene's rate."""
    steps: int
    guidance_scale: float
    flow_shift: float
    sampler: str
    memory_bytes: int = 0
    """Estimated peak of the device's memory."""
    disk_bytes: int = 0
    """Estimated size of the take's files."""
    notes: list[str] = field(default_factory=list)
    """Sentences: what was snapped, and why."""
    problem: Problem | None = None
    """Why it can't be done, where it can't."""


@dataclass(frozen=True)
class Take:
    """A finished take on the disk. Written whole or not at all."""

    folder: str
    """Absolute; holds the media and `take.json`."""
    first_file: str
    """The name of the first PNG file ("0001.png"), or of the movie."""
    media_format: MediaFormat
    frames: int
    width: int
    height: int
    frame_rate: FrameRate


@dataclass(frozen=True)
class PhaseSeconds:
    """How long each phase of a job took."""

    queue: float = 0.0
    load: float = 0.0
    encode: float = 0.0
    denoise: float = 0.0
    decode: float = 0.0


@dataclass(frozen=True)
class JobStatus:
    """All that a client needs to show and place a job; each event carries the whole of it."""

    job_id: str
    state: JobState
    request: TakeRequest
    plan: Plan | None = None
    step: int = 0
    steps: int = 0
    progress: float = 0.0
    """0 to 1 over the whole job; 1 only once the take is on the disk."""
    eta_seconds: float | None = None
    sentence: str = ""
    """What is going on, in words."""
    problem: Problem | None = None
    take: Take | None = None
    seconds: PhaseSeconds = field(default_factory=PhaseSeconds)
    created: float = 0.0
    """Seconds since 1970 (UTC)."""
    settled: bool = False
    """True once the client has saved a project that knows how this job ended."""
