"""What a person can do: one operator a file, named for its verb.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import bpy

from .add_loras import WAN_VSE_OT_add_loras
from .animate_picture import WAN_VSE_OT_animate_picture
from .apply_fix import WAN_VSE_OT_apply_fix
from .cancel_all import WAN_VSE_OT_cancel_all
from .cancel_download import WAN_VSE_OT_cancel_download
from .cancel_job import WAN_VSE_OT_cancel_job
from .cancel_setup import WAN_VSE_OT_cancel_setup
from .choose_task import WAN_VSE_OT_choose_task
from .clear_jobs import WAN_VSE_OT_clear_jobs
from .collect_takes import WAN_VSE_OT_collect_takes
from .confirm_download import WAN_VSE_OT_confirm_download
from .confirm_setup import WAN_VSE_OT_confirm_setup
from .download_model import WAN_VSE_OT_download_model
from .dress_previs import WAN_VSE_OT_dress_previs
from .extend import WAN_VSE_OT_extend
from .fill_gap import WAN_VSE_OT_fill_gap
from .free_card import WAN_VSE_OT_free_card
from .generate import WAN_VSE_OT_generate
from .generate_into_hole import WAN_VSE_OT_generate_into_hole
from .load_settings import WAN_VSE_OT_load_settings
from .new_seed import WAN_VSE_OT_new_seed
from .open_log import WAN_VSE_OT_open_log
from .open_preferences import WAN_VSE_OT_open_preferences
from .pause_download import WAN_VSE_OT_pause_download
from .pick_lora import WAN_VSE_OT_pick_lora
from .place_take import WAN_VSE_OT_place_take
from .regenerate import WAN_VSE_OT_regenerate
from .remove_lora import WAN_VSE_OT_remove_lora
from .restart_backend import WAN_VSE_OT_restart_backend
from .restyle import WAN_VSE_OT_restyle
from .resume_download import WAN_VSE_OT_resume_download
from .retry_job import WAN_VSE_OT_retry_job
from .setup_backend import WAN_VSE_OT_setup_backend
from .show_take import WAN_VSE_OT_show_take
from .use_standard_view import WAN_VSE_OT_use_standard_view
from .write_prompt_text import WAN_VSE_OT_write_prompt_text

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
