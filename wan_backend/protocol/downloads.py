"""The messages about downloads of models and of what goes with them: their plans and their progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .sentences import NO_SENTENCE, Sentence
from .takes import Problem


class DownloadState(StrEnum):
    """The state of a download. `paused` and `failed` resume when asked for again; `cancelled` left nothing behind."""

    WAITING = "waiting"
    RUNNING = "running"
    CHECKING = "checking"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "cancelled"

    @property
    def active(self) -> bool:
        """True if it goes on by itself."""
        return self in (DownloadState.WAITING, DownloadState.RUNNING, DownloadState.CHECKING)


@dataclass(frozen=True)
class ModelParams:
    """One model of the catalogue, or a LoRA or a tiny autoencoder of it."""

    model: str


@dataclass(frozen=True)
class DownloadFile:
    """One file of a model."""

    name: str
    """Path in the model's folder: "vae/config.json"."""
    size_bytes: int
    repo: str
    """The repository on the hub that it comes from; a text encoder may come from another model's."""
    here: bool = False
    """True if it need not be fetched: it is on this machine, perhaps in another model."""
    blob: str = ""
    """The file that is written while fetching; `cancel_download` removes it, unless a whole model needs it."""


@dataclass(frozen=True)
class DownloadPlan:
    """The files and bytes that fetching a model would take; only the list of its files was fetched yet."""

    model: str
    label: str
    folder: str
    """The folder that models are fetched into."""
    licence: str
    licence_url: str
    total_bytes: int
    fetch_bytes: int
    """Bytes still to be fetched, without those that are here, be the file whole or begun."""
    disk_bytes: int
    """Bytes of the free space that it takes."""
    free_bytes: int
    files: list[DownloadFile] = field(default_factory=list)
    notes: list[Sentence] = field(default_factory=list)
    problem: Problem | None = None
    """Why it can't be fetched; the numbers may then be 0."""


@dataclass(frozen=True)
class DownloadStatus:
    """Progress of a download."""

    model: str
    state: DownloadState
    done_bytes: int = 0
    total_bytes: int = 0
    """0 until the hub has said it."""
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    folder: str = ""
    sentence: Sentence = NO_SENTENCE
    problem: Problem | None = None


@dataclass(frozen=True)
class DownloadsResult:
    """Every download that was asked for and is not canceled."""

    downloads: list[DownloadStatus]
