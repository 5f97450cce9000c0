"""Boxes for models, LoRAs and tiny autoencoders that are not on this machine: their sizes, progress and buttons."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.downloads import DownloadPlan, DownloadState, DownloadStatus
from ...wan_backend.protocol.messages import ExtraRow, Fix, FixAction, ModelRow
from ..jobs import session
from ..translation import translated
from . import paragraph, task_box, wording

STATE_WORDS = {
    DownloadState.WAITING: ("Waiting for its turn", "SORTTIME"),
    DownloadState.RUNNING: ("Downloading", "IMPORT"),
    DownloadState.CHECKING: ("Checking", "IMPORT"),
    DownloadState.PAUSED: ("Paused", "PAUSE"),
    DownloadState.FAILED: ("Stopped", "ERROR"),
}
_FIXES: dict[FixAction, Any] = {FixAction.DOWNLOAD: "FILE_REFRESH", FixAction.OPEN_PREFERENCES: "FILE_FOLDER"}


def draw_for(layout: bpy.types.UILayout, context: bpy.types.Context, chosen: str, task: str) -> None:
    """Below the choice of the model: the chosen one if it isn't here, and what else is asked for or downloaded.

    A model that can't do `task` is not offered.
    """
    current = session.current()
    row, downloads = current.server.model(chosen), current.server.downloads
    if row is not None and (task in row.tasks or row.here or downloads.status(chosen) is not None):
        draw_fetchable(layout, context, row)
    elif row is not None and not current.server.looking:
        able = iface_(" and ").join(iface_(task_box.name_of(each)) for each in row.tasks)
        words = iface_("{} is not on this machine, and is only for {}.").format(row.label, able)
        paragraph.draw(layout.box(), context, words, "INFO")
    others: list[ModelRow | ExtraRow] = [*current.server.models, *current.server.extras]
    for other in others:
        if other.model != chosen and downloads.is_begun(other.model):
            draw_fetchable(layout, context, other)


def draw_fetchable(layout: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow | ExtraRow) -> None:
    """The box of one model, LoRA or tiny autoencoder; nothing if it is here and not being downloaded."""
    downloads = session.current().server.downloads
    status = downloads.status(row.model)
    if status is not None and status.state is not DownloadState.DONE:
        _draw_status(layout.box(), context, row, status)
    elif row.here or not row.download_bytes or (session.current().server.looking and not downloads.is_begun(row.model)):
        return  # what isn't found yet isn't missing
    elif downloads.is_asked(row.model):
        paragraph.draw(layout.box(), context, "Asking Hugging Face for its size...", "SORTTIME")
    elif row.model in downloads.plans:
        _draw_plan(layout.box(), context, row, downloads.plans[row.model])
    else:
        _draw_offer(layout.box(), context, row)
    if row.model in downloads.refused:
        refusal = layout.row()
        words = f"{row.label}: {translated(downloads.refused[row.model])}"
        paragraph.draw(refusal.column(), context, words, "ERROR", translate=False)
        refusal.operator("wan_vse.cancel_download", text="", icon="X", emboss=False).model = row.model


def _draw_offer(box: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow | ExtraRow) -> None:
    paragraph.draw(box, context, iface_("{} is not on this machine").format(row.label), "IMPORT")
    size = wording.size(row.download_bytes)
    paragraph.draw(box, context, iface_("At most {}, license: {}").format(size, row.licence), "BLANK1")
    box.operator("wan_vse.download_model", text="Download...", icon="IMPORT").model = row.model
    _draw_offline(box)


def _draw_plan(
    box: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow | ExtraRow, plan: DownloadPlan
) -> None:
    if plan.problem is not None:
        title = box.row()
        title.label(text=row.label, icon="IMPORT", translate=False)
        title.operator("wan_vse.cancel_download", text="", icon="X", emboss=False).model = row.model
        _draw_problem(box, context, row.model, plan.problem.sentence, plan.problem.fixes)
        return
    paragraph.draw(box, context, row.label, "IMPORT")
    for line in wording.download_plan(plan):
        paragraph.draw(box, context, line, "BLANK1")
    box.operator("wm.url_open", text=iface_("License: {}").format(plan.licence), icon="URL").url = plan.licence_url
    buttons = box.row(align=True)
    text = iface_("Download {}").format(wording.size(plan.fetch_bytes)) if plan.fetch_bytes else "Use It"
    buttons.operator("wan_vse.confirm_download", text=text, icon="IMPORT").model = row.model
    buttons.operator("wan_vse.cancel_download", text="Not Now", icon="X").model = row.model


def _draw_status(
    box: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow | ExtraRow, status: DownloadStatus
) -> None:
    words, icon = STATE_WORDS.get(status.state, (status.state.value, "IMPORT"))
    paragraph.draw(box, context, f"{row.label}: {iface_(words)}", icon)
    if status.total_bytes:
        box.progress(factor=wording.share(status), type="BAR", text=wording.download_bytes(status))
    rate = wording.download_rate(status)
    if rate:
        paragraph.draw(box, context, rate, "BLANK1")
    if status.state is DownloadState.FAILED and status.problem is not None:
        _draw_problem(box, context, row.model, status.problem.sentence, status.problem.fixes)
        if status.problem.log:
            box.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = status.problem.log
        box.operator("wan_vse.cancel_download", text="Cancel", icon="X").model = row.model
        return
    if status.state is not DownloadState.WAITING and status.sentence:
        paragraph.draw(box, context, status.sentence, "BLANK1", max_lines=3)
    buttons = box.row(align=True)
    if status.state.active:
        buttons.operator("wan_vse.pause_download", text="Pause", icon="PAUSE").model = row.model
    else:
        buttons.operator("wan_vse.resume_download", text="Resume", icon="PLAY").model = row.model
    buttons.operator("wan_vse.cancel_download", text="Cancel", icon="X").model = row.model
    if not status.state.active:
        _draw_offline(box)


def _draw_problem(
    box: bpy.types.UILayout, context: bpy.types.Context, model: str, sentence: str, fixes: list[Fix]
) -> None:
    """What is wrong and what would help; not by `apply_fix`, which needs a timeline: the preferences have none."""
    column = box.column(align=True)
    column.alert = True
    paragraph.draw(column, context, sentence, "ERROR")
    buttons = box.row(align=True)
    begun = session.current().server.downloads.status(model) is not None
    for fix in fixes:
        if fix.action is FixAction.DOWNLOAD:
            operator = "wan_vse.resume_download" if begun else "wan_vse.download_model"
            buttons.operator(operator, text=translated(fix.label), icon=_FIXES[fix.action]).model = model
        elif fix.action in _FIXES:
            buttons.operator(f"wan_vse.{fix.action}", text=translated(fix.label), icon=_FIXES[fix.action])


def _draw_offline(box: bpy.types.UILayout) -> None:
    if not bpy.app.online_access:
        box.label(text="Blender is offline.", icon="INTERNET_OFFLINE")
        box.prop(bpy.context.preferences.system, "use_online_access", text="Allow Online Access")
