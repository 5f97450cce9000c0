"""Checks that the values of a request or a take are within the bounds of anything that the add-on or a worker writes.

A .blend or a take.json may have been written by a stranger: its readers check it here before they use it. `conversion`
checks types. Whether a take can be made is not decided here.
"""

from __future__ import annotations

import math
from typing import Any

from . import shallow_json
from .media import first_file
from .plain_names import MAX_PATH_CHARACTERS, is_encodable, is_folder, is_name
from .takes import (
    CAMERA_NUMBERS,
    FINISH_FACTORS,
    MAX_CAMERA_FRAMES,
    MAX_HANDLE_FRAMES,
    MAX_JUMP,
    MAX_PROMPT_CHARACTERS,
    MAX_SHOWN_FILES,
    MAX_TAKE_FRAMES,
    MAX_WORDS,
    CameraMove,
    Finish,
    FrameRate,
    Framing,
    Jump,
    Source,
    Take,
    TakeRequest,
    Words,
)
from .training import (
    MAX_CAPTION_CHARACTERS,
    MAX_CLIPS,
    MAX_RANK,
    MAX_TRAINING_NAME,
    MAX_TRAINING_STEPS,
    MAX_TRIGGER,
    Training,
)

MAX_JSON_CHARACTERS = 1 << 20
"""The limit of a line of the wire; nothing that was ever written is as long."""
MAX_PIXELS_A_SIDE = 1 << 16
MAX_NAME = 1024
"""Characters of a name that is shown and looked up, and no path: a model's, a scene's."""
MAX_SOURCES = 16
MAX_KEPT_LORAS = 64
MAX_NUMBER = 1e9
"""No setting is meant to be larger, on either side of 0."""
LAST_FRAME = 1 << 22
"""Blender's frames are below it, on either side of 0; sums of a few still fit in its numbers."""
MAX_MOVIE_FRAMES = 1 << 31


def parsed(text: object) -> Any:
    """The JSON values in `text`, whose numbers are all finite. Raises ValueError for whatever else."""
    if not isinstance(text, str) or len(text) > MAX_JSON_CHARACTERS:
        raise ValueError("this is no text that was written here")
    return json_values(text)


def json_values(content: str | bytes) -> Any:
    """The JSON values in `content`, however long, whose numbers are all finite. Raises ValueError for whatever else."""
    return shallow_json.parsed(content, _no_number, _finite)


def is_sane_request(request: TakeRequest) -> bool:
    """Whether every value of it is within what can be meant."""
    origin = request.origin
    return (
        _is_text(request.prompt, 2 * MAX_PROMPT_CHARACTERS)
        and _is_text(request.negative_prompt, 2 * MAX_PROMPT_CHARACTERS)
        and all(_is_text(word, MAX_NAME) for word in (request.model, request.resolution, origin.scene, origin.shot))
        and _is_text(origin.project_id, MAX_NAME)
        and all(_is_path(path) for path in (request.media_folder, origin.project, *(use.path for use in request.loras)))
        and all(1 <= side <= MAX_PIXELS_A_SIDE for side in (request.width, request.height))
        and 1 <= request.length_frames <= LAST_FRAME
        and is_sane_rate(request.frame_rate)
        and 0 <= request.handle_frames <= MAX_HANDLE_FRAMES
        and 0 <= request.seed < 1 << 63
        and abs(origin.start) <= LAST_FRAME
        and 0 <= origin.channel <= MAX_NAME
        and all(_is_number(value) for value in (request.steps, request.guidance_scale, request.flow_shift))
        and _is_number(request.strength)
        and (request.guidance_interval is None or all(map(_is_number, vars(request.guidance_interval).values())))
        and len(request.loras) <= MAX_KEPT_LORAS
        and all(_is_number(use.strength) for use in request.loras)
        and len(request.words) <= MAX_WORDS
        and all(map(_are_sane_words, request.words))
        and len(request.sources) <= (MAX_SOURCES if request.training is None else MAX_CLIPS)
        and all(map(is_sane_source, request.sources))
        and (request.training is None or is_sane_training(request.training))
        and (request.finish is None or _is_sane_finish(request.finish))
        and (request.camera is None or _is_sane_camera(request.camera))
    )


def is_sane_training(training: Training) -> bool:
    """Whether every value of it is within what can be meant."""
    texts = [training.caption, training.sample_prompt, *training.captions]
    return (
        _is_text(training.name, 2 * MAX_TRAINING_NAME)
        and _is_text(training.trigger, 2 * MAX_TRIGGER)
        and max(len(training.captions), len(training.names)) <= MAX_CLIPS
        and all(_is_text(name, MAX_NAME) for name in training.names)
        and all(_is_text(text, 2 * MAX_CAPTION_CHARACTERS) for text in texts)
        and all(each is None or 1 <= each <= MAX_TRAINING_STEPS for each in (training.steps, training.sample_every))
        and (training.rank is None or 1 <= training.rank <= MAX_RANK)
        and _is_number(training.learning_rate)
        and _is_number(training.noisy_share)
    )


def _is_sane_finish(finish: Finish) -> bool:
    return (
        all(_is_text(text, MAX_NAME) for text in (finish.upscaler, finish.base))
        and finish.factor in FINISH_FACTORS
        and min(finish.handle_before, finish.handle_after) >= 0
        and max(finish.handle_before, finish.handle_after) <= MAX_HANDLE_FRAMES
    )


def _is_sane_camera(camera: CameraMove) -> bool:
    return (
        len(camera.numbers) <= MAX_CAMERA_FRAMES * CAMERA_NUMBERS
        and all(map(_is_number, camera.numbers))
        and _is_number(camera.scale)
    )


def is_sane_source(source: Source) -> bool:
    """Whether it names files right inside one folder, and as many as a take may be made from."""
    return (
        is_folder(source.folder)
        and bool(source.files)
        and all(map(is_name, set(source.files)))
        and 1 <= source.frames <= MAX_TAKE_FRAMES
        and 0 <= source.first_frame <= MAX_MOVIE_FRAMES
        and abs(source.at_frame) <= LAST_FRAME
        and (source.framing is None or _is_sane_framing(source.framing))
        and len(source.shown_files) <= MAX_SHOWN_FILES
        and all(map(is_folder, source.shown_files))
    )


def is_sane_take(take: Take) -> bool:
    """Whether it can be a take that a worker wrote: its files are then named as `media` says, right in its folder."""
    return (
        1 <= take.frames <= MAX_TAKE_FRAMES
        and all(1 <= side <= MAX_PIXELS_A_SIDE for side in (take.width, take.height))
        and take.first_file == first_file(take.media_format)
        and is_sane_rate(take.frame_rate)
        and _is_text(take.program, MAX_NAME)
        and are_sane_handles(take.handle_before, take.handle_after, take.frames)
        and all(jump is None or _is_sane_jump(jump) for jump in (take.start_jump, take.end_jump))
    )


def are_sane_handles(before: int, after: int, frames: int) -> bool:
    """Whether a take of so many frames can have so many handle frames at its ends: they leave it one of its own."""
    return min(before, after) >= 0 and before + after < frames


def _is_sane_jump(jump: Jump) -> bool:
    return all(0 <= value <= MAX_JUMP for value in vars(jump).values())


def is_sane_rate(rate: FrameRate) -> bool:
    """Whether a scene can have it."""
    return 1 <= rate.fps <= MAX_PIXELS_A_SIDE and 1e-5 <= rate.fps_base <= 1e6


def _are_sane_words(words: Words) -> bool:
    return 0 <= words.first <= words.last <= LAST_FRAME and _is_text(words.prompt, 2 * MAX_PROMPT_CHARACTERS)


def _is_sane_framing(framing: Framing) -> bool:
    return all(_is_number(value) for value in vars(framing).values() if isinstance(value, int | float))


def _is_text(text: str, max_characters: int) -> bool:
    """Not one with half a character in it either: Blender takes no such name."""
    return len(text) <= max_characters and "\0" not in text and is_encodable(text, "strict")


def _is_path(text: str) -> bool:
    return len(text) <= MAX_PATH_CHARACTERS and "\0" not in text and is_encodable(text)


def _is_number(value: float | None) -> bool:
    return value is None or abs(value) <= MAX_NUMBER


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number
