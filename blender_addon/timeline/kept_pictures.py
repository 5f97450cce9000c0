"""Image strips over a take's frames whose pictures it keeps: each is the take's frame at which its strip begins.

Nothing is changed. It is cheap enough for a draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import MAX_KEPT_PICTURES, Role
from . import compat, free_space, selection, strip_columns
from .footage import FootageRange
from .selection import StripSummary
from .targets import Target


@dataclass(frozen=True)
class PicturesOver:
    """The pictures over a take's frames, in the order of these."""

    kept: tuple[StripSummary, ...] = ()
    early: str = ""
    """A strip that reaches over the take but begins before it, so that its picture isn't kept; empty for none."""


NO_PICTURES = PicturesOver()


def pictures_over(scene: bpy.types.Scene, target: Target) -> PicturesOver | str:
    """The strips whose pictures a take at `target` keeps; or why it can't keep them.

    That is each image strip of one picture, and each other one of one frame, that begins at one of the take's frames.
    Muted ones count: the film needn't show them. What lies below the strips that the take is made from doesn't.
    """
    lowest = min((strip.channel for strip in target.sources), default=0)
    own = {strip.name for strip in target.sources}
    muted = free_space.muted_channels(scene)
    found: list[StripSummary] = []
    early = ""
    collection = compat.shown_strips(scene)
    strips = strip_columns.columns(collection)
    for index in strips.overlapping(target.start, target.end_exclusive):
        strip = collection[index]
        if strips.channels[index] <= lowest or strip.type not in ("IMAGE", "MOVIE") or strip.name in own:
            continue
        picked = selection.summarize(strip, muted)
        if picked.waits or not (picked.is_still or picked.frames == 1):
            continue
        if picked.start < target.start:
            early = strip.name
        else:
            found.append(picked)
    found.sort(key=lambda strip: (strip.start, strip.channel))
    for before, after in pairwise(found):
        if before.start == after.start:
            words = "'{}' and '{}' both begin at frame {}, and a take keeps one picture there: move one of them."
            return iface_(words).format(before.name, after.name, after.start)
    if len(found) > MAX_KEPT_PICTURES:
        words = "{} pictures begin over the take, and it keeps at most {}: move some away."
        return iface_(words).format(len(found), MAX_KEPT_PICTURES)
    return PicturesOver(tuple(found), early)


def with_kept(target: Target, over: PicturesOver) -> Target:
    """The target of a take that keeps these pictures, too."""
    wanted = tuple(
        FootageRange(Role.KEPT, strip.start, strip.start + 1, (strip.name,), at_frame=strip.start - target.start)
        for strip in over.kept
    )
    return replace(target, wanted=(*target.wanted, *wanted), kept=over.kept)
