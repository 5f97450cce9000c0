"""Checks that a folder holds a whole model in the diffusers layout, without loading it.

model_index.json names the components; each component's folder must have its files, and each safetensors file must be as
long as its own head says: so a file that is cut off is found and named before anything is loaded. All checks raise
UnusableFile, whose message is a clause to follow "because".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile
from . import renderer_folders, weights_head

CACHED_FILES = 1 << 16
"""This is more than all models of a machine have files; only the length of each is cached."""
CONFIG_FILES = {"scheduler": "scheduler_config.json", "image_processor": "preprocessor_config.json"}
TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer.model")


def read_index(folder: Path) -> dict[str, Any]:
    """The content of model_index.json in `folder`, or what it would say of Bernini-R's. Raises UnusableFile."""
    with guarded_files.guard(subject=Sentence("'{file}' {complaint}", file=renderer_folders.CONFIG_FILE)):
        renderer = renderer_folders.index_of_folder(folder)
    return _read_json(folder / "model_index.json") if renderer is None else renderer


def check(folder: Path) -> None:
    """Raise UnusableFile if a component that model_index.json names is missing or broken."""
    for component, kind in _components(read_index(folder)):
        check_component(folder / component, component, kind)


def _components(index: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and class of every component; those that are null are not used by the model."""
    for name, value in index.items():
        if isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value):
            yield name, value[1]


def check_component(folder: Path, component: str, kind: str) -> None:
    """Raise UnusableFile if a component's own folder is missing or broken, in whatever way."""
    with guarded_files.guard(subject=Sentence("'{component}' {complaint}", component=component)):
        _check_component(folder, component, kind)


def _check_component(folder: Path, component: str, kind: str) -> None:
    if not folder.is_dir():
        raise UnusableFile(Sentence("its folder '{component}' is missing", component=component))
    if "Tokenizer" in kind:
        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            raise UnusableFile(
                Sentence(
                    "'{component}' has none of {tokenizer_files}",
                    component=component,
                    tokenizer_files=", ".join(TOKENIZER_FILES),
                )
            )
    elif component in CONFIG_FILES or kind.endswith(("Scheduler", "Processor")):
        config = CONFIG_FILES.get(component, "scheduler_config.json")
        if not (folder / config).is_file():
            raise UnusableFile(Sentence("'{component}/{config}' is missing", component=component, config=config))
    else:
        _read_json(folder / "config.json")
        for weights in weight_files(folder, component):
            check_safetensors(weights, f"{component}/{weights.name}")


def weight_files(folder: Path, component: str) -> list[Path]:
    """The safetensors files of a component: those that its index names, else all that there are."""
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        mapping = _read_json(indexes[0]).get("weight_map")
        if not isinstance(mapping, dict) or not mapping:
            raise UnusableFile(Sentence("'{component}/{file}' is damaged", component=component, file=indexes[0].name))
        return [folder / name for name in sorted({str(name) for name in mapping.values()})]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        more = Sentence(" (only pickled weights, which could run any code)") if pickled else ""
        raise UnusableFile(Sentence("'{component}' has no safetensors file{more}", component=component, more=more))
    return files


def check_safetensors(file: Path, name: str) -> None:
    """Raise UnusableFile, with `name` in its message, if the file is missing, no safetensors file, or cut off."""
    with guarded_files.guard(subject=Sentence("'{name}' {complaint}", name=name)):
        try:
            size_bytes, modified_ns = guarded_files.regular_stamp(file)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise UnusableFile(Sentence("'{name}' is missing", name=name)) from None
        expected_bytes = _safetensors_bytes(str(file), size_bytes, modified_ns)
    if expected_bytes is None:
        raise UnusableFile(Sentence("'{name}' is not a safetensors file", name=name))
    if expected_bytes != size_bytes:
        raise UnusableFile(
            Sentence(
                "'{name}' is cut off: it has {size} of {expected} bytes",
                name=name,
                size=f"{size_bytes:,}",
                expected=f"{expected_bytes:,}",
            )
        )


@functools.lru_cache(maxsize=CACHED_FILES)
def _safetensors_bytes(file: str, size_bytes: int, modified_ns: int) -> int | None:
    """How long the file must be by its own head, or at least; None if it has none. Cached while it is unchanged."""
    head = weights_head.parse_safetensors(Path(file))
    if isinstance(head, weights_head.BrokenHead):
        return head.min_bytes or None
    return head.expected_bytes


def _read_json(file: Path) -> dict[str, Any]:
    shown = f"'{file.parent.name}/{file.name}'"
    with guarded_files.guard(subject=Sentence("{file} {complaint}", file=shown)):
        try:
            value = guarded_files.read_json(file)
        except FileNotFoundError:
            raise UnusableFile(Sentence("{file} is missing", file=shown)) from None
        except ValueError:
            raise UnusableFile(Sentence("{file} is not JSON", file=shown)) from None
    if not isinstance(value, dict):
        raise UnusableFile(Sentence("{file} is not a JSON object", file=shown))
    return value
