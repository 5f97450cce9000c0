"""The panel's settings, which are kept in the scene, and its state, which lasts only while Blender runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_tip as tip_
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ...wan_backend.protocol.messages import MAX_STRENGTH, MIN_STRENGTH, ModelRow, Task
from ...wan_backend.storage.lora_metadata import trigger_of
from ..jobs import lora_rows, session
from ..jobs.request import MAX_SEED
from ..timeline import compat, scene_format
from ..translation import translated
from . import prompts, training
from .prompts import PromptSettings
from .task import TaskSettings, task_of
from .training import WanClip, WanTraining

__all__ = [
    "EMBEDDED",
    "EXACT",
    "MAX_SEED",
    "OverriddenSettings",
    "WanClip",
    "WanLora",
    "WanPanelState",
    "WanSettings",
    "WanTraining",
    "active_job_id",
    "settings_of",
    "task_of",
]

EMBEDDED = "embedded"
"""The id of the small model that is part of the extension, the only one that is always known."""
NEW_FOOTAGE = {Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO}
"""A model that has neither of these tasks can do one thing alone, such as edits: it is chosen by hand."""
_FIRST_LABELS = {EMBEDDED: "Embedded (small)"}
"""Labels of models until the backend has answered."""
EXACT = "exact"
"""The resolution that asks for the scene's own."""

_kept_items: dict[str, list[tuple[str, str, str, int]]] = {}
"""The items of each enum. Blender keeps no reference to an enum's strings, which would be freed otherwise."""


def _number(identifier: str) -> int:
    """The number of an enum's item, the same whichever other items there are: .blend files keep only the number."""
    return zlib.crc32(identifier.encode()) & 0x3FFFFFFF


def _items(kind: str, rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str, int]]:
    items = [(*row, _number(row[0])) for row in rows]
    if _kept_items.get(kind) != items:
        _kept_items[kind] = items
    return _kept_items[kind]


def _model_rows(settings: Any) -> list[tuple[str, str, str]]:
    models = session.current().server.models
    looking = session.current().server.looking
    here_first = sorted(models, key=lambda row: not row.here)
    rows = [(row.model, _label(row, looking), _about(row, looking)) for row in here_first]
    known = {row[0] for row in rows}
    for wanted in (settings.model_id, EMBEDDED):
        if wanted and wanted not in known:
            rows.append((wanted, _FIRST_LABELS.get(wanted, wanted), "The backend has not reported on this model yet"))
            known.add(wanted)
    return rows


def _label(row: ModelRow, looking: str) -> str:
    """A model's label, and whether the model is here, as far as that is known."""
    if row.here:
        return row.label
    return iface_("{} (looking)" if looking else "{} (not here)").format(row.label)


def _about(row: ModelRow, looking: str) -> str:
    """A model's tooltip, from the catalogue. The last sentence has no period, since Blender adds one."""
    facts = [row.licence]
    if row.memory_bytes >= 1e9:
        facts.insert(0, _memory(row))
    if row.download_bytes:
        facts.insert(0, tip_("{:.0f} GB to download").format(row.download_bytes / 1e9))
    sentence = "; ".join(facts)
    where = looking if looking and not row.here else row.sentence
    notes, where = translated(row.notes, tip_), translated(where, tip_)
    return f"{notes} {sentence[:1].upper()}{sentence[1:]}. {where}".strip().removesuffix(".")


def _memory(row: ModelRow) -> str:
    memory = row.memory_bytes / 1e9
    if row.least_memory_bytes:
        words = tip_("about {:.0f} GB of a card's memory at {} frames, {:.0f} GB at least")
        return words.format(memory, row.max_frames, row.least_memory_bytes / 1e9)
    return tip_("about {:.0f} GB of a card's memory at {} frames").format(memory, row.max_frames)


def _model_items(settings: Any, context: Any) -> list[tuple[str, str, str, int]]:
    return _items("model", _model_rows(settings))


def _chosen_model(settings: Any) -> str:
    """The chosen model; until one is chosen, the first that is here and makes new footage, else the embedded model."""
    if settings.model_id:
        return str(settings.model_id)
    for row in session.current().server.models:
        if row.here and not row.broken and row.model != EMBEDDED and not NEW_FOOTAGE.isdisjoint(row.tasks):
            return row.model
    return EMBEDDED


def _get_model(settings: Any) -> int:
    return _number(_chosen_model(settings))


def _set_model(settings: Any, value: int) -> None:
    settings.model_id = next(row[0] for row in _model_rows(settings) if _number(row[0]) == value)


def _resolution_rows(settings: Any) -> list[tuple[str, str, str]]:
    row: ModelRow | None = session.current().server.model(_chosen_model(settings))
    sizes = row.sizes if row else []
    rows = [
        (size.name, size.name, tip_("As many pixels as {} x {}, in the scene's aspect").format(size.width, size.height))
        for size in sizes
    ]
    if not row and settings.resolution_name not in ("", EXACT):
        rows.append((settings.resolution_name, settings.resolution_name, "A size of the chosen model"))
    return [*rows, (EXACT, "Scene", "The scene's own resolution, or the nearest that the model can make")]


def _resolution_items(settings: Any, context: Any) -> list[tuple[str, str, str, int]]:
    return _items("resolution", _resolution_rows(settings))


def _get_resolution(settings: Any) -> int:
    names = [row[0] for row in _resolution_rows(settings)]
    if settings.resolution_name in names:
        return _number(settings.resolution_name)
    row = session.current().server.model(_chosen_model(settings))
    default = next((size.name for size in row.sizes if size.default), names[0]) if row else names[0]
    return _number(default)


def _set_resolution(settings: Any, value: int) -> None:
    settings.resolution_name = next(row[0] for row in _resolution_rows(settings) if _number(row[0]) == value)


def _frames_changed(settings: Any, context: Any) -> None:
    rate = scene_format.rate_of(settings.id_data)
    if scene_format.frames_of(settings.length_seconds, rate) != settings.length_frames:
        settings.length_seconds = scene_format.seconds_of(settings.length_frames, rate)


def _seconds_changed(settings: Any, context: Any) -> None:
    frames = scene_format.frames_of(settings.length_seconds, scene_format.rate_of(settings.id_data))
    if frames != settings.length_frames:
        settings.length_frames = frames


def _lora_path_changed(row: Any, context: Any) -> None:
    row.trigger = trigger_of(lora_rows.absolute(row.path))


class WanLora(bpy.types.PropertyGroup):
    """One LoRA that takes are made with; `name` is its name in the list, which may be changed."""

    path: StringProperty(
        name="File",
        description="A .safetensors file, or a folder with one, or with a pair for two experts. The path may be "
        "relative to the .blend file (//)",
        subtype="FILE_PATH",
        options=compat.RELATIVE_PATH,
        update=_lora_path_changed,
    )
    use: BoolProperty(
        name="Use",
        description="Use this LoRA for takes",
        default=True,
    )
    strength: FloatProperty(
        name="Strength",
        description="How strong the effect is: 1 is as trained, 0 is off, below 0 reverses it",
        default=1.0,
        min=MIN_STRENGTH,
        max=MAX_STRENGTH,
        soft_min=-2.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    trigger: StringProperty(
        name="Trigger",
        description="The word that calls for what the LoRA was trained on, as its file says it",
    )
    expert: EnumProperty(
        name="Expert",
        description="The expert that the LoRA applies to, in models with two (Wan 2.2 A14B). Others have only one",
        items=[
            (
                "AUTO",
                "Automatic",
                "Read from the file, its name or its partner file; both experts if unknown",
            ),
            ("BOTH", "Both", "Both experts"),
            ("HIGH", "High Noise", "The expert for the first steps: composition and motion"),
            ("LOW", "Low Noise", "The expert for the last steps: detail and look"),
        ],
    )


class WanSettings(TaskSettings, PromptSettings, bpy.types.PropertyGroup):
    """`scene.wan_vse`: the panel's settings. Saved with the .blend."""

    prompt_source: EnumProperty(
        name="Prompt From",
        description="Where the prompt is written",
        items=[
            ("FIELD", "Prompt", "Write the prompt in the field", "GREASEPENCIL", 0),
            ("TEXT_BLOCK", "Text Block", "Use a text block as the prompt, which can have many lines", "TEXT", 1),
            (
                "TEXT_STRIP",
                "Text Strips",
                "Use the selected text strips of the timeline as prompts",
                "SEQ_SEQUENCER",
                2,
            ),
        ],
    )
    prompt_text: PointerProperty(
        name="Prompt Text",
        description="The text block that holds the prompt",
        type=bpy.types.Text,
    )
    mute_text_strips: BoolProperty(
        name="Mute Text Strips",
        description="Mute the text strips that takes are made for, so that the film doesn't show their words over them",
        default=True,
    )
    words_over_time: BoolProperty(
        name="Words over Time",
        description="Make one take whose words change: each text strip over its frames says what it shows in the "
        "strip's own time, besides the prompt. Select text strips to make it over all of them",
        default=False,
    )
    words_of_markers: BoolProperty(
        name="Markers Too",
        description="A marker's name says what the take shows from there to the next marker. Where a text strip lies, "
        "only the strip's words hold. Markers with a camera, or with the name that Blender gave them, say nothing",
        default=False,
    )
    keep_pictures: BoolProperty(
        name="Keep Pictures",
        description="Each image strip over the take's frames is a picture that the take shows: at the frame on which "
        "the strip begins, exactly as it is. What is made leads up to it and goes on from it (VACE models)",
        default=False,
    )
    mute_kept_pictures: BoolProperty(
        name="Mute Pictures",
        description="Mute the image strips whose pictures a take keeps, so that they don't hide it",
        default=True,
    )
    negative_prompt: StringProperty(
        name="Negative Prompt",
        description="What to avoid, such as blur, text or watermarks",
    )
    model: EnumProperty(
        name="Model",
        description="The Wan model that makes the take",
        items=_model_items,
        get=_get_model,
        set=_set_model,
    )
    model_id: StringProperty(options={"HIDDEN"})
    """The model's id, kept in place of `model`: the backend's list of models may not be known yet."""
    quality: EnumProperty(
        name="Quality",
        description="Trade speed for detail",
        items=[
            ("DRAFT", "Draft", "Fewest steps, to see whether the idea works"),
            ("STANDARD", "Standard", "The model's usual number of steps"),
            ("BEST", "Best", "More steps: slower, with finer detail and steadier motion"),
        ],
        default="STANDARD",
    )
    length_mode: EnumProperty(
        name="Length",
        description="How to set the take's length",
        items=[
            ("FRAMES", "Frames", "Set the length in frames of the scene"),
            ("SECONDS", "Seconds", "Set the length in seconds"),
            ("GAP", "Fit the Gap", "In a gap, as long as the gap, from strip to strip; elsewhere the length in frames"),
            (
                "RANGE",
                "Preview Range",
                "From the first to the last frame of the preview range, wherever the playhead is",
            ),
        ],
        default="GAP",
    )
    length_frames: IntProperty(
        name="Frames",
        description="How many frames of the scene the take covers",
        default=72,
        min=1,
        soft_max=500,
        max=100_000,
        update=_frames_changed,
    )
    length_seconds: FloatProperty(
        name="Seconds",
        description="How many seconds of the scene the take covers",
        default=3.0,
        min=0.001,
        soft_max=20.0,
        max=4000.0,
        step=10,
        precision=2,
        update=_seconds_changed,
    )
    handles: BoolProperty(
        name="Handles",
        description="Make each take 12 frames longer at each end, as far as the model has room. The strip's trims hide "
        "them, so that you can slip the take and dissolve into it",
        default=False,
    )
    seed: IntProperty(
        name="Seed",
        description="The same seed with the same settings makes the same take again",
        default=0,
        min=0,
        max=MAX_SEED,
    )
    seed_locked: BoolProperty(
        name="Lock Seed",
        description="Use this seed for every take. Unlocked, each take has a random one",
        default=False,
    )
    take_count: IntProperty(
        name="Takes",
        description="How many takes to make for the one place, each with a seed of its own. All are kept on its strip",
        default=1,
        min=1,
        max=8,
    )
    resolution: EnumProperty(
        name="Size",
        description="The size that the model works at. The take is scaled to fill the scene's frame",
        items=_resolution_items,
        get=_get_resolution,
        set=_set_resolution,
    )
    resolution_name: StringProperty(options={"HIDDEN"})
    """The resolution's name, kept in place of `resolution` for the same reason."""
    guidance_in_part: BoolProperty(
        name="Guidance in Part of the Steps",
        description="Compute guidance in some of the steps only. The other steps take half as long, and the negative "
        "prompt has no effect in them",
        default=False,
    )
    guidance_start: FloatProperty(
        name="Start",
        description="The share of the steps after which guidance begins",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    guidance_end: FloatProperty(
        name="End",
        description="The share of the steps after which guidance ends",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    step_cache: EnumProperty(
        name="Step Cache",
        description="Whether steps may reuse what earlier ones have computed",
        items=[
            ("OFF", "Off", "Compute every step"),
            ("ON", "On", "Skip the steps that change little, by what was measured of the model. Detail may differ"),
            ("CALIBRATE", "Calibrate", "Make the take exactly, and measure what the step cache needs"),
        ],
    )
    media_format: EnumProperty(
        name="File Format",
        description="The file format of the take",
        items=[
            ("PNG", "PNG Files", "One file per frame: lossless, and each frame can be replaced on its own"),
            ("FFV1", "FFV1 Movie", "One lossless movie file"),
            ("H264", "H.264 Movie", "One small movie file, with slight compression loss"),
        ],
    )
    matrix_precision: EnumProperty(
        name="Matrices",
        description="How exactly the model's matrices are multiplied",
        items=[
            ("EXACT", "Exact", "As the model's weights are"),
            (
                "FAST_8_BIT",
                "Fast 8-bit",
                "Rounded to 8 bit, if the graphics card is faster that way. The weights need half the memory, and the "
                "take differs in detail",
            ),
        ],
    )
    loras: CollectionProperty(
        name="LoRAs",
        description="LoRAs to use with the model",
        type=WanLora,
    )
    active_lora: IntProperty(name="LoRA", description="The LoRA whose file is shown below the list")
    training: PointerProperty(
        name="Training",
        description="What the next LoRA is trained from",
        type=WanTraining,
    )


class OverriddenSettings:
    """A view of `settings` in which those of `changed` have other values."""

    def __init__(self, settings: WanSettings | OverriddenSettings, **changed: Any) -> None:
        self._settings = settings
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


def _search_changed(panel_state: Any, context: Any) -> None:
    for callback in session.current().on_change:  # those that show the queue
        callback()


on_row_chosen: list[Callable[[Any, Any], None]] = []
"""Called with the panel's state and Blender's context when the chosen row of the queue changes."""


def _row_chosen(panel_state: Any, context: Any) -> None:
    for callback in on_row_chosen:
        callback(panel_state, context)


on_take_row_chosen: list[Callable[[Any, Any], None]] = []
"""The same for the list of a strip's takes."""


def _take_row_chosen(panel_state: Any, context: Any) -> None:
    for callback in on_take_row_chosen:
        callback(panel_state, context)


on_stale_row_chosen: list[Callable[[Any, Any], None]] = []
"""The same for the list of stale takes."""


def _stale_row_chosen(panel_state: Any, context: Any) -> None:
    for callback in on_stale_row_chosen:
        callback(panel_state, context)


class WanJobRow(bpy.types.PropertyGroup):
    """One row of the queue, or of a strip's takes: `name` is the job's id; all else is asked of the session."""


def _is_live(panel_state: Any) -> bool:
    return session.current().live.is_on


def _turn_live(panel_state: Any, on: bool) -> None:
    session.current().live.turn(on)


class WanPanelState(bpy.types.PropertyGroup):
    """`window_manager.wan_vse`: what is shown now. Not part of any project."""

    rows: CollectionProperty(type=WanJobRow)
    active_row: IntProperty(
        name="Job",
        description="The job whose details are shown",
        options={"SKIP_SAVE"},
        update=_row_chosen,
    )
    take_rows: CollectionProperty(type=WanJobRow)
    active_take: IntProperty(
        name="Take",
        description="The take that the strip shows. Click another to show that one in its place",
        options={"SKIP_SAVE"},
        update=_take_row_chosen,
    )
    stale_rows: CollectionProperty(type=WanJobRow)
    active_stale: IntProperty(
        name="Stale Take",
        description="A take whose sources have changed. Click another to go to its strip",
        options={"SKIP_SAVE"},
        update=_stale_row_chosen,
    )
    search: StringProperty(
        name="Search",
        description="Show all jobs, including older ones, with this text in their prompt",
        options={"SKIP_SAVE", "TEXTEDIT_UPDATE"},
        update=_search_changed,
    )
    live: BoolProperty(
        name="Live",
        description="While nothing else is being made, show a small draft of the take that the panel describes, with "
        "always the same seed. It makes way for takes, playback and renders",
        options={"SKIP_SAVE"},
        get=_is_live,
        set=_turn_live,
    )
    left_out: IntProperty(options={"HIDDEN", "SKIP_SAVE"})
    """How many jobs, or found jobs, have no row."""
    restart_needed: BoolProperty(options={"HIDDEN", "SKIP_SAVE"})
    """True if preferences were changed that the running backend has not read."""


def settings_of(context: bpy.types.Context) -> WanSettings | None:
    """The settings of the scene that the sequencer shows; None if it shows no scene."""
    scene = compat.sequencer_scene(context)
    return None if scene is None else settings_in(scene)


def settings_in(scene: bpy.types.Scene) -> WanSettings:
    """The settings that a scene keeps."""
    known: Any = scene
    settings: WanSettings = known.wan_vse
    return settings


def scene_of(settings: WanSettings) -> bpy.types.Scene:
    """The scene that keeps these settings."""
    known: Any = settings
    owner: bpy.types.Scene = known.id_data
    return owner


def panel_state_of(context: bpy.types.Context) -> WanPanelState:
    """What is shown now."""
    known: Any = context.window_manager
    state: WanPanelState = known.wan_vse
    return state


def active_job_id(context: bpy.types.Context) -> str:
    """The id of the job whose row is chosen in the queue; empty if none is."""
    panel_state = panel_state_of(context)
    if 0 <= panel_state.active_row < len(panel_state.rows):
        return str(panel_state.rows[panel_state.active_row].name)
    return ""


_CLASSES = (*training.CLASSES, WanLora, WanSettings, WanJobRow, WanPanelState)


def register() -> None:
    """Make the properties known to Blender."""
    for one in _CLASSES:
        bpy.utils.register_class(one)
    types: Any = bpy.types
    types.Scene.wan_vse = PointerProperty(type=WanSettings)
    types.WindowManager.wan_vse = PointerProperty(type=WanPanelState)
    prompts.register()


def unregister() -> None:
    """Remove the properties from Blender; a scene's settings stay in its file."""
    prompts.unregister()
    types: Any = bpy.types
    del types.WindowManager.wan_vse
    del types.Scene.wan_vse
    for one in reversed(_CLASSES):
        bpy.utils.unregister_class(one)
    _kept_items.clear()
