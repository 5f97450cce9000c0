"""Lays a cut that came from elsewhere onto a timeline, above what is there. Undo steps are pushed by the callers.

The cut was checked, and its media is there, before it comes here. Missing media and takes that aren't made yet become
color strips, which keep the place and start nothing. A film is laid a few strips at a time, so that the window goes on.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from ...wan_backend.protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, TrackKind
from . import (
    compat,
    cut_places,
    identity,
    scene_format,
    shots,
    strip_takes,
    take_strips,
    untrusted,
)
from .cut_places import ASIDE, Cross, Span

MISSING_COLOR = (0.45, 0.05, 0.25)
NAMES_AT_ONCE = 200
"""So many names of pictures are given to a strip in one step."""
COMING = "wan_vse_coming"
"""Of a strip that is laid out: by what, as long as not all of the cut is."""
NO_CLIPS, TOO_LONG, NO_ROOM, CHANGED, GONE = (
    n_("The file holds no clips."),
    n_("The file holds a longer cut than Blender's timeline."),
    n_("There are not enough free channels: make room above the strips that are there."),
    n_("The timeline was changed while the cut came: import it again."),
    n_("The scene is gone."),
)


@dataclass(frozen=True)
class MadeTake:
    """How a take was made, as its folder says."""

    request: str = ""
    take: str = ""


FindTake = Callable[[ClipMedia], MadeTake | None]
"""What the folder of a take says; None if it isn't one."""


@dataclass
class LaidOut:
    """What was laid out, and what of it isn't as it was."""

    strips: int = 0
    unreadable: int = 0
    """Clips whose media this Blender can't read."""
    speeds: int = 0
    """Sounds that play at their own speed here."""


class Changed(Exception):
    """What is being laid out is no longer there."""


class Laying:
    """Lays a cut onto a scene's timeline in slices."""

    def __init__(self, scene: bpy.types.Scene, cut: Cut, find_take: FindTake) -> None:
        self.laid = LaidOut()
        self.refusal = ""
        """Why it can't be laid out; then nothing of it is on the timeline."""
        self._scene, self._cut, self._find_take = scene.name, cut, find_take
        self._id = uuid.uuid4().hex
        self._total = max(1, sum(len(track.clips) for track in cut.all_tracks()))
        self._steps = self._all_steps()

    @property
    def progress(self) -> float:
        """How much of it is on the timeline, from 0 to 1."""
        return min(1.0, self.laid.strips / self._total)

    def go_on(self, deadline: float) -> bool:
        """Lay out more until `deadline` (of time.perf_counter); True once all is there, or it was refused."""
        try:
            for _ in self._steps:
                if time.perf_counter() > deadline:
                    return False
        except Changed:
            self.give_up(iface_(CHANGED))
        return True

    def give_up(self, why: str) -> None:
        """Take away what was laid out."""
        self.refusal, self._steps = why, iter(())
        scene = compat.own_scene(self._scene)
        ours = [] if scene is None else [each for each in compat.all_strips(scene) if each.get(COMING) == self._id]
        kinds = {"CROSS": 0, "SPEED": 1, "META": 2}
        owners: dict[str, Any] = {}
        for strip in sorted(ours, key=lambda strip: kinds.get(strip.type, 3)):  # what needs others goes before them
            parent = strip.parent_meta()
            if parent is None or parent.get(COMING) != self._id:
                owners.setdefault("" if parent is None else parent.name, []).append(strip)
        for name, strips in owners.items():
            assert scene is not None
            collection = compat.strips(compat.strip_named(scene, name) if name else scene.sequence_editor)
            for strip in strips:
                collection.remove(strip)

    # No step may hold a strip of the step before: undo may have put others in their place.

    def _all_steps(self) -> Iterator[None]:
        scene = self._here()
        spans, crosses = cut_places.planned(self._cut.tracks)
        refusal = self._refusal(scene, spans)
        if refusal:
            self.refusal = iface_(refusal)
            return
        origin = self._origin(scene)
        scene.sequence_editor_create()
        up = cut_places.free_offset(scene, spans, crosses, origin)
        if up is None:
            self.refusal = iface_(NO_ROOM)
            return
        open_metas = scene.sequence_editor.meta_stack
        yield from self._lay(open_metas[-1].name if len(open_metas) else "", spans, crosses, origin, up)
        scene = self._here()
        for strip in compat.all_strips(scene):
            if COMING in strip:
                del strip[COMING]
        for marker in self._cut.markers:
            if not marker.generated:
                scene.timeline_markers.new(marker.name or "Marker", frame=marker.start + origin)

    def _refusal(self, scene: bpy.types.Scene, spans: Sequence[Span]) -> str:
        if not spans:
            return NO_CLIPS
        edges = (min(span.start for span in spans), max(span.end for span in spans))
        origin = self._origin(scene)
        return "" if all(abs(edge + origin) < scene_format.LAST_FRAME for edge in edges) else TOO_LONG

    def _origin(self, scene: bpy.types.Scene) -> int:
        return scene.frame_start if self._cut.first_frame is None else self._cut.first_frame

    def _here(self) -> bpy.types.Scene:
        scene = compat.own_scene(self._scene)
        if scene is None:
            raise Changed
        return scene

    def _owner(self, meta: str) -> Any:
        """The meta strip of that name, or the timeline."""
        scene = self._here()
        owner: Any = compat.strip_named(scene, meta) if meta else scene.sequence_editor
        if owner is None or (meta and owner.type != "META"):
            raise Changed
        return owner

    def _lay(self, meta: str, spans: list[Span], crosses: list[Cross], origin: int, up: int) -> Iterator[None]:
        """Lay clips and dissolves into the timeline or a meta strip."""
        names: list[tuple[str, str]] = []
        for span in spans:
            if span.clip.media[span.clip.active].kind is ClipMediaKind.NESTED:
                names.append((yield from self._lay_nested(meta, span, origin, up)))
            else:
                names.append((yield from self._lay_clip(meta, span, origin, up)))
            yield
        for cross in crosses:
            collection = compat.strips(self._owner(meta))
            first, second = (collection.get(names[at][1]) for at in (cross.first, cross.second))
            if first is None or second is None:
                raise Changed
            start = compat.start(second)
            length = compat.end_exclusive(first) - start
            name = cross.name or "Cross"
            effect = compat.new_cross(collection, name, cross.channel + up, start, length, first, second)
            effect[COMING] = self._id
            yield

    def _lay_clip(self, meta: str, span: Span, origin: int, up: int) -> Generator[None, None, tuple[str, str]]:
        """Lay a clip; returns the names of its strip, and of the one that shows it: an effect, where it has a speed."""
        collection, start = compat.strips(self._owner(meta)), span.start + origin
        strip = _new(collection, span, start)
        if strip is None:
            self.laid.unreadable += 1
            strip = _color(collection, span.clip, start, span.length, iface_("Unreadable: {}"))
        strip[COMING] = self._id
        name = strip.name
        if strip.type == "IMAGE":
            files = span.clip.media[span.clip.active].files
            for at in range(1, len(files), NAMES_AT_ONCE):
                for file in files[at : at + NAMES_AT_ONCE]:
                    strip.elements.append(file)
                if at + NAMES_AT_ONCE < len(files):
                    yield
                    collection = compat.strips(self._owner(meta))
                    strip = collection.get(name)
                    if strip is None:
                        raise Changed
        if strip.type in ("MOVIE", "IMAGE", "SOUND"):
            compat.set_handles(strip, start, start + span.length)
            _give_takes(strip, span.clip, self._find_take)
        strip.channel = span.channel + up
        return self._finished(collection, strip, span, up)

    def _lay_nested(self, meta: str, span: Span, origin: int, up: int) -> Generator[None, None, tuple[str, str]]:
        start = span.start + origin
        inside = start - span.media_start
        strip = compat.new_meta(compat.strips(self._owner(meta)), span.clip.name or "Nested", ASIDE, inside)
        strip[COMING] = self._id
        name = strip.name
        nested = self._cut.nested[span.clip.media[span.clip.active].nested]
        yield from self._lay(name, *cut_places.planned(nested.tracks), inside, 0)
        strip = self._owner(name)
        compat.set_handles(strip, start, start + span.length)
        strip.channel = span.channel + up
        return self._finished(compat.strips(self._owner(meta)), strip, span, up)

    def _finished(self, collection: compat.Collection, strip: compat.Strip, span: Span, up: int) -> tuple[str, str]:
        clip, shows = span.clip, strip
        if span.effect_channel:
            start, length = compat.start(strip), compat.length_frames(strip)
            speed = abs(clip.speed)
            shows = compat.new_speed(collection, "Speed", span.effect_channel + up, start, length, strip, speed)
            shows[COMING] = self._id
        elif clip.speed != 1.0 and span.kind is TrackKind.AUDIO:
            self.laid.speeds += 1
        strip.mute = not clip.enabled
        if span.kind is TrackKind.AUDIO and strip.type == "SOUND":
            strip.volume = clip.volume
        if clip.shot:
            strip[shots.SHOT] = clip.shot
        strip.lock = clip.locked
        self.laid.strips += 1
        return strip.name, shows.name


def lay(scene: bpy.types.Scene, cut: Cut, find_take: FindTake) -> LaidOut | str:
    """Put the cut onto the timeline at once, or say why it can't be."""
    laying = Laying(scene, cut, find_take)
    laying.go_on(float("inf"))
    return laying.refusal or laying.laid


def _new(collection: compat.Collection, span: Span, start: int) -> compat.Strip | None:
    """The strip of a clip, off its channel, of pictures with the first alone; None if Blender can't read its media."""
    clip = span.clip
    shown = clip.media[clip.active]
    if shown.kind in (ClipMediaKind.COLOR, ClipMediaKind.PLACEHOLDER, ClipMediaKind.MISSING):
        return _without_file(collection, clip, shown, start, span.length)
    path = os.path.join(take_strips.path_in_strip(shown.folder), shown.files[0])
    begins = start - span.media_start
    try:
        if span.kind is TrackKind.AUDIO:
            strip = compat.new_sound(collection, clip.name or "Sound", path, ASIDE, begins)
        elif shown.kind is ClipMediaKind.FILE:
            strip = compat.new_movie(collection, clip.name or "Movie", path, ASIDE, begins)
        else:
            strip = compat.new_image(collection, clip.name or "Pictures", path, ASIDE, begins)
    except RuntimeError:
        return None
    if clip.speed < 0 and span.kind is TrackKind.VIDEO:
        strip.use_reverse_frames = True
    return strip


def _without_file(
    collection: compat.Collection, clip: CutClip, shown: ClipMedia, start: int, length: int
) -> compat.Strip:
    if shown.kind is ClipMediaKind.MISSING:
        return _color(collection, clip, start, length, iface_("Missing: {}"))
    strip = _color(collection, clip, start, length, "{}")
    if shown.kind is ClipMediaKind.COLOR:
        strip.color = shown.color or (0.0, 0.0, 0.0)
        return strip
    strip.color, strip.blend_alpha = take_strips.PLACEHOLDER_COLOR, take_strips.UNSEEN
    if untrusted.request(shown.request) is not None:
        strip[identity.REQUEST] = shown.request  # without a job: it is settings to look at, which start nothing
    return strip


def _color(collection: compat.Collection, clip: CutClip, start: int, length: int, words: str) -> compat.Strip:
    name = words.format(clip.name or clip.media[clip.active].name or iface_("Clip"))
    strip = compat.new_color(collection, name, ASIDE, start, length)
    strip.color = MISSING_COLOR
    return strip


def _give_takes(strip: compat.Strip, clip: CutClip, find_take: FindTake) -> None:
    """Let the strip have the clip's takes, as far as their folders are those of takes; the shown one must be one."""
    is_movie = strip.type == "MOVIE"
    kept: list[strip_takes.KeptTake] = []
    shown = clip.media[clip.active]
    made = find_take(shown) if shown.job_id and strip.type in ("MOVIE", "IMAGE") else None
    if made is None:
        return
    for media in clip.media[: strip_takes.MAX_TAKES]:
        found = made if media is shown else find_take(media) if media.job_id else None
        if media.job_id and found is not None:
            take = untrusted.take(found.take)
            of_movie = media.kind is ClipMediaKind.FILE
            frames = media.frames if of_movie else len(media.files)
            kept.append(
                strip_takes.KeptTake(
                    media.job_id,
                    media.folder,
                    media.files[0],
                    max(1, frames),
                    of_movie,
                    media.mark,
                    media.note,
                    0 if take is None else take.handle_before,
                    0 if take is None else take.handle_after,
                )
            )
    identity.mark_take(strip, shown.job_id, made.request, made.take)
    if len(kept) > 1 or shown.mark or shown.note or is_movie:
        strip_takes.set_takes(strip, kept)
