"""What the Hugging Face hub has of a model, and which of it is needed. Uses huggingface_hub; no torch.

Only here, in `download` and in `download_problems` is the network spoken to. The login is huggingface_hub's own
(the variable HF_TOKEN, or what `hf auth login` wrote); this code never sees it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import wholeness

INDEX = "model_index.json"
TEXT_PARTS = ("text_encoder", "tokenizer")
"""Alike in all models that name the same `text_encoder_repo`."""
ANSWER_SECONDS = 15.0
CHUNK_BYTES = 1 << 20
"""Written at a time; the library's 10 MB would let a slow line look dead, and lose more at a kill."""
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
                raise wholeness.NotWhole(f"the hub's {self.repo} has no {name}")
        return [held[name] for name in names]

    def about(self) -> list[HubFile]:
        """Its index, its licence and its description."""
        return [file for file in self.files if file.name == INDEX or _ABOUT.fullmatch(file.name)]


def read(repo: str) -> Listing:
    """What the main branch of `repo` has. Raises what huggingface_hub and its HTTP library raise, and ValueError."""
    from huggingface_hub import HfApi, constants

    told = HfApi().model_info(repo, files_metadata=True, timeout=ANSWER_SECONDS)
    if not told.sha:
        raise ValueError(f"the hub names no commit of {repo}")
    files = []
    for held in told.siblings or []:
        checksum = held.lfs.sha256 if held.lfs else held.blob_id
        size_bytes = held.lfs.size if held.lfs else held.size
        if checksum and size_bytes is not None:
            files.append(HubFile(repo, told.sha, held.rfilename, size_bytes, checksum))
    page = f"{constants.ENDPOINT}/{repo}"
    texts = [file.name for file in files if re.fullmatch(r"licen[cs]e(\.\w+)?", file.name, re.IGNORECASE)]
    licence = str(told.card_data.get("license") or "") if told.card_data else ""
    return Listing(repo, told.sha, licence, f"{page}/blob/main/{texts[0]}" if texts else page, files)


def parts_of(listing: Listing) -> list[str]:
    """The folders that the model's index names. Raises as `read`; NotWhole where it has no index."""
    index = next((file for file in listing.files if file.name == INDEX), None)
    if index is None:
        raise wholeness.NotWhole(f"the hub's {listing.repo} has no {INDEX}")
    content = io.BytesIO()
    write(index, content)
    value: Any = json.loads(content.getvalue())
    if not isinstance(value, dict):
        raise ValueError(f"{INDEX} of {listing.repo} is not an object")
    return [name for name, row in value.items() if isinstance(row, list) and len(row) == 2 and row[1]]


def write(file: HubFile, sink: io.RawIOBase | io.BytesIO, from_byte: int = 0) -> None:
    """Append the file's bytes from `from_byte` on to `sink`; goes on by itself where the line breaks shortly.

    Raises as `read`, and OSError where `sink` can't be written.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    http_get(
        hf_hub_url(file.repo, file.name, revision=file.commit),
        sink,  # type: ignore[arg-type]
        resume_size=from_byte,
        headers=build_hf_headers(),
        expected_size=file.size_bytes,
        displayed_filename=file.name,
    )
