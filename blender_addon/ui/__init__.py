"""What a person sees: the sidebar, the preferences' page, the menus and the timeline's overlay.

May import operators, properties, preferences, jobs and timeline. No draw changes anything.
"""

from __future__ import annotations

import bpy

from .. import preferences
from ..jobs import tracker
from . import (
    live_preview,
    lora_list,
    menus,
    preferences_page,
    queue_list,
    refresh,
    sidebar,
    thumbnails,
    timeline_overlay,
)

CLASSES = (queue_list.WAN_VSE_UL_queue, lora_list.WAN_VSE_UL_loras, *menus.CLASSES, *sidebar.CLASSES)


def register() -> None:
    """Show everything."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    preferences.draw_page = preferences_page.draw
    menus.register()
    thumbnails.register()
    live_preview.register()
    timeline_overlay.register()
    tracker.get().on_change.append(refresh.refresh)


def unregister() -> None:
    """Take everything away. The tracker is gone before, and the call-back with it."""
    timeline_overlay.unregister()
    live_preview.unregister()
    thumbnails.unregister()
    menus.unregister()
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
