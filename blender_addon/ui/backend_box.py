"""The backend's state and what to do about it, for the sidebar and the preferences."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import WorkerState
from ..jobs import session
from ..properties import panel_state_of
from . import machine_list, paragraph, wording

WORDS = {
    "off": ("The backend has not been started.", "PAUSE"),
    "starting": ("The backend is starting.", "SORTTIME"),
    "ready": ("The backend is ready.", "CHECKMARK"),
    "missing": ("The backend is not set up.", "INFO"),
    "failed": ("The backend has stopped.", "ERROR"),
}
FIRST_STEPS = (
    "Wan VSE makes footage in a separate program, the backend, so that Blender stays responsive. It is set up once."
)


def draw_notice(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What stands in the way of making takes, with its buttons; nothing if all is well."""
    current = session.current()
    if current.setup.state in ("planning", "planned", "running", "failed"):
        draw_setup(layout.box(), context)
        return
    state = current.server.status.state
    if state == "missing":
        box = layout.box()
        draw_missing(box, context)
        row = box.row()
        row.operator("wan_vse.open_preferences", text="Choose in Preferences...", icon="PREFERENCES")
    elif state == "failed":
        draw_failure(layout.box(), context)
    elif state in ("off", "starting"):
        paragraph.draw(layout, context, current.server.status.sentence or WORDS[state][0], WORDS[state][1])
        if current.server.status.asks:
            layout.operator("wan_vse.restart_backend", text="Restart", icon="FILE_REFRESH")
    else:
        for sentence in (current.server.status.sentence, current.server.looking):
            if sentence:
                paragraph.draw(layout, context, sentence, "SORTTIME")
        machine_list.draw_link(layout, context, current.server.link)


def draw_missing(box: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The first step for a new user; or what is wrong with the backend, and the button that helps."""
    backend = session.current().server.status
    if not backend.sentence or backend.remedy.value == "first_set_up":
        paragraph.draw(box, context, FIRST_STEPS, "INFO")
        draw_setup_button(box)
        return
    box.alert = True
    paragraph.draw(box, context, backend.sentence, "ERROR")
    box.alert = False
    if backend.remedy.value == "set_up":
        draw_setup_button(box)
    else:
        draw_reset_button(box)


def draw_reset_button(layout: bpy.types.UILayout) -> None:
    """The button that clears the backend of the preferences, where that one doesn't work."""
    remedy = session.current().server.status.remedy
    if remedy.clears:
        text = "Use the One That Was Set Up" if remedy.value == "use_set_up" else "Clear the Field"
        layout.operator("wan_vse.reset_backend", text=text, icon="LOOP_BACK")


def draw_failure(box: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Why the backend stopped, with its log and a restart."""
    backend = session.current().server.status
    box.alert = True
    paragraph.draw(box, context, backend.sentence or WORDS["failed"][0], "ERROR")
    box.alert = False
    row = box.row(align=True)
    row.operator("wan_vse.restart_backend", text="Restart", icon="FILE_REFRESH")
    if backend.log:
        row.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = backend.log
    draw_reset_button(box)


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The backend's state in full: its sentence, its worker, and its buttons."""
    current = session.current()
    backend = current.server.status
    words, icon = WORDS.get(backend.state, (backend.state, "QUESTION"))
    link = current.server.link if backend.state == "ready" else None
    if backend.state == "failed":
        draw_failure(layout, context)
    elif link is None or link.connected or backend.sentence:
        paragraph.draw(layout, context, backend.sentence or words, icon)
    machine_list.draw_link(layout, context, link)
    if backend.state == "ready":
        if current.server.looking:
            paragraph.draw(layout, context, current.server.looking, "SORTTIME")
        draw_worker(layout, context)
    if panel_state_of(context).restart_needed:
        paragraph.draw(layout, context, "Preferences were changed: restart the backend to apply them.", "INFO")
    row = layout.row(align=True)
    if backend.state != "failed":
        row.operator("wan_vse.restart_backend", text="Restart", icon="FILE_REFRESH")
        row.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = backend.log
        row.operator("wan_vse.free_card", text="Free Card", icon="MEMORY")


def draw_worker(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What the models run on, and what is wrong with it."""
    for worker in session.current().server.workers:
        if worker.device:
            words = iface_("Runs on {}, torch {}").format(worker.device, worker.torch)
            paragraph.draw(layout, context, words, "MEMORY")
        if worker.state is WorkerState.BROKEN and worker.sentence:
            paragraph.draw(layout, context, worker.sentence, "ERROR")


def draw_setup(box: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """How far the setup is: planning, waiting for a yes, running, failed or done."""
    setup = session.current().setup
    if setup.state == "planning":
        paragraph.draw(box, context, "Checking what this machine needs...", "SORTTIME")
    elif setup.state == "planned" and setup.plan is not None:
        _draw_plan(box, context)
    elif setup.state == "running":
        _draw_progress(box, context)
    elif setup.state == "failed":
        box.alert = True
        problem = setup.progress.problem if setup.progress else None
        paragraph.draw(box, context, problem.sentence if problem else setup.sentence, "ERROR")
        box.alert = False
        row = box.row(align=True)
        row.operator("wan_vse.setup_backend", text="Try Again", icon="FILE_REFRESH")
        if setup.log:
            row.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = setup.log
    elif setup.state == "done":
        box.label(text="The backend is set up.", icon="CHECKMARK")


def draw_setup_button(layout: bpy.types.UILayout) -> None:
    """The button that sets the backend up; above it, while Blender is offline, what it needs."""
    if not bpy.app.online_access:  # first, as the button needs it
        layout.label(text="Blender is offline.", icon="INTERNET_OFFLINE")
        layout.prop(bpy.context.preferences.system, "use_online_access", text="Allow Online Access")
    row = layout.row()
    row.scale_y = 1.4
    row.operator("wan_vse.setup_backend", text="Set Up Backend", icon="IMPORT")


def _draw_plan(box: bpy.types.UILayout, context: bpy.types.Context) -> None:
    plan = session.current().setup.plan
    paragraph.draw(box, context, plan.sentence, "INFO")
    if plan.problem is not None:
        box.alert = True
        paragraph.draw(box, context, plan.problem.sentence, "ERROR")
        box.alert = False
        box.operator("wan_vse.setup_backend", text="Look Again", icon="FILE_REFRESH")
        return
    row = box.row(align=True)
    row.operator_context = "EXEC_DEFAULT"
    row.operator(
        "wan_vse.confirm_setup", text=iface_("Download {}").format(wording.size(plan.download_bytes)), icon="IMPORT"
    )
    row.operator("wan_vse.cancel_setup", text="Not Now", icon="X")


def _draw_progress(box: bpy.types.UILayout, context: bpy.types.Context) -> None:
    setup = session.current().setup
    done = setup.progress
    box.label(text="Setting up the backend", icon="IMPORT")
    if done is not None:
        steps = iface_("Step {} of {}").format(done.step, done.steps) if done.steps else ""
        text = wording.setup_bytes(done) or steps
        box.progress(factor=done.progress, type="BAR", text=text)
    paragraph.draw(box, context, done.sentence if done and done.sentence else setup.sentence)
    row = box.row(align=True)
    row.operator("wan_vse.cancel_setup", text="Cancel", icon="X")
    if setup.log:
        row.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = setup.log
