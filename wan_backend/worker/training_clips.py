"""Makes of a request's sources what a training takes: captions as the model reads them, and clips as latents.

Everything is kept in the job's work folder, by what it shows. A training that goes on takes it from there: files that
changed meanwhile, or are gone, change nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..catalogue import entries
from ..catalogue.architecture import Architecture
from ..frames import clip_frames
from ..loading.residency import PlacedModel
from ..pipelines import image_conditioning, text_to_video, vace_control
from ..pipelines.encode import Film, encode
from ..pipelines.preparation import Preparation, PreparationCache
from ..pipelines.prompt_encoding import PromptCache, PromptFiles
from ..pipelines.stopping import ShouldStop, check
from ..protocol.errors import Refusal
from ..protocol.messages import ProblemKind, RunParams
from ..protocol.sentences import Sentence
from ..training import clip_cuts
from ..training.kept_clips import ClipStore, EncodedClip, KeptClip, is_gone, stamps_of
from .source_reader import Read

log = logging.getLogger(__name__)

CLIPS_FOLDER, PROMPTS_FOLDER = "clips", "prompts"
NEAR_CLIPS = 64
"""So many clips stay in memory, a few megabytes each; of more, each is read when it is its turn."""
MAX_NAMED = 5
"""More clips are not named one by one in a sentence."""
BLACK = Sentence("Black, and left out: {names}.")
ALIKE = Sentence("Nearly the same as clips before them: {names}.")
STILLS = Sentence("Stills, which teach this model nothing, and left out: {names}.")
CHANGED = Sentence("Changed since the training began, which goes on with what they were: {names}.")
GONE = Sentence("No longer there, and not needed any more: {names}.")
NOTHING_LEFT = Sentence("All clips are black; select others, or look whether their channels are muted.")
ONLY_STILLS = Sentence("All clips are black or stills, from which this model learns nothing; select longer ones.")

Report = Callable[[int, int, Sentence], None]
"""Called with how many of how many pieces are done, and what is done next."""


@dataclass(frozen=True)
class TrainingClip:
    """A clip with its captions."""

    digest: str
    caption: str
    plain_caption: str
    """The caption without the trigger."""
    frames: int


@dataclass
class TrainingClips:
    """What a training takes its steps from."""

    clips: list[TrainingClip]
    store: ClipStore
    embeds: dict[str, torch.Tensor]
    """(1, 512, width) on the CPU, by prompt."""
    control: dict[int, torch.Tensor] = field(default_factory=dict)
    """(1, 96, T, h, w) on the CPU, by the frames of a clip: control that leaves all to the model."""
    notes: list[Sentence] = field(default_factory=list)
    cut: int = 0
    _near: OrderedDict[str, EncodedClip] = field(default_factory=OrderedDict)

    def encoded(self, clip: TrainingClip) -> EncodedClip:
        """What was kept of a clip. Raises Refusal if that is damaged."""
        found = self._near.get(clip.digest) or self.store.get(clip.digest)
        if found is None:
            raise Refusal.of(
                ProblemKind.FOLDER,
                Sentence("A clip that was kept for this training is gone or damaged; press Retry to encode it again."),
            )
        self._near[clip.digest] = found
        while len(self._near) > NEAR_CLIPS:
            self._near.popitem(last=False)
        return found


class ClipMaker:
    """Makes the TrainingClips of one job."""

    def __init__(
        self,
        params: RunParams,
        placement: PlacedModel,
        folder: Path,
        read: Read,
        should_stop: ShouldStop,
        report: Report,
        wants_control: bool,
    ) -> None:
        self._params, self._placement, self._read = params, placement, read
        self._should_stop, self._report, self._wants_control = should_stop, report, wants_control
        self._store = ClipStore(folder / CLIPS_FOLDER, self._encoder())
        self._prompts = PromptCache(files=PromptFiles(folder / PROMPTS_FOLDER, self._encoder("text_encoder"), 1 << 50))

    def _encoder(self, component: str = "vae") -> str:
        plan, model = self._params.plan, self._placement.model
        facts = [model.fingerprint(component, as_held=False), plan.width, plan.height, model.architecture.value]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def make(self) -> TrainingClips:
        """Read and encode what isn't kept yet. Raises Refusal, Stopped, OSError."""
        request = self._params.request
        assert request.training is not None
        kept, notes = self._kept()
        chosen = [clip for clip in kept if clip.digest]
        if not chosen:
            raise Refusal.of(ProblemKind.BAD_SOURCE, ONLY_STILLS if self._moves else NOTHING_LEFT)
        training = request.training
        trigger = training.trigger.strip()
        clips = []
        for clip in chosen:
            own = training.captions[clip.source] if clip.source < len(training.captions) else ""
            plain = clip_cuts.without_trigger(own, training.caption, trigger)
            caption = clip_cuts.caption_of(own, training.caption, trigger)
            clips.append(TrainingClip(clip.digest, caption, plain, len(clip.frames)))
        plan = self._params.plan.training
        paired = plan is not None and plan.only_with_trigger  # else nothing is asked for without the trigger
        without = [*(each.plain_caption for each in clips), ""] if paired else []
        embeds = self._embeds([*(each.caption for each in clips), *without])
        self._see(chosen)
        control = {frames: self._control(frames) for frames in {clip.frames for clip in clips}}
        return TrainingClips(clips, self._store, embeds, control if self._wants_control else {}, notes, len(clips))

    @property
    def _moves(self) -> bool:
        """True for a model that is given the first picture of each clip."""
        architecture = self._placement.model.architecture
        return architecture in (Architecture.FIRST_PICTURE, Architecture.PICTURES, Architecture.FIRST_AND_LAST)

    def _kept(self) -> tuple[list[KeptClip], list[Sentence]]:
        """The clips, all of them in the store, and what is to be said of them."""
        sources = self._params.request.sources
        listed = self._store.read_list()
        if listed:
            now = [stamps_of(source) for source in sources]
            other = sorted({clip.source for clip in listed if clip.stamps != now[clip.source]})
            gone = [number for number in other if is_gone(sources[number])]
            changed = [number for number in other if number not in gone and self._shows_other(listed, number)]
            return listed, [*self._said(CHANGED, changed), *self._said(GONE, gone), *self._what_they_show(listed)]
        made = list(self._made())
        self._store.write_list(made)
        return made, self._what_they_show(made)

    def _shows_other(self, listed: Sequence[KeptClip], number: int) -> bool:
        """Whether a source, whose files are others now, also shows something else."""
        try:
            return any(
                clip.digest and self._store.digest(self._pictures(clip.source, clip.frames)) != clip.digest
                for clip in listed
                if clip.source == number
            )
        except Refusal:
            return True

    def _what_they_show(self, clips: Sequence[KeptClip]) -> list[Sentence]:
        without = [clip.source for clip in clips if not clip.digest]
        stills = [number for number in without if self._is_still(clips, number)]
        twice = [clip.source for clip in clips if clip.like]
        black = [number for number in without if number not in stills]
        return [*self._said(BLACK, black), *self._said(STILLS, stills), *self._said(ALIKE, twice)]

    def _is_still(self, clips: Sequence[KeptClip], number: int) -> bool:
        return self._moves and all(len(clip.frames) == 1 for clip in clips if clip.source == number)

    def _said(self, sentence: Sentence, numbers: Sequence[int]) -> list[Sentence]:
        if not numbers:
            return []
        names = list(dict.fromkeys(map(self._name_of, numbers)))
        more = f" + {len(names) - MAX_NAMED}" if len(names) > MAX_NAMED else ""
        return [sentence.with_values(names=", ".join(names[:MAX_NAMED]) + more)]

    def _name_of(self, number: int) -> str:
        """As a person knows it: what Blender rendered of a strip has files that are called the same for all."""
        request = self._params.request
        assert request.training is not None
        own, source = request.training.names[number : number + 1], request.sources[number]
        return (own[0] if own else "") or (source.files[0] if source.files else source.folder)

    def _made(self) -> Iterator[KeptClip]:
        """The clips in order, each encoded unless its like is in the store."""
        params, model = self._params, self._placement.model
        entry = entries.entry(params.plan.model)
        step = params.request.frame_rate.exact() / params.plan.model_frame_rate.exact()
        cuts = clip_frames.cut(params.request.sources, step, params.plan.model_frames, entry.min_frames)
        prints: list[np.ndarray] = []
        with ExitStack() as stack:
            vae: Any = None
            for number, cut in enumerate(cuts):
                check(self._should_stop)
                said = Sentence("Reading clip {number} of {count}", number=number + 1, count=len(cuts))
                self._report(number, len(cuts), said)
                kept = KeptClip(cut.source, cut.frames, "", stamps_of(params.request.sources[cut.source]))
                pictures = self._pictures(cut.source, cut.frames)
                if clip_cuts.is_black(pictures) or (self._moves and len(pictures) == 1):
                    yield kept
                    continue
                mark, digest = clip_cuts.fingerprint(pictures), self._store.digest(pictures)
                like = any(clip_cuts.are_alike(mark, each) for each in prints)
                prints.append(mark)
                if not self._store.has(digest):
                    vae = stack.enter_context(self._placement.use("vae")) if vae is None else vae
                    self._store.put(digest, self._encoded(vae, pictures))
                yield replace(kept, digest=digest, like=like)
            del vae
        log.info("%d clips of %d sources for %s", len(cuts), len(params.request.sources), model.folder)

    def _pictures(self, source: int, frames: Sequence[int]) -> list[np.ndarray]:
        plan, request = self._params.plan, self._params.request
        size, scene = (plan.width, plan.height), (request.width, request.height)
        return list(self._read(request.sources[source], list(frames), *size, scene))

    def _encoded(self, vae: Any, pictures: Sequence[np.ndarray]) -> EncodedClip:
        plan = self._params.plan
        film = Film(len(pictures), plan.width, plan.height, dict(enumerate(pictures)))
        latents = encode(vae, film, self._should_stop).float().cpu()
        if not self._moves:
            return EncodedClip(latents)
        given = replace(film, pictures={frame: pictures[frame] for frame in self._given(len(pictures))})
        joined = encode(vae, given, self._should_stop).float().cpu()
        return EncodedClip(latents, torch.cat([image_conditioning.given_mask(given, joined), joined], dim=1))

    def _given(self, frames: int) -> list[int]:
        """The frames that the model is given."""
        both = self._placement.model.architecture is Architecture.FIRST_AND_LAST
        return [0, frames - 1] if both else [0]

    def _see(self, clips: Sequence[KeptClip]) -> None:
        """Have the image encoder look at the pictures that the model is given, if it has one."""
        if not self._placement.model.architecture.looks_at_pictures:
            return
        for clip in clips:
            known = self._store.get(clip.digest)
            if known is not None and known.image_embeds is None:
                check(self._should_stop)
                given = [clip.frames[frame] for frame in self._given(len(clip.frames))]
                seen = image_conditioning.seen(self._placement, self._pictures(clip.source, given))
                self._store.put(clip.digest, replace(known, image_embeds=seen.float().cpu()))

    def _embeds(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        training, request = self._params.request.training, self._params.request
        assert training is not None
        sampled = [training.sample_prompt, request.negative_prompt] if training.sample_prompt.strip() else []
        wanted = list(dict.fromkeys([*captions, *sampled]))
        self._report(0, 1, Sentence("Reading the captions"))
        cache = PreparationCache(self._prompts)
        job = Preparation(self._placement, request, self._params.plan, cache=cache, should_stop=self._should_stop)
        return dict(zip(wanted, text_to_video.embeds_of(job, wanted), strict=True))

    def _control(self, frames: int) -> torch.Tensor:
        """Control for clips of so many frames, which leaves all to the model."""
        if not self._wants_control:
            return torch.empty(0)
        digest = hashlib.sha256(f"{self._encoder()} control {frames}".encode()).hexdigest()
        known = self._store.get(digest) if self._store.has(digest) else None
        if known is None:
            plan = self._params.plan
            with self._placement.use("vae") as vae:
                made = vace_control.blank(vae, frames, plan.width, plan.height, self._should_stop)
            known = EncodedClip(made.float().cpu())
            self._store.put(digest, known)
        return known.latents
