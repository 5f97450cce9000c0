"""What the Hugging Face hub has of a model, and which of it is needed.

Only here and in `hub_stream` is the network spoken to. The login is huggingface_hub's own (the variable HF_TOKEN, or
what `hf auth login` wrote); this code never sees it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..library import renderer_folders
from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from .hub_stream import Sink, append, ask_patiently
from .network_settings import apply_network_settings
from .problems import DownloadError, Failure

INDEX = "model_index.json"
INDEXES = (renderer_folders.CONFIG_FILE, INDEX)
"""What may say which components a model has; the first one does so of Bernini-R alone."""
TEXT_COMPONENTS = ("text_encoder", "tokenizer")
"""These are the same in all models that name the same `text_encoder_repo`."""
ANSWER_SECONDS = 15.0
_WANTED = re.compile(r".+\.(json|safetensors|model|txt)")
"""Files that are needed; pickled weights are not among them, which could run any code."""
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|fp8|non_ema|ema)[.-]")
"""Names of weights that are there a second time, in another number format."""
_DOCUMENT = re.compile(r"(licen[cs]e(\.\w+)?|readme\.md)", re.IGNORECASE)


@dataclass(frozen=True)
class HubFile:
    """One file of a repository. `checksum` is its SHA-256 if it is kept in LFS, else git's SHA-1."""

    repo: str
    commit: str
    name: str
    size_bytes: int
    checksum: str

    @property
    def is_document(self) -> bool:
        """True for a description or a license, which may change without the model being another."""
        return _DOCUMENT.fullmatch(self.name) is not None


@dataclass(frozen=True)
class Listing:
    """A repository's files at one commit."""

    repo: str
    commit: str
    licence: str
    licence_url: str
    files: list[HubFile]

    def in_folders(self, folders: Iterable[str]) -> list[HubFile]:
        """The files that are needed of those folders."""
        starts = tuple(f"{folder}/" for folder in folders)
        held = [file for file in self.files if file.name.startswith(starts)]
        return [file for file in held if _WANTED.fullmatch(file.name) and not _VARIANT.search(file.name)]

    def named(self, names: Iterable[str]) -> list[HubFile]:
        """The files of those names. Raises UnusableFile if one is not there."""
        held = {file.name: file for file in self.files}
        for name in names:
            if name not in held:
                raise UnusableFile(Sentence("the hub's {repo} has no {name}", repo=self.repo, name=name))
        return [held[name] for name in names]

    def documents(self) -> list[HubFile]:
        """The model's index, in both of its forms, its license and its description."""
        return [file for file in self.files if file.name in INDEXES or file.is_document]


_NO_LIST = (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError)


def read_listing(repo: str, commit: str = "") -> Listing:
    """What `repo` has at `commit`; on its main branch if that is empty or the hub no longer has that commit.

    Raises what huggingface_hub and its HTTP library raise, DownloadError and ValueError.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RevisionNotFoundError

    wrong_settings = apply_network_settings()
    if wrong_settings:
        raise DownloadError(Failure.NETWORK_SETTINGS, wrong_settings)

    def ask(revision: str | None) -> Any:
        return HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)

    try:
        answer = ask_patiently(lambda: ask(commit or None))
    except RevisionNotFoundError:
        answer = ask_patiently(lambda: ask(None))
    except _NO_LIST as error:  # no JSON, or not the hub's
        raise DownloadError(Failure.WRONG_ANSWER, Sentence("the list of {repo}", repo=repo)) from error
    if not answer.sha:
        raise ValueError(Sentence("the hub names no commit of {repo}", repo=repo))
    files = []
    for held in answer.siblings or []:
        checksum = held.lfs.sha256 if held.lfs else held.blob_id
        size_bytes = held.lfs.size if held.lfs else held.size
        if checksum and size_bytes is not None:
            files.append(HubFile(repo, answer.sha, held.rfilename, size_bytes, checksum))
    page = f"{_without_login(constants.ENDPOINT)}/{repo}"
    texts = [file.name for file in files if re.fullmatch(r"licen[cs]e(\.\w+)?", file.name, re.IGNORECASE)]
    licence = str(answer.card_data.get("license") or "") if answer.card_data else ""
    return Listing(repo, answer.sha, licence, f"{page}/blob/main/{texts[0]}" if texts else page, files)


def _without_login(url: str) -> str:
    """The address of a mirror without the login that it may hold, which is not shown to anybody."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def read_components(listing: Listing) -> list[str]:
    """The folders that the model's index names. Raises as `read_listing` does; UnusableFile if it has no index."""
    value: Any = None
    for index in (file for name in INDEXES for file in listing.files if file.name == name):
        read = _read_object(index)
        value = renderer_folders.index_of(read) if index.name == renderer_folders.CONFIG_FILE else read
        if value is not None:
            break
    if value is None:
        raise UnusableFile(Sentence("the hub's {repo} has no {index}", repo=listing.repo, index=INDEX))
    return [name for name, row in value.items() if isinstance(row, list) and len(row) == 2 and row[1]]


def _read_object(file: HubFile) -> dict[str, Any]:
    """The JSON object in a file of the hub. Raises as `read_listing` does."""
    content = io.BytesIO()
    fetch_into(file, content)
    value: Any = guarded_files.parsed(content.getvalue())
    if not isinstance(value, dict):
        raise ValueError(Sentence("{index} of {repo} is not an object", index=file.name, repo=file.repo))
    return value


def fetch_into(file: HubFile, sink: Sink, held: int = 0) -> None:
    """Append the file's bytes from `held` on to `sink`. Raises what `hub_stream.append` raises."""
    from huggingface_hub import hf_hub_url

    append(hf_hub_url(file.repo, file.name, revision=file.commit), file.name, file.size_bytes, sink, held)
