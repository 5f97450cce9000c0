"""What a take's sources are now, to be kept with it or held against what was kept; and what differs, in words.

The readers are `timeline.source_looks` for strips, `file_digests` for files, `timeline.scene_digests` for scenes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Source, Task
from ..timeline import compat, node_digests, provenance, scene_digests, source_looks
from ..timeline.footage import FootageRange, name_of
from ..timeline.path_rules import shown as shown_path
from ..timeline.provenance import Provenance
from ..timeline.scene_digests import FoundScene
from ..timeline.seen_sources import SeenFiles, SeenScene, SeenStrip
from ..timeline.source_looks import Looked, ShownScene
from . import takes_again
from .file_digests import Away, FileDigests

CLICK_SECONDS = 0.05
"""At a click, what takes longer is left to the ticks."""
MAX_REASONS = 2
T = TypeVar("T")


def at_click(scene: bpy.types.Scene, wanted: Sequence[FootageRange], files: FileDigests) -> tuple[SeenStrip, ...]:
    """What is seen in these ranges of the timeline that is shown, as far as a moment is enough to read it."""
    deadline = time.perf_counter() + CLICK_SECONDS
    try:
        looked = [each for one in wanted for each in source_looks.read(scene, one, compat.shown_owner(scene))]
    except source_looks.Unknown:
        return ()
    return tuple(_quickly(each, files, deadline) for each in looked)


def _quickly(looked: Looked, files: FileDigests, deadline: float) -> SeenStrip:
    seen = looked.seen
    if seen.files is not None:
        try:
            stamp = _within(files.stamp(looked.folder, looked.names), deadline)
        except Away:
            stamp = None
        if stamp is not None:
            text = stamp.text if stamp.settled else ""
            seen = replace(seen, files=replace(seen.files, size_bytes=stamp.size_bytes, stamp=text))
    if looked.shown is not None:
        whole = _within(_with_stamps(looked.shown, files), deadline)
        seen = replace(seen, scene=whole or scene_digests.camera_alone(looked.shown))
    return seen


def _with_stamps(shown: ShownScene, files: FileDigests) -> Generator[None, None, SeenScene | None]:
    """What is seen of a scene, with sizes and dates of its files."""
    found = yield from scene_digests.steps(shown)
    if found is None:
        return None
    stamped = []
    for path, one in zip(found.paths, found.seen.files, strict=True):
        try:
            stamp = yield from files.stamp(os.path.dirname(path), [os.path.basename(path)])
        except Away:
            stamped.append(one)
            continue
        stamped.append(replace(one, size_bytes=stamp.size_bytes, stamp=stamp.text if stamp.settled else ""))
    return replace(found.seen, files=tuple(stamped))


def _within(steps: Generator[None, None, T], deadline: float) -> T | None:
    """What the steps return; None if there is no time for all of them."""
    try:
        while time.perf_counter() < deadline:
            next(steps)
    except StopIteration as ended:
        value: T = ended.value
        return value
    return None


def once_more(text: str, sources: Sequence[Source], files: FileDigests) -> str:
    """The provenance text of a take that is made once more from the same files: these count as they are now.

    What was rendered for the earlier take is as it was then.
    """
    made_from = provenance.read(text)
    direct = {name_of(source): source for source in sources if not source.rendered}
    if made_from is None or not any(each.role in direct and each.files is not None for each in made_from.seen):
        return text
    deadline = time.perf_counter() + CLICK_SECONDS
    seen = []
    for each in made_from.seen:
        source = direct.get(each.role) if each.chosen and each.files is not None else None
        if source is not None:
            names = tuple(sorted(set(source.files)))
            as_new = replace(each, files=SeenFiles(each.files.name, len(names)))
            each = _quickly(Looked(as_new, source.folder, names), files, deadline)
        seen.append(each)
    return provenance.write(replace(made_from, seen=tuple(seen)))


def ranges(scene: bpy.types.Scene, strip: compat.Strip, made_from: Provenance) -> list[FootageRange]:
    """The ranges that a take which the strip shows needs now. They outlive a tick."""
    return provenance.wanted_now(scene, made_from, takes_again.first_frame(strip) - made_from.start)


def look(scene: bpy.types.Scene, strip: compat.Strip, wanted: FootageRange) -> list[Looked]:
    """What is seen now in one of these ranges. Raises source_looks.Unknown."""
    return source_looks.read(scene, wanted, strip.parent_meta() or scene.sequence_editor, strip.channel)


def trimmed(scene: bpy.types.Scene, made_from: Provenance) -> list[str]:
    """The names of the neighbors that no longer reach the frames from which a take goes on."""
    if made_from.task not in (Task.EXTEND.value, Task.FILL_GAP.value):
        return []
    found = []
    for wanted in provenance.wanted_now(scene, made_from):
        for name in wanted.strip_names:
            strip = compat.strip_named(scene, name)
            if strip is not None and not (
                compat.start(strip) <= wanted.start and wanted.end_exclusive <= compat.end_exclusive(strip)
            ):
                found.append(name)
    return found


def compared(
    seen: Sequence[SeenStrip], now: Sequence[Looked], files: FileDigests, shapes: dict[str, str] | None = None
) -> Generator[None, None, tuple[list[str], tuple[SeenStrip, ...]]]:
    """What differs, as clauses, and what is to be kept in the place of `seen` where nothing does. Raises Away.

    `shapes`: see scene_digests.steps.
    """
    known = {_key(each): each for each in seen}
    reasons: list[str] = []
    kept: list[SeenStrip] = []
    for looked in now:
        before = known.pop(_key(looked.seen), None)
        if before is None:
            reasons.append(iface_("'{}' came in below it").format(looked.seen.name))
            continue
        after = yield from _compared_one(before, looked, files, shapes, reasons)
        kept.append(after)
    reasons += [iface_("'{}' is no longer below it").format(gone.name) for gone in known.values()]
    return reasons, tuple(kept)


def _key(seen: SeenStrip) -> tuple[str, str, bool]:
    return seen.role, seen.name, seen.chosen


def _compared_one(
    before: SeenStrip, looked: Looked, files: FileDigests, shapes: dict[str, str] | None, reasons: list[str]
) -> Generator[None, None, SeenStrip]:
    now = looked.seen
    after = replace(before, nodes=now.nodes, blender=now.blender)
    if before.files is not None and now.files is not None:
        same, kept = yield from files.is_same(before.files, looked.folder, looked.names)
        if not same and (looked.is_take or before.frames == now.frames):
            reasons.append(_files_differ(before.files, looked))
            now = replace(now, frames=before.frames)
        after = replace(after, files=kept)
    elif (before.files is None) is not (now.files is None):
        reasons.append(iface_("'{}' plays something else").format(now.name))
    if before.frames != now.frames:
        reasons.append(iface_("'{}' shows other frames there").format(now.name))
    if before.look != now.look or (before.nodes != now.nodes and before.blender == now.blender):
        reasons.append(iface_("the framing or the colors of '{}' were changed").format(now.name))
    if looked.shown is not None and before.scene is not None:
        found = yield from scene_digests.steps(looked.shown, shapes)
        if found is not None:
            reasons += _scenes_differ(before.scene, found.seen, before.blender == now.blender)
            kept_files = yield from _scene_files(before.scene, found, files, reasons)
            after = replace(after, scene=replace(found.seen, files=kept_files))
    return after


def _scene_files(
    before: SeenScene, found: FoundScene, files: FileDigests, reasons: list[str]
) -> Generator[None, None, tuple[SeenFiles, ...]]:
    """The files that a scene shows, as they are to be kept; says which of them were replaced. Raises Away."""
    known: dict[str, list[SeenFiles]] = {}
    for one in before.files:
        known.setdefault(one.name, []).append(one)
    kept = []
    for path, now in zip(found.paths, found.seen.files, strict=True):
        was = known[now.name].pop(0) if known.get(now.name) else now
        try:
            same, after = yield from files.is_same(was, os.path.dirname(path), (os.path.basename(path),))
        except Away:
            if was.stamp or was.content:
                raise
            same, after = True, was  # it was not there when the take was asked for
        if not same:
            reasons.append(iface_("{} in scene '{}' was replaced").format(shown_path(now.name), before.name))
        kept.append(after)
    return tuple(kept)


def _files_differ(before: SeenFiles, looked: Looked) -> str:
    now: Any = looked.seen.files
    if looked.is_take:
        return iface_("'{}' shows another take").format(looked.seen.name)
    if before.name != now.name:
        return iface_("{} is in the place of {}").format(shown_path(now.name), shown_path(before.name))
    if now.count > 1:
        return iface_("pictures of '{}' were replaced").format(looked.seen.name)
    return iface_("{} was replaced").format(shown_path(now.name))


def _scenes_differ(before: SeenScene, now: SeenScene, same_blender: bool) -> Iterator[str]:
    if before.name != now.name:
        yield iface_("scene '{}' is in the place of '{}'").format(now.name, before.name)
        return
    if before.shot != now.shot:
        yield iface_("the size, the frames or the world of scene '{}' were changed").format(now.name)
    if before.camera != now.camera:
        yield iface_("the camera of scene '{}' was moved or changed").format(now.name)
    if not before.objects or before.objects == now.objects:
        if before.behind and same_blender and before.behind != now.behind:
            yield _behind_differs(before, now)
        return
    was, is_now = dict(before.by_name), dict(now.by_name)
    names = [name for name in {**was, **is_now} if was.get(name) != is_now.get(name)]
    if len(names) == 1:
        words = "'{}' in scene '{}' was moved or changed"
        if names[0] not in is_now:
            words = "'{}' is no longer seen in scene '{}'"
        elif names[0] not in was:
            words = "'{}' came into view in scene '{}'"
        yield iface_(words).format(names[0], now.name)
    elif names:
        yield iface_("{} objects of scene '{}' were moved or changed").format(len(names), now.name)
    else:
        yield iface_("objects of scene '{}' were moved or changed").format(now.name)


def _behind_differs(before: SeenScene, now: SeenScene) -> str:
    was, is_now = dict(before.behind_by_name), dict(now.behind_by_name)
    names = [name for name in {**was, **is_now} if was.get(name) != is_now.get(name)]
    if names == [node_digests.COMPOSITOR]:
        return iface_("the compositor of scene '{}' was changed").format(now.name)
    if len(names) == 1:
        return iface_("the nodes or settings of '{}' in scene '{}' were changed").format(names[0], now.name)
    return iface_("nodes or settings in scene '{}' were changed").format(now.name)


def sentence(reasons: Sequence[str]) -> str:
    """The reasons as one sentence; of many, the first."""
    text = iface_(" and ").join(reasons[:MAX_REASONS])
    if len(reasons) > MAX_REASONS:
        text = iface_("{}, and more").format(text)
    return iface_("{}.").format(text[:1].upper() + text[1:])
