"""Translates this package's sentences. It knows no bpy, so the session hands in Blender's translation."""

from __future__ import annotations

from collections.abc import Callable

_translate: Callable[[str], str] = str


def use(translate: Callable[[str], str]) -> None:
    """Translate with `translate` from now on; until then, sentences stay in English."""
    global _translate
    _translate = translate


def translated(sentence: str) -> str:
    """The sentence in Blender's language. Its placeholders ({}) are filled in by the caller, after the look-up."""
    return _translate(sentence)
