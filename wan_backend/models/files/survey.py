"""Every file of a models folder: what it is, or why it can't be used. Standard library only; no torch.

A models folder may be one of ComfyUI (`diffusion_models`, `text_encoders`, `vae` and so on), a flat one, or one with
models as diffusers saves them. It is the content that tells, never the name of a folder.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...file_stamp import stamp
from .. import wholeness
from ..layout import Layout
from . import configs, headers
from .recognise import NotOurs, PartFile, Unusable, recognise

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


def survey(folders: Iterable[Path], snapshots: Iterable[Path] = ()) -> Survey:
    """Look into every file of `folders`, and at the diffusers folders among them and among `snapshots`."""
    looked: list[Looked] = []
    candidates: list[Candidate] = []
    tokenizers: list[Path] = []
    for place in dict.fromkeys(place for folder in folders for place in _places_in(folder)):
        if place.is_dir():
            candidates += _folder_parts(place)
            tokenizers += _tokenizers(place)
            continue
        found = look(place)
        looked.append(found)
        candidates += [_candidate(part) for part in found.parts]
        if _carries_tokenizer(found):
            tokenizers.append(place)
    for snapshot in snapshots:
        children = sorted(child for child in snapshot.iterdir() if child.is_dir()) if snapshot.is_dir() else []
        candidates += [part for child in children for part in _folder_parts(child)]
        tokenizers += [folder for child in children for folder in _tokenizers(child)]
    return Survey(tuple(looked), tuple(candidates), tuple(tokenizers))


def look(file: Path) -> Looked:
    """What one file is; kept as long as it is unchanged."""
    try:
        found = stamp(file)
    except OSError as error:
        return Looked(file, why=f"it can't be read ({error.strerror or error})")
    return _look(file, *found)


@functools.lru_cache(maxsize=headers.KEPT_FILES)
def _look(file: Path, _size_bytes: int, _modified_ns: int) -> Looked:
    if file.suffix.lower() in PICKLED:
        return Looked(file, why="it is pickled, which could run any code" if OURS.search(file.name.lower()) else "")
    try:
        return Looked(file, tuple(recognise(headers.read(file))))
    except NotOurs:
        return Looked(file)
    except (Unusable, headers.Unreadable) as why:
        return Looked(file, why=str(why))
    except OSError as error:
        return Looked(file, why=f"it can't be read ({error.strerror or error})")


def _models_of(folder: Path) -> Path:
    """The models folder of a whole ComfyUI, where a person chose that."""
    inner = folder / "models"
    return inner if (inner / "diffusion_models").is_dir() or (inner / "unet").is_dir() else folder


def _places_in(folder: Path) -> list[Path]:
    try:
        return list(_places(_models_of(folder)))
    except (OSError, ValueError):  # what is wrong with the folder, `sources` says
        return []


def _places(root: Path) -> Iterator[Path]:
    """Files of weights, and folders that hold a part or a tokenizer as diffusers saves it; links are followed."""
    seen: set[str] = set()
    count = 0
    for folder, children, names in os.walk(root, followlinks=True):
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
    """The part that a folder as diffusers saves it holds, one or none."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        kinds = [config.get("_class_name"), *(config.get("architectures") or [])]
    except (OSError, ValueError, AttributeError, TypeError):
        return []
    part = next((PARTS[kind] for kind in kinds if isinstance(kind, str) and kind in PARTS), None)
    if part is None:
        return []
    try:
        wholeness.check_part(folder, part, "")
    except (wholeness.NotWhole, OSError):
        return []
    layout = None
    if part == "transformer":
        try:
            made = {"out_channels": 16, "in_channels": 16, **{k: v for k, v in config.items() if v is not None}}
            layout = configs.layout_of(made)
        except (configs.Unfit, TypeError):
            return []
    return [Candidate(part, folder, config, "", f"{part.replace('_', ' ')} in a folder of its own", layout)]


def _tokenizers(folder: Path) -> list[Path]:
    return [folder] if any((folder / name).is_file() for name in TOKENIZER_FILES) else []


def _carries_tokenizer(looked: Looked) -> bool:
    if not any(part.part == "text_encoder" for part in looked.parts):
        return False
    return any(name.endswith(SPIECE) for name in headers.read(looked.file).tensors)
