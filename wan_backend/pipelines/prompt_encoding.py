"""Prompts to embeddings, exactly as diffusers' WanPipeline makes them, and the embeddings that are kept.

They are kept in memory (PromptCache) and on disk (PromptFiles), so that for a known prompt the text encoder need not
even be loaded.
"""

from __future__ import annotations

import hashlib
import html
import logging
import os
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ftfy
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..loading import block_offload, finite
from ..storage import whole_file
from ..storage.guarded_files import stamp
from .stopping import ShouldStop, checked, never

log = logging.getLogger(__name__)

MAX_TOKENS = 512
LIMIT_BYTES = 256_000_000
"""A folder of prompts may grow to this size: about a thousand prompts of usual length."""
SUFFIX = ".embeds"
"""The suffix of a safetensors file that is followed by its checksum."""


def clean(prompt: str) -> str:
    """`prompt` with broken Unicode repaired, HTML entities resolved, and each run of white space made one space.

    Lone surrogates, which Blender can hand over, become question marks: no tokenizer takes them.
    """
    prompt = prompt.encode("utf-8", "replace").decode("utf-8")
    prompt = html.unescape(html.unescape(ftfy.fix_text(prompt))).strip()
    return re.sub(r"\s+", " ", prompt).strip()


@torch.no_grad()
def encode(tokenizer: Any, text_encoder: Any, prompt: str, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, 512, width) embeddings of `prompt` on the text encoder's device; zeros past its last token."""
    tokens = tokenizer(
        [clean(prompt)],
        padding="max_length",
        max_length=MAX_TOKENS,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask
    length = int(mask.sum())
    if length == MAX_TOKENS:
        log.warning("the prompt fills all %d tokens; what is past them is not read", MAX_TOKENS)
    words = text_encoder.shared  # which stays in the machine's memory if the encoder's blocks are offloaded
    offload = block_offload.offload_of(text_encoder)
    device = text_encoder.device if offload is None else offload.device
    looked_up = words(tokens.input_ids.to(words.weight.device)).to(device)
    with checked(text_encoder.encoder.block, should_stop):
        embeds = text_encoder(inputs_embeds=looked_up, attention_mask=mask.to(device)).last_hidden_state
    embeds[:, length:] = 0
    return embeds


class PromptCache:
    """The embeddings of the last prompts, in the machine's memory.

    `files`, if there are any, keep more of them, beyond the end of the process.
    """

    def __init__(self, limit: int = 16, files: PromptFiles | None = None) -> None:
        self._limit = limit
        self.files = files
        self._embeds: OrderedDict[str, torch.Tensor] = OrderedDict()

    def get(self, prompt: str) -> torch.Tensor | None:
        """The embeddings kept for `prompt`, on the CPU, or None."""
        embeds = self._embeds.get(prompt)
        if embeds is None and self.files is not None:
            embeds = self.files.get(prompt, MAX_TOKENS)
            if embeds is not None and not finite.are_numbers(embeds):
                embeds = None
            if embeds is not None:
                self._remember(prompt, embeds)
        if embeds is not None:
            self._embeds.move_to_end(prompt)
        return embeds

    def put(self, prompt: str, embeds: torch.Tensor) -> None:
        """Keep `embeds`; if there are too many, forget the prompt that was unused longest."""
        embeds = embeds.to("cpu", copy=True)
        self._remember(prompt, embeds)
        if self.files is not None:
            self.files.put(prompt, embeds)

    def _remember(self, prompt: str, embeds: torch.Tensor) -> None:
        self._embeds[prompt] = embeds
        while len(self._embeds) > self._limit:
            self._embeds.popitem(last=False)


class PromptFiles:
    """The embeddings that one text encoder made, in a folder that it may share with others.

    A file's name is a hash of the encoder and the prompt; the prompt itself is written nowhere. Its last bytes are a
    checksum of those before: a damaged file would make other frames, and nobody would see why. So nobody waits for the
    disk, which took seconds on the way to the first step: what a power cut damages isn't used. Whatever goes wrong with
    the files costs another run of the text encoder, and no more.
    """

    def __init__(self, folder: Path, encoder: str, limit_bytes: int = LIMIT_BYTES) -> None:
        """`encoder` distinguishes the text encoder, its dtype and its device from all others."""
        self._folder, self._encoder, self._limit = folder, encoder, limit_bytes

    def get(self, prompt: str, tokens: int) -> torch.Tensor | None:
        """(1, tokens, width) embeddings of `prompt` on the CPU, bit for bit as they were put; None if none are."""
        file = self._file(prompt)
        try:
            embeds = load(whole_file.unsealed(file.read_bytes()))["embeds"]
            if embeds.ndim != 3 or embeds.shape[1] > tokens:
                raise ValueError(f"its shape is {tuple(embeds.shape)}")
            os.utime(file)  # its time is when it was last used
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("%s can't be used, so the prompt is encoded again: %s", file, error)
            return None
        return torch.nn.functional.pad(embeds, (0, 0, 0, tokens - embeds.shape[1]))

    def put(self, prompt: str, embeds: torch.Tensor) -> None:
        """Keep `embeds`, (1, tokens, width) on the CPU, without the zeros at their end.

        Where the folder is full, the files that were unused longest make room.
        """
        file = self._file(prompt)
        part = file.with_suffix(f".{os.getpid()}.part")
        nonzero = embeds[0].ne(0).any(dim=1).nonzero()
        length = int(nonzero.max()) + 1 if len(nonzero) else 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            content = save({"embeds": embeds[:, :length].contiguous()})
            whole_file.write(file, whole_file.sealed(content), unfinished=part)
            self._make_room()
        except OSError as error:
            log.warning("the embeddings of a prompt could not be kept in %s: %s", self._folder, error)

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
