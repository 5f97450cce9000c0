"""The messages that describe a take: its request, sources, LoRAs and plan, its job, and the take itself.

Other modules import them from messages.py, whose messages are built of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from . import name_runs
from .choices import (
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
    StepCache,
    Task,
)
from .conversion import CODEC, Codec
from .sentences import NO_SENTENCE, Sentence
from .training import Training, TrainingKind, TrainingPlan, TrainingStatus

READ_PROMPT_CHARACTERS = 2000
"""How much of a prompt the text encoder reads: about what its 512 tokens hold in English."""
MAX_PROMPT_CHARACTERS = 5000
"""A longer prompt is refused, not cut; one that is longer than what is read gets a note."""
MAX_TAKE_FRAMES = 2000
"""In frames of the scene; a longer take would run for hours, and is refused before anything else is checked."""
MAX_LORAS = 32
"""Each LoRA costs memory and time; nobody means more."""
MIN_STRENGTH, MAX_STRENGTH = -4.0, 4.0
MAX_SHOWN_FILES = 32
HANDLE_FRAMES = 12
"""Handle frames at each end of a take that has them, in frames of the scene."""
MAX_HANDLE_FRAMES = 240
MAX_JUMP = 99.0
"""A larger figure of a seam would say no more."""
CAMERA_NUMBERS = 16
"""Of a camera at one frame, see CameraMove."""
MAX_CAMERA_FRAMES = 1500
"""Frames of the scene for which a take follows a camera: more than any model that does so makes, at any rate."""
MAX_KEPT_PICTURES = 8
"""Pictures that one take keeps at chosen frames."""
MAX_REFERENCES = 4
"""The most reference pictures of an edit: with its footage, as many sources as the model was trained with."""
FINISH_FACTORS = (0, 2, 4)
"""How many times as large a take can become; 0 stands for the scene's size."""
MAX_WORDS = 32
"""Times of one take that have words of their own; each costs the text encoder a run."""


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
    """The place on a project's timeline where a take is meant to land. The backend only keeps it and hands it back."""

    project: str = ""
    """The .blend file's absolute path; empty while it was never saved."""
    project_id: str = ""
    """The id that the add-on makes, to distinguish unsaved projects."""
    scene: str = ""
    channel: int = 1
    start: int = 1
    shot: str = ""
    """The shot at that place, as the studio's tracker marked it on the timeline; empty for none."""


@dataclass(frozen=True)
class Framing:
    """Crop, mirroring, scale and position of a source's pictures in the scene's frame, as Blender shows them.

    What `crop` leaves of the picture is stretched over the rectangle `x, y, width, height` of the frame
    (from its upper left corner, in square pixels of a frame of `canvas_width` x `canvas_height`). The rest of the frame
    is black.
    """

    canvas_width: int
    canvas_height: int
    x: float
    y: float
    width: float
    height: float
    crop_left: float = 0.0
    """In pixels of the picture; so are the other three."""
    crop_top: float = 0.0
    crop_right: float = 0.0
    crop_bottom: float = 0.0
    mirror_x: bool = False
    mirror_y: bool = False


@dataclass(frozen=True)
class Pictures:
    """The format of a source's pictures when its framing was made; a reader refuses others."""

    width: int
    height: int
    """In the file, before they are turned."""
    turn: int = 0
    """Degrees clockwise by which each is turned before it is framed: 0, 90, 180 or 270."""
    alpha_bits: int = 0
    """The largest bit depth of a movie's transparency; 0 if it may have none."""
    rgb_bits: int = 16
    """The largest bit depth of a movie's samples of red, green and blue."""
    grey_bits: int = 16
    """The largest bit depth of a movie that has nothing but brightness."""

    def shown_size(self) -> tuple[int, int]:
        """Width and height once they are turned."""
        return (self.height, self.width) if self.turn in (90, 270) else (self.width, self.height)


class Expert(StrEnum):
    """The expert of a model with two (Wan 2.2 A14B) to which a LoRA is applied; other models have one transformer."""

    AUTO = "auto"
    """Decided by the file's layers, its name (high_noise, LOW, HN, ...) or a partner beside it; both if none does.
    Where the name leaves it open, the plan has a problem that asks for one of the others."""
    BOTH = "both"
    HIGH = "high"
    """The one for the first, noisy steps."""
    LOW = "low"
    """The one for the last steps."""


@dataclass(frozen=True)
class LoraUse:
    """A LoRA, and how strongly it works."""

    path: str
    """Absolute: a .safetensors file, or a folder that holds one (or a pair for two experts)."""
    strength: float = 1.0
    """1 is as it was trained, 0 is off, below 0 turns it round."""
    expert: Expert = Expert.AUTO


@dataclass(frozen=True)
class GuidanceInterval:
    """The part of the steps that guidance is computed in, as shares of all steps: 0 to 1 is all of them."""

    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class StepRange:
    """Steps from `first` on, counted from 0, up to the one before `end_exclusive`."""

    first: int
    end_exclusive: int


@dataclass(frozen=True)
class ReusedSteps:
    """The steps, counted from 0, in which a transformer's blocks don't run, because an earlier result is reused."""

    prompt: list[int]
    """For the prompt."""
    negative: list[int] = field(default_factory=list)
    """For the negative prompt, if there is guidance."""


_NAMES = Codec(name_runs.pack, name_runs.unpack, "list of strings and name runs")


@dataclass(frozen=True)
class Source:
    """The files of the pictures that a take is made from: one picture for each frame of the scene, in order."""

    role: Role
    folder: str
    """Absolute."""
    files: list[str] = field(metadata={CODEC: _NAMES})
    """Names in `folder`: one movie, or pictures. A name may come again if a picture is held. Numbered names that
    follow one another travel as one run."""
    is_movie: bool = False
    first_frame: int = 0
    """The frame of a movie that is shown first, counted from 0; the others follow one by one."""
    frames: int = 1
    """Their number; for pictures, the number of `files`."""
    framing: Framing | None = None
    """None if a picture is the scene's whole frame already."""
    rendered: bool = False
    """True if the files were rendered for this take."""
    pictures: Pictures | None = None
    """None if they may be of any size, and are not to be turned."""
    shown_files: list[str] = field(default_factory=list)
    """Absolute paths of files that rendered pictures show, the first of each folder, at most MAX_SHOWN_FILES: whether
    they were generated themselves is noted with the take."""
    at_frame: int = 0
    """The take's frame that a kept picture is, counted from the take's first one as 0, at the scene's rate; of a
    reference picture its number, from 1."""


@dataclass(frozen=True)
class Words:
    """What a part of the take shows, besides what its whole prompt says."""

    first: int
    """The part's first frame, counted from the take's first one as 0, at the scene's rate."""
    last: int
    """Its last frame."""
    prompt: str


@dataclass(frozen=True)
class CameraMove:
    """The camera that a take follows, at each of the scene's frames."""

    numbers: list[float] = field(default_factory=list)
    """CAMERA_NUMBERS for each frame: the rows of the 3 x 4 matrix that leads from the camera's axes (x to the right, y
    down, z into the picture) to the scene's, then the focal lengths across and down and the picture's center, as shares
    of the frame's width and height. Empty until they are known."""
    scale: float = 1.0
    """How many of the model's units a unit of the scene is."""


@dataclass(frozen=True)
class Finish:
    """How a take is made larger, picture for picture. Its pictures, with those of its handles, are the request's only
    source, as footage, whose `pictures` say their size."""

    upscaler: str
    """An upscaling model: the id of one in the catalogue, or the name of a file in the subfolder for them of a models
    folder."""
    factor: int = 2
    """How many times as large each side becomes: 2 or 4. 0: as large as fills the scene's frame."""
    base: str = ""
    """The job that made the take."""
    handle_before: int = 0
    """How many of the first pictures are handle frames."""
    handle_after: int = 0
    """How many of the last ones are."""
    from_footage: bool = True
    """Whether the take that is made larger was made from footage itself."""


@dataclass(frozen=True)
class TakeRequest:
    """Everything needed to make a take, and to make it again."""

    prompt: str
    model: str
    width: int
    """Width of the scene's frame in square pixels; the height is in such pixels, too."""
    height: int
    length_frames: int
    """Length of the take in frames of the scene."""
    frame_rate: FrameRate
    """The scene's rate."""
    seed: int
    media_folder: str
    """Absolute; the take's own folder is made in it."""
    task: Task = Task.TEXT_TO_VIDEO
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
    sources: list[Source] = field(default_factory=list)
    """The sources that the take is made from, at most one of each role; `task` says which ones. Only of kept pictures
    there may be MAX_KEPT_PICTURES, of which no two are the same frame of the model, and of reference pictures
    MAX_REFERENCES. A training has clips alone, at most MAX_CLIPS."""
    strength: float = 1.0
    """0 to 1: how far a restyled take may leave its footage, or a previs what was blocked out."""
    guide: Guide = Guide.NONE
    conform: Conform = Conform.FLOW
    matrix_precision: MatrixPrecision = MatrixPrecision.EXACT
    loras: list[LoraUse] = field(default_factory=list)
    guidance_interval: GuidanceInterval | None = None
    """None: guidance in all steps."""
    step_cache: StepCache = StepCache.OFF
    handle_frames: int = 0
    """Handle frames that are wanted at each end, in frames of the scene, besides those of `length_frames`."""
    least_size: bool = False
    """True: at the fewest pixels that the model makes in that aspect, whatever `resolution` says, as looks are."""
    words: list[Words] = field(default_factory=list)
    """Words over time, at most MAX_WORDS, of which no two have a frame in common. Each part's prompt is the whole one
    followed by its words; where there are none, the whole prompt holds."""
    training: Training | None = None
    """What is trained, if the job is a training; None if a take is made."""
    camera: CameraMove | None = None
    """The camera that a previs follows, for a model that a camera steers; None if its depth guides it."""
    finish: Finish | None = None
    """Where it is set, a finished take is made larger and nothing else is made; the rest of the request says how that
    take was made."""

    @property
    def works_with(self) -> str:
        """What a worker has in memory for it: a model, or the upscaling model."""
        return self.model if self.finish is None else self.finish.upscaler

    @property
    def shown_prompt(self) -> str:
        """What it is called by: the prompt, or the first words where there is none; the name of a training."""
        if self.training is not None:
            return self.training.name
        if self.prompt.strip() or not self.words:
            return self.prompt
        return min(self.words, key=lambda each: each.first).prompt

    def source(self, role: Role) -> Source | None:
        """The source of that role, or None; of several kept pictures, the first one listed."""
        return next((source for source in self.sources if source.role is role), None)

    @property
    def pictured(self) -> list[Source]:
        """The sources that hold pictures: all but a camera that is still to be written down."""
        return [source for source in self.sources if source.role is not Role.CAMERA]

    @property
    def renders_camera_alone(self) -> bool:
        """True if a camera is still to be written down, and nothing else is to be rendered."""
        rendered = {source.role for source in self.sources if source.rendered}
        return rendered == {Role.CAMERA}

    @property
    def is_composite(self) -> bool:
        """Whether footage is in the take, so that not all of it was generated. One that is made larger is what it
        was."""
        return self.finish.from_footage if self.finish is not None else bool(self.pictured)

    @property
    def kept_pictures(self) -> list[Source]:
        """The pictures that the take keeps at chosen frames, in the order of these."""
        return sorted((each for each in self.sources if each.role is Role.KEPT), key=lambda each: each.at_frame)

    @property
    def references(self) -> list[Source]:
        """The reference pictures, in the order in which they are counted."""
        return [each for each in self.sources if each.role is Role.REFERENCE]


@dataclass(frozen=True)
class Fix:
    """One thing that would help, for a button: set `setting` of the request to `value`, or do `action` (to `value`)."""

    label: Sentence
    setting: FixSetting | None = None
    value: str = ""
    action: FixAction | None = None


@dataclass(frozen=True)
class Problem:
    """A failure or a refusal: one sentence for a person, which also says what to do."""

    kind: ProblemKind
    sentence: Sentence
    fixes: list[Fix] = field(default_factory=list)
    log: str = ""
    """Path of a log file with the details, if there is one."""


@dataclass(frozen=True)
class KeptPicture:
    """Where a picture lies that a take keeps."""

    at_frame: int
    """The take's frame, at the scene's rate, as its source says it."""
    model_frame: int
    """The model's frame that is made to be it. It is shown at the take's frame, wherever it lies in time itself."""


CANCELED = Problem(ProblemKind.CANCELED, Sentence("Canceled."))
"""What ends a job that a person canceled, whoever ended it."""


@dataclass(frozen=True)
class Plan:
    """A plan for a request: every value that the worker needs, settled."""

    model: str
    width: int
    height: int
    model_frames: int
    """Frames that the model makes, at its own rate: 4k + 1."""
    model_frame_rate: FrameRate
    take_frames: int
    """Frames that the take will have, at the scene's rate, without its handles."""
    steps: int
    guidance_scale: float
    flow_shift: float
    sampler: Sampler
    low_noise_guidance_scale: float | None = None
    """Guidance of the low-noise expert, for a model with two; None: the guidance of the first one."""
    timesteps: list[float] = field(default_factory=list)
    """The times of the steps (1000 is all noise) of a model that was distilled to certain ones; else empty."""
    lora: str = ""
    """The catalogue's LoRA that these settings are for, which the worker applies; empty: none."""
    decoder: Decoder = Decoder.WHOLE
    seen_sources: int = 0
    """How many sources the transformer sees beside the take, in one sequence with it: footage first, then pictures."""
    matrix_precision: MatrixPrecision = MatrixPrecision.EXACT
    """Products in 8 bit only if the worker finds that the card computes them faster."""
    kept_before: int = 0
    """Number of the model's first frames that are the source before the take; the last of them touches it."""
    kept_after: int = 0
    """Number of the model's last frames that are the source after the take."""
    window_frames: int = 0
    """The largest number of the model's frames in one pass of its transformer; 0: one pass holds them all. A longer
    take is made in windows that overlap."""
    loras: list[LoraUse] = field(default_factory=list)
    """LoRAs in order: the one that makes the quality possible in few steps, then the person's own."""
    guided_steps: StepRange | None = None
    """The steps that guidance is computed in; None: all."""
    words: list[Words] = field(default_factory=list)
    """The words over time that are followed, in order; those of the request that are too short aren't among them."""
    kept_pictures: list[KeptPicture] = field(default_factory=list)
    """The pictures that are kept at chosen frames, in order."""
    reused_steps: ReusedSteps | None = None
    """What the step cache skips; None: nothing."""
    calibrates: bool = False
    """True if the take measures what the step cache needs."""
    cards: int = 1
    """How many cards compute the take."""
    cards_per_forward: int = 1
    """How many of them compute a forward pass of the transformer together, each with a share of its tokens. If they are
    half of all, the other half makes the negative prompt's."""
    shared_weights: bool = False
    """True if those who compute a forward pass together hold the transformer's weights between them, each a share."""
    forwards: int = 0
    """How often the transformer's blocks run for a window of the take."""
    all_forwards: int = 0
    """How often they would run if no work were skipped."""
    no_guidance_interval: Sentence = NO_SENTENCE
    """The reason why guidance can't be left out of steps, in a sentence; empty if it can."""
    no_step_cache: Sentence = NO_SENTENCE
    """The reason why no step can be reused, in a sentence; empty if some can."""
    can_calibrate: bool = False
    """True if a take with these settings can measure what the step cache needs."""
    memory_bytes: int = 0
    """Estimated peak of the device's memory."""
    memory: Sentence = NO_SENTENCE
    """The model's residency in memory, in a sentence; empty if the machine is not known yet."""
    disk_bytes: int = 0
    """Estimated size of the take's files."""
    expected_seconds: float | None = None
    """How long it will probably take here once the model is loaded, by earlier takes; None if that isn't known. Only
    the method `plan` says it."""
    handle_before: int = 0
    """Handle frames before the take's first, at the scene's rate."""
    handle_after: int = 0
    """Handle frames after its last."""
    training: TrainingPlan | None = None
    """What was settled for a training; None for a take."""
    notes: list[Sentence] = field(default_factory=list)
    """Sentences: what was snapped, and why."""
    fixes: list[Fix] = field(default_factory=list)
    """Fixes that would improve a plan that can be carried out."""
    problem: Problem | None = None
    """The reason if it can't be done."""

    @property
    def frames_at_once(self) -> int:
        """The most of the model's frames that go through its transformer in one pass."""
        return min(self.model_frames, self.window_frames or self.model_frames)

    @property
    def all_frames(self) -> int:
        """The take's frames with its handles."""
        return self.handle_before + self.take_frames + self.handle_after


@dataclass(frozen=True)
class Jump:
    """How far a take misses the neighbor that it was to join. 1.0 is as much as the neighbor changes in one frame."""

    motion: float
    """By how much its first frame lies elsewhere than the neighbor's motion leads to."""
    level: float
    """By how much the pixels differ besides."""
    color: float
    """By how much the picture's mean color differs besides."""

    @property
    def number(self) -> float:
        """The largest of the three: what is seen."""
        return max(self.motion, self.level, self.color)


@dataclass(frozen=True)
class Take:
    """A finished take on the disk. Written whole or not at all."""

    folder: str
    """Absolute; holds the media and `take.json`."""
    first_file: str
    """The name of the first PNG file ("0001.png"), or of the movie."""
    media_format: MediaFormat
    frames: int
    """Their number, with those of the handles."""
    width: int
    height: int
    frame_rate: FrameRate
    program: str = ""
    """What made it, with its version, as its files say it; empty for takes of older ones."""
    handle_before: int = 0
    """How many of the first frames are handle frames, before the frame on which the take begins."""
    handle_after: int = 0
    """How many of the last frames are handle frames."""
    start_jump: Jump | None = None
    """How it joins what was before it; None where it was not to join anything, or that wasn't measured."""
    end_jump: Jump | None = None
    """How it joins what was after it, likewise."""

    @property
    def own_frames(self) -> int:
        """How many frames it has without its handles."""
        return self.frames - self.handle_before - self.handle_after


@dataclass(frozen=True)
class PhaseSeconds:
    """Seconds that each phase of a job took."""

    queue: float = 0.0
    load: float = 0.0
    encode: float = 0.0
    denoise: float = 0.0
    decode: float = 0.0


MAX_TITLE_CHARACTERS = 200
"""A title that is shorter is the whole prompt."""


def as_searched(text: str) -> str:
    """`text` as searches compare it: in lower case, on one line."""
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class JobSummary:
    """A job's request in short: enough for its row in the queue and its place on the timeline."""

    title: str
    """The beginning of the prompt, or the name of a training, on one line."""
    task: Task
    model: str
    seed: int
    length_frames: int
    origin: Origin = field(default_factory=Origin)
    loras: int = 0
    """Number of LoRAs in the request."""
    training: TrainingKind | None = None
    """What is trained; None for a take."""
    finishes: bool = False
    """True if a finished take is made larger."""

    @classmethod
    def of(cls, request: TakeRequest) -> JobSummary:
        """The summary of `request`."""
        title = " ".join(request.shown_prompt.split())[:MAX_TITLE_CHARACTERS]
        task, model, seed, frames = request.task, request.model, request.seed, request.length_frames
        trained = None if request.training is None else request.training.kind
        loras, finishes = len(request.loras), request.finish is not None
        return cls(title, task, model, seed, frames, request.origin, loras, trained, finishes)


@dataclass(frozen=True)
class JobStatus:
    """The state of a job; small, whatever its request. The method `details` returns the request and the plan."""

    job_id: str
    state: JobState
    summary: JobSummary
    step: int = 0
    steps: int = 0
    progress: float = 0.0
    """0 to 1 over the whole job; 1 only once the take is on the disk."""
    eta_seconds: float | None = None
    sentence: Sentence = NO_SENTENCE
    """The activity, in words."""
    problem: Problem | None = None
    take: Take | None = None
    seconds: PhaseSeconds = field(default_factory=PhaseSeconds)
    created: float = 0.0
    """Seconds since 1970 (UTC)."""
    settled: bool = False
    """True once the client has saved a project that knows how this job ended."""
    preview: str = ""
    """Absolute path of a small JPEG file of what the take looks like after `step`, while it is made; a later step's
    is another picture in the same file. Empty if there is none."""
    hold: Hold = Hold.NONE
    """What keeps it from its turn while it is queued."""
    turn: int = 0
    """Its place among the queued jobs: the smallest comes first. 0 if it isn't known."""
    held_elsewhere: bool = False
    """True if another live server holds the job: it is shown here, and `retry` and `clear` are refused."""
    training: TrainingStatus | None = None
    """How far a training is, and what it has brought: such a job has no `take`, also when it is done."""


@dataclass(frozen=True)
class JobDetails:
    """A job's whole request, and the plan that is or was carried out for it."""

    job_id: str
    request: TakeRequest
    plan: Plan | None = None
