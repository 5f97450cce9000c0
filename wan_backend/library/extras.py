"""Locates what is used beside models' own components: LoRAs, tiny autoencoders, upscaling models and a depth model.

For the first three, these are looked at in order: what comes with the package; every models folder (itself, its
subfolders `loras`, `vae` and `upscale_models`, as other tools name them, and as a cache of Hugging Face, as they are
downloaded); the Hugging Face cache.

No depth model comes with the backend. One is used where it lies, beside the video model's folder or in the Hugging Face
cache; any will do that transformers knows as a depth estimation model whose larger numbers are nearer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import PACKAGE, ExtraEntry, LoraEntry, ModelEntry, TinyEntry
from ..protocol.messages import Fix, FixAction, FixSetting, Guide, Plan, Problem, ProblemKind, Role, TakeRequest
from ..protocol.sentences import Sentence
from ..storage import guarded_files, unresponsive_folders
from ..storage.byte_sizes import size_in_words
from ..storage.guarded_files import UnusableFile
from . import integrity
from .hub_cache import cache_folder, find_snapshots

DEPTH_MODEL_REPO = "depth-anything/Depth-Anything-V2-Small-hf"
DEPTH_MODEL_CLASS = "ForDepthEstimation"
"""The names of transformers' classes of such models end in this."""
SUBFOLDERS = ("", "loras", "vae", "upscale_models")
TINY_DRAFT_NOTE = Sentence("The draft uses the tiny autoencoder: faster, with softer detail.")
TINY_FOR_MEMORY_NOTE = Sentence(
    "The autoencoder needs more memory than is available, so the tiny one made the pictures: their detail is softer."
)
TINY_UNUSABLE_NOTE = Sentence(
    "The tiny autoencoder can't be loaded, so the model's own made the pictures; download the tiny one again."
)


def find_lora(entry: LoraEntry, models_folders: Iterable[str | Path] = ()) -> list[Path]:
    """A LoRA's files, one for each expert of its model; empty if they are not all here and whole."""
    return _find(entry.files, entry.package_folder, entry.repo, models_folders)


def find_tiny(entry: TinyEntry, models_folders: Iterable[str | Path] = ()) -> Path | None:
    """A tiny autoencoder's file, or None if it is not here and whole."""
    found = _find([entry.file], "", entry.repo, models_folders)
    return found[0] if found else None


def names_of(entry: ExtraEntry) -> list[str]:
    """The names of its files."""
    return list(entry.files) if isinstance(entry, LoraEntry) else [entry.file]


def find(entry: ExtraEntry, models_folders: Iterable[str | Path] = ()) -> list[Path]:
    """Its files; empty if they are not all here and whole."""
    if isinstance(entry, LoraEntry):
        return find_lora(entry, models_folders)
    return _find([entry.file], "", entry.repo, models_folders)


def packaged(entry: ExtraEntry) -> list[Path]:
    """The files if they come with the package; no other place is looked at."""
    package_folder = entry.package_folder if isinstance(entry, LoraEntry) else ""
    return _find(names_of(entry), package_folder, "", ())


def check(entry: ExtraEntry, folder: Path) -> None:
    """Raise UnusableFile if `folder` lacks one of its files, or has one that is cut off."""
    for name in names_of(entry):
        integrity.check_safetensors(folder / name, name)


def offer_extras(plan: Plan, entry: ModelEntry, models_folders: Iterable[str | Path] = ()) -> Plan:
    """The plan of a draft with notes and buttons for what would make it quicker and is not here."""
    known, folders, notes, fixes = entries.load(), list(models_folders), list(plan.notes), list(plan.fixes)
    lora, tiny = known.loras.get(entry.draft_lora), known.autoencoders.get(entry.tiny_decoder)
    if lora is not None and lora.preset is not None and lora.repo and not find_lora(lora, folders):
        notes.append(
            Sentence(
                "With its {steps}-step LoRA, which is not on this machine, a draft is much faster.",
                steps=lora.preset.steps,
            )
        )
        fixes.append(_download(Sentence("Download {steps}-Step LoRA", steps=lora.preset.steps), lora))
    if tiny is not None and not find_tiny(tiny, folders):
        notes.append(
            Sentence("With the tiny autoencoder, which is not on this machine, a draft is faster, with softer detail.")
        )
        fixes.append(_download(Sentence("Download Tiny Autoencoder"), tiny))
    return dataclasses.replace(plan, notes=notes, fixes=fixes)


def _download(label: Sentence, extra: ExtraEntry) -> Fix:
    words = Sentence("{label} ({size})...", label=label, size=size_in_words(extra.download_bytes))
    return Fix(words, action=FixAction.DOWNLOAD, value=extra.id)


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
        yield from (place for name in SUBFOLDERS if not unresponsive_folders.containing(place := Path(folder) / name))
        if repo:
            yield from find_snapshots(Path(folder), repo)
    if repo:
        yield from find_snapshots(cache_folder(), repo)


def _is_whole(file: Path) -> bool:
    try:
        integrity.check_safetensors(file, file.name)
    except UnusableFile:
        return False
    return True


def find_depth_model(model_folder: Path) -> Path | None:
    """The folder of a depth model on this machine, or None; `model_folder` is the video model's."""
    try:
        with guarded_files.guard():
            beside = sorted(child for child in model_folder.parent.iterdir() if child.is_dir())
    except UnusableFile:
        beside = []
    cached = find_snapshots(cache_folder(), DEPTH_MODEL_REPO)
    return next((folder for folder in (*beside, *cached) if _is_depth_model(folder)), None)


def missing_depth_model(request: TakeRequest, model_folder: Path) -> Problem | None:
    """Why a request can't keep to the depth of its footage, or None."""
    estimated = request.guide is Guide.DEPTH and request.source(Role.FOOTAGE) and not request.source(Role.DEPTH)
    if not estimated or find_depth_model(model_folder) is not None:
        return None
    return no_depth_model()


def no_depth_model() -> Problem:
    """The problem that there is no depth model, and what to do."""
    sentence = Sentence(
        "Estimating depth from footage needs a model that is not on this machine; put "
        "{repo} beside the video model's folder, or choose edges instead.",
        repo=DEPTH_MODEL_REPO,
    )
    return Problem(ProblemKind.BAD_SETTING, sentence, [Fix(Sentence("Use edges"), FixSetting.GUIDE, Guide.EDGES.value)])


def _is_depth_model(folder: Path) -> bool:
    try:
        with guarded_files.guard():
            names = guarded_files.read_json(folder / "config.json").get("architectures") or []
            return any(str(name).endswith(DEPTH_MODEL_CLASS) for name in names)
    except UnusableFile:
        return False
