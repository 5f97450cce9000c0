"""The operators in the sequencer's own menus, through which Blender's search (F3) finds them."""

from __future__ import annotations

from typing import Any

import bpy


class WAN_VSE_MT_wan(bpy.types.Menu):
    """Everything that can be done without the sidebar."""

    bl_idname = "WAN_VSE_MT_wan"
    bl_label = "Wan"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        for group in _GROUPS:
            for name, text, icon in group:
                layout.operator(f"wan_vse.{name}", text=text, icon=icon)
            layout.separator()
        layout.operator("wan_vse.regenerate", text="Regenerate Take with New Seed").seed = "NEW"
        layout.operator("wan_vse.regenerate", text="Regenerate Take with Same Seed").seed = "SAME"


_GROUPS: tuple[tuple[tuple[str, str, Any], ...], ...] = (
    (
        ("generate", "Generate Take", "RENDER_ANIMATION"),
        ("generate_into_gap", "Generate into Gap", "SNAP_MIDPOINT"),
        ("animate_picture", "Animate Picture", "IMAGE_DATA"),
        ("restyle", "Restyle Footage", "BRUSH_DATA"),
        ("fill_gap", "Fill Gap", "ARROW_LEFTRIGHT"),
        ("extend", "Extend Strip", "TRACKING_FORWARDS"),
        ("dress_previs", "Dress Previs", "VIEW_CAMERA"),
    ),
    (
        ("new_take", "New Take", "FILE_REFRESH"),
        ("flip_take", "Flip Take", "TRIA_RIGHT"),
        ("mark_take", "Mark Take", "SOLO_ON"),
        ("note_take", "Note on Take", "TEXT"),
        ("take_in_best", "Same Take in Best", "SHADING_RENDERED"),
        ("drafts_in_best", "All Drafts in Best", "SHADING_RENDERED"),
        ("keep_take", "Keep Take", "CHECKMARK"),
    ),
    (
        ("make_shown", "Make What the Panel Shows", "RENDER_ANIMATION"),
        ("prompt_dialog", "Write Prompt...", "GREASEPENCIL"),
        ("add_preset", "Add Preset...", "PRESET"),
        ("make_example", "Make an Example", "OUTLINER_OB_LIGHT"),
        ("new_seed", "New Seed", "FILE_REFRESH"),
        ("write_prompt_text", "Write Prompt as Text", "TEXT"),
        ("load_settings", "Load Settings from Strip", "COPYDOWN"),
        ("add_loras", "Add LoRAs", "ADD"),
        ("pick_lora", "Add LoRA from Folder", "VIEWZOOM"),
        ("remove_lora", "Remove LoRA", "REMOVE"),
    ),
    (
        ("show_take", "Show Strip of Job", "VIEWZOOM"),
        ("place_take", "Place Take", "SEQUENCE"),
        ("cancel_job", "Cancel Job", "X"),
        ("retry_job", "Retry Job", "FILE_REFRESH"),
        ("cancel_all", "Cancel All Jobs", "X"),
        ("clear_jobs", "Clear Ended Jobs", "TRASH"),
    ),
    (
        ("use_standard_view", "Use Standard View", "COLOR"),
        ("browse_takes", "Browse Takes", "FILEBROWSER"),
        ("clean_takes", "Clean Up Takes", "TRASH"),
        ("bring_back_takes", "Bring Back Takes", "LOOP_BACK"),
        ("empty_take_trash", "Empty Trash of Takes", "X"),
        ("collect_takes", "Collect Takes", "FILE_FOLDER"),
    ),
    (
        ("setup_backend", "Set Up Backend", "IMPORT"),
        ("cancel_setup", "Cancel Setup", "X"),
        ("restart_backend", "Restart Backend", "FILE_REFRESH"),
        ("reset_backend", "Use the Backend That Was Set Up", "LOOP_BACK"),
        ("free_card", "Free Card Memory", "MEMORY"),
        ("open_log", "Open Backend Log", "TEXT"),
        ("open_preferences", "Open Preferences", "PREFERENCES"),
    ),
)


def _in_strip_menu(self: Any, context: bpy.types.Context) -> None:
    self.layout.separator()
    self.layout.menu(WAN_VSE_MT_wan.bl_idname, icon="RENDER_ANIMATION")


def _in_add_menu(self: Any, context: bpy.types.Context) -> None:
    self.layout.separator()
    self.layout.operator("wan_vse.generate", text="Wan Take", icon="RENDER_ANIMATION")
    self.layout.operator("wan_vse.generate_into_gap", text="Wan Take into Gap", icon="SNAP_MIDPOINT")


CLASSES = (WAN_VSE_MT_wan,)


def register() -> None:
    """Put the entries at the ends of Blender's menus."""
    menus: Any = bpy.types
    menus.SEQUENCER_MT_strip.append(_in_strip_menu)
    menus.SEQUENCER_MT_add.append(_in_add_menu)


def unregister() -> None:
    """Remove the entries."""
    menus: Any = bpy.types
    menus.SEQUENCER_MT_add.remove(_in_add_menu)
    menus.SEQUENCER_MT_strip.remove(_in_strip_menu)
