"""What a person chose on the page becomes the request of a take, and a take's request the choices again."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..protocol.messages import (
    MAX_PROMPT_CHARACTERS,
    MAX_REFERENCES,
    MAX_TAKE_FRAMES,
    Framing,
    Guide,
    LoraUse,
    MediaFormat,
    ModelRow,
    Origin,
    Pictures,
    Quality,
    Role,
    Source,
    TakeRequest,
    Task,
)
from ..protocol.uploads import Upload
from .server_line import PROJECT
from .uploads import Uploads

TASKS = {
    Task.TEXT_TO_VIDEO: "From words",
    Task.IMAGE_TO_VIDEO: "From a picture",
    Task.RESTYLE: "Restyle a movie",
    Task.EDIT: "Edit a movie",
    Task.EXTEND: "Continue a movie",
}
"""The tasks that the page has; the others need a timeline."""
ROLES = {Task.IMAGE_TO_VIDEO: Role.FIRST, Task.RESTYLE: Role.FOOTAGE, Task.EDIT: Role.FOOTAGE, Task.EXTEND: Role.BEFORE}
OVER_MOVIES = (Task.RESTYLE, Task.EDIT)
"""Tasks whose take is as long as the movie that it is made from, and is nothing without words."""
SHAPES = {"Wide": (16, 9), "Square": (1, 1), "Tall": (9, 16)}
MIN_SECONDS, MAX_SECONDS, USUAL_SECONDS = 0.5, 10.0, 5.0
MAX_SEED = (1 << 31) - 1
BEFORE_SECONDS = 2.0
"""How much of a movie a take is given that continues it: more than any model looks at."""
RESTYLE_STRENGTH = 0.7
LORA_SUFFIX = ".safetensors"


NO_MODEL = "No model for this is here. Whoever runs this page can fetch one with `wan-backend models --download MODEL`."


class Unusable(ValueError):
    """No take can be asked for with these choices; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Choices:
    """The choices on the page, by the names of its fields."""

    task: Task = Task.TEXT_TO_VIDEO
    prompt: str = ""
    upload: str = ""
    """The id of what was sent; empty if nothing was."""
    references: tuple[str, ...] = ()
    """The ids of the reference pictures of an edit."""
    model: str = ""
    quality: Quality = Quality.STANDARD
    size: str = ""
    """A size of the model by name; empty for its usual one."""
    shape: str = "Wide"
    """Of a take that is made of words alone; any other has the shape of what it's made from."""
    seconds: float = USUAL_SECONDS
    seed: int | None = None
    """None: another for each take."""
    avoid: str = ""
    strength: float = RESTYLE_STRENGTH
    loras: dict[str, float] = field(default_factory=dict)
    """Their strengths, by the names in the list."""


def to_request(
    choices: Choices, models: Sequence[ModelRow], uploads: Uploads, loras: dict[str, Path], takes_folder: Path
) -> TakeRequest:
    """The request that the choices mean, with one of `models`: the first if none is chosen. Raises Unusable."""
    row = next((each for each in models if choices.model in ("", each.model)), None)
    if row is None:
        raise Unusable("Choose a model." if models else NO_MODEL)
    prompt = choices.prompt.strip()
    if not prompt and choices.task in (Task.TEXT_TO_VIDEO, *OVER_MOVIES):
        raise Unusable("The prompt is empty: describe what the take shows.")
    if max(len(prompt), len(choices.avoid)) > MAX_PROMPT_CHARACTERS:
        raise Unusable(f"That is too long: a prompt may have {MAX_PROMPT_CHARACTERS:,} characters.")
    sent = _sent(choices, uploads)
    size = next((each for each in row.sizes if each.name == choices.size), None) or next(
        (each for each in row.sizes if each.default), row.sizes[0]
    )
    request = TakeRequest(
        prompt=prompt,
        negative_prompt=choices.avoid.strip(),
        model=row.model,
        task=choices.task,
        **_extent(choices, row, size.width * size.height, sent),
        resolution=size.name,
        seed=random.randint(0, MAX_SEED) if choices.seed is None else min(max(0, choices.seed), MAX_SEED),
        quality=choices.quality,
        media_folder=str(takes_folder),
        media_format=MediaFormat.H264,
        origin=Origin(project_id=PROJECT),
        loras=_lora_uses(choices, loras),
    )
    if sent is None:
        return request
    sources = [_source(choices, sent, request, uploads), *_references(choices, uploads)]
    request = dataclasses.replace(request, sources=sources)
    if choices.task is Task.RESTYLE:
        return dataclasses.replace(request, strength=min(max(0.0, choices.strength), 1.0), guide=Guide.EDGES)
    return request


def _sent(choices: Choices, uploads: Uploads) -> Upload | None:
    """What the take is made from. Raises Unusable."""
    if choices.task not in ROLES:
        return None
    wants_movie = choices.task is not Task.IMAGE_TO_VIDEO
    sent = uploads.known(choices.upload) if choices.upload else None
    if sent is None:
        raise Unusable("Choose a movie first." if wants_movie else "Choose a picture first.")
    if sent.is_movie and not wants_movie:
        raise Unusable("That is a movie; choose a picture.")
    if wants_movie and not sent.is_movie:
        raise Unusable("That is a picture; choose a movie.")
    return sent


def _extent(choices: Choices, row: ModelRow, pixels: int, sent: Upload | None) -> dict[str, Any]:
    """The sides, of which a named size takes the aspect alone, the length and the rate."""
    wide, high = SHAPES.get(choices.shape, SHAPES["Wide"]) if sent is None else (sent.width, sent.height)
    scale = (pixels / (wide * high)) ** 0.5
    rate = sent.frame_rate if sent is not None and sent.is_movie else row.frame_rate
    seconds = min(max(MIN_SECONDS, choices.seconds), MAX_SECONDS)
    frames = round(seconds * float(rate.exact()))
    if choices.task in OVER_MOVIES and sent is not None:
        frames = min(frames, sent.frames)
    elif choices.task is not Task.EXTEND:
        frames += 1  # a clip of the model has one more than its seconds
    return {
        "width": max(2, round(wide * scale)),
        "height": max(2, round(high * scale)),
        "length_frames": min(max(1, frames), MAX_TAKE_FRAMES),
        "frame_rate": rate,
    }


def _source(choices: Choices, sent: Upload, request: TakeRequest, uploads: Uploads) -> Source:
    """What was sent, as the task sees it: over the whole frame."""
    frame = Framing(request.width, request.height, 0.0, 0.0, float(request.width), float(request.height))
    folder = str(uploads.folder_of(choices.upload))
    role = ROLES[choices.task]
    if not sent.is_movie:
        return Source(role, folder, [sent.file], framing=frame)
    frames = request.length_frames
    if choices.task is Task.EXTEND:
        frames = min(sent.frames, max(1, round(BEFORE_SECONDS * float(request.frame_rate.exact()))))
    first = sent.frames - frames if choices.task is Task.EXTEND else 0
    return Source(role, folder, [sent.file], True, first, frames, frame, pictures=sent.pictures)


def _references(choices: Choices, uploads: Uploads) -> list[Source]:
    """The pictures that an edit is made with, each in its own shape. Raises Unusable."""
    ids = choices.references if choices.task is Task.EDIT else ()
    if len(ids) > MAX_REFERENCES:
        raise Unusable(f"An edit takes at most {MAX_REFERENCES} reference pictures; leave some out.")
    found: list[Source] = []
    for number, upload_id in enumerate(ids, 1):
        sent = uploads.known(upload_id)
        if sent is None:
            raise Unusable("A reference picture is no longer there; choose it again, or leave it out.")
        if sent.is_movie:
            raise Unusable("A reference is a movie; choose a picture.")
        frame = Framing(sent.width, sent.height, 0.0, 0.0, float(sent.width), float(sent.height))
        place, pictures = str(uploads.folder_of(upload_id)), Pictures(sent.width, sent.height)
        found.append(Source(Role.REFERENCE, place, [sent.file], framing=frame, pictures=pictures, at_frame=number))
    return found


def _lora_uses(choices: Choices, loras: dict[str, Path]) -> list[LoraUse]:
    unknown = [name for name in choices.loras if name not in loras]
    if unknown:
        raise Unusable(f"The LoRA {unknown[0]} is no longer there; take it out of the list.")
    return [LoraUse(str(loras[name]), float(strength)) for name, strength in choices.loras.items()]


def from_request(request: TakeRequest, uploads: Uploads, loras: dict[str, Path]) -> Choices:
    """The choices that a take of the page was asked for with, its seed among them."""
    names = {str(path): name for name, path in loras.items()}
    source = request.sources[0] if request.sources else None
    seconds = request.length_frames / float(request.frame_rate.exact())
    return Choices(
        task=request.task,
        prompt=request.prompt,
        upload="" if source is None else uploads.id_of(source.folder),
        references=tuple(uploads.id_of(each.folder) for each in request.references),
        model=request.model,
        quality=request.quality,
        size=request.resolution,
        shape=_shape(request) if source is None else Choices.shape,
        seconds=min(max(MIN_SECONDS, round(2 * seconds) / 2), MAX_SECONDS),
        seed=request.seed,
        avoid=request.negative_prompt,
        strength=request.strength if request.task is Task.RESTYLE else RESTYLE_STRENGTH,
        loras={names[use.path]: use.strength for use in request.loras if use.path in names},
    )


def _shape(request: TakeRequest) -> str:
    aspect = request.width / request.height
    return min(SHAPES, key=lambda name: abs(SHAPES[name][0] / SHAPES[name][1] - aspect))


def usual_seconds(row: ModelRow) -> float:
    """How long a take is at first: as much as the model makes in one go, if that isn't very long."""
    at_once = (row.max_frames - 1) / float(row.frame_rate.exact())
    return max(MIN_SECONDS, min(USUAL_SECONDS, int(2 * at_once) / 2))


def without_lost(choices: Choices, uploads: Uploads) -> Choices:
    """The choices without those files that they were made with and that are gone."""
    there = [upload_id for upload_id in (choices.upload, *choices.references) if uploads.known(upload_id) is not None]
    upload = choices.upload if choices.upload in there else ""
    return dataclasses.replace(
        choices, upload=upload, references=tuple(each for each in choices.references if each in there)
    )


def another(request: TakeRequest, takes_folder: Path) -> TakeRequest:
    """The same take once more, with another seed."""
    return dataclasses.replace(request, seed=random.randint(0, MAX_SEED), media_folder=str(takes_folder))


def loras_in(folders: Sequence[Path]) -> dict[str, Path]:
    """The LoRA files in these folders, by the names that the page shows: files' names, numbered if alike."""
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            files = sorted(file for file in folder.iterdir() if file.suffix.lower() == LORA_SUFFIX and file.is_file())
        except OSError:
            continue
        for file in files:
            name, number = file.stem, 1
            while name in found:
                number += 1
                name = f"{file.stem} ({number})"
            found[name] = file.absolute()
    return found
