"""What a person can do, as operators of Blender; each refuses with a sentence where it can't be used."""

from __future__ import annotations

import bpy

from .apply_settings import (
    WAN_VSE_OT_apply_fix,
    WAN_VSE_OT_load_settings,
)
from .backend_setup import (
    WAN_VSE_OT_cancel_setup,
    WAN_VSE_OT_confirm_setup,
    WAN_VSE_OT_free_card,
    WAN_VSE_OT_open_log,
    WAN_VSE_OT_open_preferences,
    WAN_VSE_OT_restart_backend,
    WAN_VSE_OT_setup_backend,
)
from .choose_inputs import (
    WAN_VSE_OT_add_loras,
    WAN_VSE_OT_choose_task,
    WAN_VSE_OT_new_seed,
    WAN_VSE_OT_pick_lora,
    WAN_VSE_OT_remove_lora,
    WAN_VSE_OT_use_standard_view,
    WAN_VSE_OT_write_prompt_text,
)
from .download_models import (
    WAN_VSE_OT_cancel_download,
    WAN_VSE_OT_confirm_download,
    WAN_VSE_OT_download_model,
    WAN_VSE_OT_pause_download,
    WAN_VSE_OT_resume_download,
)
from .make_takes import (
    WAN_VSE_OT_animate_picture,
    WAN_VSE_OT_dress_previs,
    WAN_VSE_OT_extend,
    WAN_VSE_OT_fill_gap,
    WAN_VSE_OT_generate,
    WAN_VSE_OT_generate_into_hole,
    WAN_VSE_OT_regenerate,
    WAN_VSE_OT_restyle,
)
from .queue_jobs import (
    WAN_VSE_OT_cancel_all,
    WAN_VSE_OT_cancel_job,
    WAN_VSE_OT_clear_jobs,
    WAN_VSE_OT_collect_takes,
    WAN_VSE_OT_place_take,
    WAN_VSE_OT_retry_job,
    WAN_VSE_OT_show_take,
)

CLASSES = (
    WAN_VSE_OT_generate,
    WAN_VSE_OT_generate_into_hole,
    WAN_VSE_OT_animate_picture,
    WAN_VSE_OT_restyle,
    WAN_VSE_OT_fill_gap,
    WAN_VSE_OT_extend,
    WAN_VSE_OT_dress_previs,
    WAN_VSE_OT_regenerate,
    WAN_VSE_OT_load_settings,
    WAN_VSE_OT_new_seed,
    WAN_VSE_OT_write_prompt_text,
    WAN_VSE_OT_add_loras,
    WAN_VSE_OT_pick_lora,
    WAN_VSE_OT_remove_lora,
    WAN_VSE_OT_use_standard_view,
    WAN_VSE_OT_choose_task,
    WAN_VSE_OT_apply_fix,
    WAN_VSE_OT_cancel_job,
    WAN_VSE_OT_cancel_all,
    WAN_VSE_OT_retry_job,
    WAN_VSE_OT_place_take,
    WAN_VSE_OT_show_take,
    WAN_VSE_OT_clear_jobs,
    WAN_VSE_OT_collect_takes,
    WAN_VSE_OT_setup_backend,
    WAN_VSE_OT_confirm_setup,
    WAN_VSE_OT_cancel_setup,
    WAN_VSE_OT_download_model,
    WAN_VSE_OT_confirm_download,
    WAN_VSE_OT_resume_download,
    WAN_VSE_OT_pause_download,
    WAN_VSE_OT_cancel_download,
    WAN_VSE_OT_restart_backend,
    WAN_VSE_OT_free_card,
    WAN_VSE_OT_open_log,
    WAN_VSE_OT_open_preferences,
)


def register() -> None:
    """Make the operators known to Blender."""
    for one in CLASSES:
        bpy.utils.register_class(one)


def unregister() -> None:
    """Take them back."""
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
