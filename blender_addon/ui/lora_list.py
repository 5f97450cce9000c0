"""The list of LoRAs in the sidebar."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..jobs import session
from ..properties import WanLora, WanSettings, settings_in
from ..stopwatch import timed
from ..timeline import compat
from . import fields, paragraph


class WAN_VSE_UL_loras(bpy.types.UIList):
    """Rows of `scene.wan_vse.loras`."""

    bl_idname = "WAN_VSE_UL_loras"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.AnyType,
        item: WanLora,
        icon: int,
        active_data: bpy.types.AnyType,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        """Whether it is used, what it is, and how strongly it works."""
        row = layout.row(align=True)
        row.prop(item, "use", text="")
        split = row.split(factor=0.6, align=True)
        split.active = item.use
        split.label(text=item.name, translate=False)
        split.prop(item, "strength", text="", slider=True)


class WAN_VSE_PT_loras(bpy.types.Panel):
    """The LoRAs that takes are made with."""

    bl_idname = "WAN_VSE_PT_loras"
    bl_label = "LoRAs"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Wan"
    bl_parent_id = "WAN_VSE_PT_generate"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is nothing to set without a scene."""
        return compat.sequencer_scene(context) is not None

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        """How many are on, for when the panel is closed."""
        count = sum(row.use for row in settings_in(compat.sequencer_scene(context)).loras)
        if count:
            self.layout.label(text=iface_("{} on").format(count))

    @timed("draw: loras")
    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_in(compat.sequencer_scene(context))
        row = self.layout.row()
        row.template_list(WAN_VSE_UL_loras.bl_idname, "", settings, "loras", settings, "active_lora", rows=3, maxrows=8)
        column = row.column(align=True)
        column.operator("wan_vse.add_loras", text="", icon="ADD")
        column.operator("wan_vse.pick_lora", text="", icon="VIEWZOOM")
        column.operator("wan_vse.remove_lora", text="", icon="REMOVE")
        if not len(settings.loras):
            hint = "Add .safetensors files that were made for the chosen model. They work with all tasks."
            paragraph.draw(self.layout, context, hint, "INFO")
        elif 0 <= settings.active_lora < len(settings.loras):
            draw_chosen(self.layout, settings.loras[settings.active_lora], has_two_experts(settings))


def has_two_experts(settings: WanSettings) -> bool:
    """Whether the chosen model has an expert to choose."""
    model = session.current().server.model(settings.model)
    return model is not None and model.two_experts


def draw_chosen(layout: bpy.types.UILayout, chosen: WanLora, two_experts: bool) -> None:
    """The file of the chosen LoRA, and the expert that it applies to where the model has two."""
    layout.prop(chosen, "path", text="")
    if two_experts:
        fields.column(layout).prop(chosen, "expert")
