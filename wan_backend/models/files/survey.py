"""Every file of a models folder: what it is, or why it can't be used. Standard library only; no torch.

A models folder may be one of ComfyUI (`diffusion_models`, `text_encoders`, `vae` and so on), a flat one, or one with
models as diffusers saves them. It is the content that tells, never the name of a folder.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...file_stamp import Stamp
from .. import looking, wholeness
from ..layout import Layout
from . import configs, headers
from .recognise import NotOurs, PartFile, recognise

log = logging.getLogger(__name__)

DEEPEST = 4
MOST_FILES = 5000
NOT_LOOKED_INTO = {"loras", "blobs", "node_modules", "site-packages", "__pycache__", "custom_nodes", "output", "input"}
"""Folders that hold no parts of models, however many files they have."""
PICKLED = (".pth", ".pt", ".ckpt")
OURS = re.compile(r"wan|umt5")
"""In the name of a pickled file, which nobody should look into: it may be one of Wan's."""
SPIECE = "spiece_model"
TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model")
PARTS = {
    "WanTransformer3DModel": "transformer",
    "WanVACETransformer3DModel": "transformer",
    "AutoencoderKLWan": "vae",
    "UMT5EncoderModel": "text_encoder",
    "CLIPVisionModel": "image_encoder",
    "CLIPVisionModelWithProjection": "image_encoder",
}


@dataclass(frozen=True)
class Looked:
    """A file that was looked into: the parts that it holds; else why it can't be used, empty where it isn't Wan's."""

    file: Path
    parts: tuple[PartFile, ...] = ()
    why: str = ""
    carries_tokenizer: bool = False
    """True of a text encoder with the tokenizer in the same file."""


@dataclass(frozen=True)
class Candidate:
    """A part in a place of its own: a file, or a folder as diffusers saves it."""

    part: str
    place: Path
    config: Mapping[str, Any]
    form: str
    words: str
    layout: Layout | None = None
    expert: str = ""


@dataclass(frozen=True)
class Survey:
    """What was found in all folders."""

    looked: tuple[Looked, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    tokenizers: tuple[Path, ...] = ()
    """Folders of tokenizers, and files that carry one."""

    def of(self, part: str) -> Iterator[Candidate]:
        """The candidates for a part."""
        return (candidate for candidate in self.candidates if candidate.part == part)


def survey(
    folders: Iterable[Path], snapshots: Iterable[Path] = (), on_file: Callable[[int], None] = lambda _: None
) -> Survey:
    """Look into every file of `folders`, and at the diffusers folders among them and among `snapshots`.

    Never raises for what lies there: a file or folder that can't be looked at is one refused row. `on_file` is told
    after each how many were looked at.
    """
    looked: dict[Path, Looked] = {}
    candidates: list[Candidate] = []
    tokenizers: list[Path] = []
    seen: set[Path] = set()
    for place in (place for folder in folders for place in _places_in(folder, looked)):
        if place in seen:
            continue
        seen.add(place)
        try:
            _look_at(place, looked, candidates, tokenizers)
        except looking.Unlookable as why:
            looked[place] = Looked(place, why=str(why))
        on_file(len(seen))
    for child in (child for snapshot in snapshots for child in _children(snapshot)):
        try:
            with looking.guard():
                candidates += _folder_parts(child)
                tokenizers += _tokenizers(child)
        except looking.Unlookable as why:
            looked[child] = Looked(child, why=str(why))
    return Survey(tuple(looked.values()), tuple(candidates), tuple(tokenizers))


def _look_at(place: Path, looked: dict[Path, Looked], candidates: list[Candidate], tokenizers: list[Path]) -> None:
    """Add what one file or folder is. Raises Unlookable."""
    with looking.guard():
        if place.is_dir():
            candidates += _folder_parts(place)
            tokenizers += _tokenizers(place)
            return
        looked[place] = found = look(place)
        candidates += [_candidate(part) for part in found.parts]
        if found.carries_tokenizer:
            tokenizers.append(place)


_kept: dict[Path, tuple[Stamp, Looked]] = {}
"""What each file is, as long as it is unchanged; one row for each file that was ever looked at."""


def look(file: Path) -> Looked:
    """What one file is; kept as long as it is unchanged. Never raises."""
    try:
        with looking.guard():
            found = looking.stamp(file)
    except looking.Unlookable as why:
        return Looked(file, why=str(why))
    kept = _kept.get(file)
    if kept is not None and kept[0] == found:
        return kept[1]
    try:
        with looking.guard():
            made = _look(file)
    except NotOurs:
        made = Looked(file)
    except looking.Unlookable as why:
        made = Looked(file, why=str(why))
        if isinstance(why.__cause__, OSError):  # a disk may be in a better mood next time
            return made
    _kept[file] = found, made
    return made


def _look(file: Path) -> Looked:
    if file.suffix.lower() in PICKLED:
        return Looked(file, why="it is pickled, which could run any code" if OURS.search(file.name.lower()) else "")
    header = headers.read(file)
    parts = tuple(recognise(header))
    is_encoder = any(part.part == "text_encoder" for part in parts)
    return Looked(file, parts, "", is_encoder and any(name.endswith(SPIECE) for name in header.tensors))


def _models_of(folder: Path) -> Path:
    """The models folder of a whole ComfyUI, where a person chose that."""
    inner = folder / "models"
    return inner if (inner / "diffusion_models").is_dir() or (inner / "unet").is_dir() else folder


def _children(snapshot: Path) -> list[Path]:
    try:
        with looking.guard():
            return sorted(child for child in snapshot.iterdir() if child.is_dir())
    except looking.Unlookable:  # what is wrong with it, `sources` says
        return []


def _places_in(folder: Path, looked: dict[Path, Looked]) -> Iterator[Path]:
    """The places of a models folder, as far as it can be walked; a folder in it that can't is `looked` at."""
    try:
        with looking.guard():
            yield from _places(_models_of(folder), looked)
    except looking.Unlookable as why:  # what is wrong with the models folder itself, `sources` says
        log.warning("The models folder %s was looked through in part, because %s", folder, why)


def _places(root: Path, looked: dict[Path, Looked]) -> Iterator[Path]:
    """Files of weights, and folders that hold a part or a tokenizer as diffusers saves it; links are followed."""

    def refuse(error: OSError) -> None:
        place = Path(error.filename or root)
        if place != root:
            looked[place] = Looked(place, why="it " + looking.complaint(error))

    seen: set[str] = set()
    count = 0
    for folder, children, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        depth = len(Path(folder).relative_to(root).parts)
        if real in seen or depth > DEEPEST:
            children.clear()
            continue
        seen.add(real)
        children[:] = sorted(c for c in children if c.lower() not in NOT_LOOKED_INTO and not c.startswith("."))
        if "config.json" in names or any(name in names for name in TOKENIZER_FILES):
            yield Path(folder)
            continue
        for name in sorted(names):
            if name.lower().endswith((*headers.SUFFIXES, *PICKLED)) and count < MOST_FILES:
                count += 1
                yield Path(folder) / name


def _candidate(part: PartFile) -> Candidate:
    return Candidate(part.part, part.file, part.config, part.form, part.words, part.layout, part.expert)


def _folder_parts(folder: Path) -> list[Candidate]:
    """The part that a folder as diffusers saves it holds, one or none; may raise anything."""
    try:
        config = looking.read_json(folder / "config.json")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    kinds = [config.get("_class_name"), *_list(config.get("architectures"))] if isinstance(config, dict) else []
    part = next((PARTS[kind] for kind in kinds if isinstance(kind, str) and kind in PARTS), None)
    if part is None:
        return []
    try:
        wholeness.check_part(folder, part, "")
        layout = None
        if part == "transformer":
            made = {"out_channels": 16, "in_channels": 16, **{k: v for k, v in config.items() if v is not None}}
            layout = configs.layout_of(made)
    except (wholeness.NotWhole, configs.Unfit):
        return []
    return [Candidate(part, folder, config, "", f"{part.replace('_', ' ')} in a folder of its own", layout)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tokenizers(folder: Path) -> list[Path]:
    return [folder] if any((folder / name).is_file() for name in TOKENIZER_FILES) else []
