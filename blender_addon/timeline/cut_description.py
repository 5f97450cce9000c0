"""A scene's timeline as a cut for other programs, and in words what such a cut has no place for. Changes nothing.

Other programs dissolve between two clips of one track, where Blender lays an effect over two strips that overlap: the
second strip joins the track of the first if it has room there, and the cut between them is amid the dissolve.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from ...wan_backend.protocol import name_runs
from ...wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutClip,
    CutDissolve,
    CutMarker,
    CutTrack,
    TrackKind,
    is_sane_media,
)
from . import compat, generated_ranges, identity, path_rules, scene_format, strip_media, strip_takes, untrusted

MAX_STRIPS = 1000
"""Blender's window waits while they are described."""
DISSOLVES = ("CROSS", "GAMMA_CROSS")
PLAYED = ("MOVIE", "IMAGE", "SOUND", "COLOR")
LOST_KINDS = {
    "TEXT": n_("text strips"),
    "META": n_("meta strips"),
    "SCENE": n_("scene strips"),
    "ADJUSTMENT": n_("adjustment strips"),
}
OTHERS, FRAMING, OPACITY, MODIFIERS, SPEED, DISSOLVE = (
    n_("effects and other strips"),
    n_("crops, positions and turns"),
    n_("opacities"),
    n_("modifiers"),
    n_("speeds"),
    n_("dissolves between more than two clips"),
)

ONE_OF = {
    "text strips": n_("text strip"),
    "meta strips": n_("meta strip"),
    "scene strips": n_("scene strip"),
    "adjustment strips": n_("adjustment strip"),
    "effects and other strips": n_("effect or other strip"),
    "crops, positions and turns": n_("crop, position or turn"),
    "opacities": n_("opacity"),
    "modifiers": n_("modifier"),
    "speeds": n_("speed"),
    "dissolves between more than two clips": n_("dissolve between more than two clips"),
}
"""What each is called where there is one."""
TOO_MANY = n_("The timeline has more than 1000 strips, which is more than can be exported at once.")


@dataclass
class _Placed:
    strip: compat.Strip
    clip: CutClip
    kind: TrackKind
    track: int
    fades_until: int = 0

    @property
    def end(self) -> int:
        return self.clip.start + self.clip.length


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


def refusal(scene: bpy.types.Scene) -> str:
    """Why the timeline can't be described without Blender's window standing still; empty if it can."""
    return TOO_MANY if len(compat.top_strips(scene)) > MAX_STRIPS else ""


def of(scene: bpy.types.Scene, name: str) -> Described:
    """The scene's timeline as a cut of that name."""
    strips = sorted(compat.top_strips(scene), key=lambda strip: (compat.start(strip), strip.channel))
    first = min([scene.frame_start, *map(compat.start, strips)])
    lost: Counter[str] = Counter()
    placed = [_placed(scene, strip, first, lost) for strip in strips if strip.type in PLAYED]
    dissolves = _dissolved(placed, strips, lost)
    for strip in strips:
        if strip.type not in (*PLAYED, *DISSOLVES):
            lost[LOST_KINDS.get(strip.type, OTHERS)] += 1
    keys = sorted({(each.track, each.kind is TrackKind.AUDIO) for each in placed})
    tracks = [_track(scene, track, is_audio, placed, dissolves) for track, is_audio in keys]
    cut = Cut(name, scene_format.rate_of(scene), tracks, _markers(scene, first), first)
    return Described(cut, lost)


def _placed(scene: bpy.types.Scene, strip: compat.Strip, first: int, lost: Counter[str]) -> _Placed:
    _count_lost(strip, lost)
    media, active = _media(scene, strip)
    backwards = strip.type in ("MOVIE", "IMAGE") and strip.use_reverse_frames
    held = media[active].kind is ClipMediaKind.PICTURES and len(media[active].files) == 1
    begins = 0
    if strip.type != "COLOR" and not held:
        begins = compat.start(strip) - compat.content_start(strip) + compat.trims(strip)[backwards]
    clip = CutClip(
        path_rules.shown(strip.name),
        compat.start(strip) - first,
        compat.length_frames(strip),
        media,
        active,
        begins,
        -1.0 if backwards else 1.0,
        not strip.mute,
        strip.channel,
    )
    kind = TrackKind.AUDIO if strip.type == "SOUND" else TrackKind.VIDEO
    return _Placed(strip, clip, kind, strip.channel)


def _count_lost(strip: compat.Strip, lost: Counter[str]) -> None:
    lost[MODIFIERS] += len(strip.modifiers)
    lost[SPEED] += compat.has_retiming_keys(strip)
    if strip.type in ("MOVIE", "IMAGE"):
        moved, cropped = strip.transform, strip.crop
        values = (moved.offset_x, moved.offset_y, moved.rotation)
        sides = (cropped.min_x, cropped.max_x, cropped.min_y, cropped.max_y)
        lost[FRAMING] += any(values) or any(sides)
        lost[OPACITY] += strip.blend_alpha < 1.0


def _media(scene: bpy.types.Scene, strip: compat.Strip) -> tuple[list[ClipMedia], int]:
    """What may play in a strip, and which of it does."""
    name = path_rules.shown(strip.name)
    if strip.type == "COLOR":
        text = untrusted.text_in(strip, identity.REQUEST)
        if text and untrusted.request(text) is not None:
            return [ClipMedia(ClipMediaKind.PLACEHOLDER, name, request=text)], 0
        return [ClipMedia(ClipMediaKind.COLOR, name, color=[min(max(level, 0.0), 1.0) for level in strip.color])], 0
    takes = strip_takes.takes_of(strip)
    media = [_of_take(take) for take in takes] if takes else [_of_strip(scene, strip)]
    missing = [ClipMedia(ClipMediaKind.MISSING, name) if not is_sane_media(each) else each for each in media]
    return missing, (strip_takes.shown_index(strip) or 0)


def _of_take(take: strip_takes.KeptTake) -> ClipMedia:
    kind = ClipMediaKind.FILE if take.is_movie else ClipMediaKind.PICTURES
    files = list(take.files().files)
    return ClipMedia(kind, "", take.folder, files, take.frames, job_id=take.job_id, mark=take.mark, note=take.note)


def _of_strip(scene: bpy.types.Scene, strip: compat.Strip) -> ClipMedia:
    frames = compat.content_frames(strip) + sum(compat.trims(strip))
    if strip.type == "SOUND":
        path = bpy.path.abspath(strip.sound.filepath, library=strip.sound.library) if strip.sound else ""
        folder, _, name = path.replace("\\", "/").rpartition("/")
        return ClipMedia(ClipMediaKind.FILE, "", folder, [name], frames)
    folder = strip_media.folder_of(scene, strip)
    if strip.type == "MOVIE":
        rate = float(scene_format.rate_of(scene).exact())
        own = strip.fps if strip.fps > 0 and abs(strip.fps - rate) > rate * 1e-5 else 0.0
        return ClipMedia(ClipMediaKind.FILE, "", folder, [bpy.path.basename(strip.filepath)], frames, own)
    files = [element.filename for element in strip.elements[: name_runs.MAX_NAMES + 1]]
    return ClipMedia(ClipMediaKind.PICTURES, "", folder, files, len(files))


def _dissolved(placed: list[_Placed], strips: Sequence[compat.Strip], lost: Counter[str]) -> dict[str, CutDissolve]:
    """The dissolves by the name of their first strip; both clips of each come to lie on one track."""
    by_name = {each.strip.name: each for each in placed}
    found: dict[str, CutDissolve] = {}
    for effect in (strip for strip in strips if strip.type in DISSOLVES):
        inputs = (effect.input_1, effect.input_2)
        first, second = (by_name.get(each.name) if each is not None else None for each in inputs)
        dissolve = _joined(first, second, effect, placed) if first and second and first is not second else None
        if dissolve is None or first is None:
            lost[DISSOLVE] += 1
        else:
            found[first.strip.name] = dissolve
    return found


def _joined(first: _Placed, second: _Placed, effect: compat.Strip, placed: list[_Placed]) -> CutDissolve | None:
    begin, end = second.clip.start, first.end
    middle = (begin + end) // 2
    if (
        not first.clip.start < begin < end < second.end
        or compat.length_frames(effect) != end - begin
        or compat.start(effect) - compat.start(second.strip)
        or middle < first.fades_until
        or any(other.track == first.track and other.kind is first.kind and other not in (first, second)
               and other.clip.start < second.end and other.end > middle for other in placed)
    ):  # fmt: skip
        return None
    first.clip = replace(first.clip, length=middle - first.clip.start)
    late = middle - begin
    held = len(second.clip.media[second.clip.active].files) == 1 and not second.clip.media_start
    is_held = second.strip.type == "COLOR" or (second.strip.type == "IMAGE" and held)
    media_start = second.clip.media_start + (0 if is_held else late)
    second.clip = replace(second.clip, start=middle, length=second.clip.length - late, media_start=media_start)
    second.track, second.fades_until = first.track, end
    return CutDissolve(0, middle - begin, end - middle, path_rules.shown(effect.name), effect.channel)


def _track(
    scene: bpy.types.Scene, track: int, is_audio: bool, placed: list[_Placed], dissolves: dict[str, CutDissolve]
) -> CutTrack:
    kind = TrackKind.AUDIO if is_audio else TrackKind.VIDEO
    here = sorted((e for e in placed if (e.track, e.kind) == (track, kind)), key=lambda each: each.clip.start)
    joined = [
        replace(dissolves[each.strip.name], clip=index)
        for index, each in enumerate(here)
        if each.strip.name in dissolves
    ]
    channels = scene.sequence_editor.channels
    name = path_rules.shown(channels[track].name) if track < len(channels) else ""
    return CutTrack(kind, name, [each.clip for each in here], joined)


def _markers(scene: bpy.types.Scene, first: int) -> list[CutMarker]:
    """The scene's markers, and the stretches in which generated footage plays."""
    found = [CutMarker(path_rules.shown(each.name), each.frame - first) for each in scene.timeline_markers]
    for each in generated_ranges.of(scene, scene.frame_start, scene.frame_end + 1):
        words = "generated with footage" if each.composite else "generated"
        note = ", ".join(filter(None, (words, each.model)))
        name = path_rules.shown(each.strip)
        found.append(CutMarker(name, each.start - first, each.end_exclusive - each.start, True, note))
    return found
