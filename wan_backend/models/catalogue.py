"""The models that the backend knows, read from catalogue.toml. Standard library and protocol only; no torch."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..protocol.conversion import from_json
from ..protocol.messages import FrameRate, Quality, Task
from .layout import Layout

PACKAGE = Path(__file__).resolve().parent.parent
CATALOGUE_FILE = Path(__file__).with_name("catalogue.toml")


class UnknownModel(LookupError):
    """No model of the catalogue has that id; the message lists those that there are."""


@dataclass(frozen=True)
class NamedSize:
    """A name ("480p") for an amount of pixels, given as the width and height the model was made for."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class QualityPreset:
    """What a quality means for one model."""

    steps: int
    guidance_scale: float
    flow_shift: float
    sampler: str
    lora: str = ""
    """The LoRA that these few steps stand on; "package:" begins a path in this package. Empty: none."""


@dataclass(frozen=True)
class Weights:
    """Parameter counts of the parts, and the widths that decide the size of the activations."""

    transformer: int
    text_encoder: int
    vae: int
    hidden: int
    """Channels of the transformer's hidden states."""
    vae_width: int
    """Channels of the autoencoder at full resolution; of a patched one, what its own are for each pixel."""
    layers: int = 0
    """Blocks of the transformer; 0 where a folder is not to be told by it."""
    heads: int = 0
    image_encoder: int = 0


@dataclass(frozen=True)
class ModelEntry:
    """One model."""

    id: str
    label: str
    tasks: list[str]
    pipelines: list[str]
    """Values of `_class_name` in model_index.json that are this model."""
    licence: str
    download_bytes: int
    frame_rate: int
    """Frames a second that the model makes."""
    frames: list[int]
    multiple: int
    sides: list[int]
    """The least and the most pixels of a side."""
    default_size: str
    sizes: list[NamedSize]
    draft: QualityPreset
    standard: QualityPreset
    best: QualityPreset
    weights: Weights
    repo: str = ""
    """On the Hugging Face hub; empty where it isn't there."""
    layout: Layout | None = None
    """What it is conditioned by; tells folders apart that are alike in all else. None: not looked at."""
    package_folder: str = ""
    """Inside this package; empty where the model does not come with it."""
    references: bool = True
    """True where a control model knows reference pictures; else a picture of a look is its first frame."""

    @property
    def min_frames(self) -> int:
        """The fewest frames that the model makes."""
        return self.frames[0]

    @property
    def max_frames(self) -> int:
        """The most frames that the model makes in one go."""
        return self.frames[1]

    @property
    def rate(self) -> FrameRate:
        """The model's own frame rate."""
        return FrameRate(self.frame_rate)

    def preset(self, quality: Quality) -> QualityPreset:
        """Steps, guidance, flow shift and sampler of a quality."""
        presets = {Quality.DRAFT: self.draft, Quality.STANDARD: self.standard, Quality.BEST: self.best}
        return presets[quality]

    @property
    def is_control(self) -> bool:
        """True for a control model (VACE), which does all tasks by one way."""
        return any("VACE" in name for name in self.pipelines)

    def makes_long(self, task: str) -> bool:
        """Whether a take may be longer than `max_frames`, made in windows that overlap.

        A model made for pictures alone can't: it knows its picture only as the first frame of a window.
        """
        return self.is_control or task != Task.IMAGE_TO_VIDEO

    def size(self, name: str) -> NamedSize | None:
        """The size of that name, or None."""
        return next((size for size in self.sizes if size.name == name), None)


@dataclass(frozen=True)
class Catalogue:
    """All models, in the order in which they are shown."""

    models: Mapping[str, ModelEntry] = field(default_factory=dict)

    def entry(self, model_id: str) -> ModelEntry:
        """The model of that id; raises UnknownModel."""
        try:
            return self.models[model_id]
        except KeyError:
            known = ", ".join(self.models)
            raise UnknownModel(f"There is no model '{model_id[:80]}'; there are {known}.") from None


def read(text: str) -> Catalogue:
    """The catalogue that `text` (TOML) describes; raises ValueError or ProtocolError where it is wrong."""
    rows: list[Any] = tomllib.loads(text)["model"]
    entries = [from_json(ModelEntry, row, f"model[{number}]") for number, row in enumerate(rows)]
    for entry in entries:
        _check(entry)
    if len({entry.id for entry in entries}) != len(entries):
        raise ValueError("Two models of the catalogue have the same id.")
    return Catalogue({entry.id: entry for entry in entries})


def _check(entry: ModelEntry) -> None:
    if any(count % 4 != 1 for count in entry.frames) or len(entry.frames) != 2:
        raise ValueError(f"{entry.id}: frames must be two numbers of the form 4k + 1.")
    if any(side % entry.multiple for side in entry.sides) or len(entry.sides) != 2:
        raise ValueError(f"{entry.id}: sides must be two multiples of {entry.multiple}.")
    if entry.size(entry.default_size) is None:
        raise ValueError(f"{entry.id}: default_size is not one of its sizes.")
    if not entry.repo and not entry.package_folder:
        raise ValueError(f"{entry.id}: neither repo nor package_folder says where it comes from.")


@functools.cache
def load() -> Catalogue:
    """The catalogue that comes with the backend."""
    return read(CATALOGUE_FILE.read_text("utf-8"))


def entry(model_id: str) -> ModelEntry:
    """The model of that id; raises UnknownModel, which lists the valid ones."""
    return load().entry(model_id)
