"""Whether a folder holds a whole model in the diffusers layout, without loading it. Standard library only; no torch.

model_index.json names the parts; each part's folder must have its files, and each safetensors file must be as long
as its own header says: so a half-downloaded or cut file is found and named before anything is loaded.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..file_stamp import stamp

MAX_HEADER_BYTES = 100_000_000
"""As the safetensors format limits it."""
CONFIG_FILES = {"scheduler": "scheduler_config.json", "image_processor": "preprocessor_config.json"}
TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model")


class NotWhole(Exception):
    """The folder can't be loaded; the message is a clause that says why, to follow "because"."""


def read_index(folder: Path) -> dict[str, Any]:
    """model_index.json of `folder`; raises NotWhole."""
    return _read_json(folder / "model_index.json")


def check(folder: Path) -> None:
    """Raise NotWhole where a part that model_index.json names is missing or broken."""
    try:
        for part, kind in _parts(read_index(folder)):
            check_part(folder / part, part, kind)
    except OSError as error:
        raise NotWhole(f"{error.filename or folder} can't be read ({error.strerror or error})") from None


def _parts(index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and class of every part; those that are null are not used by the model."""
    for name, value in index.items():
        if isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value):
            yield name, value[1]


def check_part(folder: Path, part: str, kind: str) -> None:
    """Raise NotWhole where a part's own folder is missing or broken; raises OSError, too."""
    if not folder.is_dir():
        raise NotWhole(f"its folder '{part}' is missing")
    if "Tokenizer" in kind:
        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            raise NotWhole(f"'{part}' has none of {', '.join(TOKENIZER_FILES)}")
    elif part in CONFIG_FILES or kind.endswith(("Scheduler", "Processor")):
        config = CONFIG_FILES.get(part, "scheduler_config.json")
        if not (folder / config).is_file():
            raise NotWhole(f"'{part}/{config}' is missing")
    else:
        _read_json(folder / "config.json")
        for weights in _weight_files(folder, part):
            check_safetensors(weights, f"{part}/{weights.name}")


def _weight_files(folder: Path, part: str) -> list[Path]:
    """The safetensors files of a part: those that its index names, else the one that there is."""
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        mapping = _read_json(indexes[0]).get("weight_map")
        if not isinstance(mapping, dict) or not mapping:
            raise NotWhole(f"'{part}/{indexes[0].name}' is damaged")
        return [folder / str(name) for name in sorted(set(mapping.values()))]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        more = " (only pickled weights, which could run any code)" if pickled else ""
        raise NotWhole(f"'{part}' has no safetensors file{more}")
    return files


def check_safetensors(file: Path, name: str) -> None:
    """Raise NotWhole, with `name` in its message, where the file is missing, none such, or cut off."""
    if not file.is_file():
        raise NotWhole(f"'{name}' is missing")
    size_bytes, modified_ns = stamp(file)
    expected_bytes = _safetensors_bytes(str(file), size_bytes, modified_ns)
    if expected_bytes is None:
        raise NotWhole(f"'{name}' is not a safetensors file")
    if expected_bytes != size_bytes:
        raise NotWhole(f"'{name}' is cut off: it has {size_bytes:,} of {expected_bytes:,} bytes")


@functools.lru_cache(maxsize=1024)
def _safetensors_bytes(file: str, size_bytes: int, modified_ns: int) -> int | None:
    """How long the file must be by its own header; None where it has none. Cached as long as it is unchanged."""
    with open(file, "rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if size_bytes < 8 or header_bytes > MAX_HEADER_BYTES:
            return None
        if 8 + header_bytes > size_bytes:
            return 8 + header_bytes
        try:
            header = json.loads(stream.read(header_bytes))
            ends = [int(row["data_offsets"][1]) for name, row in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return None
    return 8 + header_bytes + max(ends, default=0)


def _read_json(file: Path) -> dict[str, Any]:
    shown = f"'{file.parent.name}/{file.name}'"
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise NotWhole(f"{shown} is missing") from None
    except (ValueError, RecursionError):
        raise NotWhole(f"{shown} is not JSON") from None
    if not isinstance(value, dict):
        raise NotWhole(f"{shown} is not a JSON object")
    return value
