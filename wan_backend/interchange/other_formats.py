"""Cuts of programs that read no OpenTimelineIO: Final Cut Pro 7's XML, AAF and CMX 3600's EDL.

Each has a place for less. What it hasn't is taken out before and counted, so that no writer fails at it or drops it in
silence. Files from elsewhere are looked through before an adapter of OpenTimelineIO sees them, and what it makes of
them is read as any other timeline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import opentimelineio as otio

from ..protocol.cut import MAX_CUT_BYTES, Cut
from ..protocol.errors import Refusal
from ..protocol.messages import FrameRate, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import whole_file
from . import edit_list, final_cut, media_composer, writing
from .plain_cut import Plain

XML, AAF, EDL = ".xml", ".aaf", ".edl"
NAMES = {XML: "Final Cut Pro XML", AAF: "AAF", EDL: "EDL"}
ENDINGS = tuple(NAMES)
_ROOMS = {XML: final_cut.ROOM, AAF: media_composer.ROOM, EDL: edit_list.ROOM}
_ADAPTERS = {XML: final_cut.ADAPTER, AAF: media_composer.ADAPTER, EDL: edit_list.ADAPTER}
MAX_AAF_BYTES = 4 << 30
"""It may hold sounds."""
MAX_AAF_CLIPS = 8000
"""Each takes tens of milliseconds, and the process has minutes."""


def write(cut: Cut, file: Path, lost: list[Sentence]) -> None:
    """Write the cut as the file's ending says; `lost` gets what has no place there. Raises Refusal and OSError."""
    ending = file.suffix.lower()
    _check(ending)
    rate = float(cut.frame_rate.exact())
    if not otio.opentime.RationalTime.is_smpte_timecode_rate(rate):
        raise Refusal.of(
            ProblemKind.BAD_SOURCE,
            Sentence(
                "{format} has no timecode for {rate} frames a second: export .otio, or set 24, 25, 30 or another.",
                format=NAMES[ending],
                rate=f"{rate:.6g}",
            ),
        )
    plain = Plain(_ROOMS[ending])
    told = plain.cut(cut)
    clips = sum(len(track.clips) for track in told.all_tracks())
    if ending == AAF and clips > MAX_AAF_CLIPS:
        raise Refusal.of(
            ProblemKind.TOO_LARGE,
            Sentence("AAF takes too long for {count} clips: export .xml or .otio instead.", count=clips),
        )
    if not clips:
        raise Refusal.of(
            ProblemKind.BAD_SOURCE, Sentence("{format} has a place for nothing of this cut.", format=NAMES[ending])
        )
    try:
        _write(told, file, ending)
    except (otio.exceptions.OTIOError, ValueError, LookupError, TypeError, AttributeError) as error:
        words = " ".join(str(error).split())[:200]
        raise Refusal.of(
            ProblemKind.BAD_SOURCE,
            Sentence("The timeline can't be told as {format} ({error}).", format=NAMES[ending], error=words),
        ) from None
    counted = [Sentence("{what} ({count})", what=what, count=count) for what, count in plain.lost.items() if count]
    if counted:
        lost.append(
            Sentence("{format} has no place for: {parts}.", format=NAMES[ending], parts=Sentence.joined(counted, ", "))
        )


def _write(cut: Cut, file: Path, ending: str) -> None:
    if ending == EDL:
        whole_file.write(file, edit_list.text_of(cut).encode("utf-8"))
        return
    timeline = writing.timeline_of(cut)
    _strip_metadata(timeline)
    if ending == XML:
        final_cut.prepare(timeline)
        whole_file.write(file, final_cut.text_of(timeline).encode("utf-8"))
        return
    media_composer.prepare(timeline)
    partial = file.with_name(file.name + ".partial")
    try:
        media_composer.write(timeline, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def read(file: Path, frame_rate: FrameRate, lost: list[Sentence]) -> Any:
    """The timeline in a file of one of the endings; a list names no rate, so it has the given one.

    Raises Refusal, OSError, and what an adapter raises.
    """
    ending = file.suffix.lower()
    _check(ending)
    size = file.stat().st_size
    if size > (MAX_AAF_BYTES if ending == AAF else MAX_CUT_BYTES):
        raise Refusal.of(ProblemKind.TOO_LARGE, Sentence("{file} is too large to be a cut.", file=file.name))
    try:
        if ending == XML:
            found = final_cut.read(file.read_bytes(), lost)
        elif ending == EDL:
            rate = float(frame_rate.exact())
            found = edit_list.read(_text(file.read_bytes()), rate, lost)
            lost.append(Sentence("An EDL names no frame rate: it was read at the scene's, {rate}.", rate=f"{rate:.6g}"))
        else:
            found = media_composer.read(file)
    except (Refusal, OSError, MemoryError):
        raise
    except Exception as error:  # adapters fail at hostile files in whatever way, with assertions too
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise Refusal.of(
            ProblemKind.BAD_SOURCE,
            Sentence("{file} can't be read as {format} ({error}).", file=file.name, format=NAMES[ending], error=words),
        ) from error
    return found


def _check(ending: str) -> None:
    if _ADAPTERS[ending] not in otio.adapters.available_adapter_names():
        raise Refusal.of(
            ProblemKind.BAD_SOURCE,
            Sentence("The backend doesn't know {format} yet: set it up anew in the preferences.", format=NAMES[ending]),
        )


def _text(content: bytes) -> str:
    """A list's text: in UTF-8, or as Windows wrote it before."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _strip_metadata(timeline: Any) -> None:
    """Adapters take metadata for their own."""
    waiting = [timeline]
    while waiting:
        each = waiting.pop()
        each.metadata.clear()
        if isinstance(each, otio.schema.Timeline):
            waiting.append(each.tracks)
        elif isinstance(each, otio.schema.Stack | otio.schema.Track):
            waiting += [*each, *each.markers]
        elif isinstance(each, otio.schema.Clip):
            waiting += list(each.media_references().values())
