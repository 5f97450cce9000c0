"""Presets, favorite and earlier prompts, for all files: three files in the extension's own folder. No bpy.

A file is written whole. One that can't be used is put aside under another name, so that nothing of it is lost, and a
sentence says so.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...wan_backend.protocol.messages import MAX_LORAS, MAX_PROMPT_CHARACTERS, MAX_STRENGTH, MIN_STRENGTH
from ...wan_backend.protocol.plain_names import is_encodable
from ...wan_backend.storage import private_files, whole_file
from ..translation import translated

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_PROMPTS = 50
MAX_FAVORITES = 100
MAX_PRESETS = 100
MAX_NAME_CHARACTERS = 60
MAX_VALUE_CHARACTERS = 4096
MAX_BYTES = 16_000_000
PROMPTS_FILE, FAVORITES_FILE, PRESETS_FILE = "prompts.json", "favorites.json", "presets.json"
ASIDE = ".damaged"
MAX_ASIDE = 50
"""So many damaged files of one name are kept; then the file stays as it is, and nothing is written over it."""
SETTINGS = ("model_id", "resolution_name", "quality", "negative_prompt", "style_words", "matrix_precision", "conform")
"""The settings that a preset has; all are text."""


@dataclass(frozen=True)
class PresetLora:
    """A LoRA of a preset."""

    path: str
    use: bool = True
    strength: float = 1.0
    expert: str = "AUTO"


@dataclass(frozen=True)
class Preset:
    """Settings under a name."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    loras: tuple[PresetLora, ...] = ()


class Damaged(Exception):
    """A file has something else than what is written there."""


class PresetFiles:
    """The three files of a folder. They are read once; another Blender's changes are seen when something is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prompts: list[str] | None = None
        self._favorites: list[str] | None = None
        self._presets: list[Preset] | None = None
        self._unreadable: dict[str, str] = {}
        """By file, why it can't be read though it is there: nothing may be written over it then."""
        self.problem = ""
        """What was wrong with a file, in a sentence; empty if nothing was."""
        whole_file.prune(folder)

    def prompts(self) -> list[str]:
        """The prompts, the newest first."""
        if self._prompts is None:
            self._prompts = self._read(PROMPTS_FILE, _prompts_in)
        return self._prompts

    def favorites(self) -> list[str]:
        """The favorite prompts, the newest first."""
        if self._favorites is None:
            self._favorites = self._read(FAVORITES_FILE, lambda read: _prompts_in(read, MAX_FAVORITES))
        return self._favorites

    def presets(self) -> list[Preset]:
        """The presets, by name."""
        if self._presets is None:
            self._presets = self._read(PRESETS_FILE, _presets_in)
        return self._presets

    def preset(self, name: str) -> Preset | None:
        """The preset of that name."""
        return next((each for each in self.presets() if each.name == name), None)

    def use_prompt(self, prompt: str) -> None:
        """Put a prompt first."""
        prompt = _plain(prompt.strip()[:MAX_PROMPT_CHARACTERS])
        if not prompt or self.prompts()[:1] == [prompt]:
            return
        self._prompts = None  # another Blender may have written
        self._prompts = [prompt, *(each for each in self.prompts() if each != prompt)][:MAX_PROMPTS]
        self._write(PROMPTS_FILE, self._prompts)

    def star_prompt(self, prompt: str, star: bool) -> str:
        """Put a prompt first among the favorites, or take it off; a sentence if it can't be."""
        prompt = _plain(prompt.strip()[:MAX_PROMPT_CHARACTERS])
        self._favorites = None  # another Blender may have written
        others = [each for each in self.favorites() if each != prompt]
        if star and not prompt:
            return translated("The prompt is empty: write one first.")
        if star and len(others) >= MAX_FAVORITES:
            return translated("There are {} favorites already: take the star off one first.").format(MAX_FAVORITES)
        self._favorites = [prompt, *others] if star else others
        return self._write(FAVORITES_FILE, self._favorites)

    def add(self, preset: Preset) -> str:
        """Keep a preset in place of the one of its name; a sentence if it can't be."""
        name = " ".join(preset.name.split())[:MAX_NAME_CHARACTERS]
        if not name:
            return translated("Give the preset a name.")
        if any(len(value) > MAX_VALUE_CHARACTERS for value in preset.settings.values()):
            words = "A preset holds texts of up to {:,} characters: shorten the negative prompt or the style words."
            return translated(words).format(MAX_VALUE_CHARACTERS)
        self._presets = None
        others = [each for each in self.presets() if each.name != name]
        if len(others) >= MAX_PRESETS:
            return translated("There are {} presets already: remove one first.").format(MAX_PRESETS)
        kept = Preset(name, preset.settings, preset.loras[:MAX_LORAS])
        self._presets = sorted([*others, kept], key=lambda each: each.name.lower())
        return self._write(PRESETS_FILE, [asdict(each) for each in self._presets])

    def remove(self, name: str) -> str:
        """Remove a preset; a sentence if that can't be written."""
        self._presets = None
        self._presets = [each for each in self.presets() if each.name != name]
        return self._write(PRESETS_FILE, [asdict(each) for each in self._presets])

    def _read(self, name: str, parse: Callable[[Any], list[T]]) -> list[T]:
        file = self._folder / name
        self._unreadable.pop(name, None)
        try:
            if not file.exists():
                return []
            return parse(whole_file.read_json(file, MAX_BYTES))
        except OSError as error:
            self._note_unreadable(name, error)
        except (ValueError, TypeError, Damaged, RecursionError) as error:
            log.warning("%s is damaged: %s", file, error)
            try:
                aside = _put_aside(file)
            except OSError as refused:
                self._note_unreadable(name, refused)
                return []
            words = translated("{} was damaged and is kept as {}; a new one is begun.")
            self.problem = words.format(name, aside)
        return []

    def _note_unreadable(self, name: str, error: OSError) -> None:
        log.warning("%s can't be read: %s", self._folder / name, error)
        self.problem = self._unreadable[name] = translated("{} can't be read: check the extension's folder.").format(
            name
        )

    def _write(self, name: str, value: Any) -> str:
        """Keep it; a sentence if that can't be. What couldn't be read is never written over: it may be whole."""
        if name in self._unreadable:
            return self._unreadable[name]
        if len(json.dumps(value, indent=1)) > MAX_BYTES:
            return translated("It can't be kept: all of them together are too long. Remove some first.")
        try:
            private_files.make_folder(self._folder)
            whole_file.write_json(self._folder / name, value)
        except OSError as error:
            log.warning("%s can't be written: %s", name, error)
            return translated("It can't be kept: the extension's folder can't be written.")
        return ""


def _put_aside(file: Path) -> str:
    """Give a damaged file another name, which no earlier one has; returns that. Raises OSError."""
    names = [file.name + ASIDE, *(f"{file.name}{ASIDE}-{number}" for number in range(2, MAX_ASIDE + 1))]
    name = next((each for each in names if not os.path.lexists(file.with_name(each))), None)
    if name is None:
        raise FileExistsError(errno.EEXIST, "there are too many damaged ones", str(file))
    os.replace(file, file.with_name(name))
    return name


def _plain(text: str) -> str:
    """The text as Blender can have it in a property and draw it: without half characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _prompts_in(read: Any, most: int = MAX_PROMPTS) -> list[str]:
    if not isinstance(read, list) or not all(isinstance(each, str) for each in read):
        raise Damaged("no list of texts")
    return [_plain(each[:MAX_PROMPT_CHARACTERS]) for each in read[:most] if each.strip()]


def _presets_in(read: Any) -> list[Preset]:
    if not isinstance(read, list):
        raise Damaged("no list")
    return [_preset(each) for each in read[:MAX_PRESETS]]


def _preset(read: Any) -> Preset:
    if not isinstance(read, dict) or not isinstance(read.get("name"), str) or not read["name"].strip():
        raise Damaged("a preset without a name")
    settings, loras = read.get("settings", {}), read.get("loras", [])
    if not isinstance(settings, dict) or not isinstance(loras, list):
        raise Damaged("a preset without settings")
    kept = {name: settings[name] for name in SETTINGS if name in settings}
    if not all(isinstance(value, str) and len(value) <= MAX_VALUE_CHARACTERS for value in kept.values()):
        raise Damaged("a setting that is no text")
    kept = {name: _plain(value) for name, value in kept.items()}
    return Preset(_plain(read["name"][:MAX_NAME_CHARACTERS]), kept, tuple(_lora(each) for each in loras[:MAX_LORAS]))


def _lora(read: Any) -> PresetLora:
    path = read.get("path") if isinstance(read, dict) else None
    if not isinstance(path, str) or "\0" in path or not is_encodable(path):
        raise Damaged("a LoRA without a file")
    strength = read.get("strength", 1.0)
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength):
        raise Damaged("a strength that is no number")
    expert = read.get("expert", "AUTO")
    return PresetLora(
        path[:MAX_VALUE_CHARACTERS],
        read.get("use", True) is not False,
        min(max(float(strength), MIN_STRENGTH), MAX_STRENGTH),
        expert if expert in ("AUTO", "BOTH", "HIGH", "LOW") else "AUTO",
    )
