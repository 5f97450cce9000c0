"""Brings a placeholder to where the strips are now that its take was made from, before the take is put in its place.

A placeholder that the person moved stays where they put it. Pushes no undo steps: its callers do.
"""

from __future__ import annotations

from ...wan_backend.protocol.messages import Task
from . import channels, compat, identity, provenance

_OVER = {Task.RESTYLE.value, Task.PREVIS.value}
_ABOVE = _OVER | {Task.IMAGE_TO_VIDEO.value}


def follow(found: identity.Marked) -> str:
    """Move, and trim, the placeholder with its sources; gives a sentence where it can't be as it was asked for."""
    asked, strip = provenance.of(found.strip), found.strip
    if asked is None or not asked.sources:
        return ""
    now = [(source, provenance.strip_of(found.scene, source)) for source in asked.sources]
    gone = [source.name for source, there in now if there is None]
    if gone:
        names = " and ".join(f"'{name}'" for name in gone)
        return f"{names} {'is' if len(gone) == 1 else 'are'} gone: the take stands where it was asked for."
    if compat.start(strip) != asked.start or compat.end_exclusive(strip) != asked.end_exclusive:
        return ""  # the person's own place for it
    by = provenance.shift(asked.sources[0], now[0][1]) or 0
    start, end = asked.start + by, asked.end_exclusive + by
    if asked.task in _OVER:
        start = max(start, min(compat.start(there) for _, there in now[:1]))
        end = min(end, max(compat.end_exclusive(there) for _, there in now)) if len(now) == 1 else end
    if start >= end:
        return f"'{asked.sources[0].name}' was trimmed to frames that the take doesn't have: it stands where it was."
    _go_to(found, asked, start, end, by, [there for _, there in now])
    return _still_fits(found, asked, [there for _, there in now])


def _go_to(
    found: identity.Marked, asked: provenance.Asked, start: int, end: int, by: int, now: list[compat.Strip]
) -> None:
    strip = found.strip
    lowest = strip.channel
    if asked.task in _ABOVE:
        lowest = max(lowest, 1 + max(each.channel for each in now[:1]))
    if (start, end, lowest) == (asked.start, asked.end_exclusive, strip.channel):
        return
    others = [
        (each.channel, compat.start(each), compat.end_exclusive(each)) for each in found.collection if each != strip
    ]
    taken = {channel for channel, first, last in others if first < end and last > start}
    channel = next((number for number in range(lowest, channels.HIGHEST + 1) if number not in taken), strip.channel)
    aside = next((number for number in range(channels.HIGHEST, 0, -1) if number not in taken), channels.HIGHEST)
    strip.channel = aside  # where Blender finds nothing to bump it over
    compat.set_handles(strip, start, end)
    strip.channel = channel
    strip[identity.FIRST] = asked.start + by


def _still_fits(found: identity.Marked, asked: provenance.Asked, now: list[compat.Strip]) -> str:
    start, end = compat.start(found.strip), compat.end_exclusive(found.strip)
    if asked.task == Task.FILL_GAP.value:
        left, right = compat.end_exclusive(now[0]), compat.start(now[1])
        if (left, right) != (start, end):
            have, hole = end - start, max(0, right - left)
            return f"The hole has {hole} frames now, the take {have}: fill the gap again for one that fits."
    elif asked.task == Task.EXTEND.value:
        held = compat.held_frames(now[0])
        edges = (compat.end_exclusive(now[0]) - held[1], compat.start(now[0]) + held[0])
        touches = start == edges[0] or end == edges[1]
        if not touches:
            return f"'{asked.sources[0].name}' was trimmed and the take no longer touches it: extend it again."
    return ""
