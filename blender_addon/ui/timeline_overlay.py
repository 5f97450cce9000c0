"""Marks on the timeline: how far each placeholder is, what failed, and where the next take would go.

A draw handler of the sequencer's window region. It only draws, keeps no strip, and costs little: with no job and
without the tab "Wan" in view it leaves at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import blf
import bpy
import gpu
from bpy.app.translations import pgettext_iface as iface_
from gpu_extras.batch import batch_for_shader

from ...wan_backend.protocol.messages import JobState, JobStatus, Task
from ..jobs import session
from ..operators import browser_grid, drag_extension, snapshot
from ..operators.retry_seams import figure_words
from ..properties import settings_in
from ..stopwatch import timed
from ..timeline import compat, strip_columns, strip_takes
from ..timeline.strip_takes import Badge
from ..translation import translated
from . import live_picture, paragraph, shown_marks, wording

Color = tuple[float, float, float, float]

BAR: Color = (0.36, 0.62, 0.96, 0.85)
TRACK: Color = (0.0, 0.0, 0.0, 0.45)
FAILED: Color = (0.75, 0.16, 0.16, 0.75)
OUTLINE: Color = (0.36, 0.62, 0.96, 0.9)
INSIDE: Color = (0.36, 0.62, 0.96, 0.10)
SHADE: Color = (0.0, 0.0, 0.0, 0.55)
STALE: Color = (0.82, 0.45, 0.02, 0.95)
STARRED: Color = (1.0, 0.8, 0.2, 1.0)
REJECTED: Color = (0.9, 0.3, 0.3, 1.0)
SEAMS: tuple[Color, Color, Color] = ((0.3, 0.8, 0.4, 1.0), (1.0, 0.75, 0.2, 1.0), (0.95, 0.3, 0.3, 1.0))
"""Of a seam that joins, of one that nearly does, and of one that jumps."""
TEXT: Color = (1.0, 1.0, 1.0, 0.95)
_STRIP_LOW, _STRIP_HIGH = 0.05, 0.95
"""A strip's edges within its channel."""
_BAR_HIGH = 0.26
_PENDING_HIGH = 0.1
_BODY_HIGH = 0.62
"""The height of the part of a strip that lies below its name."""
_STOPPED = (JobState.FAILED, JobState.INTERRUPTED)
_POINTS = 10
SEAM_PIXELS = 4
"""The width of a seam's bar, at 100 %."""
_ROOM_FOR_SENTENCES = 90
"""On narrower strips stand short words, in pixels at 100 %."""
MAX_CAPTIONS = 150
_FONT = 0

_handler: Any = None


class Box(NamedTuple):
    """A rectangle of the region, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def within(self, width: int, height: int) -> bool:
        """True if any of it is in view."""
        return self.right > 0 and self.left < width and self.top > 0 and self.bottom < height


def register() -> None:
    """Add the draw handler, unless Blender has no window."""
    global _handler
    if not bpy.app.background and _handler is None:
        _handler = bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    """Remove the draw handler."""
    global _handler
    if _handler is not None:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(_handler, "WINDOW")
        _handler = None


@timed("draw: timeline")
def _draw() -> None:
    context: Any = bpy.context
    scene = compat.sequencer_scene(context)
    if scene is None or context.space_data.view_type == "PREVIEW" or context.region.type != "WINDOW":
        return
    shows_range = drag_extension.ghost is None and tab_in_view(context.area)
    strips = strip_columns.columns(compat.shown_strips(scene)) if shows_range else None
    _draw_marks(context, scene, strips)
    _draw_ghost(context, scene)
    if shows_range:
        _draw_asked_range(context, scene, strips)
    if shown_marks.reading(scene):
        context.region.tag_redraw()
    gpu.state.blend_set("NONE")


def tab_in_view(area: bpy.types.Area) -> bool:
    """True if the sidebar is open at the tab "Wan"."""
    for region in area.regions:
        if region.type == "UI":
            return region.width > 1 and str(region.active_panel_category) == "Wan"
    return False


def _draw_marks(
    context: bpy.types.Context, scene: bpy.types.Scene, strips: strip_columns.Columns | None = None
) -> None:
    """Bars and marks in a few calls, however many there are; then words, if there is room for them."""
    region, scale = context.region, context.preferences.system.ui_scale
    shown_here = shown_marks.marks(scene, strips)
    placeholders = list(_placeholders_in_view(region, shown_here))
    takes = list(_takes_in_view(region, shown_here))
    marks: dict[Color, list[Box]] = {TRACK: [], BAR: [], FAILED: []}
    for job, box in placeholders:
        for color, bar in bars(job, box):
            marks[color].append(bar)
    for badge, box in takes:
        for color, bar in pending_bars(badge, box):
            marks[color].append(bar)
    for color, boxes in marks.items():
        _fill_all(boxes, color)
    for number, (job, box) in enumerate(placeholders):
        placeholders[number] = job, _picture(job, box, region.width, scale)
    joined = _joined_ends(region, shown_here, takes, scale)
    badged: list[tuple[Badge, Box]] = []
    unsaid: list[tuple[Badge, Box]] = []
    for badge, box in takes:
        coming = _running(badge) if badge.pending else None
        room = joined.rooms.get(box, box)
        room = room if coming is None else _picture(coming, room, region.width, scale)
        (badged if _has_room(box, scale) else unsaid).append((badge, room))
    left = MAX_CAPTIONS
    for job, box in [each for each in placeholders if _has_room(each[1], scale)][:left]:
        _write(captions(job), box, scale)
        left -= 1
    unsaid += badged[left:]
    for color in (FAILED, STALE):
        _fill_all([_low_part(box) for badge, box in unsaid if shade_of(badge) == color], color)
    _draw_joined_ends(joined, scale)
    _draw_badges(badged[:left], scale)


class _Figure(NamedTuple):
    """The figure of a seam, and the shade that it stands on."""

    words: str
    place: Box


class _JoinedEnds(NamedTuple):
    """What marks the ends that join a neighbor: bars and figures, and what these leave of a strip for other words."""

    bars: dict[Color, list[Box]]
    figures: list[_Figure]
    rooms: dict[Box, Box]


def _joined_ends(
    region: bpy.types.Region, marks: shown_marks.Marks, takes: Sequence[tuple[Badge, Box]], scale: float
) -> _JoinedEnds:
    """A bar at each end that joins a neighbor, with its figure where there is room for it and for what is worse."""
    found = _JoinedEnds({color: [] for color in SEAMS}, [], {})
    warned = {box: badge for badge, box in takes if shade_of(badge) != SHADE}
    for box, ends in _seams_in_view(region, marks):
        room, figures = box, []
        for number, at_end in ends:
            bar = seam_bar(box, at_end, scale)
            found.bars[SEAMS[wording.seam_grade(number)]].append(bar)
            figure = _seam_figure(number, box, bar, scale)
            if figure is not None:
                figures.append(figure)
                left, right = figure.place.left, figure.place.right
                room = room._replace(right=left) if at_end else room._replace(left=right)
        if figures and (box not in warned or _badge_in(warned[box], room, scale)[0]):
            found.figures.extend(figures)
            found.rooms[box] = room
    return found


def _draw_joined_ends(joined: _JoinedEnds, scale: float) -> None:
    for color, boxes in joined.bars.items():
        _fill_all(boxes, color)
    _fill_all([figure.place for figure in joined.figures], SHADE)
    for words, shade in joined.figures[:MAX_CAPTIONS]:
        _put(words, shade.left + 2 * scale, shade.bottom + 2 * scale, scale)


def _seams_in_view(
    region: bpy.types.Region, marks: shown_marks.Marks
) -> Iterator[tuple[Box, list[tuple[float, bool]]]]:
    """Each strip that joins a neighbor; the figure of each such end, and whether it is the strip's end."""
    place = _Scale(region)
    for start, end_exclusive, channel, *numbers in marks.seams:
        if end_exclusive <= place.first or start >= place.last:
            continue
        box = place.box(start, end_exclusive, channel)
        if box.within(region.width, region.height):
            yield box, [(number, bool(end)) for end, number in enumerate(numbers) if number is not None]


def seam_bar(box: Box, at_end: bool, scale: float) -> Box:
    """The bar at the start or at the end of a strip."""
    width = min(SEAM_PIXELS * scale, (box.right - box.left) / 3)
    return box._replace(left=box.right - width) if at_end else box._replace(right=box.left + width)


def _seam_figure(number: float, box: Box, bar: Box, scale: float) -> _Figure | None:
    """The figure of a seam beside its bar, in the lower corner; None where there is no room for it."""
    words, width = _longest((figure_words(number),), (box.right - box.left) / 2 - 8 * scale, scale)
    if not words or not _has_room(box, scale):
        return None
    left = bar.right if bar.left == box.left else bar.left - width - 4 * scale
    return _Figure(words, Box(left, box.bottom + 2 * scale, left + width + 4 * scale, box.bottom + 14 * scale))


def _picture(job: JobStatus, box: Box, region_width: int, scale: float) -> Box:
    """Draw the job's live picture on a strip that waits for its take; what is left for words."""
    place = live_picture.place(job, browser_grid.Box(*box), region_width, scale)
    if place is None:
        return box
    live_picture.draw(job, place)
    return box._replace(right=place.left)


def _draw_badges(shown: list[tuple[Badge, Box]], scale: float) -> None:
    """The words on a shade in a strip's lower right corner, and a star or a cross before them."""
    places: list[tuple[Badge, str, Box]] = []
    for badge, box in shown:
        words, width = _badge_in(badge, box, scale)
        if not words:
            continue
        mark, right, bottom = _mark_width(badge, scale), box.right - 3 * scale, box.bottom + 2 * scale
        places.append((badge, words, Box(right - width - mark - 6 * scale, bottom, right, bottom + 14 * scale)))
    for color in (SHADE, FAILED, STALE):
        _fill_all([place for badge, _, place in places if shade_of(badge) == color], color)
    for color, kind in ((STARRED, strip_takes.STAR), (REJECTED, strip_takes.REJECT)):
        boxes = [place for badge, _, place in places if badge.mark == kind]
        _shade_all(_star if kind == strip_takes.STAR else _cross, boxes, color, scale)
    for badge, words, place in places:
        _put(words, place.left + 3 * scale + _mark_width(badge, scale), place.bottom + 3.5 * scale, scale)


def _badge_in(badge: Badge, box: Box, scale: float) -> tuple[str, float]:
    """As much of a badge's words as the box has room for, with their width."""
    return _longest(badge_words(badge), box.right - box.left - _mark_width(badge, scale) - 12 * scale, scale)


def _mark_width(badge: Badge, scale: float) -> float:
    return 11 * scale if badge.mark else 0.0


def _low_part(box: Box) -> Box:
    """What is colored of a strip that has no room for words."""
    return box._replace(top=box.bottom + (box.top - box.bottom) * _BAR_HIGH)


def shade_of(badge: Badge) -> Color:
    """What is behind the words of a badge."""
    if badge.is_gone:
        return FAILED
    return STALE if badge.is_stale else SHADE


def badge_words(badge: Badge) -> tuple[str, ...]:
    """What is written on a strip with takes, from the longest to the shortest."""
    count = iface_("{} of {}").format(badge.number, badge.count) if badge.count > 1 else ""
    short = f"{badge.number}/{badge.count}" if badge.count > 1 else ""
    if badge.is_gone:
        gone = iface_("files are gone")
        return (f"{count}, {gone}" if count else gone, gone, "!")
    job = _running(badge)
    if job is None and badge.is_stale:
        stale = iface_("stale")
        return (f"{count}, {stale}" if count else stale, stale, "~")
    if job is None:
        return (count, short)
    done = iface_("{} %").format(int(job.progress * 100))
    words = [iface_("new take: {}").format(wording.progress(job)), iface_("new take {}").format(done), done]
    return (*(f"{count}, {each}" if count else each for each in words), done, short)


def _running(badge: Badge) -> JobStatus | None:
    """The job among those that are being made for the strip which is farthest."""
    jobs = (session.current().jobs.get(job_id) for job_id in badge.pending)
    return max(
        (job for job in jobs if job is not None and not job.state.ended), key=lambda job: job.progress, default=None
    )


def pending_bars(badge: Badge, box: Box) -> list[tuple[Color, Box]]:
    """A thin bar at the strip's lower edge while a take is made for it."""
    job = _running(badge) if badge.pending else None
    if job is None:
        return []
    left, bottom, right, top = box
    top = bottom + (top - bottom) * _PENDING_HIGH
    return [(TRACK, Box(left, bottom, right, top)), (BAR, Box(left, bottom, left + (right - left) * job.progress, top))]


def _takes_in_view(region: bpy.types.Region, marks: shown_marks.Marks) -> Iterator[tuple[Badge, Box]]:
    place = _Scale(region)
    for start, end_exclusive, channel, badge in marks.takes:
        if end_exclusive <= place.first or start >= place.last:
            continue  # most of thousands are: no box is made for them
        box = place.box(start, end_exclusive, channel)
        if box.within(region.width, region.height):
            yield badge, box


def _placeholders_in_view(region: bpy.types.Region, marks: shown_marks.Marks) -> Iterator[tuple[JobStatus, Box]]:
    current, place = session.current(), _Scale(region)
    for start, end_exclusive, channel, job_id in marks.placeholders:
        if end_exclusive <= place.first or start >= place.last:
            continue
        box = place.box(start, end_exclusive, channel)
        if box.within(region.width, region.height):
            job = current.jobs.get(job_id)
            if job is not None:
                yield job, box


def bars(job: JobStatus, box: Box) -> list[tuple[Color, Box]]:
    """The rectangles on a placeholder, with their colors: how far its take is, or that there will be none."""
    left, bottom, right, top = box
    if job.state in _STOPPED:
        return [(FAILED, Box(left, bottom, right, bottom + (top - bottom) * _BODY_HIGH))]
    if job.state.ended:
        return []
    top = bottom + (top - bottom) * _BAR_HIGH
    track = (TRACK, Box(left, bottom, right, top))
    return [track, (BAR, Box(left, bottom, left + (right - left) * job.progress, top))] if job.progress else [track]


def captions(job: JobStatus) -> tuple[str, ...]:
    """What is written on a placeholder, from the sentence for a wide one to the few signs for a narrow one."""
    if job.state is JobState.FAILED and job.problem is not None:
        return (iface_("Failed: {}").format(translated(job.problem.sentence)), iface_("Failed"), "!")
    if job.state is JobState.DONE:
        return (iface_("Done: press Place in the queue"), iface_("Done"))
    words = wording.progress(job)
    if job.state.ended:
        return (words, wording.state(job), "!")
    done = iface_("{} %").format(int(job.progress * 100))
    if job.steps and job.state is JobState.DENOISING:
        return (words, wording.short_progress(job), f"{job.step}/{job.steps}")
    return (words, wording.state(job), done if job.progress else "...")


def _draw_ghost(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """The take that the mouse draws beside a strip, before a click makes it."""
    ghost = drag_extension.ghost
    if ghost is not None and ghost.scene == scene.name:
        box = _Scale(context.region).box(ghost.start, ghost.end_exclusive, ghost.channel)
        _fill_all([box], INSIDE)
        _outline(box, OUTLINE)


def _draw_asked_range(
    context: bpy.types.Context, scene: bpy.types.Scene, strips: strip_columns.Columns | None = None
) -> None:
    seen = snapshot.read(scene, settings_in(scene), strips)
    if seen.shows_take:
        return  # the panel's button makes a take for the strip itself
    targets = seen.takes.targets
    scale = _Scale(context.region)
    for target in targets:
        frames = target.length_frames
        if seen.task is Task.TEXT_TO_VIDEO and len(targets) == 1:
            frames = wording.coming_frames(frames, session.current().server.plan_query.plan)
        box = scale.box(target.start, target.start + frames, target.channel)
        if box.within(context.region.width, context.region.height):
            _fill_all([box], INSIDE)
            _outline(box, OUTLINE)


class _Scale:
    """Converts frames and channels to pixels of a region. Both are linear, so Blender is asked once for a draw."""

    def __init__(self, region: bpy.types.Region) -> None:
        view: Any = region.view2d
        self.first, self._channel = view.region_to_view(0, 0)  # which is exact; the other way gives whole pixels
        """The frame at the left edge, and the one at the right edge."""
        self.last, top = view.region_to_view(region.width, region.height)
        self._across, self._up = region.width / (self.last - self.first), region.height / (top - self._channel)

    def box(self, start: int, end_exclusive: int, channel: int) -> Box:
        """The rectangle of a strip."""
        above = channel - self._channel
        return Box(
            (start - self.first) * self._across,
            (above + _STRIP_LOW) * self._up,
            (end_exclusive - self.first) * self._across,
            (above + _STRIP_HIGH) * self._up,
        )


def _fill_all(boxes: list[Box], color: Color) -> None:
    corners: list[tuple[float, float]] = []
    for left, bottom, right, top in boxes:
        corners += ((left, bottom), (right, bottom), (left, top), (left, top), (right, bottom), (right, top))
    if corners:
        _shade("TRIS", corners, color)


def _outline(box: Box, color: Color) -> None:
    corners = ((box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top))
    _shade("LINE_STRIP", (*corners, corners[0]), color)


def _shade(kind: Any, corners: Sequence[tuple[float, float]], color: Color) -> None:
    gpu.state.blend_set("ALPHA")  # writing text ends it
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", color)
    batch_for_shader(shader, kind, {"pos": corners}).draw(shader)


def _has_room(box: Box, scale: float) -> bool:
    return box.right - box.left >= 30 * scale and box.top - box.bottom >= 14 * scale


def _write(captions: tuple[str, ...], box: Box, scale: float) -> None:
    """The first of the captions that fits, or as much of it as does; short signs where nothing fits."""
    left = max(box.left, 0) + 6 * scale
    room = box.right - 4 * scale - left
    text, _ = _longest(captions, room, scale)
    if room >= _ROOM_FOR_SENTENCES * scale and text != captions[0]:
        text = paragraph.shortened(captions[0], max(1, int(room)), _POINTS * scale)
    _put(text, left, box.bottom + (box.top - box.bottom) * 0.34, scale)


def _longest(texts: tuple[str, ...], room: float, scale: float) -> tuple[str, float]:
    """The first of the texts that fits, with its width; nothing if none does."""
    blf.size(_FONT, _POINTS * scale)
    for text in texts:
        width = blf.dimensions(_FONT, text)[0] if text else 0.0
        if text and width <= room:
            return text, width
    return "", 0.0


def _put(text: str, left: float, bottom: float, scale: float) -> None:
    blf.size(_FONT, _POINTS * scale)
    blf.color(_FONT, *TEXT)
    blf.position(_FONT, left, bottom, 0)
    blf.draw(_FONT, text)


def _shade_all(shape: Any, boxes: list[Box], color: Color, scale: float) -> None:
    """A small shape at the left of each box."""
    corners = [corner for box in boxes for corner in shape(box.left + 8 * scale, (box.bottom + box.top) / 2, 5 * scale)]
    if corners:
        _shade("TRIS", corners, color)


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """A star of five points around (x, y), as triangles."""
    edge = []
    for index in range(10):
        angle, far = math.pi * (0.5 + index / 5), radius if index % 2 == 0 else radius * 0.42
        edge.append((x + far * math.cos(angle), y + far * math.sin(angle)))
    return [corner for index in range(10) for corner in ((x, y), edge[index], edge[(index + 1) % 10])]


def _cross(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """A cross around (x, y), as triangles."""
    far, thin = radius * 0.8, radius * 0.2
    bars = []
    for side in (1, -1):
        ends = [(x - far, y - side * far), (x + far, y + side * far)]
        (ax, ay), (bx, by) = ends
        shift = (side * thin, -thin)
        corners = ((ax - shift[0], ay - shift[1]), (ax + shift[0], ay + shift[1]))
        others = ((bx + shift[0], by + shift[1]), (bx - shift[0], by - shift[1]))
        bars += [corners[0], corners[1], others[0], corners[0], others[0], others[1]]
    return bars
