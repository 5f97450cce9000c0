"""The extension in other languages: a module for each, called as Blender calls the language ("de_DE", "ja_JP").

A module has MESSAGES: sentences and words in English, and what they are in its language. `build.py messages` writes
such a module with nothing translated yet (docs/contributing.md).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

import bpy

CONTEXTS = ("*", "Operator")
"""Where Blender looks words up: all, and the labels of operators."""
Catalog = dict[tuple[str, str], str]
"""What Blender registers of one language."""


def catalog_of(messages: Mapping[str, str]) -> Catalog:
    """The messages as Blender takes them; without those that are not translated yet."""
    return {
        (context, english): translated for english, translated in messages.items() if translated for context in CONTEXTS
    }


def register() -> None:
    """Give Blender the languages that are here."""
    found = {
        name: catalog_of(importlib.import_module(f".{name}", __package__).MESSAGES)
        for _, name, _ in pkgutil.iter_modules(__path__)
    }
    if found:
        bpy.app.translations.register(__package__, found)


def unregister() -> None:
    """Take them away."""
    bpy.app.translations.unregister(__package__)
