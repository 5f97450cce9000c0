"""What a person sees: the sidebar, the preferences' page, the menus and the timeline's overlay.

No draw changes anything. A draw notes what it would like to know, and the session's timer asks for it.
"""

from __future__ import annotations

import bpy

from .. import preferences
from ..jobs import session
from . import (
    comparison,
    gone_takes,
    live_picture,
    live_preview_icon,
    look_icons,
    lora_list,
    menus,
    preferences_page,
    prompt_menus,
    queue_list,
    refresh,
    shortcuts,
    shown_job,
    sidebar,
    stale_list,
    status_bar,
    take_browser,
    take_list,
    take_thumbnails,
    thumbnail_icons,
    timeline_overlay,
    training_box,
    training_job,
)

CLASSES = (
    queue_list.WAN_VSE_UL_queue,
    lora_list.WAN_VSE_UL_loras,
    take_list.WAN_VSE_UL_takes,
    stale_list.WAN_VSE_UL_stale,
    training_box.WAN_VSE_UL_clips,
    *menus.CLASSES,
    *prompt_menus.CLASSES,
    *sidebar.CLASSES,
)


def register() -> None:
    """Register the panels, menus, previews and the overlay."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    preferences.draw_page = preferences_page.draw  # the preferences can't import ui, which imports them
    menus.register()
    thumbnail_icons.register()
    take_thumbnails.register()
    live_preview_icon.register()
    look_icons.register()
    training_job.register()
    timeline_overlay.register()
    shown_job.register()
    gone_takes.register()
    take_list.register()
    stale_list.register()
    status_bar.register()
    take_browser.register()
    comparison.register()
    shortcuts.register()
    session.current().on_change.append(refresh.refresh)


def unregister() -> None:
    """Unregister them. The session ended before this, and its callbacks with it."""
    shortcuts.unregister()
    comparison.unregister()
    take_browser.unregister()
    status_bar.unregister()
    take_list.unregister()
    stale_list.unregister()
    shown_job.unregister()
    gone_takes.unregister()
    timeline_overlay.unregister()
    live_picture.unregister()
    training_box.unregister()
    training_job.unregister()
    look_icons.unregister()
    live_preview_icon.unregister()
    take_thumbnails.unregister()
    thumbnail_icons.unregister()
    menus.unregister()
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
