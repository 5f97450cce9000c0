"""Which takes have lost their files, as kept answers for the panel and the timeline. A draw only asks.

While the timeline is drawn, its strips are gone through in a timer of its own, a few milliseconds at a time; a strip is
kept from one tick to the next as a number alone.

Where pictures of a strip are missing, Blender draws a colored plane as large as it remembers them, and may crash at it:
seen in the window of 5.2.2, twice. So a scene with such a take shows no missing media while it has one, and then again
what it showed before, which a property of the scene remembers. It is seen to when a file is opened, before Blender
draws it, and by each walk, which goes through the insides of meta strips, too.
"""

from __future__ import annotations

import time
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..jobs.take_media import MediaLook, TakeMedia, TakePlace
from ..operators import redrawing
from ..stopwatch import timed
from ..timeline import compat, identity, strip_takes, untrusted

HIDDEN = "wan_vse_hid_missing_media"
"""On a scene: its missing media was shown, and is to be shown again once the pictures of all takes are there."""
SLICE_SECONDS = 0.003
TICK_SECONDS = 0.05
REST_SECONDS = 5.0
"""Between two walks through the strips."""
STRIPS_AT_ONCE = 60
OPENING_SECONDS = 0.5
"""The longest that an opened file is looked through before it is drawn; a walk sees to the rest."""

look = MediaLook()
_handlers: list[Any] = []
_gone: frozenset[str] = frozenset()
_scene = ""
"""The scene whose strips are gone through, with those in meta strips."""
_next = 0
"""The strip at which the walk goes on."""
_places: list[tuple[str, TakePlace, bool]] = []
"""The shown takes that this walk came to: job, place, and whether the strip plays pictures."""
_rests_until = 0.0
_walks = False


@timed("handler: gone takes")
def _on_load(*_: object) -> None:
    """Look at each picture take that the opened file shows."""
    forget()
    deadline = time.perf_counter() + OPENING_SECONDS
    for found in identity.all_marked():
        index = strip_takes.shown_index(found.strip) if found.strip.type == "IMAGE" else None
        if index is not None and time.perf_counter() < deadline:
            place = place_of(strip_takes.takes_of(found.strip)[index])
            look.of(place)
            look.tick(deadline)
            media = look.of(place)
            if media is not None and media.is_gone:
                _hide_missing(found.scene)


def _hide_missing(scene: bpy.types.Scene) -> None:
    """Let Blender draw nothing where pictures are missing."""
    if scene.library is None and scene.sequence_editor.show_missing_media:
        scene.sequence_editor.show_missing_media = False
        scene[HIDDEN] = True


def _show_missing_again(scene: bpy.types.Scene) -> None:
    """Let Blender show what it showed before pictures of takes were missing."""
    if scene.library is None and scene.get(HIDDEN) is not None:
        if untrusted.flag_in(scene, HIDDEN):
            scene.sequence_editor.show_missing_media = True
        del scene[HIDDEN]


def register() -> None:
    """Look at each file that is opened."""
    _handlers[:] = [persistent(_on_load)]
    bpy.app.handlers.load_post.extend(_handlers)


def unregister() -> None:
    """End the timer, and forget what was found."""
    for handler in _handlers:
        bpy.app.handlers.load_post.remove(handler)
    _handlers.clear()
    if bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.unregister(_on_timer)
    forget()


def forget() -> None:
    """Look at everything anew."""
    global _gone, _walks, _rests_until
    look.forget()
    _gone, _walks, _rests_until = frozenset(), False, 0.0
    _places.clear()


def media_of(take: strip_takes.KeptTake) -> TakeMedia | None:
    """What is known of a take's files; None until they were looked at."""
    media = look.of(place_of(take))
    if look.busy:
        _go_on()
    return media


def place_of(take: strip_takes.KeptTake) -> TakePlace:
    """Where its files are to be."""
    return TakePlace(take.folder, take.first_file, take.frames)


def shown_gone(scene: bpy.types.Scene) -> frozenset[str]:
    """The jobs of takes that strips of the scene show and that have lost files, as far as was looked."""
    global _scene, _walks, _next
    if not _walks and (scene.name != _scene or time.monotonic() > _rests_until):
        _scene, _walks, _next = scene.name, True, 0
        _places.clear()
        _go_on()
    return _gone


def _go_on() -> None:
    if not bpy.app.background and not bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.register(_on_timer, first_interval=TICK_SECONDS)


@timed("timer: gone takes")
def _on_timer() -> float | None:
    return TICK_SECONDS if tick(time.perf_counter() + SLICE_SECONDS) else None


def tick(deadline: float) -> bool:
    """Go on until `deadline` (of time.perf_counter); False once there is nothing to do."""
    changed = look.busy and look.tick(deadline)
    if _walks and time.perf_counter() < deadline:
        changed = _walk() or changed
    if changed:
        redrawing.redraw()
    return _walks or look.busy


def _walk() -> bool:
    """Ask for the takes of the next strips; behind the last one, say which are gone. True if that changed."""
    global _next, _walks
    scene: Any = bpy.data.scenes.get(_scene)
    if scene is None or scene.sequence_editor is None:
        _walks = False
        return False
    strips = compat.all_strips(scene)[_next : _next + STRIPS_AT_ONCE]
    for strip in strips:
        index = strip_takes.shown_index(strip)
        if index is not None:
            take = strip_takes.takes_of(strip)[index]
            place = place_of(take)
            look.of(place)
            _places.append((take.job_id, place, strip.type == "IMAGE"))
    _next += len(strips)
    return len(strips) < STRIPS_AT_ONCE and not look.busy and _end()


def _end() -> bool:
    global _gone, _walks, _rests_until
    _walks, _rests_until = False, time.monotonic() + REST_SECONDS
    found = [(job_id, look.of(place), has_pictures) for job_id, place, has_pictures in _places]
    now = frozenset(job_id for job_id, media, _ in found if media is not None and media.is_gone)
    changed, _gone = now != _gone, now
    pictures = [media for _, media, has_pictures in found if has_pictures]
    if any(media is not None and media.is_gone for media in pictures):
        _hide_missing(bpy.data.scenes[_scene])
    elif None not in pictures:  # of each it is known that it is there
        _show_missing_again(bpy.data.scenes[_scene])
    _places.clear()
    return changed
