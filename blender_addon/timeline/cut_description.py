"""A scene's timeline as a cut for other programs, and in words what such a cut has no place for. Changes nothing.

It is described a few strips at a time, so that the window goes on. Where strips came or went meanwhile, it begins anew.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from ...wan_backend.protocol.cut import (
    MAX_CLIPS,
    MAX_NESTED_DEPTH,
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutDissolve,
    CutMarker,
    CutTrack,
    NestedCut,
    TrackKind,
)
from . import compat, cut_clips, cut_dissolves, generated_ranges, path_rules, scene_format, shots
from .cut_clips import PLAYED, Placed

MAX_STRIPS = MAX_CLIPS
DISSOLVES = ("CROSS", "GAMMA_CROSS")
MAX_RESTARTS = 20
LOST_KINDS = {
    "TEXT": n_("text strips"),
    "META": n_("meta strips"),
    "SCENE": n_("scene strips"),
    "ADJUSTMENT": n_("adjustment strips"),
}
OTHERS, DISSOLVE = n_("effects and other strips"), n_("dissolves between more than two clips")
ONE_OF = {
    "text strips": n_("text strip"),
    "meta strips": n_("meta strip"),
    "scene strips": n_("scene strip"),
    "adjustment strips": n_("adjustment strip"),
    "effects and other strips": n_("effect or other strip"),
    "crops, positions and turns": n_("crop, position or turn"),
    "opacities": n_("opacity"),
    "blend modes": n_("blend mode"),
    "modifiers": n_("modifier"),
    "speeds": n_("speed"),
    "pans and changes of volume": n_("pan or change of volume"),
    "dissolves between more than two clips": n_("dissolve between more than two clips"),
}
"""What each is called where there is one."""
TOO_MANY = n_("The timeline has more than 20000 strips, which is more than can be exported at once.")
RESTLESS = n_("The timeline changes all the time: export it once nothing is placed any more.")
GONE = n_("The scene is gone.")


@dataclass(frozen=True)
class Described:
    """A cut, and how much of each kind isn't in it."""

    cut: Cut
    lost: Counter[str]

    @property
    def sentence(self) -> str:
        """What isn't told; empty if all is."""
        parts = [
            f"{count} {iface_(ONE_OF[what] if count == 1 else what)}" for what, count in self.lost.items() if count
        ]
        return iface_("Not in the file: {}.").format(", ".join(parts)) if parts else ""


class Describing:
    """Describes a scene's timeline in slices."""

    def __init__(self, scene: bpy.types.Scene, name: str) -> None:
        self.result: Described | None = None
        self.refusal = refusal(scene)
        """Why there will be no result; empty if there will be."""
        self._scene, self._name = scene.name, name
        self._work: _Work | None = None
        self._steps: Iterator[None] = iter(())
        self._strips: list[int] = []
        self._restarts = -1

    @property
    def progress(self) -> float:
        """How much of the timeline is described, from 0 to 1."""
        return 0.0 if self._work is None else min(1.0, self._work.done / max(1, len(self._strips)))

    def go_on(self, deadline: float) -> bool:
        """Describe more until `deadline` (of time.perf_counter); True once there is a result or a refusal."""
        scene = compat.own_scene(self._scene)
        if scene is None:
            self.refusal = GONE
        if self.refusal or scene is None or self.result is not None:
            return True
        strips = _addresses()
        if self._work is None or strips != self._strips:  # what was kept of strips that are gone isn't asked again
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                self.refusal = RESTLESS
                return True
            self._work, self._strips = _Work(scene, self._name), strips
            self._steps = self._work.steps()
        for _ in self._steps:
            if time.perf_counter() > deadline:
                return False
        self.result = Described(self._work.cut, self._work.lost)
        return True


def refusal(scene: bpy.types.Scene) -> str:
    """Why the timeline can't be described; empty if it can."""
    return TOO_MANY if len(compat.all_strips(scene)) > MAX_STRIPS else ""


def of(scene: bpy.types.Scene, name: str) -> Described:
    """The scene's timeline as a cut of that name, at once."""
    describing = Describing(scene, name)
    describing.go_on(math.inf)
    assert describing.result is not None
    return describing.result


def _addresses() -> list[int]:
    """Where all strips lie in memory: as long as these stay the same, those that are kept are there."""
    return [each.as_pointer() for scene in bpy.data.scenes for each in (scene, *compat.all_strips(scene))]


@dataclass
class _Work:
    scene: bpy.types.Scene
    name: str
    done: int = 0
    """Strips that are described."""
    lost: Counter[str] = field(default_factory=Counter)
    cut: Any = None
    """Once all steps are done."""
    _nested: list[NestedCut] = field(default_factory=list)

    def steps(self) -> Iterator[None]:
        """Describe a strip in each step; nothing but these steps may hold a strip."""
        strips = list(compat.top_strips(self.scene))
        first = min([self.scene.frame_start, *map(compat.start, strips)])
        tracks = yield from self._tracks(self.scene.sequence_editor, strips, first, 1)
        markers = [CutMarker(path_rules.shown(each.name), each.frame - first) for each in self.scene.timeline_markers]
        found = []
        for each in generated_ranges.each(self.scene, self.scene.frame_start, self.scene.frame_end + 1):
            found.append(each)
            yield
        markers += [_generated(each, first) for each in generated_ranges.in_order(found)]
        rate = scene_format.rate_of(self.scene)
        self.cut = Cut(self.name, rate, tracks, markers, first, self._nested)

    def _tracks(
        self, owner: Any, strips: list[compat.Strip], first: int, depth: int
    ) -> Generator[None, None, list[CutTrack]]:
        strips.sort(key=lambda strip: (compat.start(strip), strip.channel))
        speeds = {strip.input_1.name: strip for strip in strips if strip.type == "SPEED" and _is_over_input(strip)}
        named = shots.Marks(strips)
        placed: list[Placed] = []
        for strip in strips:
            self.done += 1
            yield
            nested = None
            if strip.type == "META" and depth < MAX_NESTED_DEPTH:
                nested = yield from self._meta(strip, depth)
            if strip.type in PLAYED and (nested is not None or strip.type != "META"):
                clip = cut_clips.placed(self.scene, strip, first, speeds.get(strip.name), nested, self.lost)
                clip.clip = replace(clip.clip, shot=clip.clip.shot or named.at(compat.start(strip)))
                placed.append(clip)
            elif strip.type == "SPEED":
                self.lost[cut_clips.SPEED] += not _is_over_input(strip)
            elif strip.type not in DISSOLVES:
                self.lost[LOST_KINDS.get(strip.type, OTHERS)] += 1
        rows = cut_dissolves.Rows(placed)
        yield
        dissolves = self._dissolves(rows, placed, strips)
        yield
        return [_track(owner, row, rows.by_row[row], dissolves) for row in sorted(rows.by_row)]

    def _meta(self, strip: compat.Strip, depth: int) -> Generator[None, None, ClipMedia]:
        inner = list(compat.strips(strip))
        tracks = yield from self._tracks(strip, inner, compat.content_start(strip), depth + 1)
        self._nested.append(NestedCut(tracks))
        name, place = path_rules.shown(strip.name), len(self._nested) - 1
        return ClipMedia(ClipMediaKind.NESTED, name, frames=max(0, compat.content_frames(strip)), nested=place)

    def _dissolves(
        self, rows: cut_dissolves.Rows, placed: list[Placed], strips: Iterable[compat.Strip]
    ) -> dict[str, CutDissolve]:
        """The dissolves by the name of their first strip; both clips of each come to lie on one track."""
        by_name = {each.name: each for each in placed}
        for strip in strips:
            if strip.type == "SPEED" and _is_over_input(strip) and strip.input_1.name in by_name:
                by_name[strip.name] = by_name[strip.input_1.name]
        found: dict[str, CutDissolve] = {}
        for effect in (strip for strip in strips if strip.type in DISSOLVES):
            inputs = (effect.input_1, effect.input_2)
            first, second = (by_name.get(each.name) if each is not None else None for each in inputs)
            dissolve = None
            if first and second and first is not second:
                start, length = compat.start(effect), compat.length_frames(effect)
                dissolve = cut_dissolves.joined(rows, first, second, (effect.name, effect.channel, start, length))
            if dissolve is None or first is None:
                self.lost[DISSOLVE] += 1
            else:
                found[first.name] = dissolve
        return found


def _is_over_input(effect: compat.Strip) -> bool:
    """Whether an effect covers just what its input does, which is what a cut can say of a speed."""
    below = effect.input_1
    return (
        below is not None
        and below.type in PLAYED
        and compat.start(below) == compat.start(effect)
        and compat.length_frames(below) == compat.length_frames(effect)
    )


def _track(owner: Any, row: cut_dissolves.Row, clips: list[Placed], dissolves: dict[str, CutDissolve]) -> CutTrack:
    channel, is_audio, _ = row
    joined = [replace(dissolves[each.name], clip=at) for at, each in enumerate(clips) if each.name in dissolves]
    name = path_rules.shown(owner.channels[channel].name) if channel < len(owner.channels) else ""
    kind = TrackKind.AUDIO if is_audio else TrackKind.VIDEO
    return CutTrack(kind, name, [each.clip for each in clips], joined)


def _generated(found: generated_ranges.GeneratedRange, first: int) -> CutMarker:
    words = "generated with footage" if found.composite else "generated"
    note = ", ".join(filter(None, (words, found.model)))
    length = found.end_exclusive - found.start
    return CutMarker(path_rules.shown(found.strip), found.start - first, length, True, note)
