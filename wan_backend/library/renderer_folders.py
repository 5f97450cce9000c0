"""Bernini-R in a folder as its makers publish it: the components of diffusers, and a config.json of their own on top.

What is in it is what model_index.json says of other models; whether such a folder has one too is not relied on, and
what that would say is a text to video model's. The two kinds that are published: one transformer of Wan 2.1's 1.3B, and
the two experts of Wan 2.2 A14B, which change at `switch_dit_boundary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..catalogue.architecture import RENDERER, SOURCE_MARK
from ..protocol.sentences import Sentence
from ..storage import guarded_files
from ..storage.guarded_files import UnusableFile

CONFIG_FILE = "config.json"
WHOLE = "bernini"
"""What the config.json of the whole Bernini says: a language model plans its edits, which this version doesn't run."""
_COMPONENTS = {
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}


def index_of_folder(folder: Path) -> dict[str, Any] | None:
    """What model_index.json would say of a renderer's folder; None if it is no such folder. Raises UnusableFile."""
    try:
        config = guarded_files.read_json(folder / CONFIG_FILE)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    return index_of(config) if isinstance(config, dict) else None


def index_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What model_index.json would say, by the config.json on top; None if it is no renderer's. Raises UnusableFile."""
    kind = config.get("model_type")
    if kind == WHOLE:
        raise UnusableFile(
            Sentence("it is the whole Bernini, whose edits a language model plans; get Bernini-R, which has none")
        )
    if kind != RENDERER:
        return None
    index: dict[str, Any] = {"_class_name": RENDERER, **_COMPONENTS}
    if config.get("skip_transformer_2") is not True:
        index |= {"transformer_2": _COMPONENTS["transformer"], "boundary_ratio": config.get("switch_dit_boundary")}
    return index


def marked(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration of a transformer in a folder, which says that it sees sources where the model around it does.

    Raises UnusableFile.
    """
    is_renderer = index_of_folder(folder.parent) is not None
    return {**config, SOURCE_MARK: True} if is_renderer else dict(config)
