"""What is selected on the timeline, which task that implies, and the prompts that texts hold.

Nothing is changed, and no strip is kept. It is cheap enough for a draw: two thousand strips are read as columns, and
only the selected ones singly.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ...wan_backend.protocol.messages import MAX_PROMPT_CHARACTERS, Task
from . import compat, free_space, identity, strip_columns

MAX_STRIPS = 64
"""A task takes at most this many strips at once."""
_WITH_MEDIA = {"MOVIE", "IMAGE", "SCENE", "META", "MOVIECLIP", "MASK"}
UNSEEN = {"SOUND", "TEXT"}
"""Types of strips that have no picture to make anything from."""


MAX_TEXT_CHARACTERS = 2 * MAX_PROMPT_CHARACTERS
"""A text block is read up to this many characters, which is more than any prompt may have."""


@dataclass(frozen=True)
class StripSummary:
    """A strip's place and type when it was read, in frames of the scene. The strip is found again by its name."""

    name: str
    type: str
    channel: int
    start: int
    end_exclusive: int
    muted: bool = False
    """True if the strip or its channel is muted: the preview doesn't show it."""
    held_before: int = 0
    """How many of its first frames only hold the media's first picture."""
    held_after: int = 0
    """How many of its last frames only hold the media's last picture."""
    is_still: bool = False
    """True for an image strip of a single picture."""
    waits: bool = False
    """True for a placeholder, whose take is still being made."""
    text: str = ""
    """A text strip's text, as one line."""

    @property
    def frames(self) -> int:
        """How many frames it covers."""
        return self.end_exclusive - self.start

    @property
    def shown_start(self) -> int:
        """The first frame with a picture of its own."""
        return self.start + self.held_before

    @property
    def shown_end(self) -> int:
        """The first frame after the last one with a picture of its own."""
        return self.end_exclusive - self.held_after


@dataclass(frozen=True)
class Selection:
    """The selected strips in the order of their starts, and the playhead's frame."""

    frame: int
    footage: tuple[StripSummary, ...] = ()
    """The strips with a picture, without text strips and placeholders."""
    texts: tuple[StripSummary, ...] = ()
    count: int = 0
    """How many strips are selected. Only the first `MAX_STRIPS` are read."""

    @property
    def key(self) -> str:
        """Equal for selections of the same strips, and kept in the .blend with the task chosen for them."""
        return "\n".join(strip.name for strip in (*self.footage, *self.texts))


def read(scene: bpy.types.Scene) -> Selection:
    """What is selected now in the timeline that the sequencer shows."""
    collection = compat.shown_strips(scene)
    indices = strip_columns.selected(collection)
    muted = free_space.muted_channels(scene) if indices else set()
    picked = (summarize(strip, muted) for strip in strip_columns.fetch(collection, indices[:MAX_STRIPS]))
    strips = sorted(picked, key=lambda strip: (strip.start, strip.channel))
    return Selection(
        frame=scene.frame_current,
        footage=tuple(strip for strip in strips if strip.type not in UNSEEN and not strip.waits),
        texts=tuple(strip for strip in strips if strip.type == "TEXT"),
        count=len(indices),
    )


def summarize(strip: compat.Strip, muted_channels: set[int]) -> StripSummary:
    """Read what a task needs to know about `strip`."""
    kind = strip.type
    held = compat.held_frames(strip) if kind in _WITH_MEDIA else (0, 0)
    is_still = kind == "IMAGE" and len(strip.elements) <= 1
    if is_still:
        held = (0, 0)  # all of it holds the one picture
    return StripSummary(
        name=strip.name,
        type=kind,
        channel=strip.channel,
        start=compat.start(strip),
        end_exclusive=compat.end_exclusive(strip),
        muted=strip.mute or strip.channel in muted_channels,
        held_before=held[0],
        held_after=held[1],
        is_still=is_still,
        waits=identity.role_of(strip) == identity.PLACEHOLDER_ROLE,
        text=" ".join(strip.text.split()) if kind == "TEXT" else "",
    )


def around(
    scene: bpy.types.Scene, frame: int
) -> tuple[free_space.Gap | None, StripSummary | None, StripSummary | None]:
    """The gap around `frame`, and the strips that touch it on the left and the right.

    If several touch it, the one on the highest channel counts. Placeholders count, too.
    """
    collection = compat.shown_strips(scene)
    strips = strip_columns.columns(collection)
    gap = free_space.gap_at(scene, frame, strips)
    if gap is None:
        return None, None, None
    muted = free_space.muted_channels(scene)
    found: list[StripSummary | None] = []
    for column, edge in ((strips.ends_exclusive, gap.start), (strips.starts, gap.end_exclusive)):
        touching = [
            index
            for index, frame in enumerate(column)
            if frame == edge and not (strips.mutes[index] or strips.overlays[index] or strips.channels[index] in muted)
        ]
        top = max(touching, key=lambda index: strips.channels[index], default=None)
        found.append(None if top is None else summarize(collection[top], muted))
    return gap, found[0], found[1]


def implied(scene: bpy.types.Scene, selection: Selection) -> Task:
    """The task that such a selection most likely means."""
    strips = selection.footage
    if not strips:
        return _implied_by_playhead(scene, selection)
    if len(strips) == 1:
        return _implied_by(strips[0])
    kinds = {strip.type for strip in strips}
    if "SCENE" in kinds and all(strip.type == "SCENE" or strip.is_still for strip in strips):
        return Task.PREVIS
    if len(strips) == 2:
        if strips[0].end_exclusive < strips[1].start and not any(strip.type == "ADJUSTMENT" for strip in strips):
            return Task.FILL_GAP
        if all(strip.is_still for strip in strips):
            return Task.IMAGE_TO_VIDEO
    return Task.RESTYLE


def _implied_by(strip: StripSummary) -> Task:
    if strip.is_still:
        return Task.IMAGE_TO_VIDEO
    if strip.held_before or strip.held_after:
        return Task.EXTEND
    return Task.PREVIS if strip.type == "SCENE" else Task.RESTYLE


def _implied_by_playhead(scene: bpy.types.Scene, selection: Selection) -> Task:
    if selection.texts:
        return Task.TEXT_TO_VIDEO
    _, left, right = around(scene, selection.frame)
    both = left is not None and right is not None and not (left.waits or right.waits)
    return Task.FILL_GAP if both else Task.TEXT_TO_VIDEO


def prompt_of_text_block(text: bpy.types.Text) -> str:
    """The text with its lines joined by spaces; only the beginning if it is far too long for a prompt."""
    lines: list[str] = []
    room = MAX_TEXT_CHARACTERS
    for line in text.lines:  # a panel asks at every redraw, and the text may be a book
        body = line.body.strip()
        if body:
            lines.append(body)
            room -= len(body) + 1
            if room < 0:
                break
    return " ".join(lines)


def prompt_strip(scene: bpy.types.Scene) -> compat.Strip | None:
    """The text strip that gives the prompt: the active one if it is selected, else the first selected one."""
    selected = [strip for strip in strip_columns.selected_strips(scene) if strip.type == "TEXT"]
    active = compat.active_strip(scene)
    return active if active in selected else next(iter(selected), None)


def prompt_of_text_strip(scene: bpy.types.Scene) -> str | None:
    """The selected text strip's text, its lines joined by spaces; None if no text strip is selected."""
    strip = prompt_strip(scene)
    return None if strip is None else " ".join(strip.text.split())
