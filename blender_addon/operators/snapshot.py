"""The takes that the panel, the overlay and the polls show: worked out once, and again only when something changed.

A redraw asks three times and more: the panel, its button's poll and the overlay. What all of it depends on is read from
Blender as columns and plain values, which is quick; channels, gaps, targets and requests are found only where these are
other ones than before. No strip and no scene is kept.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import bpy

from ...wan_backend.protocol.messages import Task
from .. import preferences
from ..jobs import planned_takes, project, request, session
from ..properties import OverriddenSettings, WanSettings
from ..properties.prompts import TAKE_SETTINGS, PromptSettings, take_of
from ..properties.task import TaskSettings, choices, chosen
from ..timeline import (
    compat,
    free_space,
    identity,
    marker_words,
    scene_format,
    selection,
    strip_columns,
    targets,
    text_strips,
    untrusted,
)
from ..timeline.targets import Target

ANY_PROMPT = "any"
"""In place of the prompt while there is none: what would be made does not depend on it."""
_SETTINGS = tuple(
    name
    for kind in (WanSettings, TaskSettings, PromptSettings)
    for name in kind.__annotations__
    if name not in {"model", "resolution", "task", "prompt_text", "loras", "active_lora", "training", *TAKE_SETTINGS}
)
"""The settings that are read as they are. The first three are worked out from others of them."""


@dataclass(frozen=True)
class ShownTakes:
    """The takes that one click would ask for."""

    planned: tuple[planned_takes.PlannedTake, ...] = ()
    """If only the prompt is missing, those of any other prompt."""
    targets: tuple[Target, ...] = ()
    """Where they would go, even if something other than the place is missing."""
    refusal: str = ""
    """Why a click would be refused."""
    blocked: str = ""
    """Why nothing is planned; never a missing prompt, which `planned` does without."""


@dataclass(frozen=True)
class Snapshot:
    """The selection, the task that the panel shows, and its takes."""

    selected: selection.Selection
    task: Task
    takes: ShownTakes
    key: tuple[object, ...]
    """All that the above depends on, but for the names of strips beside a gap."""
    has_take: bool = False
    """Whether the active strip is selected and a take that was made here."""
    shows_take: bool = False
    """Whether the panel shows that take: no task was chosen for it by hand."""
    fits_gap: bool = False
    """Whether a take of a prompt alone is as long as the gap that the playhead is in."""
    others: dict[object, ShownTakes] = field(default_factory=dict, compare=False)
    """The takes of other tasks and of changed settings, as far as somebody has asked for them."""


_last: Snapshot | None = None


def read(scene: bpy.types.Scene, settings: WanSettings, strips: strip_columns.Columns | None = None) -> Snapshot:
    """What is to be shown now; the same object while nothing that it depends on changes. Safe in a draw.

    `strips` are those that the timeline shows, if the caller has read them.
    """
    global _last
    selected = selection.read(scene)
    columns = strips or strip_columns.columns(compat.shown_strips(scene))
    key = _read_key(scene, settings, selected, columns)
    if _last is None or _last.key != key or not _has_sides(scene, _last):
        by_hand = chosen(settings, selected)
        task = by_hand or selection.implied(scene, selected)
        has_take = take_of(settings) is not None
        in_gap = free_space.gap_to_fit(scene, selected.frame, columns) is not None
        fits = settings.length_mode == targets.FIT and in_gap
        takes = _find_takes(scene, settings, selected, task)
        _last = Snapshot(selected, task, takes, key, has_take, has_take and by_hand is None, fits)
    return _last


def takes_of(scene: bpy.types.Scene, settings: WanSettings, task: Task, changed: dict[str, Any]) -> ShownTakes:
    """The takes of a task that may not be the shown one, with `changed` in place of some settings. Safe in a draw."""
    now = read(scene, settings)
    if task is now.task and not changed:
        return now.takes
    key = (task, *changed.items())
    if key not in now.others:
        now.others[key] = _find_takes(scene, OverriddenSettings(settings, **changed), now.selected, task)
    return now.others[key]


def _find_takes(
    scene: bpy.types.Scene, settings: WanSettings | OverriddenSettings, selected: selection.Selection, task: Task
) -> ShownTakes:
    preferences_now = preferences.get()
    model = session.current().server.model(settings.model)
    found = planned_takes.targets_of(scene, settings, selected, task, model)
    targets = () if isinstance(found, str) else tuple(found)
    made = planned_takes.takes_at(scene, settings, preferences_now, task, found)
    if not isinstance(made, str):
        return ShownTakes(tuple(made), targets)
    any_prompts = dict.fromkeys(request.PROMPT_FIELDS.values(), ANY_PROMPT)
    of_any_prompt = OverriddenSettings(settings, prompt_source="FIELD", style_words="", **any_prompts)
    if settings.prompt_source == "TEXT_STRIP":  # the text strips may have given the targets
        found = planned_takes.targets_of(scene, of_any_prompt, selected, task, model)
    made_of_any = planned_takes.takes_at(scene, of_any_prompt, preferences_now, task, found)
    if isinstance(made_of_any, str):
        return ShownTakes(targets=targets, refusal=made, blocked=made_of_any)
    return ShownTakes(tuple(made_of_any), targets, refusal=made)


def _read_key(
    scene: bpy.types.Scene, settings: WanSettings, selected: selection.Selection, strips: strip_columns.Columns
) -> tuple[object, ...]:
    active = compat.active_strip(scene)
    return (
        selected,
        choices(),
        untrusted.text_in(active, identity.REQUEST) if active is not None and active.select else "",
        *_timeline_key(scene, strips),
        *(getattr(settings, name) for name in _SETTINGS),
        tuple((row.path, row.use, row.strength, row.expert) for row in settings.loras),
        request.read_prompt(scene, settings),
        text_strips.texts(scene) if settings.words_over_time else (),
        marker_words.read(scene) if settings.words_over_time and settings.words_of_markers else (),
        tuple(session.current().server.models),
        project.path(),
        project.id_to_be(),
        request.media_folder(preferences.get()),
    )


def _timeline_key(scene: bpy.types.Scene, strips: strip_columns.Columns) -> tuple[object, ...]:
    owner, render = compat.shown_owner(scene), scene.render
    return (
        scene.as_pointer(),
        scene.name_full,
        0 if owner is None else owner.as_pointer(),
        *(column.tobytes() for column in (strips.starts, strips.ends_exclusive, strips.channels, strips.kinds)),
        bytes(strips.mutes),
        *_closed_channels(owner),
        scene.frame_start,
        scene.frame_end,
        scene.use_preview_range,
        scene.frame_preview_start,
        scene.frame_preview_end,
        scene_format.rate_of(scene),
        scene_format.square_size(scene, render.resolution_percentage),
    )


def _closed_channels(owner: Any) -> tuple[bytes, ...]:
    """The channels that are locked, and those that are muted."""
    channels: Any = () if owner is None else owner.channels
    found = []
    for name in ("lock", "mute"):
        flags = array("b", bytes(len(channels)))
        if len(channels):
            channels.foreach_get(name, flags)
        found.append(flags.tobytes())
    return tuple(found)


def _has_sides(scene: bpy.types.Scene, snapshot: Snapshot) -> bool:
    """Whether strips that need not be selected, beside the gap or over the take, are still called as they were."""
    takes = (snapshot.takes, *snapshot.others.values())
    targets = [take.target for each in takes for take in each.planned if take.target is not None]
    sides = {strip.name for target in targets if target.task is Task.FILL_GAP for strip in target.sources}
    kept = {strip.name for target in targets for strip in target.kept}
    return all(compat.strip_named(scene, name) is not None for name in sides | kept)
