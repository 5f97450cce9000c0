"""What the Hugging Face hub has of a model, and which of it is needed. Uses huggingface_hub; no torch.

Only here, in `hub_stream` and in `download_problems` is the network spoken to. The login is huggingface_hub's own
(the variable HF_TOKEN, or what `hf auth login` wrote); this code never sees it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..library import integrity
from .hub_stream import Sink, WrongAnswer, append, make_ready, patiently

INDEX = "model_index.json"
TEXT_PARTS = ("text_encoder", "tokenizer")
"""Alike in all models that name the same `text_encoder_repo`."""
ANSWER_SECONDS = 15.0
_WANTED = re.compile(r".+\.(json|safetensors|model|txt)")
"""No pickled weights: they could run any code."""
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|fp8|non_ema|ema)[.-]")
"""Weights that are there a second time, in another number format."""
_ABOUT = re.compile(r"(licen[cs]e(\.\w+)?|readme\.md)", re.IGNORECASE)


@dataclass(frozen=True)
class HubFile:
    """One file of a repository. `checksum` is its SHA-256 where it is kept in LFS, else git's SHA-1."""

    repo: str
    commit: str
    name: str
    size_bytes: int
    checksum: str

    @property
    def for_people(self) -> bool:
        """True for a description or a licence, which may change without the model being another."""
        return _ABOUT.fullmatch(self.name) is not None


@dataclass(frozen=True)
class Listing:
    """A repository's files at one commit."""

    repo: str
    commit: str
    licence: str
    licence_url: str
    files: list[HubFile]

    def in_folders(self, folders: Iterable[str]) -> list[HubFile]:
        """What is needed of those folders."""
        starts = tuple(f"{folder}/" for folder in folders)
        held = [file for file in self.files if file.name.startswith(starts)]
        return [file for file in held if _WANTED.fullmatch(file.name) and not _VARIANT.search(file.name)]

    def named(self, names: Iterable[str]) -> list[HubFile]:
        """The files of those names. Raises NotWhole where one is not there."""
        held = {file.name: file for file in self.files}
        for name in names:
            if name not in held:
                raise integrity.NotWhole(f"the hub's {self.repo} has no {name}")
        return [held[name] for name in names]

    def about(self) -> list[HubFile]:
        """Its index, its licence and its description."""
        return [file for file in self.files if file.name == INDEX or file.for_people]


def read(repo: str, commit: str = "") -> Listing:
    """What `repo` has at `commit`, else on its main branch; where the hub has that commit no more, on that, too.

    Raises what huggingface_hub and its HTTP library raise, WrongAnswer and ValueError.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RevisionNotFoundError

    make_ready()

    def ask(revision: str | None) -> Any:
        return HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)

    try:
        told = patiently(lambda: ask(commit or None))
    except RevisionNotFoundError:
        told = patiently(lambda: ask(None))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:  # no JSON, or not the hub's
        raise WrongAnswer(f"the list of {repo}") from error
    if not told.sha:
        raise ValueError(f"the hub names no commit of {repo}")
    files = []
    for held in told.siblings or []:
        checksum = held.lfs.sha256 if held.lfs else held.blob_id
        size_bytes = held.lfs.size if held.lfs else held.size
        if checksum and size_bytes is not None:
            files.append(HubFile(repo, told.sha, held.rfilename, size_bytes, checksum))
    page = f"{_without_login(constants.ENDPOINT)}/{repo}"
    texts = [file.name for file in files if re.fullmatch(r"licen[cs]e(\.\w+)?", file.name, re.IGNORECASE)]
    licence = str(told.card_data.get("license") or "") if told.card_data else ""
    return Listing(repo, told.sha, licence, f"{page}/blob/main/{texts[0]}" if texts else page, files)


def _without_login(url: str) -> str:
    """A mirror's address may hold a password, which is no part of what is shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def parts_of(listing: Listing) -> list[str]:
    """The folders that the model's index names. Raises as `read`; NotWhole where it has no index."""
    index = next((file for file in listing.files if file.name == INDEX), None)
    if index is None:
        raise integrity.NotWhole(f"the hub's {listing.repo} has no {INDEX}")
    content = io.BytesIO()
    write(index, content)
    value: Any = json.loads(content.getvalue())
    if not isinstance(value, dict):
        raise ValueError(f"{INDEX} of {listing.repo} is not an object")
    return [name for name, row in value.items() if isinstance(row, list) and len(row) == 2 and row[1]]


def write(file: HubFile, sink: Sink, held: int = 0) -> None:
    """Append the file's bytes from `held` on to `sink`. Raises as `hub_stream.append`."""
    from huggingface_hub import hf_hub_url

    append(hf_hub_url(file.repo, file.name, revision=file.commit), file.name, file.size_bytes, sink, held)
