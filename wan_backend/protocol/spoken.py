"""Tasks and components as words in a sentence, which are translated as sentences are."""

from __future__ import annotations

from .choices import Component, Task
from .sentences import Sentence

_TASKS = {
    Task.TEXT_TO_VIDEO: Sentence("text to video"),
    Task.IMAGE_TO_VIDEO: Sentence("image to video"),
    Task.RESTYLE: Sentence("restyle"),
    Task.FILL_GAP: Sentence("fill gap"),
    Task.EXTEND: Sentence("extend"),
    Task.PREVIS: Sentence("previs"),
    Task.EDIT: Sentence("edit"),
}
_COMPONENTS = {
    Component.TRANSFORMER: Sentence("transformer"),
    Component.TRANSFORMER_2: Sentence("transformer 2"),
    Component.TEXT_ENCODER: Sentence("text encoder"),
    Component.VAE: Sentence("vae"),
    Component.IMAGE_ENCODER: Sentence("image encoder"),
    Component.TOKENIZER: Sentence("tokenizer"),
    Component.CONTROL: Sentence("control (VACE)"),
    Component.CONTROL_2: Sentence("control (VACE) of transformer 2"),
    Component.UPSCALER: Sentence("upscaling model"),
}


def task(name: str) -> Sentence:
    """A task in words; a name that is none as it is."""
    return _TASKS.get(name) or Sentence(name.replace("_", " "))  # type: ignore[call-overload]


def component(name: str) -> Sentence:
    """A component in words, or another folder of a model by its name."""
    return _COMPONENTS.get(name) or Sentence(name.replace("_", " "))  # type: ignore[call-overload]
