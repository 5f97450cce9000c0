"""The models that the backend knows, and what is used beside them, read from catalogue.toml."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..protocol.conversion import from_json
from ..protocol.messages import FrameRate, Quality, Sampler, Task
from ..protocol.sentences import Sentence
from .architecture import Architecture

PACKAGE = Path(__file__).resolve().parent.parent
CATALOGUE_FILE = Path(__file__).with_name("catalogue.toml")
DISTILLED_SAMPLERS = (Sampler.DISTILLED, Sampler.DMD)
"""These samplers take given timesteps."""


class UnknownModel(LookupError):
    """No model of the catalogue has that id; the message, a sentence, lists the models that there are."""


@dataclass(frozen=True)
class NamedSize:
    """A name ("480p") for an amount of pixels, given as the width and height that the model was made for."""

    name: str
    width: int
    height: int
    trained: bool = True
    """False for a size that is larger than any that the model was trained at."""


@dataclass(frozen=True)
class QualityPreset:
    """The settings that a quality stands for with one model."""

    steps: int
    guidance_scale: float
    flow_shift: float
    sampler: Sampler
    low_noise_guidance_scale: float | None = None
    """The guidance of the second of two experts; None if it is that of the first."""
    timesteps: list[float] = field(default_factory=list)
    """The timesteps of a distilled model (1000 is all noise), after the flow shift; empty for others."""


@dataclass(frozen=True)
class ModelDimensions:
    """How many parameters each component has, and the widths that decide the size of the activations."""

    transformer: int
    text_encoder: int
    vae: int
    hidden: int
    """Channels of the transformer's hidden states."""
    vae_width: int
    """Channels of the autoencoder at full resolution; for one that works on patches, its channels for each pixel."""
    layers: int = 0
    """Blocks of the transformer; 0 if a folder of the model is not recognized by them."""
    heads: int = 0
    image_encoder: int = 0
    experts: int = 1
    """How many transformers of that size there are, of which one works at a time."""


@dataclass(frozen=True)
class TrainingPreset:
    """What suits a model where a LoRA is trained on it."""

    learning_rate: float | None = None
    """None: what suits a model of so many weights."""
    noisy_share: float = 0.0
    """The share of the steps with much noise; more than few of a model whose looks are settled by its first steps."""


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue."""

    id: str
    label: str
    tasks: list[Task]
    pipelines: list[str]
    """The values of `_class_name` in model_index.json that this model has."""
    licence: str
    download_bytes: int
    frame_rate: int
    """Frames a second that the model makes."""
    frames: list[int]
    multiple: int
    sides: list[int]
    """The smallest and the largest number of pixels of a side."""
    default_size: str
    sizes: list[NamedSize]
    draft: QualityPreset
    standard: QualityPreset
    best: QualityPreset
    weights: ModelDimensions
    repo: str = ""
    """Its repository on the Hugging Face hub; empty if it isn't there."""
    text_encoder_repo: str = ""
    """The repository of its text encoder and tokenizer; models that name the same one share it on the disk."""
    architecture: Architecture | None = None
    """What it is conditioned by, which tells apart folders alike in all else; None if that isn't checked."""
    package_folder: str = ""
    """Its folder inside this package; empty if the model doesn't come with it."""
    references: bool = True
    """True for a control model that takes reference pictures; for others, the picture of a look is the first frame."""
    transformer_files: list[str] = field(default_factory=list)
    """The file of its transformer in `repo`, or those of its experts, where that isn't a folder of diffusers: the model
    is put together of these, of its text encoder and of what `parts_repo` has. Empty for all others."""
    parts_repo: str = ""
    """The repository of the autoencoder and the image encoder of a model that is put together so."""
    trunk: str = ""
    """The model that is its transformer without the control, which lies in a file of its own: it is put together of
    the two where both are here, and isn't downloaded as one. Empty for all others."""
    trunk_makes_text: bool = False
    """True for a control model whose transformer is the text to video model if it gets no control, because only the
    control was trained: text to video then goes without one."""
    notes: str = ""
    """What a person should know of it, in a sentence or two."""
    draft_lora: str = ""
    """The LoRA whose settings Draft takes where its files are here; may be empty."""
    tiny_decoder: str = ""
    """The tiny autoencoder that can show its latents; may be empty."""
    usual_frames: int = 0
    """How many frames are made if nothing says how many; 0 stands for as many as it can make in one go."""
    training: TrainingPreset = field(default_factory=TrainingPreset)
    twin: bool = False
    """True if another entry is alike in all that a folder's files say, so that only the folder's name tells."""
    sha256: dict[str, str] = field(default_factory=dict)
    """The checksums of files of its repository, as the hub stated them; a file that differs is refused."""

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
        """True for a control model (VACE), which does all tasks in the same way."""
        return any("VACE" in name for name in self.pipelines)

    @property
    def least_sources(self) -> int:
        """How many sources its transformer sees beside a take at the least: the footage of an edit."""
        return 1 if self.architecture is Architecture.EDIT else 0

    @property
    def follows_camera(self) -> bool:
        """True if it is steered by the path of a camera."""
        return self.architecture is not None and self.architecture.follows_camera

    def makes_long(self, task: Task) -> bool:
        """Whether a take may be longer than `max_frames`, made in windows that overlap.

        A model made for pictures alone can't: it knows its picture only as the first frame of a window. Nor can one
        that a camera steers: it counts the camera's move from there.
        """
        return self.is_control or (task is not Task.IMAGE_TO_VIDEO and not self.follows_camera)

    def size(self, name: str) -> NamedSize | None:
        """The size of that name, or None."""
        return next((size for size in self.sizes if size.name == name), None)


@dataclass(frozen=True)
class LoraEntry:
    """A LoRA of the catalogue: a small addition to a model's weights."""

    id: str
    label: str
    bases: list[str]
    """The models that it was made for."""
    files: list[str]
    """Its file, or for a model with two experts one for each, in the order in which they work."""
    licence: str
    download_bytes: int
    repo: str = ""
    package_folder: str = ""
    notes: str = ""
    preset: QualityPreset | None = None
    """The settings that a distilling LoRA was made for; None for others."""
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TinyEntry:
    """A tiny autoencoder of the catalogue."""

    id: str
    label: str
    repo: str
    file: str
    licence: str
    download_bytes: int
    latents: int
    """Channels of a latent."""
    patch: int = 1
    """The side in pixels of the patch that one position of its last layer holds."""
    notes: str = ""
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UpscalerEntry:
    """An upscaling model of the catalogue, which makes finished takes larger."""

    id: str
    label: str
    repo: str
    file: str
    licence: str
    download_bytes: int
    scale: int
    """How many times as large each side becomes."""
    notes: str = ""
    sha256: dict[str, str] = field(default_factory=dict)


ExtraEntry = LoraEntry | TinyEntry | UpscalerEntry
"""What is used beside a model."""
AnyEntry = ModelEntry | ExtraEntry
"""Whatever can be downloaded by its id."""
_Entry = TypeVar("_Entry", ModelEntry, LoraEntry, TinyEntry, UpscalerEntry)


@dataclass(frozen=True)
class Catalogue:
    """All models, and what is used beside them, by id, in the order in which they are shown."""

    models: Mapping[str, ModelEntry] = field(default_factory=dict)
    loras: Mapping[str, LoraEntry] = field(default_factory=dict)
    autoencoders: Mapping[str, TinyEntry] = field(default_factory=dict)
    upscalers: Mapping[str, UpscalerEntry] = field(default_factory=dict)

    @property
    def extras(self) -> list[ExtraEntry]:
        """All that is used beside models."""
        return [*self.loras.values(), *self.autoencoders.values(), *self.upscalers.values()]

    def entry(self, model_id: str) -> ModelEntry:
        """The model of that id; raises UnknownModel."""
        try:
            return self.models[model_id]
        except KeyError:
            known = ", ".join(self.models)
            sentence = Sentence("There is no model '{model}'; there are {known}.", model=model_id[:80], known=known)
            raise UnknownModel(sentence) from None

    def any_entry(self, known_id: str) -> AnyEntry:
        """The model, or what is used beside one, of that id; raises UnknownModel."""
        return next((extra for extra in self.extras if extra.id == known_id), None) or self.entry(known_id)

    def checksums(self, repo: str) -> dict[str, str]:
        """The SHA-256 of a repository's files, by name, as far as they are known."""
        entries: list[AnyEntry] = [*self.models.values(), *self.extras]
        return {name: known for entry in entries if entry.repo == repo for name, known in entry.sha256.items()}

    def users_of(self, extra: ExtraEntry) -> list[str]:
        """The models that a LoRA or a tiny autoencoder is for; an upscaling model is for the takes of all."""
        if isinstance(extra, LoraEntry):
            return list(extra.bases)
        if isinstance(extra, UpscalerEntry):
            return []
        return [model.id for model in self.models.values() if model.tiny_decoder == extra.id]

    def loras_of(self, model_id: str) -> list[LoraEntry]:
        """The LoRAs that were made for that model."""
        return [lora for lora in self.loras.values() if model_id in lora.bases]


def parse_catalogue(text: str) -> Catalogue:
    """The catalogue that `text` (TOML) describes. Raises ValueError or ProtocolError if it is wrong."""
    tables = tomllib.loads(text)
    made = Catalogue(
        _entries(ModelEntry, tables, "model"),
        _entries(LoraEntry, tables, "lora"),
        _entries(TinyEntry, tables, "autoencoder"),
        _entries(UpscalerEntry, tables, "upscaler"),
    )
    if len({*made.models, *(extra.id for extra in made.extras)}) != len(made.models) + len(made.extras):
        raise ValueError("Two entries of the catalogue, of different kinds, have the same id.")
    for entry in made.models.values():
        _check(entry)
        trunks = {entry.trunk} - made.models.keys()
        for name in ({entry.draft_lora, entry.tiny_decoder} - {*made.loras, *made.autoencoders} | trunks) - {""}:
            raise ValueError(f"{entry.id}: there is no '{name}' in the catalogue.")
    for lora in made.loras.values():
        _check_lora(lora, made.models)
    return made


def _entries(kind: type[_Entry], tables: Mapping[str, Any], name: str) -> dict[str, _Entry]:
    """The entries of the tables of that name, by id. Raises ValueError or ProtocolError."""
    rows: list[Any] = tables.get(name, [])
    entries = [from_json(kind, row, _describe(name, row, number)) for number, row in enumerate(rows)]
    if len({entry.id for entry in entries}) != len(entries):
        raise ValueError(f"Two entries '{name}' of the catalogue have the same id.")
    return {entry.id: entry for entry in entries}


def _describe(name: str, row: Any, number: int) -> str:
    """The entry's name in a sentence that says what is wrong in it."""
    return f"{name} {row.get('id', number) if isinstance(row, dict) else number}"


def _check_lora(lora: LoraEntry, models: Mapping[str, ModelEntry]) -> None:
    for base in lora.bases:
        if base not in models:
            raise ValueError(f"{lora.id}: its base '{base}' is not in the catalogue.")
        if len(lora.files) != models[base].weights.experts:
            raise ValueError(f"{lora.id}: {base} wants {models[base].weights.experts} files of it.")
    if not lora.repo and not lora.package_folder:
        raise ValueError(f"{lora.id}: neither repo nor package_folder says where it comes from.")
    if lora.preset is not None:
        _check_preset(lora.id, lora.preset)


def _check_preset(name: str, preset: QualityPreset) -> None:
    if preset.timesteps and len(preset.timesteps) != preset.steps:
        raise ValueError(f"{name}: {preset.steps} steps, but {len(preset.timesteps)} times of steps.")
    if bool(preset.timesteps) != (preset.sampler in DISTILLED_SAMPLERS):
        raise ValueError(f"{name}: the sampler {preset.sampler} and the times of its steps don't go together.")


def _check(entry: ModelEntry) -> None:
    if any(count % 4 != 1 for count in entry.frames) or len(entry.frames) != 2:
        raise ValueError(f"{entry.id}: frames must be two numbers of the form 4k + 1.")
    if entry.trunk_makes_text and not entry.is_control:
        raise ValueError(f"{entry.id}: only a control model has a trunk beside its control.")
    if entry.usual_frames and not entry.min_frames <= entry.usual_frames <= entry.max_frames:
        raise ValueError(f"{entry.id}: usual_frames is not a length that it makes.")
    if any(side % entry.multiple for side in entry.sides) or len(entry.sides) != 2:
        raise ValueError(f"{entry.id}: sides must be two multiples of {entry.multiple}.")
    if entry.size(entry.default_size) is None:
        raise ValueError(f"{entry.id}: default_size is not one of its sizes.")
    if not entry.repo and not entry.package_folder and not entry.trunk:
        raise ValueError(f"{entry.id}: neither repo, package_folder nor trunk says where it comes from.")
    if bool(entry.transformer_files) != bool(entry.parts_repo) or (
        entry.transformer_files and len(entry.transformer_files) != entry.weights.experts
    ):
        raise ValueError(f"{entry.id}: transformer_files, parts_repo and its experts don't go together.")
    for quality in Quality:
        _check_preset(entry.id, entry.preset(quality))


@functools.cache
def load() -> Catalogue:
    """The catalogue that comes with the backend."""
    return parse_catalogue(CATALOGUE_FILE.read_text("utf-8"))


def entry(model_id: str) -> ModelEntry:
    """The model of that id; raises UnknownModel, which lists the valid ones."""
    return load().entry(model_id)


def any_entry(known_id: str) -> AnyEntry:
    """The model, or what is used beside one, of that id; raises UnknownModel."""
    return load().any_entry(known_id)
