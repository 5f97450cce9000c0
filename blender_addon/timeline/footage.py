"""Turns strips and ranges of the scene into the Sources that a take is made from. Changes nothing.

The files of a plain movie or image strip are read as they are; everything else is rendered first, by jobs.rendering.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol import name_runs
from ...wan_backend.protocol.media import frame_file
from ...wan_backend.protocol.messages import MAX_SHOWN_FILES, MAX_TAKE_FRAMES, Framing, Role, Source
from . import compat, layers, picture_files, scene_format, strip_columns, strip_media, strip_transform

_SEVERAL = frozenset({Role.KEPT, Role.CLIP, Role.REFERENCE})
"""Of these roles, a job may have more than one source."""
CAMERA_FILE = "camera.json"
"""In it, Blender writes a camera down before it goes into the request."""
MAX_NAMES_BYTES = 200_000
"""If the names of the pictures take more bytes of a message than this, they are rendered under short names."""


@dataclass(frozen=True)
class FootageRange:
    """Footage that a take needs, in frames of the scene."""

    role: Role
    start: int
    end_exclusive: int
    strip_names: tuple[str, ...] = ()
    """Strips of the timeline that is shown; empty for all that the preview shows in the range."""
    depth: bool = False
    """True for the depth of the one scene strip that is named, or for its camera, in place of its picture."""
    at_frame: int = 0
    """The take's frame that a kept picture is, counted from its first one as 0; of a clip that is trained from, or a
    reference, its number."""

    @property
    def frames(self) -> range:
        """The scene's frames in the range."""
        return range(self.start, self.end_exclusive)

    @property
    def is_alone(self) -> bool:
        """Whether nothing below the named strips is shown: below a kept picture lies the take itself, and a reference
        is only what it shows."""
        return self.role in (Role.KEPT, Role.REFERENCE)


def name_of(source: FootageRange | Source) -> str:
    """What tells a take's source from its others: its role, and of those of which there may be several the number."""
    return f"{source.role.value}-{source.at_frame}" if source.role in _SEVERAL else source.role.value


def source_or_render(
    scene: bpy.types.Scene,
    wanted: FootageRange,
    folder: str,
    look: picture_files.FileLook = picture_files.look_at_all,
    may_read_directly: bool = True,
) -> tuple[Source, bool] | str:
    """The Source as it will be, and whether it must be rendered first; or why the range can't be a source.

    `folder` is the job's own: what is rendered goes into a folder in it that is named after the source. `look` decides
    how many of the strips' files are looked at. Without `may_read_directly`, everything is rendered.
    """
    refusal = _range_refusal(wanted)
    if refusal:
        return refusal
    chosen = _named_strips(scene, wanted.strip_names)
    if isinstance(chosen, str):
        return chosen
    refusal = next(filter(None, (_strip_refusal(strip, wanted.frames) for strip in chosen)), "")
    if refusal:
        return refusal
    if wanted.role is Role.CAMERA:
        return _camera(scene, wanted, chosen, folder)
    if wanted.depth:
        return _depth(scene, wanted, chosen, folder)
    below = _strips_below(scene, wanted, chosen, look)
    if isinstance(below, str):
        return below
    direct = may_read_directly and len(chosen) == 1 and not below
    source = _read_directly(scene, wanted, chosen[0], look) if direct else None
    if source is not None:
        return source, False
    return _rendered(wanted, folder, None), True


def _range_refusal(wanted: FootageRange) -> str:
    """Why no take can be made from such a range, whatever its strips and files are."""
    if not wanted.frames:
        return "What was chosen has no frames: choose a strip or a range of at least one frame."
    if len(wanted.frames) > MAX_TAKE_FRAMES:
        return too_long(len(wanted.frames))
    if not scene_format.FIRST_FRAME <= wanted.start < wanted.end_exclusive <= scene_format.LAST_FRAME + 1:
        return iface_(
            "Blender shows the frames {:,} to {:,}, and part of what was chosen is beyond that: move "
            "the strips nearer to frame 1, or cut them (K) and choose a part."
        ).format(scene_format.FIRST_FRAME, scene_format.LAST_FRAME)
    return ""


def _named_strips(scene: bpy.types.Scene, names: Sequence[str]) -> list[compat.Strip] | str:
    """The strips of those names in the timeline that is shown; or why one of them isn't there."""
    shown: Any = compat.shown_strips(scene)
    for name in names:
        if name in shown:
            continue
        if any(strip.name == name for strip, _ in strip_columns.walk(scene)):
            return iface_(
                "'{}' lies in a meta strip that isn't open: open it with Tab, or choose the meta strip itself."
            ).format(name)
        return iface_("There is no strip '{}' on the timeline anymore: choose one that is there.").format(name)
    return [shown[name] for name in names]


@dataclass(frozen=True)
class RenderInputs:
    """What has to be shown and read to render a range."""

    alone: bool
    """True if nothing below the named strips is shown."""
    files: list[tuple[str, list[str]]]
    """The folders of the files that are played, and their names."""


def render_inputs(scene: bpy.types.Scene, wanted: FootageRange) -> RenderInputs | str:
    """What is shown together with the named strips, and the files that are read; or why it can't be rendered."""
    files: list[tuple[str, list[str]]] = []

    def note(folder: str, names: Sequence[str], sizes: bool) -> picture_files.FilesFound:
        if sizes:
            return picture_files.look_at_many(folder, names, sizes)
        files.append((folder, list(dict.fromkeys(names))))
        return picture_files.FilesFound()

    chosen = _named_strips(scene, wanted.strip_names)
    if isinstance(chosen, str):
        return chosen
    below = _strips_below(scene, wanted, chosen, note)
    if isinstance(below, str):
        return below
    return RenderInputs(bool(chosen) and not below, files)


def shown_files(scene: bpy.types.Scene, wanted: FootageRange) -> list[str]:
    """The paths of the first file of each folder that is played where the range is rendered; few are enough."""
    seen = render_inputs(scene, wanted) if not wanted.depth else None
    if seen is None or isinstance(seen, str):
        return []
    return [os.path.join(folder, names[0]) for folder, names in seen.files if names][:MAX_SHOWN_FILES]


def too_long(frames: int) -> str:
    """Why no take can be made from a range of that many frames of the scene."""
    return iface_("A take can have at most {:,} frames; this would be {:,}: choose a shorter part.").format(
        MAX_TAKE_FRAMES, frames
    )


def _rendered(wanted: FootageRange, folder: str, framing: Framing | None) -> Source:
    files = [frame_file(index) for index in range(len(wanted.frames))]
    target = os.path.join(os.path.abspath(folder), name_of(wanted))
    return Source(
        wanted.role, target, files, frames=len(files), framing=framing, rendered=True, at_frame=wanted.at_frame
    )


def _depth(
    scene: bpy.types.Scene, wanted: FootageRange, chosen: list[compat.Strip], folder: str
) -> tuple[Source, bool] | str:
    if len(chosen) != 1:
        return "Depth is rendered from one scene strip: select one."
    (strip,) = chosen
    framing = _framing_of_scene(scene, strip, strip_media.depth_refusal(scene, strip, wanted.frames))
    return framing if isinstance(framing, str) else (_rendered(wanted, folder, framing), True)


def _camera(
    scene: bpy.types.Scene, wanted: FootageRange, chosen: list[compat.Strip], folder: str
) -> tuple[Source, bool] | str:
    if len(chosen) != 1:
        return "A camera is taken from one scene strip: select one."
    (strip,) = chosen
    framing = _framing_of_scene(scene, strip, strip_media.camera_refusal(scene, strip, wanted.frames))
    if isinstance(framing, str):
        return framing
    target = os.path.join(os.path.abspath(folder), name_of(wanted))
    return Source(wanted.role, target, [CAMERA_FILE], framing=framing, rendered=True), True


def _framing_of_scene(scene: bpy.types.Scene, strip: compat.Strip, refusal: str) -> Framing | str | None:
    """How a scene strip that isn't refused lies in the frame; else why not."""
    if refusal:
        return refusal
    size = strip_media.rendered_size(strip)
    if not strip_transform.can_be_framed(strip, size):
        return iface_("'{}' is turned, mirrored by its scale or cropped away: clear its transform.").format(strip.name)
    return _framing(scene, strip, size)


def _read_directly(
    scene: bpy.types.Scene, wanted: FootageRange, strip: compat.Strip, look: picture_files.FileLook
) -> Source | None:
    """The Source of a plain strip; None if Blender has to render it."""
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
        at_frame=wanted.at_frame,
    )


def _fit_in_a_message(names: list[str]) -> bool:
    if 6 * sum(map(len, names)) + 3 * len(names) <= MAX_NAMES_BYTES:  # an escaped character takes six bytes at most
        return True
    return len(json.dumps(name_runs.pack(names))) <= MAX_NAMES_BYTES


def _framing(scene: bpy.types.Scene, strip: compat.Strip, size: tuple[int, int]) -> Framing | None:
    framing = strip_transform.framing_of(scene, strip, size)
    return None if strip_transform.is_whole_frame(scene, framing, size) else framing


def _strip_refusal(strip: compat.Strip, frames: range) -> str:
    """Why a strip has no pictures for those frames."""
    start, end = compat.start(strip), compat.end_exclusive(strip)
    if start >= end:
        return iface_("'{}' has no frames: pull one of its ends.").format(strip.name)
    if strip.type == "SOUND":
        return iface_("'{}' is sound: choose a strip with a picture.").format(strip.name)
    if frames.start < start or frames.stop > end:
        return iface_("'{}' covers the frames {} to {}, and {} to {} were asked for: move or lengthen it.").format(
            strip.name, start, end - 1, frames.start, frames.stop - 1
        )
    return ""


def _strips_below(
    scene: bpy.types.Scene, wanted: FootageRange, chosen: list[compat.Strip], look: picture_files.FileLook
) -> list[compat.Strip] | str:
    """The strips below the chosen ones that are seen in that range; or why one that is seen can't be shown."""
    frames = wanted.frames
    effects = _effects_refusal(scene, frames, chosen, look)
    if effects:
        return effects
    below = [] if wanted.is_alone else layers.below(scene, frames, chosen, look)
    seen = [*chosen, *below] if chosen else list(layers.seen(compat.shown_owner(scene), frames))
    if not seen:
        return iface_("Nothing is seen from frame {} to {}: choose a range with strips in it.").format(
            frames.start, frames.stop - 1
        )
    return next(filter(None, (_media_refusal(scene, strip, frames, look) for strip in seen)), below)


def _effects_refusal(
    scene: bpy.types.Scene, frames: range, chosen: list[compat.Strip], look: picture_files.FileLook
) -> str:
    """Why a chosen strip that is made from other strips can't be shown."""
    for strip in chosen:
        upper = layers.input_from_above(strip)
        if upper is not None:
            return iface_(
                "'{}' is made from '{}', which shows what lies below it and isn't below '{}' itself: move "
                "'{}' to a channel above {}."
            ).format(strip.name, upper.name, strip.name, strip.name, upper.channel)
        empty = layers.shows_nothing(scene, strip, frames)
        if empty:
            return empty
    for strip in layers.inputs(chosen):
        # An effect may show any of it, but no more of it than a take has frames.
        part = range(compat.start(strip), compat.end_exclusive(strip))[:MAX_TAKE_FRAMES]
        refusal = _media_refusal(scene, strip, part, look)
        if refusal:
            return refusal
    return ""


def _media_refusal(scene: bpy.types.Scene, strip: compat.Strip, frames: range, look: picture_files.FileLook) -> str:
    """Why what a strip plays in those frames can't be shown, also what is in it if it is a meta strip."""
    waiting = [(strip, frames)]
    while waiting:  # a stranger's meta strips may be nested deeper than functions may call themselves
        inner, around = waiting.pop()
        part = _overlap(inner, around)
        if part and inner.type == "META":
            waiting += [(each, part) for each in reversed(list(layers.seen(inner, part)))]
        elif part and (refusal := _own_media_refusal(scene, inner, part, look)):
            return refusal
    return ""


def _own_media_refusal(scene: bpy.types.Scene, strip: compat.Strip, part: range, look: picture_files.FileLook) -> str:
    if strip.type == "SCENE":
        return strip_media.scene_refusal(scene, strip, part)
    if strip.type in ("MOVIE", "IMAGE"):
        # If the speed changes, it isn't known which of the files are shown, so all of them must be there.
        whole = strip_transform.is_retimed(scene, strip) and strip.type == "IMAGE"
        names = strip_media.all_names(strip) if whole else strip_media.names_of(strip, part)
        return strip_media.files_refusal(scene, strip, names, look)
    return ""


def _overlap(strip: compat.Strip, frames: range) -> range:
    return range(max(frames.start, compat.start(strip)), min(frames.stop, compat.end_exclusive(strip)))
