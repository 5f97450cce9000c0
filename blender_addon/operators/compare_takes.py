"""Compares two takes of a strip, or a take with its source, over the preview: as a wipe or side by side, which
ui/comparison.py draws.

What is compared is kept here and nowhere else: no strip is added or changed, and nothing gets into the file or into an
undo step. No operator goes on meanwhile, so saving, undo and playing are as ever. A mouse move, an arrow key and Esc
are items of the keymap that do nothing while nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import bpy
from bpy.app.handlers import persistent
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Task
from ..timeline import compat, provenance, strip_takes, take_pictures
from ..timeline.strip_takes import KeptTake
from ..translation import translated
from .refusing import Refusing, Result, timeline_refusal
from .takes import take_strip

WIPE, SIDE, SOURCE = "WIPE", "SIDE", "SOURCE"
_OF_FOOTAGE = (Task.RESTYLE.value, Task.PREVIS.value, Task.EDIT.value)
NO_TAKES = "The active strip has only one take: make another with New Take"
NO_TAKE = "The active strip is not a take"
NO_SOURCE = "The strip that this take was made from is gone, or shows no pictures or movie of its own"
ELSEWHERE = "The playhead is not on '{}': the comparison shows there"
NO_PREVIEW = "No preview is open: choose Preview or Sequencer & Preview in the header of a sequencer."


@dataclass(frozen=True)
class Comparison:
    """What is compared: the strip is found again by its name at every draw."""

    scene: str
    strip: str
    kind: str
    """WIPE or SIDE."""
    second: str = ""
    """The job of the take beside the shown one; empty for the source."""
    border: float = 0.5
    """Where the wipe divides the frame, from 0 at its left to 1."""


shown: Comparison | None = None
"""What is compared now."""
on_change: list[Callable[[], None]] = []
"""Called when something else is compared; ui adds what redraws the previews."""


def show(comparison: Comparison | None) -> None:
    """Compare that; None ends it."""
    global shown
    shown = comparison
    for callback in on_change:
        callback()


def strip_of(comparison: Comparison) -> tuple[bpy.types.Scene, compat.Strip] | None:
    """The scene and the strip; None if either is gone, as after an undo."""
    scene = compat.own_scene(comparison.scene)
    strip = None if scene is None else compat.strip_named(scene, comparison.strip)
    return None if scene is None or strip is None else (scene, strip)


def takes_compared(strip: compat.Strip, comparison: Comparison) -> tuple[KeptTake, KeptTake | None] | None:
    """The shown take and the second one (None for the source); None if the strip hasn't got them any more."""
    takes, index = strip_takes.takes_of(strip), strip_takes.shown_index(strip)
    if index is None:
        return None
    if not comparison.second:
        return takes[index], None
    second = next((take for take in takes if take.job_id == comparison.second), None)
    return None if second is None else (takes[index], second)


def source_strip(scene: bpy.types.Scene, strip: compat.Strip) -> compat.Strip | None:
    """The strip that a restyle, or a dressed previs, was made from, if it plays pictures or a movie."""
    made_from = provenance.of(strip)
    if made_from is None or made_from.task not in _OF_FOOTAGE or not made_from.sources:
        return None
    source = provenance.strip_of(scene, made_from.sources[0])
    return source if source is not None and source.type in ("IMAGE", "MOVIE") and source != strip else None


def others(scene: bpy.types.Scene, strip: compat.Strip) -> list[str]:
    """What the shown take can be compared with: the jobs of the other takes, then the source ("") if there is one."""
    takes, index = strip_takes.takes_of(strip), strip_takes.shown_index(strip)
    found = [take.job_id for position, take in enumerate(takes) if position != index]
    return [*found, ""] if source_strip(scene, strip) is not None else found


def first_other(scene: bpy.types.Scene, strip: compat.Strip) -> str | None:
    """The take made before the shown one, else the one after it, else the source; None if there is nothing."""
    found = others(scene, strip)
    takes = [job_id for job_id in found if job_id]
    if takes:
        return takes[min(strip_takes.shown_index(strip) or 0, len(takes) - 1)]
    return found[0] if found else None


def next_other(scene: bpy.types.Scene, strip: compat.Strip, now: str, step: int) -> str | None:
    """The one that lies `step` behind `now`, round and round; None if there is nothing."""
    found = others(scene, strip)
    if now not in found:
        return first_other(scene, strip)
    return found[(found.index(now) + step) % len(found)]


class WAN_VSE_OT_compare_takes(Refusing, bpy.types.Operator):
    """Compare the shown take with another one over the preview, or end that. Nothing in the film changes"""

    bl_idname = "wan_vse.compare_takes"
    bl_label = "Wan: Compare Takes"
    bl_options: ClassVar = {"REGISTER"}

    kind: bpy.props.EnumProperty(
        name="Kind",
        description="How they are compared",
        items=[
            (WIPE, "Wipe", "A border between them that follows the mouse"),
            (SIDE, "Side by Side", "Both whole, beside one another"),
            (SOURCE, "With Its Source", "A border between the take and the footage that it was made from"),
        ],
        options={"SKIP_SAVE"},
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if shown is not None:
            return ""
        sentence = timeline_refusal(context)
        if sentence:
            return sentence
        scene = compat.sequencer_scene(context)
        strip = take_strip(context)
        if strip is None or strip_takes.shown_index(strip) is None:
            return NO_TAKE
        return "" if others(scene, strip) else NO_TAKES

    def execute(self, context: bpy.types.Context) -> Result:
        """Begin, change to another kind, or end what is shown already."""
        if shown is not None and not self.properties.is_property_set("kind"):  # the key, which ends any
            show(None)
            return {"FINISHED"}
        asked = self._asked(context)
        if isinstance(asked, str):
            self.report({"WARNING"}, asked)
            return {"CANCELLED"}
        show(None if shown is not None and replace(shown, border=asked.border) == asked else asked)
        self._say_where()
        return {"FINISHED"}

    def _say_where(self) -> None:
        """Where nothing is seen of it at the playhead, since the preview then is as before."""
        found = None if shown is None else strip_of(shown)
        sentence = "" if found is None else elsewhere(*found)
        if sentence:
            self.report({"INFO"}, sentence)

    def _asked(self, context: bpy.types.Context) -> Comparison | str:
        """What is to be shown, or why it can't be."""
        scene = compat.sequencer_scene(context)
        strip = take_strip(context)
        if strip is None or strip_takes.shown_index(strip) is None:
            return _sentence(NO_TAKE)
        if self.kind == SOURCE and source_strip(scene, strip) is None:
            return _sentence(NO_SOURCE)
        second = "" if self.kind == SOURCE else self._second(scene, strip)
        if second is None:
            return _sentence(NO_TAKES)
        if not bpy.app.background and not any(previews(context)):
            return rpt_(NO_PREVIEW)
        return Comparison(scene.name, strip.name, SIDE if self.kind == SIDE else WIPE, second)

    def _second(self, scene: bpy.types.Scene, strip: compat.Strip) -> str | None:
        """What is compared already, where the kind alone changes; else what comes first."""
        here = shown is not None and (shown.scene, shown.strip) == (scene.name, strip.name)
        if shown is not None and here and (shown.second or SIDE in (self.kind, shown.kind)):
            return next_other(scene, strip, shown.second, 0)
        return first_other(scene, strip)


def elsewhere(scene: bpy.types.Scene, strip: compat.Strip) -> str:
    """That the strip shows nothing at the playhead; empty where it does."""
    return "" if take_pictures.index_at(strip, scene.frame_current) is not None else rpt_(ELSEWHERE).format(strip.name)


def _sentence(refusal: str) -> str:
    return f"{translated(refusal, rpt_)}."


def previews(context: bpy.types.Context) -> list[tuple[bpy.types.Area, bpy.types.Region]]:
    """The preview regions that are on the screen."""
    found: list[tuple[bpy.types.Area, bpy.types.Region]] = []
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            space: Any = area.spaces.active
            if area.type == "SEQUENCE_EDITOR" and space.view_type != "SEQUENCER":
                found += [(area, region) for region in area.regions if region.type == "PREVIEW" and region.width > 1]
    return found


class _WhileComparing:
    """An operator of the keymap that lets its key do what it does in Blender, unless something is compared."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """True while something is compared."""
        return shown is not None


class WAN_VSE_OT_compare_next(_WhileComparing, bpy.types.Operator):
    """Compare with the next or the previous take, or with the source"""

    bl_idname = "wan_vse.compare_next"
    bl_label = "Wan: Compare with Next Take"
    bl_options: ClassVar = {"INTERNAL"}

    step: bpy.props.IntProperty(name="Step", description="How many takes to go on", default=1, options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> Result:
        found = None if shown is None else strip_of(shown)
        second = None if shown is None or found is None else next_other(*found, shown.second, self.step)
        show(None if shown is None or second is None else replace(shown, second=second))
        return {"FINISHED"}


class WAN_VSE_OT_compare_end(_WhileComparing, bpy.types.Operator):
    """End the comparison"""

    bl_idname = "wan_vse.compare_end"
    bl_label = "Wan: End Comparison"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> Result:
        show(None)
        return {"FINISHED"}


class WAN_VSE_OT_compare_border(_WhileComparing, bpy.types.Operator):
    """Move the border of the wipe under the mouse"""

    bl_idname = "wan_vse.compare_border"
    bl_label = "Wan: Move Border"
    bl_options: ClassVar = {"INTERNAL"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Follow the mouse over a preview; the event goes on to whatever else waits for it."""
        region = context.region
        if shown is not None and shown.kind == WIPE and region is not None and region.type == "PREVIEW":
            left, _, right, _ = frame_in_region(compat.sequencer_scene(context), region)
            share = (event.mouse_region_x - left) / max(1.0, right - left)
            show(replace(shown, border=max(0.0, min(share, 1.0))))
        return {"PASS_THROUGH"}


def frame_in_region(scene: Any, region: Any) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of the scene's frame in a preview region, in its pixels."""
    render, view = scene.render, region.view2d
    left, bottom = view.region_to_view(0, 0)  # which is exact; the other way gives whole pixels
    right, top = view.region_to_view(region.width, region.height)
    across, up = region.width / (right - left), region.height / (top - bottom)
    half = render.resolution_x * render.pixel_aspect_x / render.pixel_aspect_y / 2, render.resolution_y / 2
    return (-half[0] - left) * across, (-half[1] - bottom) * up, (half[0] - left) * across, (half[1] - bottom) * up


def caption(strip: compat.Strip, take: KeptTake | None) -> str:
    """What is written on a side: which take it shows, or that it is the source."""
    if take is None:
        return iface_("Source")
    takes = strip_takes.takes_of(strip)
    number = len(takes) - next((index for index, each in enumerate(takes) if each.job_id == take.job_id), 0)
    words = iface_("Take {} of {}, starred") if take.mark == "star" else iface_("Take {} of {}")
    return words.format(number, len(takes))


def _end(*_: object) -> None:
    show(None)


_at_load = persistent(_end)


def register_handlers() -> None:
    """End what is compared when another file is loaded."""
    bpy.app.handlers.load_pre.append(_at_load)


def unregister_handlers() -> None:
    """Take that back."""
    if _at_load in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_at_load)
    show(None)


CLASSES = (
    WAN_VSE_OT_compare_takes,
    WAN_VSE_OT_compare_next,
    WAN_VSE_OT_compare_end,
    WAN_VSE_OT_compare_border,
)
