"""A model that is not here: what it would take, how far its download is, and the buttons for it. Draws only."""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.downloads import DownloadPlan, DownloadState, DownloadStatus
from ...wan_backend.protocol.messages import Fix, ModelRow
from ..jobs import tracker
from . import paragraph, wording

STATE_WORDS = {
    DownloadState.WAITING: ("Waiting for its turn", "SORTTIME"),
    DownloadState.RUNNING: ("Downloading", "IMPORT"),
    DownloadState.CHECKING: ("Checking", "IMPORT"),
    DownloadState.PAUSED: ("Paused", "PAUSE"),
    DownloadState.FAILED: ("Stopped", "ERROR"),
}
_FIXES = {"download": "FILE_REFRESH", "open_preferences": "FILE_FOLDER"}


def draw_for(layout: bpy.types.UILayout, context: bpy.types.Context, chosen: str) -> None:
    """Under the choice of the model: the chosen one where it isn't here, and the downloads of others."""
    session = tracker.get()
    row = session.model(chosen)
    if row is not None:
        draw_model(layout, context, row)
    for status in session.downloads.unfinished():
        other = session.model(status.model)
        if status.model != chosen and other is not None:
            draw_model(layout, context, other)


def draw_model(layout: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow) -> None:
    """One model's box; nothing where it is here and nothing goes on with it."""
    downloads = tracker.get().downloads
    status = downloads.status(row.model)
    if status is not None and status.state is not DownloadState.DONE:
        _draw_status(layout.box(), context, row, status)
    elif row.here or not row.download_bytes:
        return
    elif downloads.is_asked(row.model):
        layout.box().label(text="Asking Hugging Face what it takes...", icon="SORTTIME")
    elif row.model in downloads.plans:
        _draw_plan(layout.box(), context, row, downloads.plans[row.model])
    else:
        _draw_offer(layout.box(), row)
    if row.model in downloads.refused:
        paragraph.draw(layout, context, downloads.refused[row.model], "ERROR")


def _draw_offer(box: bpy.types.UILayout, row: ModelRow) -> None:
    box.label(text=f"{row.label} is not here", icon="IMPORT", translate=False)
    box.label(text=f"At most {wording.size(row.download_bytes)}, {row.licence}", icon="BLANK1", translate=False)
    box.operator("wan_vse.download_model", text="Download...", icon="IMPORT").model = row.model
    _draw_offline(box)


def _draw_plan(box: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow, plan: DownloadPlan) -> None:
    if plan.problem is not None:
        _draw_problem(box, context, row.model, plan.problem.sentence, plan.problem.fixes)
        return
    box.label(text=row.label, icon="IMPORT", translate=False)
    for line in wording.download_plan(plan):
        paragraph.draw(box, context, line, "BLANK1")
    box.operator("wm.url_open", text=f"Licence: {plan.licence}", icon="URL").url = plan.licence_url
    buttons = box.row(align=True)
    text = f"Download {wording.size(plan.fetch_bytes)}" if plan.fetch_bytes else "Use It"
    buttons.operator("wan_vse.confirm_download", text=text, icon="IMPORT").model = row.model
    buttons.operator("wan_vse.cancel_download", text="Not Now", icon="X").model = row.model


def _draw_status(box: bpy.types.UILayout, context: bpy.types.Context, row: ModelRow, status: DownloadStatus) -> None:
    words, icon = STATE_WORDS.get(status.state, (status.state.value, "IMPORT"))
    box.label(text=f"{row.label}: {words}", icon=icon, translate=False)
    if status.total_bytes:
        box.progress(factor=wording.share(status), type="BAR", text=wording.download_bytes(status))
    rate = wording.download_rate(status)
    if rate:
        box.label(text=rate, icon="BLANK1", translate=False)
    if status.state is DownloadState.FAILED and status.problem is not None:
        _draw_problem(box, context, row.model, status.problem.sentence, status.problem.fixes)
        if status.problem.log:
            box.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = status.problem.log
        box.operator("wan_vse.cancel_download", text="Cancel", icon="X").model = row.model
        return
    if status.state is not DownloadState.WAITING and status.sentence:
        paragraph.draw(box, context, status.sentence, "BLANK1", most_lines=3)
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
    """What is wrong and what would help; without a timeline too, where `apply_fix` can't be used."""
    column = box.column(align=True)
    column.alert = True
    paragraph.draw(column, context, sentence, "ERROR")
    buttons = box.row(align=True)
    begun = tracker.get().downloads.status(model) is not None
    for fix in fixes:
        if fix.action == "download":
            operator = "wan_vse.resume_download" if begun else "wan_vse.download_model"
            buttons.operator(operator, text=fix.label, icon=_FIXES[fix.action]).model = model
        elif fix.action in _FIXES:
            buttons.operator(f"wan_vse.{fix.action}", text=fix.label, icon=_FIXES[fix.action])


def _draw_offline(box: bpy.types.UILayout) -> None:
    if not bpy.app.online_access:
        box.label(text="Blender is offline.", icon="INTERNET_OFFLINE")
        box.prop(bpy.context.preferences.system, "use_online_access", text="Allow Online Access")
