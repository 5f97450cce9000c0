"""Where the files of LoRAs and tiny autoencoders are on this machine. Standard library and protocol only; no torch.

Looked at in this order: what comes with the package; every models folder, itself and its subfolders `loras` and `vae`
(the names that other tools use); the Hugging Face cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from . import wholeness
from .catalogue import PACKAGE, LoraEntry, TinyEntry
from .sources import hub_cache, in_hub_cache

SUBFOLDERS = ("", "loras", "vae")


def find_lora(entry: LoraEntry, models_folders: Iterable[str | Path] = ()) -> list[Path]:
    """Its files, one for each expert of its model; empty where they are not all here and whole."""
    return _find(entry.files, entry.package_folder, entry.repo, models_folders)


def find_tiny(entry: TinyEntry, models_folders: Iterable[str | Path] = ()) -> Path | None:
    """Its file, or None where it is not here and whole."""
    found = _find([entry.file], "", entry.repo, models_folders)
    return found[0] if found else None


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
        yield from (Path(folder) / name for name in SUBFOLDERS)
    snapshot = in_hub_cache(hub_cache(), repo) if repo else None
    if snapshot is not None:
        yield snapshot


def _is_whole(file: Path) -> bool:
    try:
        wholeness.check_safetensors(file, file.name)
    except (wholeness.NotWhole, OSError, ValueError):
        return False
    return True
