"""Which files are to be fetched, where each comes from and where it goes. Asks the hub, and fetches no weights.

A model needs the components that its index names, as safetensors; one text encoder serves all models that have the
same; nothing is fetched that is on this machine already, with whatever model. A LoRA or a tiny autoencoder needs its
files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import AnyEntry, ModelEntry
from ..library import extras, hub_cache, integrity, locate
from ..protocol.downloads import DownloadFile, DownloadPlan
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import byte_sizes, media_folder
from ..storage.guarded_files import UnusableFile
from . import cache_notes, hub_listing, problems
from .hub_listing import INDEX, TEXT_COMPONENTS, HubFile, Listing

PICTURE_PARTS = ("vae", "image_encoder")
"""What a model that is put together has of `parts_repo`; the second only if it looks at pictures."""


def target_cache(models_folders: list[str]) -> Path:
    """The folder that models are fetched into: the first models folder, else the cache of Hugging Face."""
    first = next((Path(folder) for folder in models_folders if folder), None)
    if first is None or locate.is_model(first):  # a folder that is one model itself
        return Path(os.path.abspath(hub_cache.cache_folder()))
    return Path(os.path.abspath(first))


@dataclass(frozen=True)
class WantedFile:
    """A file of the hub, and where it goes: first to `blob`, in the end to `pointer`.

    `twins` are files on this machine that should have the same content.
    """

    file: HubFile
    blob: Path
    pointer: Path
    twins: tuple[Path, ...] = ()

    @property
    def twin(self) -> Path | None:
        """The first of `twins`."""
        return next(iter(self.twins), None)

    @property
    def fetched_bytes(self) -> int:
        """How much of it doesn't have to be fetched."""
        size_bytes = self.file.size_bytes
        if self.twin is not None or hub_cache.has_size(self.pointer, size_bytes):
            return size_bytes
        return hub_cache.fetched_bytes(self.blob, size_bytes)

    @property
    def is_here(self) -> bool:
        """True if nothing of it has to be fetched."""
        size_bytes = self.file.size_bytes
        known = self.twin is not None or hub_cache.has_size(self.blob, size_bytes)
        return known or hub_cache.has_size(self.pointer, size_bytes)


@dataclass(frozen=True)
class LentFile:
    """A file of another model on this machine, and where the snapshot gets it."""

    source: Path
    pointer: Path
    size_bytes: int


@dataclass(frozen=True)
class Contents:
    """All files of a model, a LoRA or a tiny autoencoder, with what of them is here."""

    entry: AnyEntry
    cache: Path
    listing: Listing
    wanted: list[WantedFile]
    lent: list[LentFile] = field(default_factory=list)
    lender: str = ""
    """Label of the model whose text encoder is used."""

    @property
    def lent_repo(self) -> str:
        """The repository that the text encoder came from."""
        return self.entry.text_encoder_repo if isinstance(self.entry, ModelEntry) else ""

    @property
    def snapshot(self) -> Path:
        """The folder that has all files in the end."""
        return hub_cache.snapshot_path(self.cache, self.listing.repo, self.listing.commit, "x").parent

    def check(self) -> None:
        """Raise UnusableFile if what was fetched is not all of it."""
        if isinstance(self.entry, ModelEntry) and self.entry.transformer_files:
            self._check_parts()
        elif isinstance(self.entry, ModelEntry):
            integrity.check(self.snapshot)
        else:
            extras.check(self.entry, self.snapshot)

    def _check_parts(self) -> None:
        for each in self.wanted:
            if not hub_cache.has_size(each.pointer, each.file.size_bytes):
                raise UnusableFile(Sentence("its {file} is missing or cut off", file=each.file.name))
            if each.file.name.endswith(".safetensors"):
                integrity.check_safetensors(each.pointer, each.file.name)

    def plan(self) -> DownloadPlan:
        """What fetching it would take, in words and numbers."""
        files = [_row(each) for each in self.wanted]
        fetch_bytes = sum(each.file.size_bytes - each.fetched_bytes for each in self.wanted)
        free_bytes = byte_sizes.free_bytes_at(self.cache)
        disk_bytes = fetch_bytes + self._copied_bytes()
        problem = None
        if disk_bytes and free_bytes < disk_bytes + media_folder.RESERVE_BYTES:
            problem = problems.too_little_space(self.entry, disk_bytes, free_bytes, str(self.cache))
        notes = (
            [Sentence("The text encoder of {lender}, which is already here, is shared.", lender=self.lender)]
            if self.lender
            else []
        )
        if self.listing.licence.lower() not in self.entry.licence.lower():
            notes.append(Sentence("Its page on the hub names the license {licence} now.", licence=self.listing.licence))
        return DownloadPlan(
            model=self.entry.id,
            label=self.entry.label,
            folder=str(self.cache),
            licence=self.entry.licence,
            licence_url=self.listing.licence_url,
            total_bytes=self.total_bytes,
            fetch_bytes=fetch_bytes,
            disk_bytes=disk_bytes,
            free_bytes=free_bytes,
            files=files,
            notes=notes,
            problem=problem,
        )

    @property
    def total_bytes(self) -> int:
        """Size of all files, including those that are here."""
        return sum(each.file.size_bytes for each in self.wanted) + sum(each.size_bytes for each in self.lent)

    def _copied_bytes(self) -> int:
        """Size of what lies on another disk, so that no hard link can be made of it."""
        device = byte_sizes.existing_ancestor(self.cache).stat().st_dev
        shared = [(each.twin, each.file.size_bytes) for each in self.wanted if each.twin is not None]
        shared += [(each.source, each.size_bytes) for each in self.lent]
        return sum(size_bytes for file, size_bytes in shared if file is not None and file.stat().st_dev != device)


def find_contents(entry: AnyEntry, models_folders: list[str], accept_changes: bool = False) -> Contents:
    """Ask the hub for the list of files and see which are here. Raises Refusal, or what `problems` has words for."""
    if isinstance(entry, ModelEntry) and entry.trunk:
        raise Refusal(locate.put_together(entry))
    if not entry.repo:
        raise Refusal(
            Problem(
                ProblemKind.BAD_SETTING,
                Sentence("{model} comes with the backend; there is nothing to download.", model=entry.label),
            )
        )
    cache = target_cache(models_folders)
    unfit = media_folder.check(str(cache), 0)
    if unfit is not None and unfit.kind != ProblemKind.DISK_FULL:  # how much room is needed is not known yet
        sentence = Sentence(
            "Models can't be saved in {cache}; choose another models folder in the preferences.", cache=cache
        )
        raise Refusal(Problem(ProblemKind.FOLDER, sentence, [problems.choose_folder()]))
    listing = _listing(cache, entry.repo, accept_changes)
    lender = _lender(entry, models_folders) if isinstance(entry, ModelEntry) else None
    if isinstance(entry, ModelEntry):
        documents = [each for each in listing.documents() if not (entry.transformer_files and each.name == INDEX)]
        files = [*documents, *_model_files(entry, listing, lender is not None, cache, accept_changes)]
    else:
        files = [file for file in listing.documents() if file.name not in hub_listing.INDEXES]
        files += listing.named(extras.names_of(entry))
    if not accept_changes:
        _check_unchanged(cache, files)
    caches = list(dict.fromkeys([cache, *map(Path, models_folders), hub_cache.cache_folder()]))
    wanted = [_wanted(file, entry, listing.commit, cache, caches) for file in files]
    found = Contents(entry, cache, listing, wanted)
    if lender is not None:
        found = Contents(entry, cache, listing, wanted, _lent(lender[1], found.snapshot), lender[0].label)
    return found


def _listing(cache: Path, repo: str, accept_changes: bool) -> Listing:
    """The repository as it was fetched first, else as it is now. Raises what `read_listing` raises."""
    return hub_listing.read_listing(repo, "" if accept_changes else cache_notes.first_commit(cache, repo))


def _check_unchanged(cache: Path, files: list[HubFile]) -> None:
    """Raise DownloadError if a file isn't what it was at first, or what the catalogue knows of it."""
    for repo in dict.fromkeys(file.repo for file in files):
        held = [file for file in files if file.repo == repo and not file.is_document]
        cache_notes.check_unchanged(cache, repo, held, entries.load().checksums(repo))


def _model_files(
    entry: ModelEntry, listing: Listing, has_lender: bool, cache: Path, accept_changes: bool
) -> list[HubFile]:
    """The files of a model's components, without its text encoder if another model lends it."""
    if entry.transformer_files:
        return _parts(entry, listing, has_lender, cache, accept_changes)
    components = hub_listing.read_components(listing)
    if not has_lender and entry.text_encoder_repo in ("", entry.repo):
        return listing.in_folders(components)
    files = listing.in_folders(each for each in components if each not in TEXT_COMPONENTS)
    if has_lender:
        return files
    return files + _listing(cache, entry.text_encoder_repo, accept_changes).in_folders(TEXT_COMPONENTS)


def _parts(entry: ModelEntry, listing: Listing, has_lender: bool, cache: Path, accept_changes: bool) -> list[HubFile]:
    """The files of a model that is put together, without its text encoder if another model lends it."""
    seeing = entry.architecture is not None and entry.architecture.looks_at_pictures
    parts = _listing(cache, entry.parts_repo, accept_changes).in_folders(PICTURE_PARTS[: 2 if seeing else 1])
    files = [*listing.named(entry.transformer_files), *parts]
    if has_lender:
        return files
    return files + _listing(cache, entry.text_encoder_repo, accept_changes).in_folders(TEXT_COMPONENTS)


def _wanted(file: HubFile, entry: AnyEntry, commit: str, cache: Path, caches: list[Path]) -> WantedFile:
    blob = hub_cache.blob_path(cache, entry.repo, file.checksum)
    pointer = hub_cache.snapshot_path(cache, entry.repo, commit, file.name)
    known = hub_cache.has_size(blob, file.size_bytes) or hub_cache.has_size(pointer, file.size_bytes)
    twins = () if known else tuple(hub_cache.find_equal_blobs(caches, file.checksum, file.size_bytes))
    return WantedFile(file, blob, pointer, twins)


def _lender(entry: ModelEntry, models_folders: list[str]) -> tuple[ModelEntry, Path] | None:
    """A model on this machine that has the same text encoder, and its folder."""
    if not entry.text_encoder_repo:
        return None
    for other in entries.load().models.values():
        if other.text_encoder_repo == entry.text_encoder_repo and other.id != entry.id:
            found = locate.find(other, models_folders)
            if isinstance(found, locate.LocatedModel) and not found.components:
                return other, found.folder
    return None


def _lent(folder: Path, snapshot: Path) -> list[LentFile]:
    files = [file for each in TEXT_COMPONENTS for file in sorted((folder / each).rglob("*")) if file.is_file()]
    return [LentFile(file, snapshot / file.relative_to(folder), file.stat().st_size) for file in files]


def _row(wanted: WantedFile) -> DownloadFile:
    file = wanted.file
    return DownloadFile(file.name, file.size_bytes, file.repo, wanted.is_here, str(wanted.blob))
