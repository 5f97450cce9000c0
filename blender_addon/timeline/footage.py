"""From strips and a range of the scene to the Sources that a take is made from. Changes nothing.

A plain movie or image strip is read straight from its media; whatever else is to be rendered (by jobs.rendering).
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy

from ...wan_backend.protocol import name_runs
from ...wan_backend.protocol.media import frame_file
from ...wan_backend.protocol.messages import MAX_TAKE_FRAMES, Framing, Role, Source
from . import compat, layers, picture_files, scene_format, strip_media, strip_transform
from .strip_media import Unusable

__all__ = ["FootageRange", "Seen", "Unusable", "seen_with", "source_or_render", "too_long"]

MOST_NAMES_BYTES = 200_000
"""Names that don't follow one another and would take more of a message: those pictures are rendered under new names."""


@dataclass(frozen=True)
class FootageRange:
    """What the backend has to see, in frames of the scene."""

    role: Role
    start: int
    end_exclusive: int
    strip_names: tuple[str, ...] = ()
    """Of the timeline that is shown; none: the composite of the range."""
    depth: bool = False
    """True: how far away things are in the one scene strip that is named."""

    @property
    def frames(self) -> range:
        """The scene's frames that are wanted."""
        return range(self.start, self.end_exclusive)


def source_or_render(
    scene: bpy.types.Scene,
    wanted: FootageRange,
    folder: str,
    look: picture_files.FileLook = picture_files.look_at_all,
    may_be_straight: bool = True,
) -> tuple[Source, bool]:
    """The Source as it will be, and whether it must be rendered first. Raises Unusable.

    `folder` is the job's own: what is rendered goes into a folder in it that is named like the role. `look` says how
    thoroughly the files behind the strips are looked at. Without `may_be_straight` it is rendered, whatever it is.
    """
    if not wanted.frames:
        raise Unusable("There is no frame in what was chosen: choose a strip or a range of one frame or more.")
    if len(wanted.frames) > MAX_TAKE_FRAMES:  # before anything is named, looked at or rendered
        raise Unusable(too_long(len(wanted.frames)))
    if not scene_format.FIRST_FRAME <= wanted.start < wanted.end_exclusive <= scene_format.LAST_FRAME + 1:
        raise Unusable(
            f"Blender shows the frames {scene_format.FIRST_FRAME:,} to {scene_format.LAST_FRAME:,}, and a part of what "
            "was chosen lies beyond: move the strips nearer to frame 1, or cut them (K) and choose a part."
        )
    chosen = [_named(scene, name) for name in wanted.strip_names]
    for strip in chosen:
        _check_covers(strip, wanted.frames)
    if wanted.depth:
        return _depth(scene, wanted, chosen, folder)
    below = _check_all(scene, wanted.frames, chosen, look)
    straight = may_be_straight and len(chosen) == 1 and not below
    source = _read_straight(scene, wanted, chosen[0], look) if straight else None
    if source is not None:
        return source, False
    return _rendered(wanted, folder, None), True


@dataclass(frozen=True)
class Seen:
    """What is seen of a range that is to be rendered."""

    alone: bool
    """True where nothing below the strips that are named is shown."""
    files: list[tuple[str, list[str]]]
    """Folders and names of what is played."""


def seen_with(scene: bpy.types.Scene, wanted: FootageRange) -> Seen:
    """What the preview shows with the strips that are named. Raises Unusable."""
    files: list[tuple[str, list[str]]] = []

    def note(folder: str, names: Sequence[str], sizes: bool) -> picture_files.FilesFound:
        if sizes:
            return picture_files.look_at_many(folder, names, sizes)
        files.append((folder, list(dict.fromkeys(names))))
        return picture_files.FilesFound()

    chosen = [_named(scene, name) for name in wanted.strip_names]
    below = _check_all(scene, wanted.frames, chosen, note)
    return Seen(bool(chosen) and not below, files)


def too_long(frames: int) -> str:
    """A sentence for a range that no take can cover."""
    return f"A take can have at most {MAX_TAKE_FRAMES:,} frames; this would be {frames:,}: choose a shorter part."


def _rendered(wanted: FootageRange, folder: str, lies: Framing | None) -> Source:
    files = [frame_file(index) for index in range(len(wanted.frames))]
    target = os.path.join(os.path.abspath(folder), wanted.role.value)
    return Source(wanted.role, target, files, frames=len(files), framing=lies, rendered=True)


def _depth(
    scene: bpy.types.Scene, wanted: FootageRange, chosen: list[compat.Strip], folder: str
) -> tuple[Source, bool]:
    if len(chosen) != 1:
        raise Unusable("Depth is rendered from one scene strip: select one.")
    (strip,) = chosen
    strip_media.check_depth(scene, strip, wanted.frames)
    size = strip_media.rendered_size(strip)
    if not strip_transform.can_be_framed(strip, size):
        raise Unusable(f"“{strip.name}” is turned, mirrored by its scale or cropped away: clear its transform.")
    return _rendered(wanted, folder, _framing(scene, strip, size)), True


def _read_straight(
    scene: bpy.types.Scene, wanted: FootageRange, strip: compat.Strip, look: picture_files.FileLook
) -> Source | None:
    """The Source of a plain strip; None where Blender has to render it."""
    if strip.type not in ("MOVIE", "IMAGE") or not strip_transform.is_plain(scene, strip):
        return None
    names = strip_media.names_of(strip, wanted.frames)
    if not _fit_in_a_message(names):
        return None
    indices = strip_media.media_indices(strip, wanted.frames)
    pictures = strip_media.pictures(scene, strip, names, indices, look)
    if pictures is None or not strip_transform.can_be_framed(strip, pictures.shown_size()):
        return None
    if strip.type == "MOVIE" and any(later - earlier != 1 for earlier, later in itertools.pairwise(indices)):
        return None  # a frame is held, or it runs backwards
    return Source(
        wanted.role,
        strip_media.folder_of(scene, strip),
        names,
        is_movie=strip.type == "MOVIE",
        first_frame=indices[0] + compat.trim_start(strip) if strip.type == "MOVIE" else 0,
        frames=len(wanted.frames),
        framing=_framing(scene, strip, pictures.shown_size()),
        pictures=pictures,
    )


def _fit_in_a_message(names: list[str]) -> bool:
    if 6 * sum(map(len, names)) + 3 * len(names) <= MOST_NAMES_BYTES:  # so much a character takes at most
        return True
    return len(json.dumps(name_runs.pack(names))) <= MOST_NAMES_BYTES


def _framing(scene: bpy.types.Scene, strip: compat.Strip, size: tuple[int, int]) -> Framing | None:
    lies = strip_transform.framing_of(scene, strip, size)
    return None if strip_transform.is_whole_frame(scene, lies, size) else lies


def _named(scene: bpy.types.Scene, name: str) -> compat.Strip:
    shown: Any = compat.shown_strips(scene)
    if name in shown:
        return shown[name]
    for strip, _ in compat.walk(scene):
        if strip.name == name:
            raise Unusable(
                f"“{name}” lies in a meta strip that isn't open: open it with Tab, or choose the meta strip itself."
            )
    raise Unusable(f"There is no strip “{name}” on the timeline any more: choose one that is there.")


def _check_covers(strip: compat.Strip, frames: range) -> None:
    start, end = compat.start(strip), compat.end_exclusive(strip)
    if start >= end:
        raise Unusable(f"“{strip.name}” is no frame long: pull one of its ends.")
    if strip.type == "SOUND":
        raise Unusable(f"“{strip.name}” is sound: choose a strip with a picture.")
    if frames.start < start or frames.stop > end:
        raise Unusable(
            f"“{strip.name}” covers the frames {start} to {end - 1}, and {frames.start} to {frames.stop - 1} were "
            "asked for: move or lengthen it."
        )


def _check_all(
    scene: bpy.types.Scene, frames: range, chosen: list[compat.Strip], look: picture_files.FileLook
) -> list[compat.Strip]:
    """Raise Unusable where a strip that is seen in those frames can't be shown; gives those seen below the chosen."""
    for strip in chosen:
        _check_not_from_above(strip)
        empty = layers.shows_nothing(scene, strip, frames)
        if empty:
            raise Unusable(
                f"{empty} from frame {frames.start} to {frames.stop - 1}: put a strip with a picture there, or choose "
                "one that has a picture of its own."
            )
    for strip in layers.inputs(chosen):
        # An effect may show any of it, but no more of it than a take has frames.
        _check(scene, strip, range(compat.start(strip), compat.end_exclusive(strip))[:MAX_TAKE_FRAMES], look)
    below = layers.below(scene, frames, chosen, look)
    seen = [*chosen, *below] if chosen else list(layers.seen(compat.shown_owner(scene), frames))
    if not seen:
        raise Unusable(
            f"Nothing is seen from frame {frames.start} to {frames.stop - 1}: choose a range with strips in it."
        )
    for strip in seen:
        _check(scene, strip, frames, look)
    return below


def _check_not_from_above(strip: compat.Strip) -> None:
    upper = layers.looks_up(strip)
    if upper is not None:
        raise Unusable(
            f"“{strip.name}” is made from “{upper.name}”, which shows what lies below it and isn't below "
            f"“{strip.name}” itself: move “{strip.name}” to a channel above {upper.channel}."
        )


def _check(scene: bpy.types.Scene, strip: compat.Strip, frames: range, look: picture_files.FileLook) -> None:
    part = _overlap(strip, frames)
    if not part:
        return
    if strip.type == "SCENE":
        strip_media.check_scene(scene, strip, part)
    elif strip.type in ("MOVIE", "IMAGE"):
        # Where the speed changes it's not known here which of the files are seen, so all of them must be there.
        whole = strip_transform.is_retimed(scene, strip) and strip.type == "IMAGE"
        names = strip_media.all_names(strip) if whole else strip_media.names_of(strip, part)
        strip_media.check_there(scene, strip, names, look)
    elif strip.type == "META":
        for inner in layers.seen(strip, part):
            _check(scene, inner, part, look)


def _overlap(strip: compat.Strip, frames: range) -> range:
    return range(max(frames.start, compat.start(strip)), min(frames.stop, compat.end_exclusive(strip)))
