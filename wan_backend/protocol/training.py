"""The messages about a training: what is to be trained, what was planned for it, and how far it is.

A training is a job like any other, whose request has a `Training`. Its clips are the request's sources with the role
`clip`; `model` is what is trained on, `seed` the training's, `media_folder` the folder with a person's LoRAs, in which
a folder of the training's name is made. Width, height, frame rate and `resolution` are those of the scene and of the
clips in training, as of a take; all else that is a take's alone has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .sentences import Sentence

MAX_CLIPS = 512
"""More are no training of a person's timeline."""
MAX_CAPTION_CHARACTERS = 2000
MAX_TRAINING_NAME = 60
"""Characters: it names files and folders."""
MAX_TRAINING_NAME_BYTES = 200
"""In UTF-8: with what is added to it, it is a name of 255 bytes at most, which is as much as disks take."""
MAX_TRIGGER = 40
MAX_TRAINING_STEPS = 20_000
MAX_RANK = 128
MAX_CURVE = 128
"""A curve has at most so many points, however long the training is."""
KEPT_LORAS = 4
"""How many of a training's LoRAs are kept on its way, the newest, beside the finished one."""
ENOUGH_STILLS, ENOUGH_CLIPS = 8, 4
"""Enough to begin with; a plan says it where there are fewer of both."""


def name_limit(name: str) -> int:
    """How many characters a training's name may have, being of such characters as `name`."""
    fits = len(name.encode("utf-8", "replace")) <= MAX_TRAINING_NAME_BYTES
    return MAX_TRAINING_NAME if fits else MAX_TRAINING_NAME_BYTES // 4


class TrainingKind(StrEnum):
    """What a LoRA is to learn."""

    LOOK = "look"
    """How pictures look."""
    SUBJECT = "subject"
    """A character, an object or a place."""
    MOTION = "motion"
    """How something moves: longer clips, and more of the noisy times."""


class TrainingLength(StrEnum):
    """How long a training goes on; a plan says what it comes to."""

    SHORT = "short"
    USUAL = "usual"
    LONG = "long"


@dataclass(frozen=True)
class Training:
    """A LoRA to be trained, and how."""

    name: str
    """What it is called, and its files after it."""
    trigger: str = ""
    """The word that calls for what was learned; captions that lack it begin with it."""
    kind: TrainingKind = TrainingKind.LOOK
    length: TrainingLength = TrainingLength.USUAL
    caption: str = ""
    """The caption of the clips that have none of their own."""
    captions: list[str] = field(default_factory=list)
    """The captions of the request's clips, in the order of these; empty ones, and those that are missing, are
    `caption`."""
    names: list[str] = field(default_factory=list)
    """What the request's clips are called on the timeline, in the order of these, for what is said of them; the name
    of its first file where there is none."""
    sample_prompt: str = ""
    """A prompt of which pictures are made on the way, with the LoRA and without; empty: none."""
    sample_every: int | None = None
    """Steps from one sample, and one kept LoRA, to the next; None: what suits the length."""
    steps: int | None = None
    """In place of those of `length`; of each expert, where a model has two."""
    learning_rate: float | None = None
    rank: int | None = None
    only_with_trigger: bool = False
    """Each step also teaches the model to stay as it was where a prompt lacks the trigger, and takes more than twice as
    long for it. Without a trigger it has no effect."""
    noisy_share: float | None = None
    """The share of the steps, 0 to 1, whose time is drawn evenly from the noisiest tenth; None: what suits the
    model."""


@dataclass(frozen=True)
class TrainingPlan:
    """What was settled for a training. The plan around it has the size and the frames of its clips, and all steps."""

    steps: int
    """Steps of each transformer of the model; `Plan.steps` is the sum."""
    sample_every: int
    """Steps of each transformer between two samples and kept LoRAs."""
    rank: int
    learning_rate: float
    warm_up_steps: int
    """Steps in which the learning rate rises from nothing."""
    clips: int
    """The number of sources; the worker may cut several clips out of a long one."""
    timestep_shift: float
    """The shift of the logit-normal times that are trained: above 1, noisy ones come more often."""
    only_with_trigger: bool = False
    """In each step the same clip with the same noise is learned with the trigger, and without it what the model says
    without the LoRA."""
    noisy_share: float = 0.0
    """The share of the steps whose time is drawn evenly from the noisiest tenth; all others are logit-normal."""
    sample_steps: int = 0
    """Steps of a sample; 0: none is made."""


@dataclass(frozen=True)
class TrainedLora:
    """A LoRA as it was after a step, and pictures of what it does."""

    step: int
    path: str
    """As `LoraUse.path` takes it, absolute: a file, or a folder with one for each expert."""
    picture: str = ""
    """Absolute path of a JPEG file: frames of the sample, nearly a square, made with the LoRA; empty if there
    is none."""


@dataclass(frozen=True)
class TrainingStatus:
    """How far a training is; small, whatever its length."""

    curve: list[float] = field(default_factory=list)
    """The mean loss of each `curve_steps` steps, from the first; at most MAX_CURVE."""
    curve_steps: int = 1
    seconds_a_step: float | None = None
    clips: int = 0
    """Clips that are trained on, as they were cut; 0 until they are read."""
    kept: list[TrainedLora] = field(default_factory=list)
    """The LoRAs that are kept, the newest last; of a training that is done, the finished one is the last."""
    picture_without: str = ""
    """The sample's picture without the LoRA: the same prompt and seed."""
    trigger: str = ""
    notes: list[Sentence] = field(default_factory=list)
    """What was noticed of the clips: black ones, such as are nearly alike, files that changed."""

    @property
    def newest(self) -> TrainedLora | None:
        """The LoRA that was kept last; the finished one if it is done."""
        return self.kept[-1] if self.kept else None
