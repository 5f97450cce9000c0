"""Draws the browser of takes over its region, and a take that is dragged over the timeline. It only draws.

Each take has one texture with all its small pictures; which of them is shown depends on where the pointer is.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import bpy
import gpu
from bpy.app.translations import pgettext_iface as iface_

from ..jobs import session
from ..jobs.filmstrips import Filmstrip
from ..jobs.take_library import ListedTake
from ..operators import browse_takes
from ..operators.browse_takes import Browser
from ..operators.browser_grid import Box, Grid
from ..stopwatch import timed
from ..timeline import compat
from . import browser_shapes as shapes
from .browser_shapes import Color

BACKGROUND: Color = (0.11, 0.11, 0.11, 1.0)
FIELD: Color = (0.20, 0.20, 0.20, 1.0)
EMPTY: Color = (0.17, 0.17, 0.17, 1.0)
CHOSEN: Color = (0.28, 0.45, 0.70, 1.0)
OUTLINE: Color = (0.45, 0.68, 1.0, 1.0)
TRACK: Color = (1.0, 1.0, 1.0, 0.75)
TEXT: Color = (0.92, 0.92, 0.92, 1.0)
FAINT: Color = (0.62, 0.62, 0.62, 1.0)
INSIDE: Color = (0.36, 0.62, 0.96, 0.25)
USED: Color = (0.45, 0.80, 0.50, 1.0)
_POINTS, _SMALL = 12, 11
_CLOSE = "\u00d7"
"""Of Blender's own font: for a sign that isn't, it looks through all its other fonts, some 40 ms at the first draw."""
MAX_TEXTURES = 60
UPLOADS_PER_DRAW = 3
UPLOAD_SECONDS = 0.004
"""No other picture is handed to the card after this time; what is left has its turn at the next redraw."""

_handlers: list[tuple[Any, str]] = []
_textures: OrderedDict[str, tuple[Filmstrip, Any]] = OrderedDict()


def register() -> None:
    """Add the draw handlers, unless Blender has no window."""
    if bpy.app.background or _handlers:
        return
    for kind in ("PREVIEW", "WINDOW"):
        handler = bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (kind,), kind, "POST_PIXEL")
        _handlers.append((handler, kind))


def unregister() -> None:
    """Remove the draw handlers, and the pictures."""
    while _handlers:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(*_handlers.pop())
    _textures.clear()


@timed("draw: take browser")
def _draw(kind: str) -> None:
    browser = browse_takes.opened()
    if browser is None:
        if _textures:
            _textures.clear()
        return
    context: Any = bpy.context
    areas = context.screen.areas
    is_here = kind == browser.region_type and browser.area < len(areas) and areas[browser.area] == context.area
    if is_here and not (browser.dragging and kind == "WINDOW"):
        _draw_browser(context, browser)
    if browser.dragging and browser.drop is not None and kind == "WINDOW":
        _draw_dragged(context, browser)
    gpu.state.blend_set("NONE")


def _draw_browser(context: Any, browser: Browser) -> None:
    scale = context.preferences.system.ui_scale
    grid = browser.grid(context.region, context.area, scale)
    shapes.fill(Box(grid.left, 0, grid.left + grid.width, grid.height), BACKGROUND)
    found = browser.found()
    in_view = grid.in_view()
    shapes.fill_all([grid.picture(index) for index in in_view], EMPTY)
    uploads, until = UPLOADS_PER_DRAW, time.perf_counter() + UPLOAD_SECONDS
    for index in in_view:
        uploads -= _draw_take(browser, grid, index, found[index], uploads)
        if time.perf_counter() > until:
            uploads = min(uploads, 0)
    _draw_dots(browser, grid, [index for index in in_view if found[index].job_id in browser.used])
    _cover_edges(grid)
    _draw_bar(browser, grid)
    _draw_footer(browser, grid)
    if not found:
        shapes.write(_nothing(browser), grid.view, FAINT, _POINTS, grid.scale, high=0.5)
    if uploads < 0:
        context.area.tag_redraw()


def _draw_take(browser: Browser, grid: Grid, index: int, take: ListedTake, uploads: int) -> int:
    """One cell; returns 1 if a picture was made for it, and would have been with more `uploads`."""
    box, picture = grid.box(index), grid.picture(index)
    is_chosen = index == browser.chosen
    texture, made = _texture(take, uploads)
    if texture is None:
        shapes.write(take.task.replace("_", " "), picture, FAINT, _SMALL, grid.scale, high=0.45)
    else:
        strip, image = texture
        shown = int(browser.fraction * strip.count) if is_chosen else strip.count // 2
        _draw_picture(picture, take, strip, image, min(shown, strip.count - 1))
        if is_chosen and strip.count > 1:
            across = picture.left + (picture.right - picture.left) * browser.fraction
            shapes.fill(Box(across - grid.scale, picture.bottom, across + grid.scale, picture.top), TRACK)
    if is_chosen:
        shapes.outline(picture, OUTLINE, max(1.0, 2 * grid.scale))
    line = Box(box.left, box.bottom, box.right, picture.bottom)
    if take.job_id in browser.used:
        line = line._replace(left=line.left + 9 * grid.scale)
    shapes.write(_caption(take), line, TEXT if is_chosen else FAINT, _SMALL, grid.scale, high=0.3)
    return made


def _draw_dots(browser: Browser, grid: Grid, used: list[int]) -> None:
    """A dot before the words on each take that the film uses."""
    dot, boxes = 5 * grid.scale, []
    for index in used:
        box = grid.box(index)
        middle = (box.bottom + grid.picture(index).bottom) / 2
        boxes.append(Box(box.left + 2, middle - dot / 2, box.left + 2 + dot, middle + dot / 2))
    shapes.fill_all(boxes, USED)


def _caption(take: ListedTake) -> str:
    words = " ".join(take.prompt.split()) or iface_(take.task.replace("_", " ").capitalize())
    return words


def _texture(take: ListedTake, uploads: int) -> tuple[tuple[Filmstrip, Any] | None, int]:
    strip = session.current().server.filmstrips.of(take)
    kept = _textures.get(take.folder)
    if strip is None or (kept is not None and kept[0] is strip):
        return kept, 0
    if uploads <= 0:
        return kept, 1
    pixels = memoryview(strip.pixels).cast("f")
    size = (strip.width, strip.height * strip.count)
    image = gpu.types.GPUTexture(size, format="RGBA8", data=gpu.types.Buffer("FLOAT", len(pixels), pixels))
    _textures[take.folder] = (strip, image)
    while len(_textures) > MAX_TEXTURES:
        _textures.popitem(last=False)
    return _textures[take.folder], 1


def _draw_picture(box: Box, take: ListedTake, strip: Filmstrip, image: Any, number: int) -> None:
    """The picture of that number, as large as fits into the box."""
    room = (box.right - box.left, box.top - box.bottom)
    fit = min(room[0] / strip.width, room[1] / strip.height)
    wide, high = strip.width * fit / 2, strip.height * fit / 2
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    half = 0.5 / (strip.height * strip.count)
    low, top = number / strip.count + half, (number + 1) / strip.count - half
    shapes.picture(Box(x - wide, y - high, x + wide, y + high), image, low, top)


def _cover_edges(grid: Grid) -> None:
    """Hide what of the first and last row reaches beyond the view."""
    view = grid.view
    shapes.fill(Box(grid.left, view.top, grid.left + grid.width, grid.height), BACKGROUND)
    shapes.fill(Box(grid.left, 0, grid.left + grid.width, view.bottom), BACKGROUND)


def _draw_bar(browser: Browser, grid: Grid) -> None:
    shapes.fill(grid.bar, FIELD)
    shapes.fill(grid.close, FIELD)
    shapes.write(_CLOSE, grid.close, TEXT, _POINTS + 4, grid.scale)
    words = browser.text + ("|" if time.monotonic() % 1.2 < 0.7 else "")
    if browser.text:
        shapes.write(words, grid.bar, TEXT, _POINTS, grid.scale, from_end=True)
    else:
        shapes.write(
            iface_("Type to search prompt, task, model, seed, source or scene"), grid.bar, FAINT, _POINTS, grid.scale
        )
    shown = browse_takes.chips()
    browser.chip_widths = [shapes.width(words, _SMALL * grid.scale) + 16 * grid.scale for _, words in shown]
    for (chip, words), box in zip(shown, grid.chips(browser.chip_widths), strict=True):
        if box.right > box.left:
            shapes.fill(box, CHOSEN if chip == browser.chip else FIELD)
            shapes.write(words, box, TEXT, _SMALL, grid.scale)


def _draw_footer(browser: Browser, grid: Grid) -> None:
    middle = (grid.footer.bottom + grid.footer.top) / 2
    upper, lower = grid.footer._replace(bottom=middle), grid.footer._replace(top=middle)
    take = browser.take()
    if take is None:
        shapes.write(_count(browser), upper, FAINT, _SMALL, grid.scale)
        return
    shapes.write(" ".join(take.prompt.split()) or _caption(take), upper, TEXT, _SMALL, grid.scale)
    shapes.write(_facts(take), lower, FAINT, _SMALL, grid.scale)


def _facts(take: ListedTake) -> str:
    """One line on how and when it was made."""
    parts = [iface_(take.task.replace("_", " ").capitalize()), take.model]
    if take.seed >= 0:
        parts.append(iface_("seed {}").format(take.seed))
    parts.append(iface_("{} frames").format(take.frames))
    if take.width:
        parts.append(f"{take.width} x {take.height}")
    parts.append(time.strftime("%Y-%m-%d %H:%M", time.localtime(max(0, take.stamp // 10**9))))
    if take.is_newer:
        parts.append(iface_("made by a newer version"))
    if take.source:
        parts.append(iface_("from {}").format(take.source))
    return ", ".join(part for part in parts if part)


def _count(browser: Browser) -> str:
    found, whole = len(browser.found()), len(browser.library.takes())
    if browser.library.problems:
        return iface_("{} can't be read").format(browser.library.problems[0])
    return iface_("{:,} of {:,} takes").format(found, whole)


def _nothing(browser: Browser) -> str:
    if browser.library.busy:
        return iface_("Looking for takes")
    if browser.library.takes():
        return iface_("No take is like that.")
    return iface_("No take was made for this film yet.")


def _draw_dragged(context: Any, browser: Browser) -> None:
    """Where the take would lie, on the timeline that the pointer is over."""
    take, scene = browser.take(), compat.sequencer_scene(context)
    if take is None or scene is None or browser.drop is None:
        return
    frame, channel = browser.drop
    length = min(take.length_frames or take.frames, take.frames)
    view = context.region.view2d
    left, bottom = view.view_to_region(frame, channel, clip=False)
    right, top = view.view_to_region(frame + length, channel + 1, clip=False)
    box = Box(left, bottom, max(right, left + 2), top)
    shapes.fill(box, INSIDE)
    shapes.outline(box, OUTLINE, 2 * context.preferences.system.ui_scale)
