"""Translates sentences of this package and the backend. It knows no bpy: the session hands in Blender's translation."""

from __future__ import annotations

from collections.abc import Callable

from ..wan_backend.protocol.sentences import Sentence

_translate: Callable[[str], str] = str


def use(translate: Callable[[str], str]) -> None:
    """Translate with `translate` from now on; until then, sentences stay in English."""
    global _translate
    _translate = translate


def translated(sentence: str, look_up: Callable[[str], str] | None = None) -> str:
    """The sentence in Blender's language: as it is, or with its values if it is a `Sentence`.

    Of another text, the placeholders ({}) are filled in by the caller, after the look-up. `look_up` is another
    translation of Blender's than the interface's: that of tooltips, or of reports.
    """
    look_up = look_up or _translate

    def found(template: str) -> str:
        try:
            return look_up(template)
        except ValueError:  # it has characters that Blender can't take: a name's, in a text of an earlier version
            return template

    return sentence.rendered(found) if isinstance(sentence, Sentence) else found(sentence)
