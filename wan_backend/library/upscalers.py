"""Locates upscaling models: those of the catalogue, and a person's own in a models folder's `upscale_models`.

A person's own is known by the name of its file. Only safetensors are used: the other files that such models come in are
pickled, and could run any code. Whether it is an upscaling model is told by its tensors once it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..catalogue import entries
from ..environment import adding
from ..protocol.messages import Fix, FixAction, Problem, ProblemKind
from ..protocol.plain_names import is_name
from ..protocol.sentences import Sentence
from ..storage import guarded_files, unresponsive_folders
from ..storage.byte_sizes import size_in_words
from ..storage.guarded_files import UnusableFile
from . import extras, integrity
from .tensor_names import numbers_in
from .weights_head import PICKLED_SUFFIXES, read_head

FOLDER = "upscale_models"
"""The subfolder of a models folder, as ComfyUI names it."""
SUFFIXES = (".safetensors", ".sft")
MAX_FILES = 200
GAPS, MORE_GAPS = 4, 16
"""Layers without weights have numbers, too, so those of the others have gaps; in no known model they are as large."""
PACKAGE = "spandrel"
"""What reads upscaling models; it isn't installed for everyone."""


def no_package() -> Problem:
    """Where spandrel is missing: what to run."""
    words = Sentence(
        "Making takes larger needs spandrel, which isn't installed in the backend's environment: add it with "
        "`{command}`.",
        command=adding.command("finish"),
    )
    return Problem(ProblemKind.SETUP, words)


def find(upscaler: str, models_folders: Iterable[str | Path] = ()) -> Path | Problem:
    """The file of an upscaling model, or why it can't be used and what to do."""
    folders = list(models_folders)
    known = entries.load().upscalers.get(upscaler)
    if known is not None:
        files = extras.find(known, folders)
        return files[0] if files else _not_here(known)
    own = next((file for file in own_files(folders) if file.name == upscaler), None)
    if own is None:
        return _unknown(upscaler)
    try:
        integrity.check_safetensors(own, own.name)
        check_numbering(read_head(own).tensors)
    except UnusableFile as why:
        words = Sentence("The upscaling model {file} can't be used because {why}; get it again.", file=own, why=why)
        return Problem(ProblemKind.MODEL_BROKEN, words)
    return own


def check_numbering(names: Iterable[str]) -> None:
    """Raise UnusableFile if the numbers in tensors' names speak of far more blocks than there are.

    A model of so many would be built before its tensors are missed.
    """
    for place, found in numbers_in(names).items():
        if max(found) > GAPS * len(found) + MORE_GAPS:
            raise UnusableFile(
                Sentence(
                    "it names a block {number} of '{place}' and has {count} of these",
                    number=f"{max(found):,}",
                    place=place[:100],
                    count=f"{len(found):,}",
                )
            )


def own_files(models_folders: Iterable[str | Path]) -> list[Path]:
    """The files that may be upscaling models of the person's own, by name, without those of the catalogue."""
    catalogue = {entry.file for entry in entries.load().upscalers.values()}
    found: dict[str, Path] = {}
    for folder in map(Path, models_folders):
        for file in (file for place in (folder, folder / "models") for file in _files(place / FOLDER)):
            if file.name not in catalogue:
                found.setdefault(file.name, file)
    return [found[name] for name in sorted(found)][:MAX_FILES]


def _files(folder: Path) -> Iterator[Path]:
    if unresponsive_folders.containing(folder):
        return
    try:
        with guarded_files.guard():
            children = sorted(folder.iterdir())
    except UnusableFile:  # most models folders have none
        return
    yield from (child for child in children if child.suffix.lower() in SUFFIXES and is_name(child.name))


def _not_here(entry: entries.UpscalerEntry) -> Problem:
    size = size_in_words(entry.download_bytes)
    words = Sentence("{model} is not on this machine; download it ({size}).", model=entry.label, size=size)
    fix = Fix(Sentence("Download {model}...", model=entry.label), action=FixAction.DOWNLOAD, value=entry.id)
    return Problem(ProblemKind.MODEL_MISSING, words, [fix])


def _unknown(upscaler: str) -> Problem:
    name = upscaler[:100]
    if name.lower().endswith(PICKLED_SUFFIXES):
        words = Sentence(
            "{file} is pickled, which could run any code; get the upscaling model as .safetensors instead.", file=name
        )
        return Problem(ProblemKind.MODEL_BROKEN, words)
    words = Sentence(
        "The upscaling model {file} is in no models folder; put it into '{folder}' of one, or choose another.",
        file=name,
        folder=FOLDER,
    )
    return Problem(ProblemKind.MODEL_MISSING, words)
