"""Text strips over a take's frames: their words are in the picture that it is made from, or say what it shows when.

Markers may say it, too, where no text strip does.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import MAX_WORDS
from . import compat, free_space, marker_words, selection, strip_columns
from .targets import Target


@dataclass(frozen=True)
class TimedWords:
    """What a text strip says, and for which frames, counted from the take's first one as 0."""

    strip_name: str
    """Empty for a marker's."""
    first: int
    last: int
    text: str
    """Its lines joined by spaces; of a far too long text only the beginning."""


@dataclass(frozen=True)
class WordsOver:
    """The words of the text strips over a take, in the order of their times."""

    words: tuple[TimedWords, ...] = ()
    covered: tuple[str, str] | None = None
    """A strip that lies over another one, and that one, whose words don't hold there."""
    over_markers: bool = False
    """Whether a text strip lies where a marker speaks, whose words don't hold there."""


NO_WORDS = WordsOver()


@dataclass(frozen=True)
class PlacedText:
    """What a text strip says, and where it lies, in frames of the scene."""

    start: int
    end_exclusive: int
    channel: int
    text: str
    """Its lines joined by spaces."""


def burnt_into(scene: bpy.types.Scene, target: Target | None) -> list[str]:
    """The names of the text strips whose words are in what `target` is made from. Safe in a draw.

    A strip that is named as the source is rendered alone; the preview is rendered with all that it shows.
    """
    found: list[str] = []
    shown = [wanted for wanted in (target.wanted if target is not None else ()) if not wanted.strip_names]
    if not shown:
        return found
    collection = compat.shown_strips(scene)
    strips = strip_columns.columns(collection)
    muted = free_space.muted_channels(scene)
    for wanted in shown:
        for index in strips.overlapping(wanted.start, wanted.end_exclusive):
            if strips.overlays[index] and not strips.mutes[index] and strips.channels[index] not in muted:
                strip = collection[index]
                if strip.type == "TEXT" and strip.text.strip() and strip.name not in found:
                    found.append(strip.name)
    return found


def words_over(scene: bpy.types.Scene, target: Target, of_markers: bool = False) -> WordsOver | str:
    """The words for the frames of `target`; or why they are too many. Safe in a draw.

    `of_markers`: markers speak, too, where no text strip does.

    Muted strips count: they are words for the model, which the film needn't show. What lies below the strips that the
    take is made from doesn't. Where two overlap, the upper one's words hold.
    """
    lowest = min((strip.channel for strip in target.sources), default=0)
    strips = sorted(
        (strip for strip in _text_strips_at(scene, target.start, target.end_exclusive) if strip.channel > lowest),
        key=lambda strip: -strip.channel,
    )
    if len(strips) > selection.MAX_STRIPS:
        words = "{} text strips lie over the take: mark its words with at most {}."
        return iface_(words).format(len(strips), selection.MAX_STRIPS)
    found: list[TimedWords] = []
    covered = None
    for strip in strips:
        text = one_line(strip.text)
        if not text:
            continue
        whole = (
            max(compat.start(strip), target.start) - target.start,
            min(compat.end_exclusive(strip), target.end_exclusive) - target.start - 1,
        )
        above = next((each for each in found if each.first <= whole[1] and whole[0] <= each.last), None)
        if above is not None:
            covered = (above.strip_name, strip.name)
        found += [TimedWords(strip.name, first, last, text) for first, last in _uncovered(*whole, found)]
    of_strips, over_markers = list(found), False
    for begin, end, text in marker_words.within(scene, target.start, target.end_exclusive) if of_markers else ():
        whole = begin - target.start, end - target.start
        parts = _uncovered(*whole, of_strips)
        over_markers = over_markers or parts != [whole]
        found += [TimedWords("", first, last, one_line(text)) for first, last in parts]
    if len(found) > MAX_WORDS:
        words = "The text strips change the words {} times, and a take has at most {}: use fewer strips."
        if len(found) > len(of_strips):
            words = "Text strips and markers change the words {} times, and a take has at most {}: use fewer of them."
        return iface_(words).format(len(found), MAX_WORDS)
    return WordsOver(tuple(sorted(found, key=lambda each: each.first)), covered, over_markers)


def all_texts(scene: bpy.types.Scene) -> list[PlacedText]:
    """The text strips of the shown timeline that say something, the lowest channel first. Safe in a draw."""
    found = [
        PlacedText(compat.start(strip), compat.end_exclusive(strip), strip.channel, text)
        for strip in strip_columns.of_kinds(compat.shown_strips(scene), "TEXT")
        if (text := one_line(strip.text))
    ]
    return sorted(found, key=lambda each: (each.channel, each.start))


def caption_over(texts: list[PlacedText], start: int, end_exclusive: int, channel: int) -> str:
    """What `texts` above a channel say of those frames: all that lie over at least half of them, the lowest first.

    Muted ones count, as they do for takes: they are words for the model.
    """
    least = (end_exclusive - start + 1) // 2
    over = (
        each.text
        for each in texts
        if each.channel > channel and min(each.end_exclusive, end_exclusive) - max(each.start, start) >= least
    )
    return ", ".join(dict.fromkeys(over))


def one_line(text: str) -> str:
    """A text with its lines joined by spaces; only the beginning if it is far too long for a prompt."""
    return " ".join(text[: selection.MAX_TEXT_CHARACTERS].split())


def texts(scene: bpy.types.Scene) -> tuple[str, ...]:
    """What all text strips of the shown timeline say, to see whether that changed. Safe in a draw."""
    strips = strip_columns.of_kinds(compat.shown_strips(scene), "TEXT")
    return tuple(strip.text[: selection.MAX_TEXT_CHARACTERS] for strip in strips)


def _text_strips_at(scene: bpy.types.Scene, start: int, end_exclusive: int) -> list[compat.Strip]:
    return [
        strip
        for strip in strip_columns.of_kinds(compat.shown_strips(scene), "TEXT")
        if compat.start(strip) < end_exclusive and compat.end_exclusive(strip) > start
    ]


def _uncovered(first: int, last: int, above: list[TimedWords]) -> list[tuple[int, int]]:
    """The parts of frames `first` to `last` in which no words above hold."""
    parts, begin = [], first
    for each in sorted(above, key=lambda each: each.first):
        if each.last < begin or each.first > last:
            continue
        if each.first > begin:
            parts.append((begin, each.first - 1))
        begin = each.last + 1
    return [*parts, (begin, last)] if begin <= last else parts
