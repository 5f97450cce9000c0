"""How a take of a strip was made, and the request with which it is made once more in the strip's place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy

from ...wan_backend.protocol.messages import MediaFormat, Origin, TakeRequest
from ..timeline import compat, identity, scene_format, strip_takes, untrusted
from . import folders, project, request


@dataclass(frozen=True)
class Again:
    """How a take is made anew, and how its first try was made."""

    made: TakeRequest
    asked: str
    """The Provenance as JSON."""


def again_of(strip: compat.Strip, job_id: str) -> Again | None:
    """What one of the strip's takes was asked for, with what is known of the strips that it was made from.

    Of a take that was made larger, it is what the take was asked for that it was made from, which the strip keeps. None
    if that can't be read.
    """
    text = strip_takes.request_text(strip, job_id)
    made = untrusted.request(text) if text else None
    if made is not None and made.finish is not None:
        job_id = made.finish.base
        text = strip_takes.request_text(strip, job_id)
        made = untrusted.request(text) if text else None
        if made is not None and made.finish is not None:  # none of ours
            return None
    return Again(made, strip_takes.provenance_text(strip, job_id)) if made is not None else None


def in_place(scene: bpy.types.Scene, strip: compat.Strip, made: TakeRequest) -> TakeRequest:
    """The request for a take that comes onto the strip, as long as the one that was made."""
    return replace(
        made,
        frame_rate=scene_format.rate_of(scene),
        media_format=_format_played(strip, made.media_format),
        media_folder=request.media_folder(folders.preferences()),
        origin=Origin(project.path(), project.id_to_be(), scene.name_full, strip.channel, first_frame(strip)),
    )


def first_frame(strip: compat.Strip) -> int:
    """The frame of the scene on which the take's first frame falls."""
    if identity.role_of(strip) == identity.PLACEHOLDER_ROLE:
        return compat.start(strip) - identity.offset_frames(strip)
    return compat.content_start(strip) + strip_takes.shown_handle(strip)


def _format_played(strip: compat.Strip, asked: MediaFormat) -> MediaFormat:
    """The file format that the strip can show in place: pictures, or a movie."""
    if strip.type == "IMAGE":
        return MediaFormat.PNG
    if strip.type == "MOVIE" and asked is MediaFormat.PNG:
        return MediaFormat.H264 if str(strip.filepath).endswith(".mp4") else MediaFormat.FFV1
    return asked
