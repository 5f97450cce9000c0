"""What a person can do, as operators of Blender; each refuses with a sentence if it can't be used."""

from __future__ import annotations

import bpy

from . import (
    apply_settings,
    at_pointer,
    backend_setup,
    browse_takes,
    check_cut,
    choose_inputs,
    clean_takes,
    collect_takes,
    compare_takes,
    download_models,
    drag_extension,
    make_takes,
    order_jobs,
    presets,
    prompt_dialog,
    queue_jobs,
    take_lanes,
    takes,
)

CLASSES: tuple[type[bpy.types.Operator], ...] = (
    *make_takes.CLASSES,
    *takes.CLASSES,
    *apply_settings.CLASSES,
    *choose_inputs.CLASSES,
    *queue_jobs.CLASSES,
    *order_jobs.CLASSES,
    *browse_takes.CLASSES,
    *clean_takes.CLASSES,
    *collect_takes.CLASSES,
    *backend_setup.CLASSES,
    *download_models.CLASSES,
    *at_pointer.CLASSES,
    *drag_extension.CLASSES,
    *compare_takes.CLASSES,
    *take_lanes.CLASSES,
    *check_cut.CLASSES,
    *presets.CLASSES,
    *prompt_dialog.CLASSES,
)


def register() -> None:
    """Make the operators known to Blender."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    compare_takes.register_handlers()
    check_cut.register_handlers()


def unregister() -> None:
    """Remove the operators from Blender."""
    check_cut.unregister_handlers()
    compare_takes.unregister_handlers()
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
