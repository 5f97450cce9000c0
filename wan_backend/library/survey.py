"""Surveys models folders: what each file is, or why it can't be used.

A models folder may be one of ComfyUI (`diffusion_models`, `text_encoders`, `vae` and so on), a flat one, or one with
models in the diffusers layout. The content of a file says what it is, never the name of its folder.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..catalogue.architecture import CAMERA_CLASS
from ..protocol import spoken
from ..protocol.sentences import NO_SENTENCE, Sentence, as_sentence
from ..storage import guarded_files, unresponsive_folders
from ..storage.guarded_files import Stamp, UnusableFile
from . import a14b_experts, configs, integrity, renderer_folders, weights_head
from .recognize import Candidate, FileComponent, recognize_components
from .transformer_answers import Answers

log = logging.getLogger(__name__)

MAX_DEPTH = 4
MAX_FILES = 5000
SKIPPED_FOLDERS = {"loras", "blobs", "node_modules", "site-packages", "__pycache__", "custom_nodes", "output", "input"}
"""Folders that hold no components of models, however many files they have."""
SAFE_FORMS = {
    "clip_vision_h.safetensors": re.compile(r"xlm[-_]?roberta|clip[-_.]?vision|open[-_]?clip"),
    Sentence("umt5_xxl_fp16.safetensors or umt5_xxl_fp8_e4m3fn_scaled.safetensors"): re.compile(r"umt5"),
    Sentence("wan_2.1_vae.safetensors or wan2.2_vae.safetensors"): re.compile(r"wan.*vae|vae.*wan"),
    Sentence("it as .safetensors or .gguf"): re.compile(r"wan"),
}
"""What to get in place of a pickled file, which nobody should open, by a pattern in the names of Wan's files."""
FOLDER_WEIGHTS = re.compile(r"(diffusion_pytorch_model|pytorch_model|model)([.-].*)?\.safetensors")
"""The names that diffusers and transformers give to the weights of a component in a folder of its own."""
PUBLISHED = ("blocks.0.self_attn.q.weight", "decoder.middle.0.residual.0.gamma")
"""Names in Wan's own files of a transformer and of an autoencoder end in these."""
TOKENIZER_TENSOR = "spiece_model"
"""The tensor of a text encoder's file that carries its tokenizer."""
COMPONENT_OF_CLASS = {
    "WanTransformer3DModel": "transformer",
    "WanVACETransformer3DModel": "transformer",
    CAMERA_CLASS: "transformer",
    "AutoencoderKLWan": "vae",
    "UMT5EncoderModel": "text_encoder",
    "CLIPVisionModel": "image_encoder",
    "CLIPVisionModelWithProjection": "image_encoder",
}


@dataclass(frozen=True)
class SurveyedFile:
    """A file that was looked into: the components that it holds, or why it can't be used; neither if it isn't Wan's."""

    file: Path
    components: tuple[FileComponent, ...] = ()
    why: Sentence = NO_SENTENCE
    """A clause, to follow "because"."""
    carries_tokenizer: bool = False
    """True for a text encoder with the tokenizer in the same file."""
    size_bytes: int = 0
    """The length of a file that holds a component."""


@dataclass(frozen=True)
class Survey:
    """What was found in all folders."""

    files: tuple[SurveyedFile, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    tokenizers: tuple[Path, ...] = ()
    """Folders of tokenizers, and files that carry one."""
    unusable: tuple[Candidate, ...] = ()
    """Transformers that are, or may be, experts of a Wan 2.2 and can't be used (`a14b_experts.why_unusable`)."""

    def of(self, component: str) -> Iterator[Candidate]:
        """The candidates for a component."""
        return (candidate for candidate in self.candidates if candidate.component == component)


def survey(
    folders: Iterable[Path],
    snapshots: Iterable[Path] = (),
    on_file: Callable[[int], None] = lambda _: None,
    answers: Answers = MappingProxyType({}),
    files: Iterable[Path] = (),
) -> Survey:
    """Look into every file of `folders` and into `files`, and at the diffusers folders there and among `snapshots`.

    Never raises for what lies there: a file or folder that can't be looked at is a row that says why. `on_file` gets
    the number of files after each. `answers` are what a person said of transformers that nothing else tells.
    """
    surveyor = _Surveyor()
    seen: set[Path] = set()
    for place in (place for folder in folders for place in surveyor.walk(folder)):
        if place not in seen:
            seen.add(place)
            surveyor.add(place)
            on_file(len(seen))
    for file in files:
        if file not in seen:
            seen.add(file)
            surveyor.add(file)
    for child in (child for snapshot in snapshots for child in _children(snapshot)):
        surveyor.add(child, is_folder=True)
    return surveyor.survey(answers)


class _Surveyor:
    """Collects what files and folders are, one after another."""

    def __init__(self) -> None:
        self._files: dict[Path, SurveyedFile] = {}
        self._candidates: list[Candidate] = []
        self._tokenizers: list[Path] = []

    def add(self, place: Path, is_folder: bool = False) -> None:
        """Note what a file or folder is. Never raises."""
        try:
            with guarded_files.guard():
                if is_folder or place.is_dir():
                    self._tokenizers += _tokenizers(place)
                    self._candidates += _folder_components(place)
                    return
                self._files[place] = found = inspect_file(place)
                many = len(found.components) > 1
                self._candidates += [Candidate.of_file(each, found.size_bytes, many) for each in found.components]
                if found.carries_tokenizer:
                    self._tokenizers.append(place)
        except UnusableFile as why:
            if not _is_of_a_cache(place):  # there it may be on its way, and the list of models says what is missing
                self._files[place] = SurveyedFile(place, why=as_sentence(str(why)))

    def survey(self, answers: Answers) -> Survey:
        """All that was found; here the experts of Wan 2.2 are told apart, for that takes all names at once."""
        candidates = a14b_experts.assign_experts(self._candidates, answers)
        for each in candidates:
            self._note_expert(each)
        usable = tuple(each for each in candidates if not a14b_experts.why_unusable(each.expert))
        unusable = tuple(each for each in candidates if a14b_experts.why_unusable(each.expert))
        return Survey(tuple(self._files.values()), usable, tuple(self._tokenizers), unusable)

    def _note_expert(self, candidate: Candidate) -> None:
        """Have the row of the transformer's file say which expert it is, or why it can't be used."""
        row = self._files.get(candidate.path)
        if not candidate.expert or row is None:
            return
        why = a14b_experts.why_unusable(candidate.expert, candidate.component)
        components = tuple(
            dataclasses.replace(each, expert=candidate.expert) if each.component == candidate.component else each
            for each in row.components
        )
        self._files[candidate.path] = dataclasses.replace(row, components=() if why else components, why=why)

    def walk(self, folder: Path) -> Iterator[Path]:
        """The files and folders to look at in a models folder; notes the folders in it that can't be read."""
        if unresponsive_folders.containing(folder):
            return  # as below
        try:
            with guarded_files.guard():
                yield from self._places(_models_of(folder))
        except UnusableFile as why:  # the list of models says what is wrong with the folder itself
            log.warning("The models folder %s was looked through in part, because %s", folder, why)

    def _places(self, root: Path) -> Iterator[Path]:
        """Files of weights, and folders in the diffusers layout of a component or tokenizer; links are followed."""

        def on_error(error: OSError) -> None:
            place = Path(error.filename or root)
            if place != root:
                self._files[place] = SurveyedFile(
                    place, why=guarded_files.IT.with_values(complaint=guarded_files.complaint(error))
                )

        seen: set[str] = set()
        count = 0
        for folder, children, names in _walk(str(root), on_error):
            real = os.path.realpath(folder)
            depth = len(Path(folder).relative_to(root).parts)
            if real in seen or depth > MAX_DEPTH:
                children.clear()
                continue
            seen.add(real)
            children[:] = sorted(c for c in children if c.lower() not in SKIPPED_FOLDERS and not c.startswith("."))
            if "config.json" in names or any(name in names for name in integrity.TOKENIZER_FILES):
                yield Path(folder)
            own = FOLDER_WEIGHTS if _component_kind(Path(folder), names) else None
            for name in sorted(names):
                if own and own.fullmatch(name):
                    continue
                if (
                    name.lower().endswith((*weights_head.SUFFIXES, *weights_head.PICKLED_SUFFIXES))
                    and count < MAX_FILES
                ):
                    count += 1
                    yield Path(folder) / name


_cached: dict[Path, tuple[Stamp, SurveyedFile]] = {}
"""What each file is that was ever looked at, as long as it is unchanged."""


def inspect_file(file: Path) -> SurveyedFile:
    """What one file is; cached as long as it is unchanged. Never raises."""
    try:
        with guarded_files.guard():
            found = guarded_files.regular_stamp(file)
    except UnusableFile as why:
        return SurveyedFile(file, why=as_sentence(str(why)))
    cached = _cached.get(file)
    if cached is not None and cached[0] == found:
        return cached[1]
    try:
        with guarded_files.guard():
            made = _inspect(file)
    except UnusableFile as why:
        made = SurveyedFile(file, why=as_sentence(str(why)))
        if isinstance(why.__cause__, OSError | MemoryError):  # it may go well the next time
            return made
    _cached[file] = found, made
    return made


def _inspect(file: Path) -> SurveyedFile:
    """What one file is. Raises UnusableFile."""
    if file.suffix.lower() in weights_head.PICKLED_SUFFIXES:
        instead = next((get for get, name in SAFE_FORMS.items() if name.search(file.name.lower())), "")
        why = (
            Sentence("it is pickled, which could run any code; get {instead} instead", instead=instead)
            if instead
            else NO_SENTENCE
        )
        return SurveyedFile(file, why=why)
    head = weights_head.read_head(file)
    components = tuple(recognize_components(head))
    if not components:
        return SurveyedFile(file)
    is_encoder = any(each.component == "text_encoder" for each in components)
    carries = is_encoder and any(name.endswith(TOKENIZER_TENSOR) for name in head.tensors)
    return SurveyedFile(file, components, NO_SENTENCE, carries, head.size_bytes)


def _is_of_a_cache(place: Path) -> bool:
    """Whether it is part of a model as Hugging Face's cache keeps it."""
    return any(parent.name.startswith("models--") for parent in place.parents)


def _models_of(folder: Path) -> Path:
    """The models folder of a ComfyUI, if a person chose the folder of the program."""
    inner = folder / "models"
    return inner if (inner / "diffusion_models").is_dir() or (inner / "unet").is_dir() else folder


def _children(snapshot: Path) -> list[Path]:
    try:
        with guarded_files.guard():
            return sorted(child for child in snapshot.iterdir() if child.is_dir())
    except UnusableFile:  # the list of models says what is wrong with it
        return []


def _walk(root: str, refuse: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walks like os.walk with links followed, but past places that are known not to answer."""
    left = [root]
    while left:
        folder, children, names = left.pop(), list[str](), list[str]()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if unresponsive_folders.containing(entry.path):
                        refuse(OSError(errno.ETIMEDOUT, Sentence("it does not answer"), entry.path))
                    else:
                        (children if _is_folder(entry) else names).append(entry.name)
        except OSError as error:
            refuse(error)
            continue
        yield folder, children, names
        left += [os.path.join(folder, child) for child in reversed(children)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _component_kind(folder: Path, names: Iterable[str]) -> str:
    """The component of a folder in the diffusers layout, by its configuration, its files' names and heads; or empty."""
    own = [folder / name for name in names if FOLDER_WEIGHTS.fullmatch(name)]
    if not own or not (folder / "config.json").is_file():
        return ""
    try:
        with guarded_files.guard():
            kind = _kind_of(guarded_files.read_json(folder / "config.json"))
            return "" if kind and any(_is_published(file) for file in own) else kind
    except UnusableFile:
        return ""


def _is_published(file: Path) -> bool:
    """True if its tensors have Wan's own names: then the file is a component by itself, whatever lies beside."""
    try:
        return any(name.endswith(PUBLISHED) for name in weights_head.read_head(file).tensors)
    except UnusableFile:  # whoever looks at the folder says what is wrong with it
        return False


def _kind_of(config: Any) -> str:
    kinds = [config.get("_class_name"), *_list(config.get("architectures"))] if isinstance(config, dict) else []
    return next(
        (COMPONENT_OF_CLASS[kind] for kind in kinds if isinstance(kind, str) and kind in COMPONENT_OF_CLASS), ""
    )


def _folder_components(folder: Path) -> list[Candidate]:
    """The component of a folder in the diffusers layout, one or none.

    May raise anything; UnusableFile where the folder holds a component that can't be used.
    """
    try:
        config = guarded_files.read_json(folder / "config.json")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    component = _component_kind(folder, [child.name for child in folder.iterdir()])
    if not component:
        return []
    integrity.check_component(folder, component, "")
    architecture = None
    if component == "transformer":
        config = renderer_folders.marked(config, folder)
        made = {"out_channels": 16, "in_channels": 16, **{k: v for k, v in config.items() if v is not None}}
        architecture = configs.architecture_of(made)
    words = Sentence("{component} in a folder of its own", component=spoken.component(component))
    expert, is_known = _folder_expert(folder) if component == "transformer" else ("", True)
    names = (config.get("_name_or_path"),)
    titles = tuple(name for name in names if isinstance(name, str))
    return [Candidate(component, folder, config, "", words, architecture, expert, titles, 0 if is_known else 1)]


def _folder_expert(folder: Path) -> tuple[str, bool]:
    """The expert that a transformer's folder is by the model around it, and whether that model says so."""
    try:
        index = integrity.read_index(folder.parent)
    except UnusableFile:
        index = None
    second = folder.parent / "transformer_2"
    two = (
        second.is_dir() if index is None else index.get("boundary_ratio") is not None or _names_component(index, second)
    )
    if folder.name == second.name:
        return a14b_experts.LOW, True
    return (a14b_experts.HIGH, True) if two else ("", index is not None)


def _names_component(index: Mapping[str, Any], component: Path) -> bool:
    row = index.get(component.name)
    return isinstance(row, list) and len(row) == 2 and row[1] is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tokenizers(folder: Path) -> list[Path]:
    return [folder] if any((folder / name).is_file() for name in integrity.TOKENIZER_FILES) else []
