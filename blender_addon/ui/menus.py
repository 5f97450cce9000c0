"""The add-on in the sequencer's own menus: Strip, Add, the right click on a strip, and a pie.

What is used most stands first; what is rare is in submenus. Blender's search (F3) finds all of it there.
"""

from __future__ import annotations

from typing import Any

import bpy

from ..operators import at_pointer
from ..timeline import compat, strip_takes

Entry = tuple[str, str, Any, dict[str, Any]]
"""The operator without "wan_vse.", what the entry says, its icon, and the operator's properties."""
NOTHING: dict[str, Any] = {}

MAKE: tuple[Entry, ...] = (
    ("fill_gap_here", "Fill Gap", "ARROW_LEFTRIGHT", NOTHING),
    ("extend", "Extend", "TRACKING_FORWARDS", NOTHING),
    ("drag_extension", "Extend by Dragging", "TRACKING_FORWARDS_SINGLE", NOTHING),
    ("restyle", "Restyle", "BRUSH_DATA", NOTHING),
    ("animate_picture", "Animate", "IMAGE_DATA", NOTHING),
    ("edit_footage", "Edit", "MODIFIER", NOTHING),
    ("dress_previs", "Dress Previs", "VIEW_CAMERA", NOTHING),
    ("generate", "Generate", "RENDER_ANIMATION", NOTHING),
    ("make_shown", "Make What the Panel Shows", "PLAY", NOTHING),
)
TAKES: tuple[Entry, ...] = (
    ("new_take", "New Take", "FILE_REFRESH", NOTHING),
    ("flip_take", "Previous Take", "TRIA_LEFT", {"direction": "PREVIOUS"}),
    ("flip_take", "Next Take", "TRIA_RIGHT", {"direction": "NEXT"}),
    ("compare_takes", "Compare Takes", "ARROW_LEFTRIGHT", {"kind": "WIPE"}),
    ("compare_takes", "Compare Side by Side", "IMGDISPLAY", {"kind": "SIDE"}),
    ("compare_takes", "Compare with Source", "UV_SYNC_SELECT", {"kind": "SOURCE"}),
    ("mark_take", "Star", "SOLO_ON", {"mark": "star"}),
    ("mark_take", "Reject", "X", {"mark": "reject"}),
)
MORE_TAKES: tuple[Entry, ...] = (
    ("new_take", "Three Takes", "FILE_REFRESH", {"count": 3}),
    ("new_take", "Same Seed", "LOOP_BACK", {"same_seed": True}),
    ("take_in_best", "Same in Best", "SHADING_RENDERED", NOTHING),
    ("finish_take", "Larger: 2x", "FULLSCREEN_ENTER", {"factor": "TWO"}),
    ("finish_take", "Larger: 4x", "FULLSCREEN_ENTER", {"factor": "FOUR"}),
    ("finish_take", "Larger: Scene's Size", "FULLSCREEN_ENTER", {"factor": "SCENE"}),
    ("drafts_in_best", "All Drafts in Best", "SHADING_RENDERED", NOTHING),
    ("rebuild_stale", "Rebuild Stale Takes...", "FILE_REFRESH", NOTHING),
    ("stop_rebuilding", "Stop Rebuilding", "X", NOTHING),
    ("open_rebuild_report", "Open Report of Rebuilding", "TEXT", NOTHING),
    ("retry_worst_seam", "Retry Worst Seam...", "MOD_TIME", NOTHING),
    ("end_seam_retry", "End Retrying Seam", "X", NOTHING),
    ("note_take", "Note", "TEXT", NOTHING),
    ("keep_take", "Keep as Plain Strip", "CHECKMARK", NOTHING),
    ("takes_as_lanes", "Takes as Lanes", "NLA", NOTHING),
    ("solo_lane", "Solo Lane", "SOLO_OFF", NOTHING),
    ("lanes_as_strip", "Lanes as One Strip", "SEQUENCE", NOTHING),
    ("browse_takes", "Browse Takes", "VIEWZOOM", NOTHING),
    ("clean_takes", "Clean Up Takes", "TRASH", NOTHING),
    ("find_takes", "Find Takes...", "FILE_FOLDER", NOTHING),
    ("bring_back_takes", "Bring Back Takes", "LOOP_BACK", NOTHING),
    ("empty_take_trash", "Empty Trash of Takes", "X", NOTHING),
    ("collect_takes", "Collect Takes", "FILE_FOLDER", NOTHING),
    ("load_settings", "Load Settings from Strip", "COPYDOWN", NOTHING),
    ("words_as_strips", "Words as Text Strips", "FONT_DATA", NOTHING),
    ("regenerate", "Another Take Above", "FILE_REFRESH", {"seed": "NEW"}),
)
QUEUE: tuple[Entry, ...] = (
    ("stop_strips", "Stop", "CANCEL", NOTHING),
    ("cancel_job", "Cancel Job", "X", NOTHING),
    ("retry_job", "Retry Job", "FILE_REFRESH", NOTHING),
    ("job_next", "Do Next", "TRIA_UP_BAR", NOTHING),
    ("hold_job", "Hold Job", "PAUSE", NOTHING),
    ("resume_job", "Resume Job", "PLAY", NOTHING),
    ("pause_queue", "Pause Queue", "PAUSE", NOTHING),
    ("show_take", "Show Strip of Job", "VIEWZOOM", NOTHING),
    ("place_take", "Place Take", "SEQUENCE", NOTHING),
    ("remove_job_row", "Take Job off the List", "REMOVE", NOTHING),
    ("cancel_all", "Cancel All Jobs", "X", NOTHING),
    ("clear_jobs", "Clear Ended Jobs", "TRASH", NOTHING),
)
SETTINGS: tuple[Entry, ...] = (
    ("land_look", "Land What Live Shows", "PLAY", NOTHING),
    ("new_seed", "New Seed", "FILE_REFRESH", NOTHING),
    ("generate_into_gap", "Generate into Gap", "SNAP_MIDPOINT", NOTHING),
    ("fill_gap", "Fill Gap between Selected", "ARROW_LEFTRIGHT", NOTHING),
    ("prompt_dialog", "Write Prompt...", "GREASEPENCIL", NOTHING),
    ("add_preset", "Add Preset...", "PRESET", NOTHING),
    ("make_example", "Make an Example", "OUTLINER_OB_LIGHT", NOTHING),
    ("write_prompt_text", "Write Prompt as Text", "TEXT", NOTHING),
    ("add_loras", "Add LoRAs", "ADD", NOTHING),
    ("pick_lora", "Add LoRA from Folder", "VIEWZOOM", NOTHING),
    ("remove_lora", "Remove LoRA", "REMOVE", NOTHING),
    ("add_trigger", "Trigger into Prompt", "ADD", NOTHING),
    ("use_standard_view", "Use Standard View", "COLOR", NOTHING),
)
TRAIN: tuple[Entry, ...] = (
    ("choose_clips", "Train from Selected Strips", "IMPORT", NOTHING),
    ("remove_clip", "Take Strip off the List", "REMOVE", NOTHING),
    ("train_lora", "Train LoRA", "MODIFIER", NOTHING),
    ("use_trained", "Use Trained LoRA", "CHECKMARK", NOTHING),
)
BACKEND: tuple[Entry, ...] = (
    ("setup_backend", "Set Up Backend", "IMPORT", NOTHING),
    ("cancel_setup", "Cancel Setup", "X", NOTHING),
    ("restart_backend", "Restart Backend", "FILE_REFRESH", NOTHING),
    ("reset_backend", "Use the Backend That Was Set Up", "LOOP_BACK", NOTHING),
    ("free_card", "Free Card Memory", "MEMORY", NOTHING),
    ("open_log", "Open Backend Log", "TEXT", NOTHING),
    ("open_preferences", "Open Preferences", "PREFERENCES", NOTHING),
)
CHECK: Entry = ("check_cut", "Check Cut", "CHECKMARK", NOTHING)
GENERATED: Entry = ("list_generated", "List Generated Ranges...", "TEXT", NOTHING)
INTERCHANGE: tuple[Entry, ...] = (
    ("export_timeline", "Export Timeline...", "EXPORT", NOTHING),
    ("import_timeline", "Import Timeline...", "IMPORT", NOTHING),
)
PROMPT: Entry = ("prompt_dialog", "Wan Take", "RENDER_ANIMATION", NOTHING)
GROUPS = (MAKE, TAKES, MORE_TAKES, QUEUE, SETTINGS, TRAIN, BACKEND, INTERCHANGE, (CHECK, GENERATED, PROMPT))


def draw_entries(layout: bpy.types.UILayout, entries: tuple[Entry, ...]) -> None:
    """An entry for each, in the words and with the properties that it gives."""
    layout.operator_context = "INVOKE_DEFAULT"
    for entry in entries:
        draw_entry(layout, *entry)


def draw_entry(layout: bpy.types.UILayout, name: str, text: str, icon: Any, values: dict[str, Any]) -> None:
    """One entry."""
    properties = layout.operator(f"wan_vse.{name}", text=text, icon=icon)
    for key, value in values.items():
        setattr(properties, key, value)


class WAN_VSE_MT_wan(bpy.types.Menu):
    """Everything that can be done without the sidebar."""

    bl_idname = "WAN_VSE_MT_wan"
    bl_label = "Wan"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        draw_entries(layout, MAKE)
        layout.separator()
        draw_entries(layout, TAKES)
        layout.menu(WAN_VSE_MT_takes.bl_idname, icon="SEQUENCE")
        layout.separator()
        draw_entries(layout, (QUEUE[0], CHECK, GENERATED, *INTERCHANGE))
        layout.menu(WAN_VSE_MT_queue.bl_idname, icon="PRESET")
        layout.separator()
        layout.menu(WAN_VSE_MT_train.bl_idname, icon="MODIFIER")
        layout.menu(WAN_VSE_MT_settings.bl_idname, icon="OPTIONS")
        layout.menu(WAN_VSE_MT_backend.bl_idname, icon="CONSOLE")


class WAN_VSE_MT_takes(bpy.types.Menu):
    """What is done with takes less often."""

    bl_idname = "WAN_VSE_MT_takes"
    bl_label = "More on Takes"

    def draw(self, context: bpy.types.Context) -> None:
        draw_entries(self.layout, MORE_TAKES)


class WAN_VSE_MT_queue(bpy.types.Menu):
    """The jobs of the queue."""

    bl_idname = "WAN_VSE_MT_queue"
    bl_label = "Queue"

    def draw(self, context: bpy.types.Context) -> None:
        draw_entries(self.layout, QUEUE[1:])


class WAN_VSE_MT_settings(bpy.types.Menu):
    """The panel's settings."""

    bl_idname = "WAN_VSE_MT_settings"
    bl_label = "Settings"

    def draw(self, context: bpy.types.Context) -> None:
        draw_entries(self.layout, SETTINGS)


class WAN_VSE_MT_train(bpy.types.Menu):
    """A LoRA from strips."""

    bl_idname = "WAN_VSE_MT_train"
    bl_label = "Train LoRA"

    def draw(self, context: bpy.types.Context) -> None:
        draw_entries(self.layout, TRAIN)


class WAN_VSE_MT_backend(bpy.types.Menu):
    """The program that makes the takes."""

    bl_idname = "WAN_VSE_MT_backend"
    bl_label = "Backend"

    def draw(self, context: bpy.types.Context) -> None:
        draw_entries(self.layout, BACKEND)


class WAN_VSE_MT_pie(bpy.types.Menu):
    """What can be done with the strip or the gap under the mouse, each in its own place."""

    bl_idname = at_pointer.PIE
    bl_label = "Wan"

    def draw(self, context: bpy.types.Context) -> None:
        """West, east, south, north, then the corners, as Blender fills a pie."""
        pie = self.layout.menu_pie()
        pie.operator_context = "INVOKE_DEFAULT"
        previous, following = TAKES[1:3]
        draw_entry(pie, *previous)
        draw_entry(pie, *following)
        draw_entry(pie, *TAKES[0])
        draw_entry(pie, *TAKES[3])
        frame = at_pointer.gap_frame
        draw_entry(pie, "fill_gap_here", "Fill Gap", "ARROW_LEFTRIGHT", {} if frame is None else {"frame": frame})
        draw_entry(pie, "drag_extension", "Extend", "TRACKING_FORWARDS", NOTHING)
        draw_entry(pie, "restyle", "Restyle", "BRUSH_DATA", NOTHING)
        if at_pointer.going_on(context):
            draw_entry(pie, *QUEUE[0])
        else:
            draw_entry(pie, "animate_picture", "Animate", "IMAGE_DATA", NOTHING)


def _in_context_menu(self: Any, context: bpy.types.Context) -> None:
    """What fits the active strip, or the gap under the playhead where none is selected."""
    scene = compat.sequencer_scene(context)
    space: Any = context.space_data
    if scene is None or space.view_type == "PREVIEW":
        return
    layout = self.layout
    layout.separator()
    strip = compat.active_strip(scene)
    if strip is None or not strip.select:
        draw_entries(layout, MAKE[:1])
    else:
        if strip_takes.takes_of(strip):
            draw_entries(layout, TAKES[:4])
        draw_entries(layout, MAKE[1:6])
        if at_pointer.going_on(context):
            draw_entries(layout, QUEUE[:1])
    layout.menu(WAN_VSE_MT_wan.bl_idname, icon="RENDER_ANIMATION")


def _in_strip_menu(self: Any, context: bpy.types.Context) -> None:
    """First, as the menu is longer than the room below the timeline's header: its end has to be scrolled to."""
    self.layout.menu(WAN_VSE_MT_wan.bl_idname, icon="RENDER_ANIMATION")
    self.layout.separator()


def _in_export_menu(self: Any, context: bpy.types.Context) -> None:
    self.layout.operator("wan_vse.export_timeline", text="Timeline (.otio/.otioz/.xml/.aaf/.edl)")


def _in_import_menu(self: Any, context: bpy.types.Context) -> None:
    self.layout.operator("wan_vse.import_timeline", text="Timeline (.otio/.otioz/.xml/.aaf/.edl)")


def _in_add_menu(self: Any, context: bpy.types.Context) -> None:
    self.layout.separator()
    draw_entries(self.layout, (PROMPT,))


CLASSES = (
    WAN_VSE_MT_wan,
    WAN_VSE_MT_takes,
    WAN_VSE_MT_queue,
    WAN_VSE_MT_train,
    WAN_VSE_MT_settings,
    WAN_VSE_MT_backend,
    WAN_VSE_MT_pie,
)
PLACES = {
    "SEQUENCER_MT_add": _in_add_menu,
    "SEQUENCER_MT_context_menu": _in_context_menu,
    "TOPBAR_MT_file_export": _in_export_menu,
    "TOPBAR_MT_file_import": _in_import_menu,
}


def register() -> None:
    """Put the entries at the ends of Blender's menus, in Strip at the beginning."""
    menus: Any = bpy.types
    menus.SEQUENCER_MT_strip.prepend(_in_strip_menu)
    for name, draw in PLACES.items():
        getattr(bpy.types, name).append(draw)


def unregister() -> None:
    """Remove the entries."""
    menus: Any = bpy.types
    menus.SEQUENCER_MT_strip.remove(_in_strip_menu)
    for name, draw in PLACES.items():
        getattr(bpy.types, name).remove(draw)
