"""Every file of a models folder: what it is, or why it can't be used. Standard library only; no torch.

A models folder may be one of ComfyUI (`diffusion_models`, `text_encoders`, `vae` and so on), a flat one, or one with
models as diffusers saves them. It is the content that tells, never the name of a folder.
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
from typing import Any

from ..storage import guarded_files, unresponsive_places
from ..storage.file_stamp import Stamp
from . import candidates as found_components
from . import configs, expert_names, file_heads, integrity, partners
from .candidates import Candidate
from .recognize import FileComponent, NotOurs, recognize_components

log = logging.getLogger(__name__)

DEEPEST = 4
MOST_FILES = 5000
NOT_LOOKED_INTO = {"loras", "blobs", "node_modules", "site-packages", "__pycache__", "custom_nodes", "output", "input"}
"""Folders that hold no parts of models, however many files they have."""
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
OURS = {
    "clip_vision_h.safetensors": re.compile(r"xlm[-_]?roberta|clip[-_.]?vision|open[-_]?clip"),
    "umt5_xxl_fp16.safetensors or umt5_xxl_fp8_e4m3fn_scaled.safetensors": re.compile(r"umt5"),
    "wan_2.1_vae.safetensors or wan2.2_vae.safetensors": re.compile(r"wan.*vae|vae.*wan"),
    "it as .safetensors or .gguf": re.compile(r"wan"),
}
"""In the name of a pickled file, which nobody should look into: it may be one of Wan's; and what to get instead."""
OWN_WEIGHTS = re.compile(r"(diffusion_pytorch_model|pytorch_model|model)([.-].*)?\.safetensors")
"""What diffusers and transformers call the weights of a part in a folder of its own."""
PUBLISHED = ("blocks.0.self_attn.q.weight", "decoder.middle.0.residual.0.gamma")
"""At the end of a name in Wan's own files, of a transformer and of an autoencoder."""
SPIECE = "spiece_model"
TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model")
COMPONENTS = {
    "WanTransformer3DModel": "transformer",
    "WanVACETransformer3DModel": "transformer",
    "AutoencoderKLWan": "vae",
    "UMT5EncoderModel": "text_encoder",
    "CLIPVisionModel": "image_encoder",
    "CLIPVisionModelWithProjection": "image_encoder",
}


@dataclass(frozen=True)
class SurveyedFile:
    """A file that was looked into: the parts that it holds; else why it can't be used, empty where it isn't Wan's."""

    file: Path
    components: tuple[FileComponent, ...] = ()
    why: str = ""
    carries_tokenizer: bool = False
    """True of a text encoder with the tokenizer in the same file."""
    size_bytes: int = 0
    """Of a file that holds a part."""


@dataclass(frozen=True)
class Survey:
    """What was found in all folders."""

    files: tuple[SurveyedFile, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    tokenizers: tuple[Path, ...] = ()
    """Folders of tokenizers, and files that carry one."""
    untold: tuple[Candidate, ...] = ()
    """Transformers that are one half of two and can't be used as such (`partners.why_not`)."""

    def of(self, component: str) -> Iterator[Candidate]:
        """The candidates for a part."""
        return (candidate for candidate in self.candidates if candidate.component == component)


def survey(
    folders: Iterable[Path], snapshots: Iterable[Path] = (), on_file: Callable[[int], None] = lambda _: None
) -> Survey:
    """Look into every file of `folders`, and at the diffusers folders among them and among `snapshots`.

    Never raises for what lies there: a file or folder that can't be looked at is one refused row. `on_file` is told
    after each how many were looked at.
    """
    looked: dict[Path, SurveyedFile] = {}
    candidates: list[Candidate] = []
    tokenizers: list[Path] = []
    seen: set[Path] = set()
    for place in (place for folder in folders for place in _places_in(folder, looked)):
        if place in seen:
            continue
        seen.add(place)
        try:
            _look_at(place, looked, candidates, tokenizers)
        except guarded_files.Unlookable as why:
            looked[place] = SurveyedFile(place, why=str(why))
        on_file(len(seen))
    for child in (child for snapshot in snapshots for child in _children(snapshot)):
        try:
            with guarded_files.guard():
                candidates += _folder_components(child)
                tokenizers += _tokenizers(child)
        except guarded_files.Unlookable as why:
            looked[child] = SurveyedFile(child, why=str(why))
    candidates = _settled(candidates, looked)
    usable = tuple(each for each in candidates if not partners.why_not(each.expert))
    untold = tuple(each for each in candidates if partners.why_not(each.expert))
    return Survey(tuple(looked.values()), usable, tuple(tokenizers), untold)


def _look_at(
    place: Path, looked: dict[Path, SurveyedFile], candidates: list[Candidate], tokenizers: list[Path]
) -> None:
    """Add what one file or folder is. Raises Unlookable."""
    with guarded_files.guard():
        if place.is_dir():
            candidates += _folder_components(place)
            tokenizers += _tokenizers(place)
            return
        looked[place] = found = inspect_file(place)
        many = len(found.components) > 1
        candidates += [found_components.of_file(component, found.size_bytes, many) for component in found.components]
        if found.carries_tokenizer:
            tokenizers.append(place)


def _settled(candidates: list[Candidate], looked: dict[Path, SurveyedFile]) -> list[Candidate]:
    """The candidates with the half that each is, which is said of its file as well."""
    settled = partners.settle(candidates)
    for each in settled:
        row = looked.get(each.path)
        if each.expert and row is not None:
            components = tuple(
                dataclasses.replace(p, expert=each.expert) if p.component == each.component else p
                for p in row.components
            )
            why = partners.why_not(each.expert)
            looked[each.path] = dataclasses.replace(row, components=() if why else components, why=why)
    return settled


_kept: dict[Path, tuple[Stamp, SurveyedFile]] = {}
"""What each file is, as long as it is unchanged; one row for each file that was ever looked at."""


def inspect_file(file: Path) -> SurveyedFile:
    """What one file is; kept as long as it is unchanged. Never raises."""
    try:
        with guarded_files.guard():
            found = guarded_files.stamp(file)
    except guarded_files.Unlookable as why:
        return SurveyedFile(file, why=str(why))
    kept = _kept.get(file)
    if kept is not None and kept[0] == found:
        return kept[1]
    try:
        with guarded_files.guard():
            made = _look(file)
    except NotOurs:
        made = SurveyedFile(file)
    except guarded_files.Unlookable as why:
        made = SurveyedFile(file, why=str(why))
        if isinstance(why.__cause__, OSError | MemoryError):  # a machine may be in a better mood next time
            return made
    _kept[file] = found, made
    return made


def _look(file: Path) -> SurveyedFile:
    if file.suffix.lower() in PICKLED:
        instead = next((get for get, name in OURS.items() if name.search(file.name.lower())), "")
        return SurveyedFile(
            file, why=f"it is pickled, which could run any code; get {instead} instead" if instead else ""
        )
    header = file_heads.read(file)
    components = tuple(recognize_components(header))
    is_encoder = any(component.component == "text_encoder" for component in components)
    carries = is_encoder and any(name.endswith(SPIECE) for name in header.tensors)
    return SurveyedFile(file, components, "", carries, header.size_bytes)


def _models_of(folder: Path) -> Path:
    """The models folder of a whole ComfyUI, where a person chose that."""
    inner = folder / "models"
    return inner if (inner / "diffusion_models").is_dir() or (inner / "unet").is_dir() else folder


def _children(snapshot: Path) -> list[Path]:
    try:
        with guarded_files.guard():
            return sorted(child for child in snapshot.iterdir() if child.is_dir())
    except guarded_files.Unlookable:  # what is wrong with it, `sources` says
        return []


def _places_in(folder: Path, looked: dict[Path, SurveyedFile]) -> Iterator[Path]:
    """The places of a models folder, as far as it can be walked; a folder in it that can't is `looked` at."""
    if unresponsive_places.place_of(folder):
        return  # as below
    try:
        with guarded_files.guard():
            yield from _places(_models_of(folder), looked)
    except guarded_files.Unlookable as why:  # what is wrong with the models folder itself, `sources` says
        log.warning("The models folder %s was looked through in part, because %s", folder, why)


def _places(root: Path, looked: dict[Path, SurveyedFile]) -> Iterator[Path]:
    """Files of weights, and folders that hold a part or a tokenizer as diffusers saves it; links are followed."""

    def refuse(error: OSError) -> None:
        place = Path(error.filename or root)
        if place != root:
            looked[place] = SurveyedFile(place, why="it " + guarded_files.complaint(error))

    seen: set[str] = set()
    count = 0
    for folder, children, names in _walk(str(root), refuse):
        real = os.path.realpath(folder)
        depth = len(Path(folder).relative_to(root).parts)
        if real in seen or depth > DEEPEST:
            children.clear()
            continue
        seen.add(real)
        children[:] = sorted(c for c in children if c.lower() not in NOT_LOOKED_INTO and not c.startswith("."))
        if "config.json" in names or any(name in names for name in TOKENIZER_FILES):
            yield Path(folder)
        own = OWN_WEIGHTS if _component_kind(Path(folder), names) else None
        for name in sorted(names):
            if own and own.fullmatch(name):
                continue
            if name.lower().endswith((*file_heads.SUFFIXES, *PICKLED)) and count < MOST_FILES:
                count += 1
                yield Path(folder) / name


def _walk(root: str, refuse: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk with links followed, but past what is known to be silent, which that would look at."""
    left = [root]
    while left:
        folder, children, names = left.pop(), list[str](), list[str]()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if unresponsive_places.place_of(entry.path):
                        refuse(OSError(errno.ETIMEDOUT, "it does not answer", entry.path))
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
    """The part that a folder is made for, as diffusers saves it: by its configuration, its files' names and heads."""
    own = [folder / name for name in names if OWN_WEIGHTS.fullmatch(name)]
    if not own or not (folder / "config.json").is_file():
        return ""
    try:
        with guarded_files.guard():
            kind = _kind_of(guarded_files.read_json(folder / "config.json"))
            return "" if kind and any(_is_published(file) for file in own) else kind
    except guarded_files.Unlookable:
        return ""


def _is_published(file: Path) -> bool:
    """True where the names within are those of Wan's own code: the file is a part by itself, whatever lies beside."""
    try:
        return any(name.endswith(PUBLISHED) for name in file_heads.read(file).tensors)
    except file_heads.Unreadable:  # what is wrong with it, those say who look at the folder
        return False


def _kind_of(config: Any) -> str:
    kinds = [config.get("_class_name"), *_list(config.get("architectures"))] if isinstance(config, dict) else []
    return next((COMPONENTS[kind] for kind in kinds if isinstance(kind, str) and kind in COMPONENTS), "")


def _folder_components(folder: Path) -> list[Candidate]:
    """The part that a folder as diffusers saves it holds, one or none; may raise anything."""
    try:
        config = guarded_files.read_json(folder / "config.json")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    component = _component_kind(folder, [child.name for child in folder.iterdir()])
    if not component:
        return []
    try:
        integrity.check_component(folder, component, "")
        architecture = None
        if component == "transformer":
            made = {"out_channels": 16, "in_channels": 16, **{k: v for k, v in config.items() if v is not None}}
            architecture = configs.architecture_of(made)
    except (integrity.NotWhole, configs.Unfit):
        return []
    words = f"{component.replace('_', ' ')} in a folder of its own"
    expert, told = _half_of_folder(folder) if component == "transformer" else ("", True)
    names = (config.get("_name_or_path"),)
    titles = tuple(name for name in names if isinstance(name, str))
    return [Candidate(component, folder, config, "", words, architecture, expert, titles, 0 if told else 1)]


def _half_of_folder(folder: Path) -> tuple[str, bool]:
    """The half that a transformer's folder is by the model around it, and whether that tells."""
    try:
        index = integrity.read_index(folder.parent)
    except integrity.NotWhole:
        index = None
    second = folder.parent / "transformer_2"
    two = (
        second.is_dir() if index is None else index.get("boundary_ratio") is not None or _names_component(index, second)
    )
    if folder.name == second.name:
        return expert_names.LOW, True
    return (expert_names.HIGH, True) if two else ("", index is not None)


def _names_component(index: Mapping[str, Any], component: Path) -> bool:
    row = index.get(component.name)
    return isinstance(row, list) and len(row) == 2 and row[1] is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tokenizers(folder: Path) -> list[Path]:
    return [folder] if any((folder / name).is_file() for name in TOKENIZER_FILES) else []
