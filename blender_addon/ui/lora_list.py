"""The list of LoRAs in the sidebar."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..jobs import session
from ..properties import WanLora, WanSettings
from . import fields, paragraph

PANEL = "wan_vse_loras"
CLOSED = True
"""So it is the first time; Blender keeps what a person makes of it."""
MAX_NAMES = 200
"""Characters of all names together: longer ones fit no sidebar."""


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


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, settings: WanSettings) -> None:
    """The list in a fold, whose header says how many are used."""
    header, body = layout.panel(PANEL, default_closed=CLOSED)
    paragraph.draw_header(header, context, state(settings))
    if body is None:
        return
    row = body.row()
    row.template_list(WAN_VSE_UL_loras.bl_idname, "", settings, "loras", settings, "active_lora", rows=3, maxrows=8)
    column = row.column(align=True)
    column.operator("wan_vse.add_loras", text="", icon="ADD")
    column.operator("wan_vse.pick_lora", text="", icon="VIEWZOOM")
    column.operator("wan_vse.remove_lora", text="", icon="REMOVE")
    if not len(settings.loras):
        hint = "Add .safetensors files that were made for the chosen model. They work with all tasks."
        paragraph.draw(body, context, hint, "INFO")
    elif 0 <= settings.active_lora < len(settings.loras):
        draw_chosen(body, settings.loras[settings.active_lora], has_two_experts(settings))


def state(settings: WanSettings) -> list[str]:
    """ "2 LoRAs: film, ink", and shorter: those that are used."""
    used = [row.name for row in settings.loras if row.use]
    if not used:
        return [iface_("LoRAs: none used") if len(settings.loras) else iface_("LoRAs")]
    count = iface_("1 LoRA") if len(used) == 1 else iface_("{} LoRAs").format(len(used))
    return [iface_("{}: {}").format(count, ", ".join(used)[:MAX_NAMES]), count]


def has_two_experts(settings: WanSettings) -> bool:
    """Whether the chosen model has an expert to choose."""
    model = session.current().server.model(settings.model)
    return model is not None and model.two_experts


def draw_chosen(layout: bpy.types.UILayout, chosen: WanLora, two_experts: bool) -> None:
    """The file of the chosen LoRA, and the expert that it applies to where the model has two."""
    layout.prop(chosen, "path", text="")
    if chosen.trigger:
        row = layout.row(align=True)
        row.label(text=iface_("Trigger: {}").format(chosen.trigger), icon="SYNTAX_OFF", translate=False)
        row.operator("wan_vse.add_trigger", text="Into Prompt", icon="ADD")
    if two_experts:
        fields.column(layout).prop(chosen, "expert")
