"""Loads a component out of a folder as diffusers saves it: with all its weights, or with those of its blocks in 8 bit.

Nothing is asked of the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open

from ..library import weights_head
from ..library.tensor_names import numbers_in
from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from . import bf16_cache, eight_bit
from .diffusers_internals import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME

CONFIG_NAME = "config.json"
BLOCK_KEYS = {"num_layers", "num_hidden_layers", "num_res_blocks"}
"""Of the configurations of Wan's components, what says how often something is there; files have a number for each."""


def load(
    kind: Any, folder: Path, dtype: torch.dtype, copies: Path | None, rounded_to: torch.dtype | None = None
) -> Any:
    """The module with its weights in `dtype`, on the CPU; `copies` is the folder of the bf16 cache.

    `rounded_to` is the 8-bit format of the weights of a transformer's blocks; None: they are as the others. Raises
    UnusableFile if tensors are missing, and what the libraries raise.
    """
    _check_blocks(folder)
    if dtype == torch.bfloat16:
        folder = bf16_cache.place(copies, folder, _kept(kind))
    if rounded_to is not None:
        return _load_in_8_bit(kind, folder, dtype, rounded_to)
    module, report = kind.from_pretrained(
        folder,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        dtype=dtype,
    )
    _check(set(report["missing_keys"]))
    return module


def weight_files(kind: Any, folder: Path, dtype: torch.dtype, copies: Path | None) -> list[Path]:
    """The files that `load` will read, as far as that is known before."""
    if dtype == torch.bfloat16:
        folder = bf16_cache.kept_copy(copies, folder, _kept(kind))
    return sorted(folder.glob("*.safetensors"))


def count(folder: Path) -> int:
    """How many numbers its weights are, read from the heads of its files. Raises OSError, SafetensorError."""
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            total += sum(torch.Size(tensors.get_slice(key).get_shape()).numel() for key in tensors.keys())  # noqa: SIM118
    return total


def file_of(place: Path, tensor: str) -> Path:
    """The file of a component that has that tensor; `place` itself if it is a file, or no file is known to have it."""
    for file in sorted(place.glob("*.safetensors")) if place.is_dir() else ():
        try:
            with safe_open(file, framework="pt") as tensors:
                if tensor in tensors.keys():  # noqa: SIM118
                    return file
        except (OSError, SafetensorError):
            continue
    return place


def dtype_of(kind: Any, name: str, dtype: torch.dtype) -> torch.dtype:
    """float32 for what diffusers keeps so when it loads a folder, else `dtype`; `kind` is a class or a module of it."""
    return torch.float32 if set(_kept(kind)) & set(name.split(".")) else dtype


def _kept(kind: Any) -> tuple[str, ...]:
    kind = kind if isinstance(kind, type) else type(kind)
    return tuple(kind._keep_in_fp32_modules or ()) if issubclass(kind, diffusers.ModelMixin) else ()


def _check_blocks(folder: Path) -> None:
    """Raise UnusableFile if the configuration speaks of more blocks than its files have: all would be built first."""
    heads = [weights_head.parse_safetensors(file) for file in sorted(folder.glob("*.safetensors"))]
    names = [name for head in heads if isinstance(head, weights_head.WeightsHead) for name in head.tensors]
    if not names:  # which is said once they are read
        return
    most = max(map(len, numbers_in(names).values()), default=0)
    for key, value in _values(guarded_files.read_json(folder / CONFIG_NAME)):
        if key in BLOCK_KEYS and isinstance(value, int) and value > most:
            raise UnusableFile(
                Sentence(
                    "its {file} speaks of {count} blocks ({key}), and its files have {there}",
                    file=CONFIG_NAME,
                    count=f"{value:,}",
                    key=key,
                    there=f"{most:,}",
                )
            )


def _values(config: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield key, value
            yield from _values(value)


def _check(missing: set[str]) -> None:
    if missing:
        raise UnusableFile(
            Sentence("{count} of its tensors are missing, the first is {name}", count=len(missing), name=min(missing))
        )


def _load_in_8_bit(kind: Any, folder: Path, dtype: torch.dtype, rounded_to: torch.dtype) -> Any:
    """The module, read tensor by tensor.

    Each is rounded to `dtype` first, so that it's the same whether there is a copy or not.
    """
    with init_empty_weights(include_buffers=False):
        module = kind.from_config(kind.load_config(folder, local_files_only=True))
    with ExitStack() as stack:
        read = _reader(folder, stack)
        _check(set(module.state_dict()) - set(read))
        shapes = {name: tuple(weight.shape) for name, weight in module.state_dict().items()}

        def get(name: str) -> torch.Tensor:
            # A copy, for what lies in the file itself would keep all of it in view.
            found = read[name](name).to(dtype_of(module, name, dtype), copy=True)
            if tuple(found.shape) != shapes[name]:
                raise ValueError(
                    Sentence(
                        "its tensor {name} has the shape {shape}, not {wanted}",
                        name=name,
                        shape=tuple(found.shape),
                        wanted=shapes[name],
                    )
                )
            return found

        eight_bit.fill_rounded(module, get, rounded_to)
    return module


def _reader(folder: Path, stack: ExitStack) -> dict[str, Callable[[str], torch.Tensor]]:
    """A function from a tensor's name to the tensor in its file, as long as the stack is open."""
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    names = [SAFETENSORS_WEIGHTS_NAME]
    if index.is_file():
        names = sorted(set(guarded_files.read_json(index)["weight_map"].values()))
    found: dict[str, Callable[[str], torch.Tensor]] = {}
    for name in names:
        tensors = stack.enter_context(safe_open(folder / name, framework="pt"))
        found |= dict.fromkeys(tensors.keys(), tensors.get_tensor)
    return found
