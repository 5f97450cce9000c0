"""Puts the camera that the Blender in the background wrote down into the request, in the place of its source."""

from __future__ import annotations

import os
from dataclasses import replace

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.messages import CAMERA_NUMBERS, MAX_CAMERA_FRAMES, CameraMove, Role, TakeRequest
from .request import Refused

MAX_BYTES = 40 * MAX_CAMERA_FRAMES * CAMERA_NUMBERS
UNREADABLE = "The camera of the scene strip could not be written down: press Retry."


def is_waited_for(request: TakeRequest) -> bool:
    """Whether the camera of the take is still to be written down."""
    return request.source(Role.CAMERA) is not None


def with_numbers(request: TakeRequest) -> TakeRequest:
    """The request with the camera's numbers, read from its source; the same if it has none. Raises Refused."""
    source = request.source(Role.CAMERA)
    if source is None:
        return request
    move = request.camera or CameraMove()
    try:
        with open(os.path.join(source.folder, source.files[0]), "rb") as file:
            values = bounds.json_values(file.read(MAX_BYTES))["numbers"]
        numbers = [float(number) for number in values]
    except (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError):
        raise Refused(UNREADABLE) from None
    if len(numbers) != CAMERA_NUMBERS * request.length_frames:
        raise Refused(UNREADABLE)
    others = [each for each in request.sources if each.role is not Role.CAMERA]
    return replace(request, sources=others, camera=replace(move, numbers=numbers))
