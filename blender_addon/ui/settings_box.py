"""The settings of a take, folded: the header says what they are."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Task
from ..jobs import session
from ..operators.snapshot import Snapshot
from ..properties import WanSettings
from ..timeline import scene_format
from . import fields, paragraph, task_box, wording

PANEL = "wan_vse_settings"


def draw(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    scene: bpy.types.Scene,
    settings: WanSettings,
    seen: Snapshot,
) -> None:
    """A fold with the model, its size and quality, the length, the settings of the task and the seed."""
    header, body = layout.panel(PANEL, default_closed=True)
    paragraph.draw_header(header, context, state(scene, settings, seen))
    if body is None:
        return
    column = fields.column(body)
    column.prop(settings, "model")
    column.prop(settings, "resolution")
    column.row(align=True).prop(settings, "quality", expand=True)
    task_box.draw_settings(body, scene, settings, seen)
    fields.row(body, "").prop(settings, "handles")
    draw_seed(body, settings)


def state(scene: bpy.types.Scene, settings: WanSettings, seen: Snapshot) -> list[str]:
    """ "VACE 1.3B, 480p, Draft, 2 s, strength 0.7", and shorter: what is changed most often goes last."""
    row = session.current().server.model(settings.model)
    model = row.label if row is not None else settings.model
    parts = [
        model,
        settings.resolution if settings.resolution != "exact" else iface_("Scene Size"),
        iface_(settings.quality.capitalize()),
    ]
    if seen.takes.targets:
        frames = seen.takes.targets[0].length_frames
        parts.append(wording.short_seconds(scene_format.seconds_of(frames, scene_format.rate_of(scene))))
    if settings.seed_locked:
        parts.append(iface_("seed {}").format(settings.seed))
    if seen.task is Task.RESTYLE:
        parts.append(iface_("strength {}").format(f"{settings.strength:.2g}"))
    brief = model.removeprefix("Wan ").partition(" (")[0]
    shorter = [[brief, *parts[1:count]] for count in range(len(parts), 1, -1)]
    return [", ".join(each) for each in (parts, *shorter, parts[1:3])]


def draw_seed(layout: bpy.types.UILayout, settings: WanSettings) -> None:
    """The seed, or that it is random; its lock, and another one."""
    row = fields.row(layout, "Seed")
    if settings.seed_locked:
        row.prop(settings, "seed", text="")
    else:
        row.label(text="Random")
    locked = settings.seed_locked
    row.prop(settings, "seed_locked", text="", icon="LOCKED" if locked else "UNLOCKED", toggle=True)
    row.operator("wan_vse.new_seed", text="", icon="FILE_REFRESH")
