"""Runs `calibrate`: measures what the step cache needs to know of a model, on takes that are thrown away.

A take is made for each number of steps that the model's qualities have, and for a control model whose trunk makes text
to video alone also one with a control. What was measured is kept in the server's state folder, for all later takes; the
takes also use what that folder has of earlier ones, as the kernels that were tried.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import struct
import sys
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..catalogue import entries
from ..catalogue.architecture import Architecture
from ..catalogue.entries import DISTILLED_SAMPLERS, ModelEntry
from ..planning.skipped_work import MIN_CALIBRATED_STEPS
from ..protocol import ProtocolError, Refusal
from ..protocol.media import CALIBRATIONS_FILE
from ..protocol.messages import JobState, Quality, Role, Source, StepCache, SubmitParams, TakeRequest, Task
from ..storage.guarded_files import Stamp, regular_stamp
from . import generate
from .serve_child import ServeChild, why_unwritable

FAILED, REFUSED, NOT_STARTED, CANCELED = 1, 2, 3, 130
PICTURE_FILE = "picture.png"
STATE, TAKES = "state", "takes"
"""The folders of the server that measures."""


def main(options: argparse.Namespace) -> int:
    """Calibrate; the exit code, as that of `generate`."""
    room = None
    try:
        entry = entries.entry(options.model)
        unusable = why_unwritable(options.state)
        if unusable:
            raise ValueError(f"--state {options.state} can't be used ({unusable}); choose another folder.")
        room = Path(tempfile.mkdtemp(prefix="wan-calibrate-"))
        requests = list(build_requests(options, entry, room))
        for folder in (STATE, TAKES):
            (room / folder).mkdir()
    except (entries.UnknownModel, ValueError, OSError) as error:
        if room is not None:
            shutil.rmtree(room, ignore_errors=True)
        if isinstance(error, OSError):
            return generate.exit_with(generate.no_temporary_folder(error), NOT_STARTED)
        return generate.exit_with(str(error), REFUSED)
    file = options.state.absolute() / CALIBRATIONS_FILE
    before = _written(file)
    code = _measure(options, room, requests)
    if _written(file) != before:  # what the takes before an end have measured holds as well
        sys.stdout.write(f"{file}\n")
    elif not code:
        code = generate.exit_with(f"Nothing was measured; see the logs in {room / STATE}.", FAILED)
    if code != FAILED:  # else the logs are still wanted
        shutil.rmtree(room, ignore_errors=True)
    return code


def build_requests(options: argparse.Namespace, entry: ModelEntry, room: Path) -> Iterator[TakeRequest]:
    """The takes that are to be made; raises ValueError with a sentence if there are none."""
    width, height, resolution = generate.size_of(options.size or entry.default_size, entry)
    presets = [entry.preset(Quality(quality)) for quality in options.quality or list(Quality)]
    settings = dict.fromkeys(
        (preset.steps if options.steps is None else options.steps, preset.flow_shift)
        for preset in presets
        if preset.sampler not in DISTILLED_SAMPLERS
    )
    settings = {each: None for each in settings if each[0] >= MIN_CALIBRATED_STEPS}
    if entry.architecture is Architecture.EDIT:
        raise ValueError(
            f"{entry.label} edits footage, and all steps of an edit are computed: there is nothing to skip."
        )
    if not settings:
        raise ValueError(f"{entry.label} makes a take in so few steps that there is nothing to skip.")
    if entry.follows_camera:
        raise ValueError(f"{entry.label} makes takes of scene strips alone: make one in Blender with Calibrate.")
    common = TakeRequest(
        prompt=options.prompt,
        model=entry.id,
        width=width,
        height=height,
        resolution=resolution,
        length_frames=min(options.frames, entry.max_frames),
        frame_rate=entry.rate,
        seed=1,
        media_folder=str(room / TAKES),
        step_cache=StepCache.CALIBRATE,
    )
    for steps, flow_shift in settings:  # as Standard, which no LoRA makes in fewer steps
        own = dataclasses.replace(common, quality=Quality.STANDARD, steps=steps, flow_shift=flow_shift)
        if Task.TEXT_TO_VIDEO in entry.tasks:
            yield own
        if Task.TEXT_TO_VIDEO not in entry.tasks or entry.trunk_makes_text:
            yield dataclasses.replace(own, task=Task.IMAGE_TO_VIDEO, sources=_pictures(room, entry, width, height))


def _pictures(room: Path, entry: ModelEntry, width: int, height: int) -> list[Source]:
    """A first picture, and a last one for a model that needs it."""
    (room / PICTURE_FILE).write_bytes(picture(width, height))
    roles = [Role.FIRST, *([Role.LAST] if entry.architecture is Architecture.FIRST_AND_LAST else [])]
    return [Source(role, str(room), [PICTURE_FILE]) for role in roles]


def picture(width: int, height: int) -> bytes:
    """A PNG file: a sky over ground, in smooth colors."""
    rows, row = bytearray(), bytearray(3 * width)
    row[1::3] = bytes(120 + 100 * x // width for x in range(width))
    for y in range(height):
        row[0::3] = bytes([255 - 255 * y // height]) * width
        row[2::3] = bytes([abs(150 - 255 * y // height)]) * width
        rows += b"\0" + row
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _measure(options: argparse.Namespace, room: Path, requests: list[TakeRequest]) -> int:
    try:
        with ServeChild(room / STATE, options, options.state) as server:
            for number, request in enumerate(requests, start=1):
                sys.stderr.write(f"Take {number} of {len(requests)}: {request.steps} steps\n")
                job = server.call("submit", SubmitParams(uuid.uuid4().hex, request))
                status = generate.follow(server, job)
                if status.state is JobState.CANCELED:
                    return generate.exit_with("Canceled.", CANCELED)
                if status.take is None:
                    sentence = status.problem.sentence if status.problem else "The take was not made."
                    return generate.exit_with(sentence, FAILED)
                shutil.rmtree(status.take.folder, ignore_errors=True)
    except Refusal as refusal:
        return generate.exit_with(refusal.message, REFUSED)
    except ProtocolError as error:
        return generate.exit_with(str(error), NOT_STARTED)
    except KeyboardInterrupt:
        return generate.exit_with("Canceled.", CANCELED)
    return 0


def _written(file: Path) -> Stamp | None:
    """What tells one writing of the file from another; None if it isn't there."""
    try:
        return regular_stamp(file)
    except OSError:
        return None
