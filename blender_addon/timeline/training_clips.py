"""Which pictures of the timeline a LoRA is trained from: strips as clips and stills, each with a caption.

A clip has 4n+1 frames at the model's rate, as a model's autoencoder takes them. A long strip gives several, one after
the other; a strip that is too short for a clip gives a still. Nothing is changed, and no strip is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import MAX_CLIPS, Role
from . import compat, free_space, selection, strip_columns, text_strips
from .footage import FootageRange
from .selection import StripSummary

MAX_STRIPS = 256
"""A list of more than this is none that anybody has looked through."""
TOO_MANY = "The list may have at most {} strips: select fewer."
SHORTEST = 5
"""Fewer of the model's frames show no motion: such a strip is a still."""
MAX_PIECES = 8
"""So many clips one long strip gives at most, so that it doesn't outweigh all others."""


@dataclass(frozen=True)
class Rates:
    """How the scene's frames become the model's."""

    scene: Fraction
    model: Fraction
    most: int
    """The largest number of the model's frames that one clip may have."""

    def model_frames(self, frames: int) -> int:
        """How many frames a clip has that is cut from so many of the scene's: 4n+1, or 1 for a still."""
        there = int((frames - 1) * self.model / self.scene) + 1
        cut = (min(there, self.most) - 1) // 4 * 4 + 1
        return cut if cut >= SHORTEST else 1

    def scene_frames(self, model_frames: int) -> int:
        """How many of the scene's frames show so many of the model's, from the first to the last."""
        shown = (model_frames - 1) * self.scene / self.model
        return -(-shown.numerator // shown.denominator) + 1


@dataclass(frozen=True)
class Piece:
    """One clip or still: what it is made from, and what it shows."""

    wanted: FootageRange
    model_frames: int
    caption: str
    """Empty for that of all."""

    @property
    def is_still(self) -> bool:
        """True if it is a single picture."""
        return self.model_frames == 1


@dataclass(frozen=True)
class StripClips:
    """What one strip gives: its pieces; or why it gives none."""

    name: str
    pieces: tuple[Piece, ...] = ()
    summary: StripSummary | None = None
    """The strip, unless it is gone."""
    refusal: str = ""


def selected(scene: bpy.types.Scene) -> list[StripSummary]:
    """The selected strips that have a picture, in the order of their starts."""
    muted = free_space.muted_channels(scene)
    summaries = (selection.summarize(strip, muted) for strip in strip_columns.selected_strips(scene))
    with_picture = [each for each in summaries if each.type not in selection.UNSEEN and not each.waits]
    return sorted(with_picture, key=lambda each: (each.start, each.channel))


def clips_of(scene: bpy.types.Scene, chosen: Iterable[tuple[str, str]], rates: Rates) -> list[StripClips]:
    """What the strips of those names give, each with its own caption, which may be empty. Safe in a draw.

    Where a strip has no caption of its own, the text strips above it count.
    """
    muted = free_space.muted_channels(scene)
    texts = text_strips.all_texts(scene)
    numbers = itertools.count()
    found = []
    for name, caption in chosen:
        strip = compat.strip_named(scene, name)
        if strip is None:
            words = iface_("There is no strip '{}' on the timeline anymore: take it off the list.").format(name)
            found.append(StripClips(name, refusal=words))
            continue
        summary = selection.summarize(strip, muted)
        refusal = _refusal(summary)
        pieces = [] if refusal else _pieces(summary, texts, text_strips.one_line(caption), rates)
        numbered = (_numbered(piece, next(numbers)) for piece in pieces)
        found.append(StripClips(name, tuple(numbered), summary, refusal))
    return found


def _pieces(strip: StripSummary, texts: list[text_strips.PlacedText], caption: str, rates: Rates) -> list[Piece]:
    whole = caption or text_strips.caption_over(texts, strip.start, strip.end_exclusive, strip.channel)
    return [
        Piece(
            FootageRange(Role.CLIP, start, end, (strip.name,)),
            model_frames,
            caption or text_strips.caption_over(texts, start, end, strip.channel) or whole,
        )
        for start, end, model_frames in _cut(strip, rates)
    ]


def _numbered(piece: Piece, number: int) -> Piece:
    """The piece with a number that tells it from the others of its training."""
    wanted = piece.wanted
    named = FootageRange(wanted.role, wanted.start, wanted.end_exclusive, wanted.strip_names, at_frame=number)
    return Piece(named, piece.model_frames, piece.caption)


def _refusal(strip: StripSummary) -> str:
    """Why a strip gives no pictures; what its files and its scene lack is found later."""
    if strip.muted:
        return iface_("'{}' or its channel is muted: unmute it, or take it off the list.").format(strip.name)
    if strip.waits:
        return iface_("'{}' is still being made: wait for its take, or take it off the list.").format(strip.name)
    if strip.type in selection.UNSEEN or strip.type == "ADJUSTMENT":
        return iface_("'{}' has no picture of its own: take it off the list.").format(strip.name)
    if strip.frames < 1:
        return iface_("'{}' has no frames: pull one of its ends.").format(strip.name)
    return ""


def _cut(strip: StripSummary, rates: Rates) -> list[tuple[int, int, int]]:
    """The first frame, the exclusive end and the model's frames of each piece of a strip.

    Held pictures at its ends show nothing new and are left out. Of a strip that is longer than all pieces that it may
    give, these are spread evenly.
    """
    if strip.is_still:
        return [(strip.start, strip.start + 1, 1)]
    start, end = strip.shown_start, strip.shown_end
    if start >= end:
        start, end = strip.start, strip.end_exclusive
    model_frames = rates.model_frames(end - start)
    if model_frames == 1:
        middle = (start + end - 1) // 2
        return [(middle, middle + 1, 1)]
    length = rates.scene_frames(model_frames)
    count = max(1, min((end - start) // length, MAX_PIECES))
    room = end - start - length
    begins = [start + room * number // (count - 1) for number in range(count)] if count > 1 else [start]
    return [(begin, begin + length, model_frames) for begin in begins]


def count(clips: Iterable[StripClips]) -> tuple[int, int]:
    """How many clips and how many stills there are."""
    pieces = [piece for each in clips for piece in each.pieces]
    stills = sum(piece.is_still for piece in pieces)
    return len(pieces) - stills, stills


def size_refusal(clips: Iterable[StripClips]) -> str:
    """Why so many can't be trained from; empty if they can."""
    pieces = sum(count(clips))
    if pieces <= MAX_CLIPS:
        return ""
    words = "The strips give {} clips, and a LoRA is trained from at most {}: switch some of them off."
    return iface_(words).format(pieces, MAX_CLIPS)


def one_strip(clips: Sequence[StripClips]) -> str:
    """What is to be said where all pictures are of one strip; that there are few, the backend's plan says."""
    if sum(bool(each.pieces) for each in clips) != 1:
        return ""
    return "All of it is one strip, which the LoRA would learn by heart: select others that have the same in common."
