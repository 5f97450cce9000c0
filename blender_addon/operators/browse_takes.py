"""The browser of takes, as an operator: what is listed, looked for, pointed at, dragged. ui/take_browser.py draws it.

It lies over a preview, or over the timeline where there is no preview, until Escape. Whatever is done elsewhere in the
window meanwhile goes on. No area, region or strip is kept between two events: they are found again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Task
from ..jobs import film_takes, session
from ..jobs.take_library import ListedTake, TakeLibrary
from ..stopwatch import timed
from ..timeline import compat, take_strips
from ..translation import translated
from . import browser_grid
from .browser_grid import Grid
from .redrawing import SEQUENCERS, redraw
from .refusing import Refusing, Result, timeline_refusal

TICK_SECONDS = 0.05
SLICE_SECONDS = 0.008
LOOKING_SECONDS = 0.4
"""While takes are still looked for, what came is drawn this often: drawing the window costs more than reading takes."""
DRAG_PIXELS = 6
MAX_SEARCH = 200
ALL, UNUSED = "ALL", "UNUSED"
_TASKS = {
    Task.TEXT_TO_VIDEO: "Text",
    Task.IMAGE_TO_VIDEO: "Image",
    Task.RESTYLE: "Restyle",
    Task.FILL_GAP: "Gap",
    Task.EXTEND: "Extend",
    Task.PREVIS: "Previs",
    Task.EDIT: "Edit",
}
_STATUS = "Click: place at the playhead    Drag: place anywhere    Type: search    Esc: close"


@dataclass
class Browser:
    """The state of the browser that is open."""

    library: TakeLibrary
    area: int
    """The number of the window's area that it lies over."""
    region_type: str
    text: str = ""
    chip: str = ALL
    scroll: float = 0.0
    chosen: int = -1
    """The take under the pointer, or the one that the arrow keys came to."""
    fraction: float = 0.0
    """How far along its picture the pointer is, from 0 to 1."""
    pressed: int = -1
    pressed_at: tuple[int, int] = (0, 0)
    dragging: bool = False
    drop: tuple[int, int] | None = None
    """Frame and channel of the timeline under the pointer, while a take is dragged."""
    chip_widths: list[float] = field(default_factory=list)
    """As they were drawn last."""
    used: frozenset[str] = frozenset()
    _found: list[ListedTake] = field(default_factory=list)
    _found_for: tuple[object, ...] = ()
    _rests_until: float = 0.0

    def found(self) -> list[ListedTake]:
        """The takes that are listed; looked up anew only after a change."""
        asked = (self.text, self.chip, self.used)
        key = (self.library.version, *asked)
        # While takes are looked for, the list grows from time to time and not at each draw.
        rests = self.library.looking and asked == self._found_for[1:] and time.monotonic() < self._rests_until
        if key != self._found_for and not rests:
            self._found_for, self._rests_until = key, time.monotonic() + LOOKING_SECONDS / 2
            self._found = self.library.search(self.text, self._keeps())
        return self._found

    def _keeps(self) -> Callable[[ListedTake], bool]:
        if self.chip == ALL:
            return lambda take: True
        if self.chip == UNUSED:
            return lambda take: take.job_id not in self.used
        return lambda take: take.task == self.chip

    def take(self) -> ListedTake | None:
        """The chosen take."""
        found = self.found()
        return found[self.chosen] if 0 <= self.chosen < len(found) else None

    def grid(self, region: bpy.types.Region, area: bpy.types.Area, scale: float) -> Grid:
        """Where all of it lies in the region."""
        left, right = 0.0, float(region.width)
        for other in area.regions:  # which lie over the region where overlap is on
            inside = other.x < region.x + region.width and other.x + other.width > region.x
            if other.type not in ("UI", "TOOLS") or other.width <= 1 or not inside or _is_beside(other, region):
                continue
            if other.x + other.width / 2 > region.x + region.width / 2:
                right = min(right, other.x - region.x)
            else:
                left = max(left, other.x + other.width - region.x)
        grid = Grid(left, max(right - left, 1.0), float(region.height), scale, len(self.found()))
        self.scroll = min(max(self.scroll, 0.0), grid.max_scroll)
        return replace(grid, scroll=self.scroll)


def _is_beside(other: bpy.types.Region, region: bpy.types.Region) -> bool:
    return other.x >= region.x + region.width or other.x + other.width <= region.x


def chips() -> list[tuple[str, str]]:
    """The filters: what they are called in the code, and on the screen."""
    return [(ALL, iface_("All")), (UNUSED, iface_("Unused"))] + [(str(key), iface_(_TASKS[key])) for key in _TASKS]


_open: Browser | None = None


def opened() -> Browser | None:
    """The browser, if it is open."""
    return _open


def place_for(context: bpy.types.Context) -> tuple[int, str] | None:
    """The area and the kind of region that the browser lies over: the largest preview, else the largest timeline."""
    scale = context.preferences.system.ui_scale
    best: tuple[tuple[bool, int], int, str] | None = None
    for number, area in enumerate(context.screen.areas if context.screen else ()):
        if area.type != "SEQUENCE_EDITOR":
            continue
        for region in area.regions:
            if region.type not in ("PREVIEW", "WINDOW") or not _is_shown(area, region):
                continue
            least = (browser_grid.LEAST_WIDTH * scale, browser_grid.LEAST_HEIGHT * scale)
            large = region.width >= least[0] and region.height >= least[1]
            rank = (large and region.type == "PREVIEW", region.width * region.height)
            if best is None or rank > best[0]:
                best = (rank, number, region.type)
    return None if best is None else best[1:]


def _is_shown(area: Any, region: bpy.types.Region) -> bool:
    views = {"PREVIEW": ("PREVIEW", "SEQUENCER_PREVIEW"), "WINDOW": ("SEQUENCER", "SEQUENCER_PREVIEW")}
    return area.spaces.active.view_type in views[region.type] and region.width > 1 and region.height > 1


class WAN_VSE_OT_browse_takes(Refusing, bpy.types.Operator):
    """Browse all takes that were ever made for this film, and put any of them on the timeline"""

    bl_idname = "wan_vse.browse_takes"
    bl_label = "Wan: Browse Takes"
    bl_options: ClassVar = {"REGISTER"}

    _timer: Any = None

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if bpy.app.background or place_for(context) is None:
            return "Open a sequencer in this window: the takes are shown over its preview"
        return ""

    @timed("operator browse_takes")
    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Open it, or close the one that is open."""
        global _open
        if _open is not None:
            _close(context)
            return {"FINISHED"}
        place = place_for(context)
        if place is None:
            return {"CANCELLED"}
        library = film_takes.library()
        library.look(film_takes.places())
        session.current().server.want()
        _open = Browser(library, *place, used=film_takes.used_jobs())
        self._timer = context.window_manager.event_timer_add(TICK_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(iface_(_STATUS))
        redraw(SEQUENCERS)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> Result:
        """From a script there is no window to browse in."""
        return self.invoke(context, None)

    @timed("modal: browse_takes")
    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Answer an event that lies over the browser; all others go on to Blender."""
        browser = _open
        found = None if browser is None else _find(context, browser)
        if browser is None or found is None:
            self._end(context)
            return {"FINISHED"}
        area, region = found
        if event.type == "TIMER":
            _tick(context, browser)
            return {"PASS_THROUGH"}
        answer = _answer(context, browser, area, region, event)
        if answer == "CLOSE":
            self._end(context)
            return {"FINISHED"}
        if answer.startswith("!"):
            self.report({"WARNING"}, answer[1:])
        elif answer.startswith("+"):
            self.report({"INFO"}, answer[1:])
        return {"PASS_THROUGH"} if answer == "PASS" else {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends it: another file is opened, or the window goes."""
        self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        _close(context)


def _close(context: bpy.types.Context) -> None:
    global _open
    _open = None
    session.current().server.filmstrips.want_none()
    if context.workspace is not None:
        context.workspace.status_text_set(None)
    redraw(SEQUENCERS)


def _find(context: bpy.types.Context, browser: Browser) -> tuple[Any, Any] | None:
    """The area and the region that it lies over, if they are still there."""
    areas = context.screen.areas if context.screen else ()
    if browser.area >= len(areas):
        return None
    area = areas[browser.area]
    if area.type != "SEQUENCE_EDITOR":
        return None
    region = next((each for each in area.regions if each.type == browser.region_type), None)
    return (area, region) if region is not None and _is_shown(area, region) else None


_seen: tuple[int, int] = (-1, -1)
"""The versions of the library and of the pictures that were drawn last."""
_seen_at = 0.0


def _tick(context: bpy.types.Context, browser: Browser) -> None:
    global _seen, _seen_at
    browser.library.tick(time.perf_counter() + SLICE_SECONDS)
    now = (browser.library.version, session.current().server.filmstrips.version)
    late = time.monotonic() - _seen_at > LOOKING_SECONDS
    if now != _seen and (late or not browser.library.looking or now[1] != _seen[1]):
        _seen, _seen_at = now, time.monotonic()
        redraw(SEQUENCERS)


def _answer(context: bpy.types.Context, browser: Browser, area: Any, region: Any, event: bpy.types.Event) -> str:
    """What follows from the event: "" if it was taken, "PASS", "CLOSE", or a sentence behind "+" or "!"."""
    grid = browser.grid(region, area, context.preferences.system.ui_scale)
    x, y = event.mouse_x - region.x, event.mouse_y - region.y
    inside = grid.left <= x < grid.left + grid.width and 0 <= y < grid.height
    if event.type in ("MOUSEMOVE", "INBETWEEN_MOUSEMOVE"):
        return _moved(context, browser, grid, (x, y), event)
    if event.type == "LEFTMOUSE" and event.value == "RELEASE" and browser.pressed >= 0:
        return _released(context, browser)
    if event.type == "ESC" and event.value == "PRESS":
        if browser.dragging:
            browser.pressed, browser.dragging, browser.drop = -1, False, None
            redraw(SEQUENCERS)
            return ""
        return "CLOSE"
    if not inside:
        return "PASS"
    if event.type == "LEFTMOUSE":
        return _pressed(context, browser, grid, (x, y), event) if event.value != "RELEASE" else ""
    if event.type in ("WHEELUPMOUSE", "WHEELDOWNMOUSE", "TRACKPADPAN"):
        _scroll(browser, grid, event)
        _point(browser, browser.grid(region, area, grid.scale), (x, y))
        area.tag_redraw()
        return ""
    if event.value == "PRESS" and not (event.ctrl and event.type == "Z"):
        answer = _key(context, browser, grid, event)
        area.tag_redraw()
        return answer
    return "PASS"


def _moved(
    context: bpy.types.Context, browser: Browser, grid: Grid, at: tuple[int, int], event: bpy.types.Event
) -> str:
    if browser.pressed >= 0:
        far = max(abs(event.mouse_x - browser.pressed_at[0]), abs(event.mouse_y - browser.pressed_at[1]))
        browser.dragging = browser.dragging or far > DRAG_PIXELS * grid.scale
        if browser.dragging:
            browser.drop = _timeline_under(context, browser, event.mouse_x, event.mouse_y)
            redraw(SEQUENCERS)
        return ""
    before = (browser.chosen, browser.fraction)
    _point(browser, grid, at)
    if (browser.chosen, browser.fraction) != before:
        redraw(SEQUENCERS)
    return "PASS"


def _point(browser: Browser, grid: Grid, at: tuple[int, int]) -> None:
    index = grid.at(*at)
    if index >= 0:
        box = grid.picture(index)
        browser.chosen = index
        browser.fraction = min(max((at[0] - box.left) / max(box.right - box.left, 1.0), 0.0), 1.0)


def _pressed(
    context: bpy.types.Context, browser: Browser, grid: Grid, at: tuple[int, int], event: bpy.types.Event
) -> str:
    if grid.close.has(*at):
        return "CLOSE"
    for (chip, _), box in zip(chips(), grid.chips(browser.chip_widths), strict=False):
        if box.has(*at):
            browser.chip, browser.scroll, browser.chosen = chip, 0.0, -1
            redraw(SEQUENCERS)
            return ""
    browser.pressed = grid.at(*at)
    browser.pressed_at = (event.mouse_x, event.mouse_y)
    if browser.pressed >= 0:
        browser.chosen = browser.pressed
    return ""


def _released(context: bpy.types.Context, browser: Browser) -> str:
    """Lay the take where it was dragged to; after a click, at the playhead."""
    dragged, drop = browser.dragging, browser.drop
    browser.pressed, browser.dragging, browser.drop = -1, False, None
    redraw(SEQUENCERS)
    if dragged and drop is None:
        return ""
    return _lay(context, browser, drop)


def _lay(context: bpy.types.Context, browser: Browser, drop: tuple[int, int] | None) -> str:
    take, scene = browser.take(), compat.sequencer_scene(context)
    refusal = timeline_refusal(context)
    if take is None or scene is None or refusal:
        return f"!{translated(refusal, rpt_)}." if refusal else ""
    if drop is None:
        active = compat.active_strip(scene)
        drop = (scene.frame_current, active.channel if active is not None else 1)
    with timed("operator lay_take"):
        strip = film_takes.lay(take, scene, drop[1], drop[0])
        if isinstance(strip, str):
            return f"!{strip}"
        take_strips.choose(scene, strip)
        browser.used |= {take.job_id}
        words = rpt_("Placed the take on channel {} at frame {}.").format(strip.channel, drop[0])
        bpy.ops.ed.undo_push(message="Place Take")
    return f"+{words}"


def _timeline_under(context: bpy.types.Context, browser: Browser, x: int, y: int) -> tuple[int, int] | None:
    """Frame and channel of the timeline that lies under that point of the window."""
    for area in context.screen.areas:
        if area.type != "SEQUENCE_EDITOR":
            continue
        for region in area.regions:
            within = region.x <= x < region.x + region.width and region.y <= y < region.y + region.height
            if region.type == "WINDOW" and within and _is_shown(area, region):
                view: Any = region.view2d
                frame, channel = view.region_to_view(x - region.x, y - region.y)
                return round(frame), max(1, min(int(channel), 128))
    return None


def _scroll(browser: Browser, grid: Grid, event: bpy.types.Event) -> None:
    if event.type == "TRACKPADPAN":
        browser.scroll += event.mouse_y - event.mouse_prev_y
    else:
        browser.scroll += grid.row_height * (0.5 if event.type == "WHEELDOWNMOUSE" else -0.5)


def _key(context: bpy.types.Context, browser: Browser, grid: Grid, event: bpy.types.Event) -> str:
    """A key over the browser: words to look for, or a way through the grid."""
    step = {
        "LEFT_ARROW": -1,
        "RIGHT_ARROW": 1,
        "UP_ARROW": -grid.columns,
        "DOWN_ARROW": grid.columns,
        "PAGE_UP": -3 * grid.columns,
        "PAGE_DOWN": 3 * grid.columns,
        "HOME": -grid.count,
        "END": grid.count,
    }.get(event.type)
    if step is not None:
        browser.chosen = min(max(browser.chosen + step, 0), grid.count - 1)
        browser.fraction = 0.5
        if browser.chosen >= 0:
            browser.scroll = grid.scrolled_to(browser.chosen)
        return ""
    if event.type in ("RET", "NUMPAD_ENTER"):
        return _lay(context, browser, None)
    text = _typed(browser.text, event, context.window_manager.clipboard)
    if text is None:
        return "PASS"
    browser.text, browser.scroll = text[:MAX_SEARCH], 0.0
    browser.chosen = 0 if browser.found() and text else -1
    return ""


def _typed(text: str, event: bpy.types.Event, clipboard: str) -> str | None:
    """The text after the key; None if the key writes nothing."""
    if event.type == "BACK_SPACE":
        return "" if event.ctrl else text[:-1]
    if event.type == "DEL":
        return ""
    if event.type == "V" and (event.ctrl or event.oskey):
        return text + " ".join(clipboard.split())
    if event.unicode and event.unicode.isprintable() and not (event.ctrl or event.oskey):
        return text + event.unicode
    return None


CLASSES = (WAN_VSE_OT_browse_takes,)
