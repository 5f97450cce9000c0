"""The training that a click asks for: the request, what it is made from, and why it can't begin. Nothing is changed.

All that stands against it is said, not only the first reason: whoever has to mend something before hours of training
should have to do so once.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import (
    MAX_CAPTION_CHARACTERS,
    MAX_PROMPT_CHARACTERS,
    MAX_TRIGGER,
    FrameRate,
    ModelRow,
    Origin,
    Source,
    TakeRequest,
    Task,
    Training,
    TrainingKind,
    TrainingLength,
)
from ...wan_backend.protocol.plain_names import is_encodable, is_name
from ...wan_backend.protocol.training import name_limit
from ..timeline import footage, picture_files, scene_format, text_strips, training_clips, untrusted
from ..timeline.targets import Target
from ..timeline.training_clips import Rates, StripClips
from ..translation import translated
from . import lora_rows, project, request
from .planned_takes import PlannedTake

USUAL_RATE = FrameRate(16)
"""Of most Wan models, for as long as the chosen one is not known."""
MOST_FRAMES = {TrainingKind.LOOK: 17, TrainingKind.SUBJECT: 33, TrainingKind.MOTION: 49}
"""The most of the model's frames in one clip, as the backend has it: a look is in each, a motion takes its time."""
SAMPLES = 8
"""So many samples are made, and LoRAs kept on the way, where a person sets the steps."""
FOLDER = "loras"
"""A folder in the media folder, for what was trained, where the preferences name no folder of LoRAs."""
SHOWN_REASONS = 5
"""Reasons that are said in full; the others are counted."""
NOTHING_CHOSEN = "Select the strips to train from: movies, pictures, scenes, meta strips."
STAND_IN = "LoRA"
"""The name in the request of a training that has none yet, so that all else of it can be planned."""


StripRead = tuple[StripClips, list[tuple[Source, bool]]]
"""What a strip gives, and the sources of its pieces, each with whether it has to be rendered."""
Read = Callable[[bpy.types.Scene, StripClips, str, picture_files.FileLook], StripRead]


@dataclass(frozen=True)
class PlannedTraining:
    """What a click would ask for."""

    take: PlannedTake | None
    """The request, and the target with what it is made from; None where nothing at all can be asked for."""
    clips: tuple[StripClips, ...] = ()
    """Of the strips of the list that are used, in its order."""
    sources: tuple[Source, ...] = ()
    to_render: int = 0
    """How many of the sources Blender has to render first."""
    is_selection: bool = False
    """The list is empty, and the strips are the selected ones."""
    refusals: tuple[str, ...] = ()
    """Why it can't begin, each of them."""
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """All reasons, in Blender's language; of very many, the first ones and how many more there are."""
        shown = [translated(each) for each in self.refusals]
        if len(shown) <= SHOWN_REASONS:
            return shown
        more = iface_("{} more strips can't be used.").format(len(shown) - SHOWN_REASONS + 1)
        return [*shown[: SHOWN_REASONS - 1], more]

    @property
    def refusal(self) -> str:
        """All of them as one text; empty where nothing stands against it."""
        return " ".join(self.reasons)

    @property
    def request(self) -> TakeRequest | None:
        """The whole request, with its sources; None where it can't be made."""
        return None if self.take is None else replace(self.take.request, sources=list(self.sources))


def plan(
    scene: bpy.types.Scene,
    settings: Any,
    preferences: Any,
    model: ModelRow | None,
    folder: str,
    look: picture_files.FileLook = picture_files.look_at_many,
    read: Read | None = None,
) -> PlannedTraining:
    """What the panel's settings ask for now. What has to be rendered would go into `folder`.

    While the list is empty, the strips are the selected ones. `read` is `read_strip`, or reads it some other way.
    """
    read = read or read_strip
    training = settings.training
    refusals = _settings_refusals(settings)
    is_selection = not len(training.clips)
    chosen = [(row.name, row.caption) for row in training.clips if row.use]
    if is_selection:
        chosen = [(strip.name, "") for strip in training_clips.selected(scene)]
    if len(chosen) > training_clips.MAX_STRIPS:
        refusals.append(iface_(training_clips.TOO_MANY).format(training_clips.MAX_STRIPS))
        return PlannedTraining(None, refusals=tuple(refusals), is_selection=is_selection)
    found = training_clips.clips_of(scene, chosen, rates_of(scene, training, model))
    looked = [read(scene, each, folder, look) for each in found]
    clips = [each for each, _ in looked]
    made = [one for _, sources in looked for one in sources]
    if not chosen:
        refusals.append(NOTHING_CHOSEN if is_selection else "All strips of the list are switched off.")
    refusals += filter(None, (training_clips.size_refusal(clips), *(each.refusal for each in clips)))
    pieces = [piece for each in clips for piece in each.pieces]
    too_long = sum(len(piece.caption) > MAX_CAPTION_CHARACTERS for piece in pieces)
    if too_long or len(training.caption) > MAX_CAPTION_CHARACTERS:
        refusals.append(iface_("A caption may have at most {:,} characters.").format(MAX_CAPTION_CHARACTERS))
    take = None if not pieces else _take(scene, settings, preferences, clips)
    notes = _notes(training, clips, made)
    sources = tuple(source for source, _ in made)
    rendered = sum(to_render for _, to_render in made)
    return PlannedTraining(take, tuple(clips), sources, rendered, is_selection, tuple(refusals), tuple(notes))


def rates_of(scene: bpy.types.Scene, training: Any, model: ModelRow | None) -> Rates:
    """How the scene's frames become those of the model that is trained."""
    rate = model.frame_rate if model else USUAL_RATE
    most = MOST_FRAMES[_kind(training)]
    return Rates(scene_format.rate_of(scene).exact(), rate.exact(), min(most, model.max_frames) if model else most)


def loras_folder(preferences: Any) -> str:
    """Where trained LoRAs go: into the preferences' folder of LoRAs, else beside the film's takes."""
    wanted = lora_rows.absolute(preferences.loras_folder.strip()) if preferences is not None else ""
    return wanted if wanted and os.path.isdir(wanted) else os.path.join(request.media_folder(preferences), FOLDER)


def _kind(training: Any) -> TrainingKind:
    return untrusted.choice(TrainingKind, training.kind, TrainingKind.LOOK)


def read_strip(scene: bpy.types.Scene, clips: StripClips, folder: str, look: picture_files.FileLook) -> StripRead:
    """The sources of a strip's pieces, and whether each is to be rendered; without any, with the reason."""
    sources = []
    for piece in clips.pieces:
        found = footage.source_or_render(scene, piece.wanted, folder, look)
        if isinstance(found, str):
            return replace(clips, pieces=(), refusal=found), []
        sources.append(found)
    return clips, sources


def _take(scene: bpy.types.Scene, settings: Any, preferences: Any, clips: Sequence[StripClips]) -> PlannedTake:
    """The request. Words that `_settings_refusals` is against are such here that the backend doesn't refuse them, too:
    its plan says what else there is."""
    training = settings.training
    pieces = [piece for each in clips for piece in each.pieces]
    summaries = tuple(each.summary for each in clips if each.pieces and each.summary is not None)
    width, height = scene_format.square_size(scene, scene.render.resolution_percentage)
    first = min(piece.wanted.start for piece in pieces)
    name = STAND_IN if _name_refusal(training.name.strip()) else training.name.strip()
    asked = TakeRequest(
        prompt=name,
        model=settings.model,
        width=width,
        height=height,
        resolution=settings.resolution or "exact",
        length_frames=max(len(piece.wanted.frames) for piece in pieces),
        frame_rate=scene_format.rate_of(scene),
        seed=max(0, settings.seed) if settings.seed_locked else random.randint(0, request.MAX_SEED),
        media_folder=loras_folder(preferences),
        origin=Origin(project.path(), project.id_to_be(), scene.name_full, 1, first),
        training=Training(
            name=name,
            trigger=training.trigger.strip()[:MAX_TRIGGER],
            kind=_kind(training),
            length=untrusted.choice(TrainingLength, training.length, TrainingLength.USUAL),
            caption=text_strips.one_line(training.caption)[:MAX_CAPTION_CHARACTERS],
            captions=[piece.caption[:MAX_CAPTION_CHARACTERS] for piece in pieces],
            names=[each.name for each in clips for _ in each.pieces],
            sample_prompt=text_strips.one_line(training.sample_prompt)[:MAX_PROMPT_CHARACTERS],
            steps=training.steps or None,
            sample_every=max(1, training.steps // SAMPLES) if training.steps else None,
            learning_rate=(training.learning_rate or None) if math.isfinite(training.learning_rate) else None,
            rank=training.rank or None,
            only_with_trigger=training.only_with_trigger,
            noisy_share=(training.noisy_share or None) if math.isfinite(training.noisy_share) else None,
        ),
    )
    wanted = tuple(piece.wanted for piece in pieces)
    target = Target(Task.TEXT_TO_VIDEO, first, first + asked.length_frames, 1, wanted, sources=summaries)
    return PlannedTake(asked, target)


def _settings_refusals(settings: Any) -> list[str]:
    """Why a training can't begin as it is called and described."""
    training, found = settings.training, []
    if not settings.model:
        found.append("Choose a model; the list is empty until the backend answers.")
    found += filter(None, [_name_refusal(training.name.strip())])
    trigger = training.trigger.strip()
    if not trigger and training.kind != "MOTION":
        found.append("Give it a trigger: a word that calls for what was learned.")
    elif len(trigger.split()) > 1 or "," in trigger:
        found.append("The trigger has to be a single word.")
    elif len(trigger) > MAX_TRIGGER:
        found.append(iface_("The trigger may have at most {} characters.").format(MAX_TRIGGER))
    if len(training.sample_prompt) > MAX_PROMPT_CHARACTERS:
        found.append(iface_("The sample's prompt may have at most {:,} characters.").format(MAX_PROMPT_CHARACTERS))
    return found


def _name_refusal(name: str) -> str:
    """Why a LoRA can't be called that; empty if it can."""
    if not name:
        return "Give the LoRA a name."
    if len(name) > name_limit(name):
        return iface_("The name may have at most {} characters.").format(name_limit(name))
    if not (is_name(name, windows=True) and is_encodable(name, "strict")) or name.startswith("."):
        return "The LoRA's name is that of its file, too: leave out marks such as / and :."
    return ""


def _notes(training: Any, clips: Sequence[StripClips], made: Sequence[tuple[Source, bool]]) -> list[str]:
    """What is to be said of a set that can be trained from."""
    notes = [training_clips.one_strip(clips)]
    moving, stills = training_clips.count(clips)
    if training.kind == "MOTION" and stills and not moving:
        notes.append("Stills show no motion: select clips.")
    pieces = [piece for each in clips for piece in each.pieces]
    bare = 0 if training.caption.strip() else sum(not piece.caption for piece in pieces)
    if bare and bare == len(pieces):
        notes.append("Nothing has a caption. Say what the strips show: what isn't said is learned with the trigger.")
    elif bare:
        words = "1 clip has no caption." if bare == 1 else "{} clips have no caption."
        notes.append(iface_(words).format(bare))
    names = [each.name for each in clips for _ in each.pieces]
    notes += _twice(zip(names, made, strict=False))
    return [note for note in notes if note]


def _twice(made: Any) -> list[str]:
    """Strips that play the very same frames of the same files; other pictures are compared by the backend."""
    first: dict[tuple[object, ...], str] = {}
    pairs: dict[tuple[str, str], None] = {}
    for name, (source, to_render) in made:
        if to_render:
            continue
        other = first.setdefault((source.folder, *source.files, source.first_frame, source.framing), name)
        if other != name:
            pairs[other, name] = None
    return [iface_("'{}' and '{}' show the same pictures.").format(*pair) for pair in pairs]
