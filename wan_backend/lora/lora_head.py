"""Reads the head of a LoRA file: its tensors, its trainer's settings and the titles that its maker gave it.

Nothing of the file is run or loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..library.weights_head import PICKLED_SUFFIXES, BrokenHead, StoredTensor, parse_safetensors
from ..protocol.messages import Expert
from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from . import lora_experts

CACHED_HEADS = 64
"""This is more than a request can have."""
FOLDER_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""The names that diffusers and PEFT give to the file in a folder that they save a LoRA to."""
CONFIG_FILE = "adapter_config.json"
LOW_PREFIX = "transformer_2."
LORA_TITLE_KEYS = ("modelspec.title", "ss_output_name", "title", "name")
"""Metadata in which trainers write the name that the file was saved under."""
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F16": 16, "BF16": 16, "I16": 16, "U16": 16}
_BITS |= {"F32": 32, "I32": 32, "U32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64}
"""The bits of a number, for formats that aren't of one byte."""


class UnusableLora(UnusableFile):
    """A LoRA can't be used; the message is a clause that follows the file's name: "is not there any more".

    `choices` are the experts of which a person may name one, if nothing else is missing.
    """

    def __init__(self, why: Sentence, choices: Sequence[Expert] = ()) -> None:
        super().__init__(why)
        self.choices = choices


@dataclass(frozen=True)
class LoraHead:
    """Everything in a LoRA file but the numbers."""

    tensors: Mapping[str, StoredTensor]
    config: dict[str, Any]
    """What the trainer left beside the weights (PEFT's `lora_alpha`, `r`, `alpha_pattern`, ...); may be empty."""
    low_config: dict[str, Any] = field(default_factory=dict)
    """The settings for the second of two transformers, if it has its own."""
    titles: tuple[str, ...] = ()
    """What its maker called it."""

    def settings(self, expert: str) -> dict[str, Any]:
        """The trainer's settings for the layers of that expert ("high", "low", or empty)."""
        return self.low_config if self.low_config and (expert == "low" or not self.config) else self.config


def files_of(path: str) -> list[Path]:
    """The file that `path` means; two if it is a folder with one for each of two experts. Raises UnusableLora."""
    place = Path(path)
    with guarded_files.guard(UnusableLora, Sentence("{complaint}")):
        if not place.is_dir():
            return [place]
        files = sorted(file for file in place.iterdir() if file.suffix.lower() == ".safetensors")
    usual = [file for file in files if file.name in FOLDER_FILES]
    if len(usual) == 1:
        return usual
    if len(files) == 1 or lora_experts.are_a_pair(files):
        return files
    if not files:
        raise UnusableLora(Sentence("is a folder without a .safetensors file"))
    raise UnusableLora(Sentence("is a folder with {count} .safetensors files; choose one of them", count=len(files)))


def read_lora_head(file: Path) -> LoraHead:
    """The file's head; cached as long as the file is unchanged. Raises UnusableLora."""
    if file.suffix.lower() in PICKLED_SUFFIXES:
        raise UnusableLora(
            Sentence("is a pickled file, which could run any program on opening; use its .safetensors version")
        )
    if file.suffix.lower() != ".safetensors":
        raise UnusableLora(Sentence("is not a .safetensors file"))
    with guarded_files.guard(UnusableLora, Sentence("{complaint}")):
        try:
            config = file.with_name(CONFIG_FILE)
            config_time = (
                guarded_files.regular_stamp(config)[1] if file.name in FOLDER_FILES and config.is_file() else 0
            )
            return _read_lora_head(file, *guarded_files.regular_stamp(file), config_time)
        except FileNotFoundError:
            raise UnusableLora(Sentence("is not there any more")) from None
        except ValueError:
            raise UnusableLora(Sentence("can't be read (not a path)")) from None


@functools.lru_cache(maxsize=CACHED_HEADS)
def _read_lora_head(file: Path, size: int, _changed: int, config_time: int) -> LoraHead:
    head = parse_safetensors(file)
    if isinstance(head, BrokenHead):
        raise UnusableLora(Sentence("is not a safetensors file; download it again"))
    min_bytes = sum(map(_size_bytes, head.tensors.values()))
    if head.expected_bytes > size or min_bytes > size:
        raise UnusableLora(Sentence("is incomplete; download it again"))
    beside = file.with_name(CONFIG_FILE) if config_time else None
    config, low_config = _configs(head.metadata, beside)
    return LoraHead(
        head.tensors,
        config,
        low_config,
        tuple(head.metadata[name] for name in LORA_TITLE_KEYS if name in head.metadata),
    )


def _size_bytes(tensor: StoredTensor) -> int:
    return tensor.count * _BITS.get(tensor.dtype, 8) // 8


def _configs(metadata: Mapping[str, str], beside: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trainer's settings, and those for a second transformer.

    PEFT writes them to a file beside, diffusers to the head, with the name of the transformer before each.
    """
    try:
        if beside is not None:
            return dict(guarded_files.read_json(beside)), {}
        rows = guarded_files.parsed(metadata["lora_adapter_metadata"].encode())
        low = {key: value for key, value in rows.items() if key.startswith(LOW_PREFIX)}
        first = {key.removeprefix("transformer."): value for key, value in rows.items() if key not in low}
        return first, {key.removeprefix(LOW_PREFIX): value for key, value in low.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}
