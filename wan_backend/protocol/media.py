"""Names of the files of a take, which both sides use.

<media_folder>/<job_id>.partial/    while it is written
<media_folder>/<number> <words>, seed <seed>/  once it is whole (one rename, see take_names)
    0001.png ... or take.mkv / take.mp4
    take.json                       the settings that made it

<state folder>/jobs/<job_id>/work/  until its take is whole
    steps.safetensors               the newest finished step, or the finished latents
    preview.jpg                     what the take looks like after that step
    preview.rgba                    the same picture for readers without JPEG: width and height (32 bits each,
                                    little-endian), then rows of RGBA bytes, the lowest first
"""

from __future__ import annotations

import struct
from pathlib import Path

from .messages import MediaFormat

SETTINGS_FILE = "take.json"
PARTIAL_SUFFIX = ".partial"
TRASH_FOLDER = "trash"
"""The folder in a media folder for takes that a person cleaned away."""
WORK_FOLDER, STEPS_FILE = "work", "steps.safetensors"
PREVIEW_FILE, PREVIEW_PIXELS_FILE = "preview.jpg", "preview.rgba"
PROMPTS_FOLDER, MEMORY_FILE, KERNELS_FILE = "prompts", "memory.json", "kernels.json"
"""Names in the state folder: encoded prompts, the out-of-memory history, and the results of kernel trials."""
THUMBNAIL_LINES_FILE = "thumbnails.jsonl"
"""In a folder of thumbnails: a line of JSON for each source that was read, written at once."""
FILMSTRIP_HEAD = struct.Struct("<4sHHHH")
"""A filmstrip's file begins with b"WVF1", width, height and number of its pictures, and 0. Their pixels follow, packed
by zlib: rows of RGBA as 32 bit floats (which alone Blender hands to a graphics card), little-endian, from 0 to 1, the
lowest row first, the first picture lowest."""
FILMSTRIP_MARK = b"WVF1"
FILMSTRIP_PICTURES, FILMSTRIP_SIDE = 8, 144
"""At most so many pictures, and pixels a side of each."""
MAX_FILMSTRIPS = 8
REEL_MARK = b"WVR1"
"""A reel, the file of a film whose every frame is wanted, has FILMSTRIP_HEAD with this mark. Its pixels are not packed:
rows of three bytes, RGB, and REEL_FILLER, the lowest row first, frame after frame. Each pixel, taken for a 32 bit
float, is an ordinary number, so that a graphics card may be given it as one, and gives it back to the bit."""
REEL_FILLER = 0x3F
MAX_REEL_FRAMES, MAX_REEL_SIDE = 48, 1280
UPLOAD_FILE, UPLOAD_PICTURE_FILE = "upload", "picture.png"
UPLOAD_THUMBNAIL_FILE, UPLOAD_LINE_FILE = "thumbnail.jpg", "upload.json"
"""In an upload's own folder: the file as it came, what is made of a picture, a small picture, and what it is."""
CALIBRATIONS_FILE = "calibrations.json"
"""In the state folder, too: what was measured of models for the step cache."""
MEASURED_TIMES_FILE, MEASURED_WAYS_FILE = "measured_times.json", "measured_ways.json"
"""There, too: how long takes took, and how quick their steps were in each way in which cards shared them."""
TRANSFORMERS_FILE = "transformers.json"
"""There, too: which parts of models files are, as a person said."""
CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE = "WAN_VSE_CERTIFICATE", "WAN_VSE_PRIVATE_KEY"
"""Environment variables that name the files with which a person signs movies."""
MOVIE_FILES = {MediaFormat.FFV1: "take.mkv", MediaFormat.H264: "take.mp4"}


def job_folder(state_folder: str, job_id: str) -> Path:
    """The folder of a job, in which the servers that share a state folder keep it, whichever of them has it."""
    return Path(state_folder, "jobs", job_id)


def frame_file(index: int) -> str:
    """The file name of frame `index` (from 0) of a take in PNG files."""
    return f"{index + 1:04d}.png"


def first_file(media_format: MediaFormat) -> str:
    """The name of the file that Blender is given first."""
    return MOVIE_FILES.get(media_format, frame_file(0))
