"""The enumerations of the messages; other modules import them from messages.py."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. The last four are ends; a job that ended can be retried."""

    QUEUED = "queued"
    LOADING = "loading"
    ENCODING = "encoding"
    DENOISING = "denoising"
    DECODING = "decoding"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "cancelled"  # so spelled in files of earlier versions; one that still runs could read no other
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """True if the job will not go on by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELED, JobState.INTERRUPTED)


class Hold(StrEnum):
    """What keeps a queued job from its turn."""

    NONE = "none"
    PERSON = "person"
    """A person wants it to wait."""
    NO_PLACEHOLDER = "no_placeholder"
    """Nothing on the timeline waits for its take: its placeholder was undone or deleted."""


class WorkerState(StrEnum):
    """The state of the process that has the model."""

    NONE = "none"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    BROKEN = "broken"
    """It died several times in a row, and is not started again by itself."""


class SetupState(StrEnum):
    """The state of the set-up of the backend's environment."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ProblemKind(StrEnum):
    """The sort of problem, for a program to decide by; a person reads the sentence beside it."""

    BAD_PROMPT = "bad_prompt"
    BAD_SIZE = "bad_size"
    BAD_LENGTH = "bad_length"
    BAD_SETTING = "bad_setting"
    BAD_SOURCE = "bad_source"
    RENDER_FIRST = "render_first"
    """A source's file doesn't match its message: Blender, which can show it, has to render its strip."""
    BAD_LORA = "bad_lora"
    BAD_DEVICE = "bad_device"
    MODEL_MISSING = "model_missing"
    MODEL_BROKEN = "model_broken"
    FOLDER = "folder"
    """A folder that can't be read or written."""
    DISK_FULL = "disk_full"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"
    CANCELED = "cancelled"
    INTERRUPTED = "interrupted"
    """The backend ended, or the worker hung, while the job ran: it goes on where it was."""
    TOO_LARGE = "too_large"
    BUSY = "busy"
    OFFLINE = "offline"
    NOT_ALLOWED = "not_allowed"
    """The hub wants a login or an agreement first."""
    NOT_FOUND = "not_found"
    HUB_FAILED = "hub_failed"
    CHECKSUM = "checksum"
    NO_PYTHON = "no_python"
    SETUP = "setup"
    INTERNAL = "internal"


class FixSetting(StrEnum):
    """The setting of a request that a fix may change; mostly the name of its field."""

    SEED = "seed"
    LENGTH_FRAMES = "length_frames"
    STRENGTH = "strength"
    CAMERA_SCALE = "camera_scale"
    GUIDE = "guide"
    CONFORM = "conform"
    MATRIX_PRECISION = "matrix_precision"
    TASK = "task"
    RESOLUTION = "resolution"
    MODEL = "model"
    QUALITY = "quality"
    MEDIA_FORMAT = "media_format"
    STEPS = "steps"
    GUIDANCE_SCALE = "guidance_scale"
    FLOW_SHIFT = "flow_shift"
    STEP_CACHE = "step_cache"
    WITHOUT_LORA = "without_lora"
    """Leave out the LoRA with the path `value`."""
    LORA_BOTH = "lora_both"
    """Apply the LoRA with the path `value` to both experts; the next two name one expert."""
    LORA_HIGH = "lora_high"
    LORA_LOW = "lora_low"


class TransformerPart(StrEnum):
    """What a transformer's file is, where Wan 2.1 and the two experts of Wan 2.2 A14B have one shape."""

    WHOLE = "whole"
    """A model by itself: a Wan 2.1, or both experts merged into one."""
    HIGH = "high"
    """The high-noise expert."""
    LOW = "low"
    """The low-noise expert."""
    UNKNOWN = "unknown"
    """Nobody has said it, or that is taken back."""


class FixAction(StrEnum):
    """An action that a fix may take."""

    DOWNLOAD = "download"
    OPEN_PREFERENCES = "open_preferences"
    SETUP_BACKEND = "setup_backend"
    RESTART_BACKEND = "restart_backend"
    FREE_CARD = "free_card"
    TRANSFORMER_WHOLE = "transformer_whole"
    """Say that the transformer in the file `value` is a whole model; the next two name an expert."""
    TRANSFORMER_HIGH = "transformer_high"
    TRANSFORMER_LOW = "transformer_low"
    TRANSFORMER_UNKNOWN = "transformer_unknown"
    """Take back what was said of the transformer in the file `value`."""


class Sampler(StrEnum):
    """The method by which the noise is removed, step by step."""

    UNIPC = "unipc"
    EULER = "euler"
    DISTILLED = "distilled"
    """Straight steps at the times that the model was distilled to."""
    DMD = "dmd"
    """The distilled steps, with new noise after each."""


class Component(StrEnum):
    """A component of a model, which is stored by itself."""

    TRANSFORMER = "transformer"
    TRANSFORMER_2 = "transformer_2"
    TEXT_ENCODER = "text_encoder"
    VAE = "vae"
    IMAGE_ENCODER = "image_encoder"
    TOKENIZER = "tokenizer"
    CONTROL = "control"
    """Control (VACE) that is not in the transformer's file, but in one of its own."""
    CONTROL_2 = "control_2"
    """That of the second transformer."""
    UPSCALER = "upscaler"
    """An upscaling model, which makes the pictures of a take larger."""


class Task(StrEnum):
    """The task of a request."""

    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    RESTYLE = "restyle"
    FILL_GAP = "fill_gap"
    EXTEND = "extend"
    PREVIS = "previs"
    EDIT = "edit"


class Role(StrEnum):
    """The role of a source in the take that is made from it."""

    FIRST = "first"
    """One picture, which the take begins on (image to video)."""
    LAST = "last"
    """One picture, which the take ends on (image to video)."""
    FOOTAGE = "footage"
    """Footage with as many frames as the take, which follows it (restyle, edit)."""
    BEFORE = "before"
    """The frames right before the take, the last one touching it (fill gap, extend forward)."""
    AFTER = "after"
    """The frames right after the take, the first one touching it (fill gap, extend backward)."""
    DEPTH = "depth"
    """Depth as gray levels, near is bright, with as many frames as the take (previs)."""
    CAMERA = "camera"
    """The scene's camera, whose move Blender writes down before the take is sent (previs)."""
    LOOK = "look"
    """One picture whose look the take gets (previs)."""
    REFERENCE = "reference"
    """One picture of what the take is to get, such as a face, a thing or a material; there may be several (edit)."""
    KEPT = "kept"
    """One picture, which the take keeps as its frame `at_frame`; there may be several (all tasks)."""
    CLIP = "clip"
    """Pictures that a LoRA is trained on; there may be many."""


PROMPTLESS_ROLES = frozenset({Role.FIRST, Role.BEFORE, Role.AFTER, Role.LOOK, Role.KEPT})
"""With a source of one of these roles, a prompt may be empty: the pictures show what the take is about."""


class Guide(StrEnum):
    """The quality of the footage that a restyled take follows. A previs follows its depth, or the edges of that."""

    NONE = "none"
    DEPTH = "depth"
    EDGES = "edges"
    FRAMES = "frames"


class Conform(StrEnum):
    """The way in which the model's frames become the scene's, if their rates differ."""

    FLOW = "flow"
    """Frames between two are made by following the motion."""
    REPEAT = "repeat"
    """The frame nearest in time is shown."""


class Quality(StrEnum):
    """The amount of work for a take; the catalogue says what it means for each model."""

    DRAFT = "draft"
    STANDARD = "standard"
    BEST = "best"


class StepCache(StrEnum):
    """Whether steps of a take may reuse what earlier ones have computed."""

    OFF = "off"
    ON = "on"
    """In those steps where little is lost, by what was measured of the model."""
    CALIBRATE = "calibrate"
    """The take is made exactly, and what `on` needs is measured meanwhile."""


class MatrixPrecision(StrEnum):
    """The precision of the matrix products in the blocks of a model's transformer."""

    EXACT = "exact"
    """That of the model's weights."""
    FAST_8_BIT = "fast_8_bit"
    """Both factors rounded to 8 bit (fp8 or int8) if the card multiplies them faster: less time and half the memory
    of the weights, and a take that differs in detail."""


class Decoder(StrEnum):
    """The decoder that makes pictures from the model's latents."""

    WHOLE = "whole"
    """The model's own autoencoder."""
    TINY = "tiny"
    """A tiny one: quicker, in less memory, with softer detail."""


class MediaFormat(StrEnum):
    """The format of a take's files: numbered PNG files, or one movie file."""

    PNG = "png"
    FFV1 = "ffv1"
    H264 = "h264"
