"""The selected take, in place of the tasks: its prompt to be edited, a new take, and the other takes of its place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import MatrixPrecision, TakeRequest
from ..jobs import session
from ..operators import retry_seams
from ..operators.snapshot import Snapshot
from ..properties import WanSettings
from ..properties.prompts import take_of
from ..timeline import compat, provenance, seam_retry, seams, strip_mark, strip_takes
from ..timeline.path_rules import shown as shown_path
from . import (
    gone_takes,
    paragraph,
    plan_box,
    prompt_box,
    stale_list,
    take_list,
    take_thumbnails,
    take_words,
    task_box,
    thumbnail_icons,
    wording,
)

PANEL = "wan_vse_take"
_MARKS: tuple[tuple[str, Any, Any], ...] = (("star", "SOLO_ON", "SOLO_OFF"), ("reject", "CANCEL", "X"))
"""Each mark with its icon where it is set, and where it isn't."""
_SEAM_ICONS: tuple[Any, ...] = ("COLORSET_03_VEC", "COLORSET_09_VEC", "COLORSET_01_VEC")
"""Green, yellow and red: by how well a seam joins."""
_WHICH = ("first", "middle", "last")


@dataclass(frozen=True)
class ShownTake:
    """The selected take, as it is drawn."""

    made: TakeRequest
    takes: tuple[strip_takes.KeptTake, ...]
    """All takes of its place; none for a placeholder."""
    index: int
    """Which of them is shown."""
    pending: int
    """How many more are being made."""
    asked: provenance.Provenance | None = None
    """What is known of the strips that it was made from."""
    mark: strip_mark.Mark | None = None
    """What the strip says of its pictures."""
    seams: seams.Seams = field(default_factory=seams.Seams)
    """How its ends join the strips beside it, as far as they touch them."""
    retry: str = ""
    """How far the search for a better seam is, or how it ended, in a sentence."""

    @property
    def kept(self) -> strip_takes.KeptTake | None:
        """The take that is shown."""
        return self.takes[self.index] if self.takes else None


def shown(scene: bpy.types.Scene, settings: WanSettings, seen: Snapshot) -> ShownTake | None:
    """The selected take; None if none is selected, or a task was chosen for it."""
    if not seen.shows_take:
        return None
    made, strip = take_of(settings), compat.active_strip(scene)
    if made is None or strip is None:
        return None
    takes, index = strip_takes.takes_of(strip), strip_takes.shown_index(strip) or 0
    retry = seam_retry.of(strip)
    return ShownTake(
        made,
        takes,
        index,
        len(strip_takes.pending(strip)),
        provenance.of(strip),
        strip_mark.of(strip),
        seams.of(scene, strip),
        retry_seams.said_of(retry, strip) if retry is not None else "",
    )


def draw(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    scene: bpy.types.Scene,
    settings: WanSettings,
    take: ShownTake,
) -> None:
    """As high as the rows of a task, which it takes the place of."""
    draw_flip(layout, take)
    prompt_box.draw_of_take(layout, settings)
    draw_button(layout, settings, take)
    draw_status(layout, context, take)
    draw_retry(layout, context, take)
    draw_gone(layout, context, take)
    if take.kept is not None:
        stale_list.draw_of_take(layout, context, take.kept.job_id)
    if take.takes:
        take_list.draw(layout, context, take.takes)
    draw_facts(layout, context, take)


def draw_flip(layout: bpy.types.UILayout, take: ShownTake) -> None:
    """Which of its takes is shown, with the arrows, the marks and the comparison."""
    row = layout.row(align=True)
    row.scale_y = 0.8  # as a task's heading: nothing below moves
    arrows = row.row(align=True)
    arrows.enabled = len(take.takes) > 1
    _order(arrows, "flip_take", "TRIA_LEFT", direction="PREVIOUS")
    row.label(text=counted(take), icon=task_box.TAKE_ICON)
    arrows = row.row(align=True)
    arrows.enabled = len(take.takes) > 1
    _order(arrows, "flip_take", "TRIA_RIGHT", direction="NEXT")
    row.separator()
    mark = take.kept.mark if take.kept is not None else ""
    for name, on, off in _MARKS:
        _order(row, "mark_take", on if mark == name else off, depress=mark == name, mark=name)
    _order(row, "note_take", "TEXT", depress=bool(take.kept and take.kept.note))
    row.separator()
    _order(row, "compare_takes", "MOD_MIRROR", kind="WIPE")


def counted(take: ShownTake) -> str:
    """ "2 of 5, 3 coming"; the oldest is the first, as on the strip."""
    if not take.takes:
        return iface_("Being made")
    words = iface_("{} of {}").format(len(take.takes) - take.index, len(take.takes))
    return iface_("{}, {} coming").format(words, take.pending) if take.pending else words


def draw_button(layout: bpy.types.UILayout, settings: WanSettings, take: ShownTake) -> None:
    """A new take with the prompt above, or several."""
    row = layout.row(align=True)
    row.scale_y = 1.5
    query = session.current().server.plan_query
    wanted = take.made if take.made.finish is None else replace(take.made, finish=None, sources=[])
    query.want(wanted)
    text = wording.with_time(iface_("New Take"), query.plan_of(wanted))
    button = row.operator("wan_vse.new_take", text=text, icon="RENDER_ANIMATION", translate=False)
    button.count = settings.take_count
    task_box.draw_count(row, settings)


def draw_status(layout: bpy.types.UILayout, context: bpy.types.Context, take: ShownTake) -> None:
    """Three small pictures, and what it was made with."""
    row = layout.row()
    kept, units = take.kept, 0.0
    if kept is not None:
        icons = [
            take_thumbnails.icon_of(kept.folder, kept.first_file, kept.frames, kept.is_movie, which) for which in _WHICH
        ]
        shown_icons = [icon for icon in icons if icon]
        units = thumbnail_icons.draw_small(row, shown_icons) if shown_icons else 0.0
    lines: list[tuple[str, Any]] = [(facts(take.made), "NONE")]
    joined = wording.joined(take.seams)
    lines += [(words, _SEAM_ICONS[grade]) for words, grade in joined]
    if kept is not None and (kept.note or not joined):
        lines.append((kept.note, "TEXT") if kept.note else (_made_shortly(take), "NONE"))
    count = max(plan_box.LINES, len(lines))
    paragraph.draw_lines(row.column(), context, lines, count, plan_box.width_beside(context, units))


def draw_retry(layout: bpy.types.UILayout, context: bpy.types.Context, take: ShownTake) -> None:
    """The search for a better seam, with a button that ends it, or takes away what it says."""
    if take.retry:
        row = layout.row()
        paragraph.draw(row.column(), context, take.retry, "MOD_TIME", 3, translate=False)
        row.operator("wan_vse.end_seam_retry", text="", icon="X", emboss=False)


def made_of(take: ShownTake) -> str:
    """When the shown take was made and from what."""
    media = gone_takes.media_of(take.kept) if take.kept is not None else None
    return take_words.made(take.made, take.asked, media.made if media is not None else 0.0)


def _made_shortly(take: ShownTake) -> str:
    media = gone_takes.media_of(take.kept) if take.kept is not None else None
    return take_words.shortly(take.made, take.asked, media.made if media is not None else 0.0)


def draw_gone(layout: bpy.types.UILayout, context: bpy.types.Context, take: ShownTake) -> None:
    """Where files of the shown take are gone: which, and what helps."""
    media = gone_takes.media_of(take.kept) if take.kept is not None else None
    if take.kept is None or media is None or not media.is_gone:
        return
    box = layout.box()
    column = box.column(align=True)
    column.alert = True
    words = iface_("The files of this take are gone: there is no {} in {}.")
    paragraph.draw(column, context, words.format(media.missing, shown_path(take.kept.folder)), "ERROR", 6)
    row = box.row(align=True)
    again: Any = row.operator("wan_vse.new_take", text="Make It Again", icon="LOOP_BACK")
    again.same_seed, again.job_id = True, take.kept.job_id
    row.operator("wan_vse.find_takes", text="Find It", icon="VIEWZOOM")


def facts(made: TakeRequest) -> str:
    """ "Restyle, VACE 1.3B, draft, seed 7"; "Larger: Restyle, ..." if it is made of such a one."""
    row = session.current().server.model(made.model)
    model = row.label if row is not None else made.model
    quality = iface_(made.quality.value.capitalize()).lower()
    task = iface_(task_box.name_of(made.task.value))
    if made.finish is not None:
        task = iface_("Larger: {}").format(task)
    return iface_("{}, {}, {}, seed {}").format(task, model, quality, made.seed)


def marked(mark: strip_mark.Mark) -> str:
    """ "AI: made from footage by wan2.1-vace-1.3b, Wan VSE 1.0", as the take's files say it to other programs."""
    by = ", ".join(part for part in (mark.model, mark.program) if part)
    words = "AI: made from footage by {}" if mark.kind == strip_mark.COMPOSITE else "AI: generated by {}"
    return iface_(words).format(by) if by else iface_("AI: generated")


def draw_facts(layout: bpy.types.UILayout, context: bpy.types.Context, take: ShownTake) -> None:
    """What is seldom wanted of a take, in a fold."""
    header, body = layout.panel(PANEL, default_closed=True)
    header.label(text="This Take")
    if body is None:
        return
    made = take.made
    paragraph.draw(body, context, wording.title(made.shown_prompt, made.task), "FONT_DATA", 6, translate=False)
    for line in wording.words(made.words, 0):
        paragraph.draw_line(body, context, line, "TIME", translate=False)
    if made.words:
        body.operator("wan_vse.words_as_strips", text="Words as Text Strips", icon="FONT_DATA")
    if take.kept is not None:
        paragraph.draw(body, context, made_of(take), "TIME", 4, translate=False)
    if take.mark is not None:
        paragraph.draw(body, context, marked(take.mark), "INFO", 4, translate=False)
    for words in wording.measured(take.seams):
        paragraph.draw(body, context, words, "MOD_TIME", translate=False)
    if made.matrix_precision is MatrixPrecision.FAST_8_BIT:
        paragraph.draw(body, context, "Fast 8-bit matrices, if the card had them", "BLANK1")
    if made.loras:
        paragraph.draw(body, context, wording.loras(made.loras), "BLANK1")
    _draw_more(body.column(align=True))


def _draw_more(column: bpy.types.UILayout) -> None:
    """What is seldom done with a take."""
    column.operator("wan_vse.new_take", text="New Take, Same Seed", icon="LOOP_BACK").same_seed = True
    column.operator("wan_vse.regenerate", text="Same Take Above", icon="LOOP_BACK").seed = "SAME"
    column.operator("wan_vse.load_settings", text="Load Settings", icon="COPYDOWN")
    sizes = column.row(align=True)
    for factor, text in (("TWO", "Larger: 2x"), ("FOUR", "4x"), ("SCENE", "Scene's Size")):
        sizes.operator("wan_vse.finish_take", text=text).factor = factor
    for name, text, icon in (
        ("take_in_best", "Same in Best", "SHADING_RENDERED"),
        ("retry_worst_seam", "Retry Worst Seam", "MOD_TIME"),
        ("keep_take", "Keep as Plain Strip", "PINNED"),
        ("takes_as_lanes", "Takes as Lanes", "NLA"),
    ):
        shown_icon: Any = icon
        column.operator(f"wan_vse.{name}", text=text, icon=shown_icon)


def _order(row: bpy.types.UILayout, name: str, icon: Any, depress: bool = False, **values: str) -> None:
    """A button with an icon alone."""
    button = row.operator(f"wan_vse.{name}", text="", icon=icon, depress=depress)
    for key, value in values.items():
        setattr(button, key, value)
