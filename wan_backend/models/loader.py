"""Loads the parts of a Wan model from a folder as diffusers saves it. May import torch and diffusers.

Safetensors only, never from the network; each part when it is first wanted; every failure a Refusal whose
sentence names the part or the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open

from ..protocol.errors import Refusal
from ..protocol.messages import Problem
from . import devices, wholeness
from .layout import Layout, Unfit, told

log = logging.getLogger(__name__)

INDEX_FILE = "model_index.json"
TRANSFORMER_CLASSES = {
    "WanTransformer3DModel": diffusers.WanTransformer3DModel,
    "WanVACETransformer3DModel": diffusers.WanVACETransformer3DModel,
}
PARTS = ("text_encoder", "transformer", "vae")
"""Of every model; one that looks at pictures has an image encoder, too."""
_LOAD_ERRORS = (
    OSError,
    ValueError,  # also JSON errors
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,  # also NotImplementedError, for tensors left without content
    ImportError,
    SafetensorError,
)


@dataclass(frozen=True)
class Precision:
    """The number format of each part's weights."""

    text_encoder: torch.dtype
    transformer: torch.dtype
    vae: torch.dtype
    image_encoder: torch.dtype = torch.float32
    """It runs once a take; Wan's own pipelines keep it in 32 bit."""

    @classmethod
    def for_device(cls, device: torch.device) -> Precision:
        """bfloat16 on a card (diffusers keeps the norms in float32), float32 on the CPU."""
        if device.type == "cpu":
            return cls(torch.float32, torch.float32, torch.float32)
        vae = torch.bfloat16 if device.type == "cuda" else torch.float32
        return cls(torch.bfloat16, torch.bfloat16, vae)


class WanModel:
    """A Wan model in a folder; its parts come into memory when first asked for and stay until dropped."""

    def __init__(self, folder: Path, device: torch.device, precision: Precision | None = None) -> None:
        self.folder = folder
        self.device = device
        self.precision = precision or Precision.for_device(device)
        self._parts: dict[str, Any] = {}
        index = _read_index(folder)
        self.classes = _classes(index)
        self.layout = _read_layout(folder, index)
        self._stamp = _stamp(folder)

    @property
    def controlled(self) -> bool:
        """True for a VACE transformer, which always wants control latents."""
        return self.layout is Layout.CONTROL

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its parts."""
        return (*PARTS, "image_encoder") if self.layout.looks_at_pictures else PARTS

    @property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer."""
        return self._kept("tokenizer", self._load_tokenizer)

    @property
    def text_encoder(self) -> Any:
        """The UMT5 encoder."""
        return self._kept("text_encoder", self._load_text_encoder)

    @property
    def transformer(self) -> Any:
        """The diffusion transformer, of the class that the folder's index names."""
        kind = TRANSFORMER_CLASSES[self.classes["transformer"]]
        return self._kept("transformer", lambda: self._load_diffusers("transformer", kind))

    @property
    def vae(self) -> Any:
        """The video autoencoder."""
        return self._kept("vae", lambda: self._load_diffusers("vae", diffusers.AutoencoderKLWan))

    @property
    def image_encoder(self) -> Any:
        """The CLIP encoder of a model that looks at pictures."""
        load = lambda: self._load("image_encoder", transformers.CLIPVisionModel, self.precision.image_encoder)  # noqa: E731
        return self._kept("image_encoder", load)

    @property
    def image_processor(self) -> Any:
        """What brings a picture to the size and the colours that the image encoder knows."""
        return self._kept("image_processor", self._load_image_processor)

    def part(self, name: str) -> Any:
        """The part of that name: one of `parts`."""
        return getattr(self, name)

    def loaded(self, part: str) -> bool:
        """True where `part` is in memory."""
        return part in self._parts

    def drop(self, part: str) -> None:
        """Forget `part`; it is read from the disk again when next wanted."""
        self._parts.pop(part, None)

    def drop_all(self) -> None:
        """Forget every part."""
        self._parts.clear()

    def unchanged(self) -> bool:
        """False where the folder's files are others than those that were there at first."""
        return self._stamp == _stamp(self.folder)

    def fingerprint(self, part: str = "") -> str:
        """Tells the model's files, or those of one part, from any others: 64 hexadecimal digits."""
        own = [row for row in self._stamp if not part or Path(row[0]).parent.name == part]
        tokenizer = [] if part != "text_encoder" else _stamp_of(sorted((self.folder / "tokenizer").glob("*")))
        formats = {name: str(getattr(self.precision, name)) for name in ([part] if part else self.parts)}
        said = [own, tokenizer, formats, self.device.type, transformers.__version__, diffusers.__version__]
        return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()

    def config(self, part: str) -> dict[str, Any]:
        """The part's configuration, without loading its weights."""
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        return _read_json(self.folder / part / name)

    def parameter_count(self, part: str) -> int:
        """How many numbers the part's weights are, read from the heads of its files."""
        if self.loaded(part):
            return sum(weight.numel() for weight in self._parts[part].parameters())
        count = 0
        for file in sorted((self.folder / part).glob("*.safetensors")):
            try:
                with safe_open(file, framework="pt") as tensors:
                    count += sum(_numel(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
            except (OSError, SafetensorError) as error:
                raise self._broken(part, error) from error
        return count

    def _kept(self, name: str, load: Callable[[], Any]) -> Any:
        if name not in self._parts:
            log.info("loading %s of %s", name, self.folder)
            self._parts[name] = load()
        return self._parts[name]

    def _load_tokenizer(self) -> Any:
        try:
            return transformers.AutoTokenizer.from_pretrained(self.folder, subfolder="tokenizer", local_files_only=True)
        except _LOAD_ERRORS as error:
            raise self._broken("tokenizer", error) from error

    def _load_text_encoder(self) -> Any:
        return self._load("text_encoder", transformers.UMT5EncoderModel, self.precision.text_encoder)

    def _load_image_processor(self) -> Any:
        # By its own name, for the general one takes another arithmetic where torchvision is installed; and whatever
        # the index says, for there it may be a whole CLIPProcessor, of which only this is wanted.
        try:
            return transformers.CLIPImageProcessorPil.from_pretrained(
                self.folder, subfolder="image_processor", local_files_only=True
            )
        except _LOAD_ERRORS as error:
            raise self._broken("image_processor", error) from error

    def _load_diffusers(self, part: str, kind: Any) -> Any:
        return self._load(part, kind, getattr(self.precision, part))

    def _load(self, part: str, kind: Any, dtype: torch.dtype) -> Any:
        try:
            module, report = kind.from_pretrained(
                self.folder,
                subfolder=part,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=dtype,
            )
        except _LOAD_ERRORS as error:
            if devices.is_out_of_memory(error):
                raise
            raise self._broken(part, error) from error
        missing = sorted(report["missing_keys"])
        if missing:
            sentence = f"{len(missing)} of its tensors are missing, the first is {missing[0]}"
            raise _refusal(f"The {_spoken(part)} in {self.folder} is not whole: {sentence}. Download it again.")
        return module.eval().requires_grad_(False)

    def _broken(self, part: str, error: Exception) -> Refusal:
        """The sentence for a part that would not load: the damaged file by name where there is one."""
        log.error("%s of %s would not load", part, self.folder, exc_info=error)
        try:
            wholeness.check(self.folder)
        except wholeness.NotWhole as why:
            return _refusal(f"The model in {self.folder} can't be loaded because {why}; download it again.")
        reason = str(error).strip().split("\n")[0].rstrip(".")[:300]
        return _refusal(f"The {_spoken(part)} in {self.folder} can't be loaded: {reason}.")


def _read_index(folder: Path) -> dict[str, Any]:
    """The folder's index; raises Refusal where it is not a Wan model's."""
    if not (folder / INDEX_FILE).is_file():
        raise _refusal(
            f"{folder} holds no model: there is no {INDEX_FILE} in it. Choose the folder that has one.",
            "model_missing",
        )
    index = _read_json(folder / INDEX_FILE)
    classes = _classes(index)
    found = str(classes.get("transformer"))
    if found not in TRANSFORMER_CLASSES or classes.get("vae") != "AutoencoderKLWan":
        kind = index.get("_class_name", "something unknown")
        raise _refusal(f"{folder} holds {kind}, which is not a Wan model that this version can run.")
    return index


def _classes(index: dict[str, Any]) -> dict[str, str]:
    """Part name -> class name."""
    return {name: row[1] for name, row in index.items() if isinstance(row, list) and len(row) == 2}


def _read_layout(folder: Path, index: dict[str, Any]) -> Layout:
    """What the model is conditioned by; raises Refusal where its parts don't go together."""
    transformer, vae = (_read_json(folder / part / "config.json") for part in ("transformer", "vae"))
    file = folder / "image_encoder" / "config.json"
    try:
        return told(index, transformer, vae, _read_json(file) if file.is_file() else None)
    except Unfit as why:
        raise _refusal(f"The model in {folder} can't be run because {why}; choose another model.") from why


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """Name, length and time of every weights file: tells whether a model was exchanged on the disk."""
    return _stamp_of(sorted(folder.glob("*/*.safetensors")))


def _stamp_of(files: list[Path]) -> list[tuple[str, int, int]]:
    return [(str(file), found.st_size, found.st_mtime_ns) for file in files for found in [file.stat()]]


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise _refusal(f"{file} can't be read: {error}. Download the model again.") from error
    if not isinstance(value, dict):
        raise _refusal(f"{file} is not what it should be; download the model again.")
    return value


def _numel(shape: list[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _spoken(part: str) -> str:
    return {"vae": "autoencoder"}.get(part, part.replace("_", " "))


def _refusal(sentence: str, kind: str = "model_broken") -> Refusal:
    return Refusal(Problem(kind, sentence))
