"""A strip as a clip of a cut for other programs, and what such a clip has no place for. Changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_n as n_

from ...wan_backend.protocol import name_runs
from ...wan_backend.protocol.cut import (
    MAX_SPEED,
    MAX_VOLUME,
    ClipMedia,
    ClipMediaKind,
    CutClip,
    TrackKind,
    is_sane_media,
)
from . import animation, compat, identity, path_rules, scene_format, shots, strip_media, strip_takes, untrusted

PLAYED = ("MOVIE", "IMAGE", "SOUND", "COLOR", "META")
PLAIN_BLENDS = ("REPLACE", "CROSS", "ALPHA_OVER")
FRAMING, OPACITY, BLEND, MODIFIERS, SPEED, SOUND = (
    n_("crops, positions and turns"),
    n_("opacities"),
    n_("blend modes"),
    n_("modifiers"),
    n_("speeds"),
    n_("pans and changes of volume"),
)


@dataclass
class Placed:
    """A clip where it is to lie, which may change until all dissolves are known."""

    name: str
    """The strip's."""
    kind: TrackKind
    clip: CutClip
    track: int
    strip_start: int
    """The frame of the scene on which its strip begins."""
    layer: int = 0
    """Above 0 for one that would lie on another of its track."""
    is_held: bool = False
    """Whether it shows one picture, so that it has no earlier or later ones."""
    fades_on: bool = False
    """Whether the clip after it dissolves in."""
    fades_until: int = 0

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.clip.start + self.clip.length

    @property
    def row(self) -> tuple[int, bool, int]:
        """The track that it lies on, as it is sorted."""
        return self.track, self.kind is TrackKind.AUDIO, self.layer


def placed(
    scene: bpy.types.Scene,
    strip: compat.Strip,
    first: int,
    speed_effect: compat.Strip | None,
    nested: ClipMedia | None,
    lost: Counter[str],
) -> Placed:
    """The clip of a strip, counted from the frame `first`; `nested` is what plays in a meta strip."""
    _count_lost(scene, strip, lost)
    media, active = ([nested], 0) if nested is not None else _media(scene, strip)
    shown = media[active]
    backwards = strip.type in ("MOVIE", "IMAGE") and strip.use_reverse_frames
    is_still = shown.kind is ClipMediaKind.PICTURES and len(shown.files) == 1
    is_held = is_still or strip.type == "COLOR"
    begins = 0 if is_held else compat.start(strip) - compat.content_start(strip) + compat.trims(strip)[backwards]
    speed, begins = _speed(scene, strip, speed_effect, begins, shown, lost)
    is_sound = strip.type == "SOUND"
    clip = CutClip(
        path_rules.shown(strip.name),
        compat.start(strip) - first,
        compat.length_frames(strip),
        media,
        active,
        begins,
        -speed if backwards else speed,
        not strip.mute,
        strip.channel,
        0 if speed_effect is None or speed == 1.0 else speed_effect.channel,
        bool(strip.lock),
        min(max(strip.volume, 0.0), MAX_VOLUME) if is_sound else 1.0,
        shots.shot_of(strip),
    )
    kind = TrackKind.AUDIO if is_sound else TrackKind.VIDEO
    return Placed(strip.name, kind, clip, strip.channel, compat.start(strip), 0, is_held)


def _speed(
    scene: bpy.types.Scene,
    strip: compat.Strip,
    effect: compat.Strip | None,
    begins: int,
    shown: ClipMedia,
    lost: Counter[str],
) -> tuple[float, int]:
    """How fast a strip plays, and the frame of its media that comes first then."""
    speed = 1.0
    if compat.has_retiming_keys(strip):
        frames = len(shown.files) if shown.kind is ClipMediaKind.PICTURES else shown.frames if shown.job_id else 0
        kept = compat.steady_speed(strip, frames) if frames else None
        if kept is None:
            lost[SPEED] += 1
        else:
            speed, begins = kept, round(begins * kept)
    if effect is None:
        return speed, begins
    if animation.is_animated(scene, effect):
        lost[SPEED] += 1
    elif effect.speed_control == "MULTIPLY" and 1 / MAX_SPEED <= effect.speed_factor <= MAX_SPEED:
        speed = round(speed * effect.speed_factor, 6)
    elif effect.speed_control == "FRAME_NUMBER":
        speed, begins = 0.0, begins + max(0, round(effect.speed_frame_number))
    elif effect.speed_control == "STRETCH" and compat.length_frames(effect):
        left = compat.content_start(strip) + compat.content_frames(strip) - compat.start(strip)
        speed = round(speed * left / compat.length_frames(effect), 6)
        speed = speed if 1 / MAX_SPEED <= speed <= MAX_SPEED else 1.0
    else:
        lost[SPEED] += 1
    return speed, begins


def _count_lost(scene: bpy.types.Scene, strip: compat.Strip, lost: Counter[str]) -> None:
    lost[MODIFIERS] += len(strip.modifiers)
    if strip.type == "SOUND":
        lost[SOUND] += bool(strip.pan) or animation.is_animated(scene, strip, "volume")
        return
    lost[SPEED] += strip.strobe > 1.0 or (strip.type == "META" and compat.has_retiming_keys(strip))
    lost[BLEND] += strip.blend_type not in PLAIN_BLENDS
    if strip.type != "COLOR":
        moved, cropped = strip.transform, strip.crop
        values = (moved.offset_x, moved.offset_y, moved.rotation, strip.use_flip_x, strip.use_flip_y)
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
