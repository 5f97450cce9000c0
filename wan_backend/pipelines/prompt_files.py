"""Prompts as the text encoder reads them, on disk, so that it need not even be loaded. May import torch, safetensors.

A file's name is a hash of the encoder and the prompt; the prompt itself is written nowhere. Its last bytes are a
checksum of those before: other frames would be made of a damaged one, and nobody would see why. Whatever goes wrong
with the files costs a new reading of the prompt, and no more.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..storage import whole_file
from ..storage.file_stamp import stamp

log = logging.getLogger(__name__)

LIMIT_BYTES = 256_000_000
"""About a thousand prompts of usual length."""
SUFFIX = ".embeds"
"""A safetensors file, and behind it the checksum."""


class PromptFiles:
    """The embeddings that one text encoder made, in a folder that it may share with others."""

    def __init__(self, folder: Path, encoder: str, limit_bytes: int = LIMIT_BYTES) -> None:
        """`encoder` tells the text encoder, its number format and its device from all others."""
        self._folder, self._encoder, self._limit = folder, encoder, limit_bytes

    def get(self, prompt: str, tokens: int) -> torch.Tensor | None:
        """(1, tokens, width) embeddings of `prompt` on the CPU, bit for bit as they were put; None where none are."""
        file = self._file(prompt)
        try:
            spoken = load(whole_file.unsealed(file.read_bytes()))["embeds"]
            if spoken.ndim != 3 or spoken.shape[1] > tokens:
                raise ValueError(f"its shape is {tuple(spoken.shape)}")
            os.utime(file)  # used last
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("%s can't be used, so the prompt is read anew: %s", file, error)
            return None
        return torch.nn.functional.pad(spoken, (0, 0, 0, tokens - spoken.shape[1]))

    def put(self, prompt: str, embeds: torch.Tensor) -> None:
        """Keep `embeds`, (1, tokens, width) on the CPU, less the zeros at their end; the longest unused make room."""
        file = self._file(prompt)
        part = file.with_suffix(f".{os.getpid()}.part")
        said = embeds[0].ne(0).any(dim=1).nonzero()
        length = int(said.max()) + 1 if len(said) else 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            content = save({"embeds": embeds[:, :length].contiguous()})
            whole_file.write(file, whole_file.sealed(content), flushed=True, part=part)
            self._make_room()
        except OSError as error:
            log.warning("A prompt's reading could not be kept in %s: %s", self._folder, error)

    def _make_room(self) -> None:
        found = [(stamp(file), file) for file in self._folder.iterdir()]
        total = sum(size for (size, _), _ in found)
        for (size, _), file in sorted(found, key=lambda each: each[0][1]):
            if total <= self._limit:
                return
            file.unlink(missing_ok=True)
            total -= size

    def _file(self, prompt: str) -> Path:
        name = hashlib.sha256(f"{self._encoder}\0{prompt}".encode("utf-8", "replace")).hexdigest()
        return self._folder / (name + SUFFIX)
