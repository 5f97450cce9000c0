"""A training in the queue: its curve, its samples beside those without the LoRA, and the LoRAs that it has kept."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any

import bpy
import bpy.utils.previews
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import KEPT_LORAS, JobStatus, Plan, TrainedLora, TrainingKind, TrainingStatus
from ..jobs import session
from ..operators import redrawing
from ..stopwatch import timed
from . import live_preview_icon, paragraph, thumbnail_icons, wording

KIND_WORDS = {TrainingKind.LOOK: "Look", TrainingKind.SUBJECT: "Subject", TrainingKind.MOTION: "Motion"}
SIDE = 192
"""Of the curve's picture, in pixels."""
MARGIN = 6
ROOM = 14.4
"""The width of a sidebar in the units of pictures' scales: those beside one another share it."""
UNIT_PIXELS = 20
LARGEST, CURVE = 7.2, 3.6
"""The scales of a picture that has no others beside it, and of the curve where samples are above it."""
SMOOTHED = 7
"""So many points of a curve make one of the line that is drawn over them."""
MAX_KEPT = 32
LINE, POINTS, GROUND = 0xFFE8A848, 0xFF686868, 0xFF202020
"""Colors as the bytes red, green, blue and opacity in one number, the lowest byte first."""

_kept: Any = None
"""Blender's own collection of previews, by job."""
_drawn: dict[str, tuple[float, ...]] = {}
"""The curve that each picture shows, by job."""
_asked: dict[str, tuple[float, ...]] = {}


def register() -> None:
    """Create the collection of previews."""
    global _kept
    _kept = bpy.utils.previews.new()


def unregister() -> None:
    """Remove the collection, with all pictures."""
    global _kept
    if bpy.app.timers.is_registered(_draw_curves):
        bpy.app.timers.unregister(_draw_curves)
    _asked.clear()
    _drawn.clear()
    if _kept is not None:
        bpy.utils.previews.remove(_kept)
        _kept = None


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus) -> None:
    """How a training goes and what it has brought; nothing before its first steps."""
    training = job.training
    if training is None:
        return
    newest = training.newest
    samples = []
    if newest is not None and newest.picture:
        samples.append((iface_("Without"), thumbnail_icons.icon_of(training.picture_without)))
        samples.append((iface_("Step {}").format(newest.step), thumbnail_icons.icon_of(newest.picture)))
    samples = [(title, icon) for title, icon in samples if icon]
    _draw_pictures(layout, samples)
    _draw_course(layout, context, job, training, CURVE if samples else LARGEST)
    for note in training.notes:
        paragraph.draw(layout, context, note, "INFO")
    if training.kept:
        _draw_kept(layout, job, training.kept)


def _draw_pictures(layout: bpy.types.UILayout, samples: list[tuple[str, int]]) -> None:
    """The samples as large as there is room for: wide pictures leave half of their square empty as it is."""
    if not samples:
        return
    row = layout.row(align=True)
    for title, icon in samples:
        column = row.column(align=True)
        column.label(text=title, translate=False)
        column.template_icon(icon_value=icon, scale=_scale(len(samples)))


def _draw_course(
    layout: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus, training: TrainingStatus, scale: float
) -> None:
    """The curve of the loss, and the facts beside it."""
    plan = session.current().server.details.plan_of(job.job_id)
    words = facts(training, stills=plan is not None and plan.model_frames == 1)
    curve = _curve_icon(job.job_id, training)
    if not curve:
        if words:
            paragraph.draw(layout, context, words, "INFO", translate=False)
        return
    row = layout.row(align=True)
    side = row.column(align=True)
    side.template_icon(icon_value=curve, scale=scale)
    column = row.column(align=True)
    column.label(text="Loss")
    region = context.region.width if context.region else 300
    beside = region - scale * UNIT_PIXELS * context.preferences.system.ui_scale
    paragraph.draw(column, context, words, translate=False, width_pixels=beside)


def _scale(count: int) -> float:
    """Of each of so many pictures beside one another."""
    return min(LARGEST, ROOM / max(1, count))


def _draw_kept(layout: bpy.types.UILayout, job: JobStatus, kept: list[TrainedLora]) -> None:
    """A column for each LoRA: its sample, if there is one, and the button that uses it.

    The samples are as small as they will be once all are there: the newest is shown large already.
    """
    layout.label(text="Use this one:")
    row = layout.row(align=True)
    shown = {each.step: each for each in kept}.values()  # the finished one in place of that of its step
    for lora in shown:
        column = row.column(align=True)
        icon = thumbnail_icons.icon_of(lora.picture) if lora.picture else 0
        if icon:
            column.template_icon(icon_value=icon, scale=_scale(max(KEPT_LORAS, len(shown))))
        button = column.operator("wan_vse.use_trained", text=iface_("Step {}").format(lora.step), translate=False)
        button.job_id, button.step = job.job_id, lora.step


def facts(training: TrainingStatus, stills: bool = False) -> str:
    """ "14 clips; loss 0.113; 1.2 s a step; trigger: inkwsh"; `stills` where it trains from nothing else."""
    one, many = ("1 still", "{} stills") if stills else ("1 clip", "{} clips")
    parts = []
    if training.clips:
        parts.append(iface_(one if training.clips == 1 else many).format(training.clips))
    if training.curve:
        parts.append(iface_("loss {:.3f}").format(smoothed(training.curve)[-1]))
    if training.seconds_a_step:
        parts.append(iface_("{:.2g} s a step").format(training.seconds_a_step))
    if training.trigger:
        parts.append(iface_("trigger: {}").format(training.trigger))
    return "; ".join(parts)


def plan_words(plan: Plan) -> str:
    """ "832 x 480, 33 frames, 1,200 steps, rank 32, learning rate 0.0001"."""
    assert plan.training is not None
    size = iface_("{} x {}, {}, {:,} steps").format(
        plan.width, plan.height, wording.frames(plan.model_frames), plan.steps
    )
    rate = f"{plan.training.learning_rate:g}"
    return iface_("{}, rank {}, learning rate {}").format(size, plan.training.rank, rate)


def smoothed(curve: list[float]) -> list[float]:
    """The mean of the points around each one; fewer at the ends."""
    around = min(SMOOTHED, len(curve)) // 2 if len(curve) > 2 else 0
    windows = (curve[max(0, number - around) : number + around + 1] for number in range(len(curve)))
    return [sum(window) / len(window) for window in windows]


def _curve_icon(job_id: str, training: TrainingStatus) -> int:
    """The icon of the curve; 0 until a timer has drawn it. Safe in a draw."""
    if _kept is None or bpy.app.background or len(training.curve) < 2:
        return 0
    curve = tuple(training.curve)
    if _drawn.get(job_id) != curve:
        _asked[job_id] = curve
        if not bpy.app.timers.is_registered(_draw_curves):
            bpy.app.timers.register(_draw_curves, first_interval=0.01)
    return int(_kept[job_id].icon_id) if job_id in _kept else 0


@timed("timer: training curve")
def _draw_curves() -> None:
    if _kept is None:
        return
    if len(_kept) > MAX_KEPT:
        _kept.clear()
        _drawn.clear()
    for job_id, curve in _asked.items():
        live_preview_icon.show(_kept, job_id, (SIDE, SIDE, memoryview(picture_of(list(curve)))))
        _drawn[job_id] = curve
    _asked.clear()
    redrawing.redraw()


def picture_of(curve: list[float]) -> array[int]:
    """The curve as packed pixels, from the lowest row up: its points, and a smoothed line over them."""
    pixels = array("i", [_signed(GROUND)]) * (SIDE * SIDE)
    low, high = min(curve), max(curve)
    room = SIDE - 2 * MARGIN - 1

    def place(number: float, value: float) -> tuple[int, int]:
        share = (value - low) / (high - low) if high > low else 0.5
        return MARGIN + round(number / max(1, len(curve) - 1) * room), MARGIN + round(share * room)

    for number, value in enumerate(curve):
        _dot(pixels, *place(number, value), _signed(POINTS))
    line = [place(number, value) for number, value in enumerate(smoothed(curve))]
    for (left, below), (right, above) in pairwise(line):
        steps = max(abs(right - left), abs(above - below), 1)
        for step in range(steps + 1):
            x, y = left + (right - left) * step // steps, below + (above - below) * step // steps
            _dot(pixels, x, y, _signed(LINE))
    return pixels


def _dot(pixels: array[int], x: int, y: int, color: int) -> None:
    for row in range(max(0, y - 1), min(SIDE, y + 1)):
        for column in range(max(0, x - 1), min(SIDE, x + 1)):
            pixels[row * SIDE + column] = color


def _signed(color: int) -> int:
    """As Blender keeps it: 32 bits with a sign."""
    return color - (1 << 32) if color >= 1 << 31 else color
