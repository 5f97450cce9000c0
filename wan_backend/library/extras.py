"""LoRAs and tiny autoencoders: where their files are, what a draft would gain. Standard library and protocol; no torch.

Looked at in this order: what comes with the package; every models folder, itself, its subfolders `loras` and `vae`
(the names that other tools use) and as a cache of Hugging Face, which is how they are fetched; the Hugging Face cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import PACKAGE, LoraEntry, ModelEntry, TinyEntry
from ..protocol.messages import Fix, FixAction, Plan
from ..storage import unresponsive_places
from ..storage.media_folder import size_in_words
from . import integrity
from .locate import find_snapshots, hub_cache

SUBFOLDERS = ("", "loras", "vae")
TINY_DRAFT_NOTE = "The draft's pictures are made by the tiny autoencoder: quicker, with softer detail."
TINY_FOR_MEMORY_NOTE = (
    "The autoencoder needs more memory than there is, so the tiny one made the pictures: their detail is softer."
)
TINY_UNUSABLE_NOTE = (
    "The tiny autoencoder can't be loaded, so the model's own made the pictures; fetch the tiny one again."
)


def find_lora(entry: LoraEntry, models_folders: Iterable[str | Path] = ()) -> list[Path]:
    """Its files, one for each expert of its model; empty where they are not all here and whole."""
    return _find(entry.files, entry.package_folder, entry.repo, models_folders)


def find_tiny(entry: TinyEntry, models_folders: Iterable[str | Path] = ()) -> Path | None:
    """Its file, or None where it is not here and whole."""
    found = _find([entry.file], "", entry.repo, models_folders)
    return found[0] if found else None


def names_of(entry: LoraEntry | TinyEntry) -> list[str]:
    """The names of its files."""
    return list(entry.files) if isinstance(entry, LoraEntry) else [entry.file]


def find(entry: LoraEntry | TinyEntry, models_folders: Iterable[str | Path] = ()) -> list[Path]:
    """The files of either kind; empty where they are not all here and whole."""
    if isinstance(entry, LoraEntry):
        return find_lora(entry, models_folders)
    tiny = find_tiny(entry, models_folders)
    return [tiny] if tiny else []


def packaged(entry: LoraEntry | TinyEntry) -> list[Path]:
    """Its files where they come with the package; no other place is looked at."""
    package_folder = entry.package_folder if isinstance(entry, LoraEntry) else ""
    return _find(names_of(entry), package_folder, "", ())


def check(entry: LoraEntry | TinyEntry, folder: Path) -> None:
    """Raise wholeness.NotWhole where `folder` lacks one of its files, or has one that is cut off."""
    for name in names_of(entry):
        integrity.check_safetensors(folder / name, name)


def offered(plan: Plan, entry: ModelEntry, models_folders: Iterable[str | Path] = ()) -> Plan:
    """The plan of a draft, with what would make it quicker and is not here: in words, and with a button for each."""
    known, folders, notes, fixes = entries.load(), list(models_folders), list(plan.notes), list(plan.fixes)
    lora, tiny = known.loras.get(entry.draft_lora), known.autoencoders.get(entry.tiny_decoder)
    if lora is not None and lora.preset is not None and lora.repo and not find_lora(lora, folders):
        notes.append(
            f"With its {lora.preset.steps}-step LoRA, which is not here, a draft takes a small part of the time."
        )
        fixes.append(_download(f"Download {lora.preset.steps}-Step LoRA", lora))
    if tiny is not None and not find_tiny(tiny, folders):
        notes.append("With the tiny autoencoder, which is not here, a draft's pictures come sooner, and are softer.")
        fixes.append(_download("Download Tiny Autoencoder", tiny))
    return dataclasses.replace(plan, notes=notes, fixes=fixes)


def _download(words: str, extra: LoraEntry | TinyEntry) -> Fix:
    return Fix(f"{words} ({size_in_words(extra.download_bytes)})...", action=FixAction.DOWNLOAD, value=extra.id)


def _find(names: list[str], package_folder: str, repo: str, models_folders: Iterable[str | Path]) -> list[Path]:
    for folder in _folders(package_folder, repo, models_folders):
        files = [folder / name for name in names]
        if all(_is_whole(file) for file in files):
            return files
    return []


def _folders(package_folder: str, repo: str, models_folders: Iterable[str | Path]) -> Iterator[Path]:
    if package_folder:
        yield PACKAGE / package_folder
    for folder in models_folders:
        yield from (place for name in SUBFOLDERS if not unresponsive_places.place_of(place := Path(folder) / name))
        if repo:
            yield from find_snapshots(Path(folder), repo)
    if repo:
        yield from find_snapshots(hub_cache(), repo)


def _is_whole(file: Path) -> bool:
    try:
        integrity.check_safetensors(file, file.name)
    except integrity.NotWhole:
        return False
    return True
