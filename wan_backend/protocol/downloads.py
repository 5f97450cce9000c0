"""What is said of fetching a model or what goes with one: what it takes, how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .takes import Problem


class DownloadState(StrEnum):
    """Where a download is. `paused` and `failed` go on when asked for again; `cancelled` left nothing behind."""

    WAITING = "waiting"
    RUNNING = "running"
    CHECKING = "checking"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """True where it goes on by itself."""
        return self in (DownloadState.WAITING, DownloadState.RUNNING, DownloadState.CHECKING)


@dataclass(frozen=True)
class ModelParams:
    """One model of the catalogue, or a LoRA or a tiny autoencoder of it."""

    model: str


@dataclass(frozen=True)
class DownloadFile:
    """One file of a model."""

    name: str
    """As the model's folder has it: "vae/config.json"."""
    size_bytes: int
    repo: str
    """Where on the hub it comes from; a text encoder may come from another model's repository."""
    here: bool = False
    """True where it need not be fetched: it is on this machine, perhaps as part of another model."""
    blob: str = ""
    """The file that is written while fetching; `cancel_download` removes it, unless a whole model needs it."""


@dataclass(frozen=True)
class DownloadPlan:
    """What fetching a model would take; nothing was fetched yet but the list of its files."""

    model: str
    label: str
    folder: str
    """Where models are fetched into."""
    licence: str
    licence_url: str
    total_bytes: int
    fetch_bytes: int
    """What is still to be fetched: without the parts that are here, whole or begun."""
    disk_bytes: int
    """What it takes of the free room."""
    free_bytes: int
    files: list[DownloadFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: Problem | None = None
    """Why it can't be fetched; the numbers may then be 0."""


@dataclass(frozen=True)
class DownloadStatus:
    """How far a download is."""

    model: str
    state: DownloadState
    done_bytes: int = 0
    total_bytes: int = 0
    """0 until the hub has said it."""
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    folder: str = ""
    sentence: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class DownloadsResult:
    """Every download that was asked for and is not cancelled."""

    downloads: list[DownloadStatus]
