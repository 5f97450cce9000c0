"""What a person can do, as operators of Blender; each refuses with a sentence if it can't be used.

make_takes       a take for each task, from the panel's settings
takes            more takes of a strip, in its place; flipping, marks, notes
live             what Live shows onto the timeline, or with another seed
best_takes       drafts once more in Best
rebuild_stale    takes whose sources have changed: made anew, gone to, the report
retry_seams      takes until the worst seam is better
find_takes       takes whose files are gone, found elsewhere
compare_takes    two takes, or a take and its source, over the preview
take_lanes       a strip's takes as lanes of a meta strip, and back
words_over_time  a take's words over time onto the timeline, as text strips
browse_takes     all takes on the disk, over the preview; browser_grid is where its cells lie
clean_takes      takes that nothing uses
collect_takes    copies takes and footage beside the .blend
drag_extension   extends a strip by dragging from its end
at_pointer       what is under the mouse, for the pie and the keys
check_cut        placeholders and drafts that a render would show
list_generated   where in the cut generated footage plays, as a file
interchange      the timeline out to other programs and in from them, as OpenTimelineIO
train_lora       LoRAs trained from strips, and their use
choose_inputs    the task, the prompt's text, LoRAs
prompt_dialog    a prompt with room to write, and making what the panel shows
presets          settings and prompts to be used again
apply_settings   a take's settings into the panel; fixes of problems
queue_jobs       cancel, retry, place, clear
order_jobs       hold, resume, move, pause
backend_setup    the backend and its environment
machines         other machines on which takes are made
text_editors     shows a text in Blender's text editor
download_models  models and LoRAs that are to be fetched
snapshot         the scene as panel, overlay and operators see it in one redraw
redrawing        asks Blender to draw areas again
written_file     the file that an operator writes, and its ending
refusing         why an operator can't be used, in a sentence
"""

from __future__ import annotations

import bpy

from . import (
    apply_settings,
    at_pointer,
    backend_setup,
    best_takes,
    browse_takes,
    check_cut,
    choose_inputs,
    clean_takes,
    collect_takes,
    compare_takes,
    download_models,
    drag_extension,
    find_takes,
    interchange,
    list_generated,
    live,
    machines,
    make_takes,
    order_jobs,
    presets,
    prompt_dialog,
    queue_jobs,
    rebuild_stale,
    retry_seams,
    take_lanes,
    takes,
    train_lora,
    words_over_time,
)

CLASSES: tuple[type[bpy.types.Operator], ...] = (
    *make_takes.CLASSES,
    *takes.CLASSES,
    *live.CLASSES,
    *best_takes.CLASSES,
    *rebuild_stale.CLASSES,
    *retry_seams.CLASSES,
    *apply_settings.CLASSES,
    *choose_inputs.CLASSES,
    *queue_jobs.CLASSES,
    *order_jobs.CLASSES,
    *browse_takes.CLASSES,
    *clean_takes.CLASSES,
    *collect_takes.CLASSES,
    *find_takes.CLASSES,
    *backend_setup.CLASSES,
    *machines.CLASSES,
    *download_models.CLASSES,
    *at_pointer.CLASSES,
    *drag_extension.CLASSES,
    *compare_takes.CLASSES,
    *take_lanes.CLASSES,
    *words_over_time.CLASSES,
    *check_cut.CLASSES,
    *list_generated.CLASSES,
    *interchange.CLASSES,
    *train_lora.CLASSES,
    *presets.CLASSES,
    *prompt_dialog.CLASSES,
)


def register() -> None:
    """Make the operators known to Blender."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    compare_takes.register_handlers()
    check_cut.register_handlers()
    retry_seams.register_handlers()


def unregister() -> None:
    """Remove the operators from Blender."""
    retry_seams.unregister_handlers()
    check_cut.unregister_handlers()
    compare_takes.unregister_handlers()
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
