"""Loads the components of a Wan model, from a folder as diffusers saves it or each from its own file.

Safetensors and GGUF only, never from the network; each component when it is first wanted; every failure a Refusal whose
sentence names the component or the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from ..catalogue.architecture import Architecture, boundary_ratio
from ..library import integrity
from ..library.component_files import ComponentFiles, FilesStamp, classes
from ..protocol import spoken
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from . import component_folder, devices, finite, single_files, weight_forms
from .matrix_products import EightBitProduct
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .tensors import tokenizer_model
from .weight_forms import TRANSFORMER_CLASSES, Form

log = logging.getLogger(__name__)

COMPONENT_CLASSES = {
    "text_encoder": transformers.UMT5EncoderModel,
    "image_encoder": transformers.CLIPVisionModel,
    "vae": diffusers.AutoencoderKLWan,
}
BASE_COMPONENTS = ("text_encoder", "transformer", "vae")
"""Of every model; one that looks at pictures has an image encoder, too, and one with two experts `transformer_2`."""
_LOOKED_AT: set[FilesStamp] = set()
"""Files whose weights were seen to be numbers, by this process."""
# ValueError: also JSON's; RuntimeError: also NotImplementedError, for tensors left without content.
_LOAD_ERRORS = (
    OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class Precision:
    """The number format of each component's weights."""

    text_encoder: torch.dtype
    transformer: torch.dtype
    vae: torch.dtype
    image_encoder: torch.dtype = torch.float32
    """It runs once a take; Wan's own pipelines keep it in 32 bit."""
    quantized: bool = False
    """True if a GGUF or fp8 transformer stays as it lies in its file: in less memory, with more time a step."""

    @property
    def transformer_2(self) -> torch.dtype:
        """That of `transformer`: the two experts are alike."""
        return self.transformer

    @classmethod
    def for_device(cls, device: torch.device) -> Precision:
        """bfloat16 on a card (diffusers keeps the norms in float32), float32 on the CPU."""
        if device.type == "cpu":
            return cls(torch.float32, torch.float32, torch.float32)
        vae = torch.bfloat16 if device.type == "cuda" else torch.float32
        return cls(torch.bfloat16, torch.bfloat16, vae, quantized=device.type == "cuda")


class WanModel:
    """A Wan model on the disk; its components come into memory when first asked for and stay until dropped."""

    _weights_in_8_bit = False
    _matrix_product: EightBitProduct | None = None

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        precision: Precision | None = None,
        components: Mapping[str, Path] | None = None,
        copies: Path | None = None,
    ) -> None:
        """`components`: the file or folder of each, if not all are in `folder`; `copies`: the bf16 cache's folder."""
        self.folder = folder
        self.component_files = ComponentFiles(folder, components)
        self._copies = copies
        self.device = device
        self.precision = precision or Precision.for_device(device)
        self._components: dict[str, Any] = {}
        index = self.component_files.index()
        self.classes = classes(index)
        self.architecture = self.component_files.architecture(index)
        self.boundary = boundary_ratio(index)
        """Where the second expert takes over, as a share of the noise; None for a model with one transformer."""
        self._stamp = self.component_files.stamp()
        held = (name for name in (*self.components, "tokenizer") if self.component_files.has(name))
        self._component_stamps = {name: self.component_files.component_stamp(name) for name in held}
        """The stamps of the files at first: what is in memory is of those, whatever is put in their place later."""

    @property
    def weights_in_8_bit(self) -> bool:
        """True if transformers have their blocks in 8 bit: half the memory. Files that are smaller stay so."""
        return self._weights_in_8_bit

    @weights_in_8_bit.setter
    def weights_in_8_bit(self, wanted: bool) -> None:
        """Setting it drops the transformers that are in memory in another form."""
        before = self._forms()
        self._weights_in_8_bit = wanted
        self._drop_other_forms(before)

    @property
    def matrix_product(self) -> EightBitProduct | None:
        """The product in 8 bit that transformers compute with, their weights in its format; None: they are exact."""
        return self._matrix_product

    @matrix_product.setter
    def matrix_product(self, wanted: EightBitProduct | None) -> None:
        """Setting it drops the transformers that are in memory in another form."""
        before = self._forms()
        self._matrix_product = wanted
        self._drop_other_forms(before)

    def _forms(self) -> dict[str, Form]:
        """Those of the components in memory."""
        return {name: self._form(name, self.weights_in_8_bit) for name in self._components}

    def _drop_other_forms(self, before: dict[str, Form]) -> None:
        now = self._forms()
        others = [name for name, form in before.items() if form is not now[name]]
        for name in others:
            self.drop(name)
        if others:
            devices.release(self.device)

    @property
    def controlled(self) -> bool:
        """True for a VACE transformer, which always wants control latents."""
        return self.architecture is Architecture.CONTROL

    @property
    def components(self) -> tuple[str, ...]:
        """Their names, as in the index of a folder of diffusers; without the tokenizer."""
        seeing = ("image_encoder",) if self.architecture.looks_at_pictures else ()
        return (*BASE_COMPONENTS, *seeing, *(("transformer_2",) if self.boundary is not None else ()))

    @property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer, of transformers or, for a single file, SentencePieceTokenizer."""
        return self._kept("tokenizer", self._load_tokenizer)

    @property
    def text_encoder(self) -> Any:
        """The UMT5 encoder of prompts. Raises Refusal, as every component does that has to be read."""
        return self._kept("text_encoder", self._load_text_encoder)

    @property
    def transformer(self) -> Any:
        """The diffusion transformer, of the class that the folder's index names."""
        return self._kept("transformer", lambda: self._load_transformer("transformer"))

    @property
    def transformer_2(self) -> Any:
        """The second expert, for the steps with little noise."""
        return self._kept("transformer_2", lambda: self._load_transformer("transformer_2"))

    @property
    def vae(self) -> Any:
        """The video autoencoder, diffusers' AutoencoderKLWan."""
        return self._kept("vae", lambda: self._load("vae", self.precision.vae))

    @property
    def image_encoder(self) -> Any:
        """The CLIP encoder of a model that looks at pictures."""
        return self._kept("image_encoder", self._load_image_encoder)

    @property
    def image_processor(self) -> Any:
        """What brings a picture to the size and the colors that the image encoder knows."""
        return self._kept("image_processor", self._load_image_processor)

    def component(self, name: str) -> Any:
        """The module of the component of that name, one of `components`, read if need be. Raises Refusal."""
        return getattr(self, name)

    def loaded(self, component: str) -> bool:
        """True if its module is in memory."""
        return component in self._components

    def drop(self, component: str) -> None:
        """Forget its module; it is read from the disk again when next wanted."""
        self._components.pop(component, None)

    def drop_all(self) -> None:
        """Forget every module."""
        self._components.clear()

    def unchanged(self) -> bool:
        """False once the files on the disk are others than when this model was made."""
        return self._stamp == self.component_files.stamp()

    def take_over(self, other: WanModel) -> None:
        """Have those components of `other` in memory that this model has from the same files, in the same format."""
        shared = ("text_encoder", "vae", "image_encoder")
        for name in shared:
            if not other.loaded(name) or not self.component_files.has(name):
                continue
            alike = self.device == other.device and getattr(self.precision, name) == getattr(other.precision, name)
            if alike and self._component_stamps.get(name) == other._component_stamps.get(name):
                log.info("%s of %s stays in memory", name, other.folder)
                self._components[name] = other._components[name]

    def fingerprint(self, component: str = "", as_held: bool = True) -> str:
        """64 hexadecimal digits that differ for other files, of the model or of a component; `as_held` in memory."""
        own = self._component_stamps.get(component, ()) if component else self._stamp
        tokenizer = self._component_stamps.get("tokenizer", ()) if component == "text_encoder" else ()
        names = [component] if component else list(self.components)
        formats = {name: str(getattr(self.precision, name)) for name in names}
        formats["quantised"] = str(self.precision.quantized)
        for name in names if as_held else ():
            formats |= {f"{name} in 8 bit": self._form(name, True).name} if self._is_changed(name) else {}
        if self.matrix_product is not None:  # chosen by a person, and not for want of memory
            kernel = self.matrix_product.kernel.name
            formats |= {f"{name} matrices": kernel for name in names if name.startswith("transformer")}
        identity = [own, tokenizer, formats, self.device.type, transformers.__version__, diffusers.__version__]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def config(self, component: str) -> dict[str, Any]:
        """The component's configuration, without loading its weights."""
        return self.component_files.config(component)

    def weight_files(self, component: str) -> list[Path]:
        """The files that will be read when the component is loaded; none if it is in memory."""
        if self.loaded(component) or not self.component_files.has(component):
            return []
        place, *module = self.component_files.places(component)
        if place.is_file() or module:
            return [*(sorted(place.glob("*.safetensors")) if place.is_dir() else [place]), *module]
        dtype = getattr(self.precision, component)
        return component_folder.weight_files(self._class_of(component), place, dtype, self._copies)

    def _class_of(self, component: str) -> Any:
        return COMPONENT_CLASSES.get(component) or TRANSFORMER_CLASSES[self.classes[component]]

    def parameter_count(self, component: str) -> int:
        """How many numbers the component's weights are, read from the heads of its files."""
        if self.loaded(component):
            named = self._components[component].named_parameters()
            return sum(weight.numel() for name, weight in named if ".lora_" not in name)
        single = self.component_files.file(component)
        if single is not None:
            return single.count
        try:
            return component_folder.count(self.component_files.path(component))
        except (OSError, SafetensorError) as error:
            raise self._broken(component, error) from error

    @property
    def quantized(self) -> bool:
        """True if transformers are in 8 bit or less by themselves."""
        return self._form("transformer", False) is not Form.WHOLE

    def weight_bytes(self, component: str, in_8_bit: bool | None = None) -> int:
        """Bytes of the component's weights once they are in memory; `in_8_bit`: if `weights_in_8_bit` were that."""
        now, dtype = self._form(component, self.weights_in_8_bit), getattr(self.precision, component)
        form = now if in_8_bit is None else self._form(component, in_8_bit)
        if self.loaded(component) and form is now:
            return weight_forms.held_bytes(self._components[component])
        if form is Form.WHOLE:
            return self.parameter_count(component) * int(dtype.itemsize)
        return weight_forms.smaller_bytes(form, self.component_files.file(component), self.config(component), dtype)

    def _form(self, component: str, in_8_bit: bool) -> Form:
        if not component.startswith("transformer"):
            return Form.WHOLE
        wanted = None if self.matrix_product is None else self.matrix_product.weight_format
        file = self.component_files.file(component)
        return weight_forms.form_of(file, self.device, self.precision.quantized, in_8_bit, wanted)

    def _is_changed(self, component: str) -> bool:
        """True if `weights_in_8_bit` changes the component's weights."""
        return self.weights_in_8_bit and self._form(component, True) is not self._form(component, False)

    def _kept(self, name: str, load: Callable[[], Any]) -> Any:
        if name not in self._components:
            log.info("loading %s of %s", name, self.folder)
            self._components[name] = load()
        return self._components[name]

    def _load_tokenizer(self) -> Any:
        place = self.component_files.path("tokenizer")
        try:
            if place.is_file():
                return SentencePieceTokenizer(tokenizer_model(place))
            return transformers.AutoTokenizer.from_pretrained(place, local_files_only=True)
        except _LOAD_ERRORS as error:
            raise self._broken("tokenizer", error) from error

    def _load_text_encoder(self) -> Any:
        return self._load("text_encoder", self.precision.text_encoder)

    def _load_image_encoder(self) -> Any:
        return self._load("image_encoder", self.precision.image_encoder)

    def _load_image_processor(self) -> Any:
        # By its own name, since the general one takes another arithmetic if torchvision is installed; and whatever
        # the index says, for there it may be a whole CLIPProcessor, of which only this is wanted.
        try:
            if self.component_files.is_composed:
                side = int(self.config("image_encoder").get("image_size", 224))
                crop = {"height": side, "width": side}
                return transformers.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=crop)
            return transformers.CLIPImageProcessorPil.from_pretrained(
                self.folder, subfolder="image_processor", local_files_only=True
            )
        except _LOAD_ERRORS as error:
            raise self._broken("image_processor", error) from error

    def _load_transformer(self, component: str) -> Any:
        return self._load(component, self.precision.transformer)

    def _load(self, component: str, dtype: torch.dtype) -> Any:
        single, form = self.component_files.file(component), self._form(component, self.weights_in_8_bit)
        try:
            if single is None:
                kind, folder = self._class_of(component), self.component_files.path(component)
                rounded_to = torch.int8 if form is Form.ROUNDED else form.product_format
                module = component_folder.load(kind, folder, dtype, self._copies, rounded_to)
            else:
                as_in_file, rounded = form is Form.AS_IN_FILE, form is Form.ROUNDED
                module = single_files.load(single, dtype, as_in_file, rounded, form.product_format)
        except UnusableFile as why:
            if devices.is_out_of_memory(why):
                raise
            if single is None:
                raise _refusal(
                    Sentence(
                        "The {component} in {folder} is incomplete: {why}. Download it again.",
                        component=_spoken(component),
                        folder=self.folder,
                        why=why,
                    )
                ) from why
            raise _refusal(
                Sentence(
                    "{file} can't be loaded because {why}; get the file again, or use another.",
                    file=single.file,
                    why=why,
                )
            ) from why
        except _LOAD_ERRORS as error:
            if devices.is_out_of_memory(error):
                raise
            raise self._broken(component, error) from error
        self._look_at_numbers(component, module)
        return module.eval().requires_grad_(False)

    def _look_at_numbers(self, component: str, module: Any) -> None:
        """Raise Refusal if a weight is no number; one that is read again from the same files isn't looked at."""
        stamp = self._component_stamps.get(component, ())
        if stamp and stamp in _LOOKED_AT:
            return
        broken = finite.broken_weight(module)
        if broken is not None:
            place = self._file_of(component, broken.removesuffix("_scale"))
            raise _refusal(
                Sentence(
                    "{place} is damaged: its weight {name} contains NaN or infinite numbers, so every take "
                    "would be black. Get the file again, or use another.",
                    place=place,
                    name=broken,
                )
            )
        _LOOKED_AT.add(stamp)

    def _file_of(self, component: str, tensor: str) -> Path:
        """The file that has a tensor of the component."""
        single = self.component_files.file(component)
        piece = single.slices.get(tensor) if single is not None else None
        if piece is not None and piece.file is not None:
            return piece.file
        return component_folder.file_of(self.component_files.path(component), tensor)

    def _broken(self, component: str, error: Exception) -> Refusal:
        """The sentence for a component that would not load: the damaged file by name if there is one.

        Raises `error` itself if memory was spent, for which the component is not to blame.
        """
        if devices.is_out_of_memory(error):
            raise error
        log.error("%s of %s would not load", component, self.folder, exc_info=error)
        try:
            if not self.component_files.is_composed:
                integrity.check(self.folder)
        except UnusableFile as why:
            return _refusal(
                Sentence(
                    "The model in {folder} can't be loaded because {why}; download it again.",
                    folder=self.folder,
                    why=why,
                )
            )
        reason: str = guarded_files.complaint(error) if isinstance(error, OSError) and error.strerror else str(error)
        if not isinstance(reason, Sentence):
            reason = reason.strip().split("\n")[0].rstrip(".")[:300]
        place = self.component_files.path(component) if self.component_files.is_composed else self.folder
        return _refusal(
            Sentence(
                "The {component} in {place} can't be loaded: {reason}.",
                component=_spoken(component),
                place=place,
                reason=reason,
            )
        )


def _spoken(component: str) -> Sentence:
    named = {"vae": Sentence("autoencoder"), "transformer_2": Sentence("second transformer")}
    return named.get(component) or spoken.component(component)


def _refusal(sentence: Sentence) -> Refusal:
    return Refusal(Problem(ProblemKind.MODEL_BROKEN, sentence))
