"""The takes that a strip keeps: all that were made for its place, of which it shows one, and those being made for it.

They are custom properties of the strip, so that undo, copies, splits and linked scenes carry them along. What a .blend
holds there may have been written by anybody: whatever is not as this module writes it is left out. Nothing asks the
disk but `show`, since panels and the timeline ask for the takes of strips at every redraw.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.media import MOVIE_FILES, frame_file
from ...wan_backend.protocol.plain_names import is_encodable, is_folder, is_id, is_name
from ...wan_backend.protocol.takes import MAX_TAKE_FRAMES
from . import compat, identity, path_rules, provenance, strip_media, swap_media, take_strips, untrusted

TAKES = "wan_vse_takes"
"""The takes as JSON, newest first. The folder of one is a plain name if it lies beside the one that is shown: Blender
itself keeps the path of that one right when the file is saved elsewhere."""
MADE = "wan_vse_made"
"""By take, as JSON, what identity.REQUEST, identity.TAKE and provenance.PROPERTY hold while it is shown."""
PENDING = "wan_vse_pending"
"""The takes that are being made for the strip, as JSON, in the order in which they were asked for."""

MAX_TAKES = 1000
MAX_PENDING = 64
MAX_NOTE_CHARACTERS = 1000
STAR, REJECT = "star", "reject"
MARKS = ("", STAR, REJECT)
_KEPT_TEXTS = 1 << 13
"""As many properties stay parsed: those of several thousand strips are asked for at a time, again and again."""
_FIRST_FILES = frozenset((frame_file(0), *MOVIE_FILES.values()))


@dataclass(frozen=True)
class KeptTake:
    """One take of a strip."""

    job_id: str
    folder: str
    """An absolute path."""
    first_file: str
    """The name of its first picture, or of its movie."""
    frames: int
    is_movie: bool
    mark: str = ""
    """STAR, REJECT or nothing."""
    note: str = ""
    handle_before: int = 0
    """How many of its first frames are handle frames."""
    handle_after: int = 0
    """How many of its last frames are."""

    def files(self) -> take_strips.TakeFiles:
        """The take as strips play it."""
        names = (self.first_file,) if self.is_movie else tuple(map(frame_file, range(self.frames)))
        handles = self.handle_before, self.handle_after
        return take_strips.TakeFiles(self.folder, names, self.frames, self.is_movie, *handles)


@dataclass(frozen=True)
class Made:
    """How a take was made, as a strip keeps it; empty where that isn't known."""

    request: str = ""
    """The TakeRequest as JSON."""
    take: str = ""
    """The Take as JSON."""
    asked: str = ""
    """The Provenance as JSON."""


@dataclass(frozen=True)
class Asked:
    """A take that is being made for a strip."""

    job_id: str
    shown: str = ""
    """The job whose take the strip showed when this one was asked for."""
    request: str = ""
    """The TakeRequest as JSON."""
    asked: str = ""
    """The Provenance as JSON."""


@dataclass(frozen=True)
class Badge:
    """What the timeline shows of a strip's takes."""

    number: int
    """Which of the takes is shown, 1 for the oldest."""
    count: int
    mark: str = ""
    """That of the shown take."""
    pending: tuple[str, ...] = ()
    """The jobs whose takes are being made for the strip."""
    is_gone: bool = False
    """Whether files of the shown take are gone."""
    is_stale: bool = False
    """Whether sources of the shown take have changed."""


def badge_of(strip: compat.Strip, shown_job: str) -> Badge | None:
    """The badge of a strip that shows that job's take; None for one with a single take and nothing to say of it.

    It is as cheap as a walk over thousands of strips needs it: no path is looked at.
    """
    text, waiting = untrusted.text_in(strip, TAKES), untrusted.text_in(strip, PENDING)
    return _badge_in(text, waiting, shown_job) if text or waiting else None


@lru_cache(maxsize=_KEPT_TEXTS)
def _badge_in(text: str, waiting: str, shown_job: str) -> Badge | None:
    takes = _takes_in(text)
    index = next((index for index, take in enumerate(takes) if take.job_id == shown_job), None)
    count = max(1, len(takes) + (index is None))
    mark = "" if index is None else takes[index].mark
    asked = tuple(each.job_id for each in _asked_in(waiting))
    if count == 1 and not mark and not asked:
        return None
    return Badge(count - (index or 0), count, mark, asked)


def takes_of(strip: compat.Strip) -> tuple[KeptTake, ...]:
    """The takes of a strip, newest first, with the one that is shown; none for a strip that shows no take of ours."""
    shown_job = _shown_job(strip)
    if not shown_job:
        return ()
    played = _played_folder(strip)
    takes, has_shown = _takes_at(untrusted.text_in(strip, TAKES), shown_job, played)
    return takes if has_shown else (_shown_take(strip, shown_job, played), *takes)


def _shown_job(strip: compat.Strip) -> str:
    """The job of the take that a strip shows; empty for a strip that shows none of ours."""
    if identity.role_of(strip) != identity.TAKE_ROLE or strip.type not in ("IMAGE", "MOVIE"):
        return ""
    return untrusted.id_in(strip, identity.JOB)


@lru_cache(maxsize=_KEPT_TEXTS)
def _takes_at(text: str, shown_job: str, played: str) -> tuple[tuple[KeptTake, ...], bool]:
    """The takes in a property with absolute folders, and whether the shown one, which lies in `played`, is there."""
    beside = os.path.dirname(played)
    takes = tuple(_at(take, beside, played if take.job_id == shown_job else "") for take in _takes_in(text))
    return takes, any(take.job_id == shown_job for take in takes)


def shown_index(strip: compat.Strip) -> int | None:
    """Which of `takes_of` the strip shows; None if it shows none of ours."""
    shown_job = _shown_job(strip)
    if not shown_job:
        return None
    kept = _takes_in(untrusted.text_in(strip, TAKES))  # one that isn't among them is put before them
    return next((index for index, take in enumerate(kept) if take.job_id == shown_job), 0)


def remember(strip: compat.Strip, take: KeptTake, made: Made | None = None) -> None:
    """Add a take as the newest. One that the strip has already keeps its place, mark and note."""
    takes = list(takes_of(strip))
    index = next((index for index, kept in enumerate(takes) if kept.job_id == take.job_id), None)
    if index is None:
        takes.insert(0, take)
    else:
        takes[index] = replace(take, mark=takes[index].mark, note=takes[index].note)
    _write_takes(strip, takes)
    if made is not None:
        _remember_made(strip, take.job_id, made)


def set_takes(strip: compat.Strip, takes: Sequence[KeptTake]) -> None:
    """Let these be all takes of the strip, newest first; the one that it shows is among them."""
    _write_takes(strip, takes)


def forget(strip: compat.Strip, job_id: str) -> None:
    """Let the strip no longer keep a take that it doesn't show. Its files stay."""
    if job_id != untrusted.id_in(strip, identity.JOB):
        _write_takes(strip, [take for take in takes_of(strip) if take.job_id != job_id])


def made_of(strip: compat.Strip, job_id: str) -> Made:
    """How a take of the strip was made, as far as the strip knows; its take.json may know as well."""
    if job_id == untrusted.id_in(strip, identity.JOB):
        return _made_of_shown(strip)
    return _made_in(untrusted.text_in(strip, MADE)).get(job_id, Made())


def show(scene: bpy.types.Scene, strip: compat.Strip, job_id: str) -> str:
    """Let the strip show another of its takes, and be otherwise as it was; returns why it can't.

    A take with fewer frames than the strip covers holds its last picture, see `held_frames`.
    """
    shown_job = untrusted.id_in(strip, identity.JOB)
    takes = takes_of(strip)
    take = next((kept for kept in takes if kept.job_id == job_id), None)
    refusal = _refusal(scene, strip, take)
    if refusal or take is None or job_id == shown_job:
        return refusal
    made = made_of(strip, job_id)
    _remember_made(strip, shown_job, _made_of_shown(strip))
    earlier = take.handle_before - shown_handle(strip)
    swap_media.swap(scene, strip, take_strips.path_in_strip(take.folder), take.files().files, earlier)
    identity.show_take(strip, job_id, made.request, made.take)
    strip[provenance.PROPERTY] = made.asked
    _write_takes(strip, takes)  # again: which of them lie beside the shown one may have changed
    return ""


def held_frames(strip: compat.Strip, take: KeptTake) -> int:
    """In how many of the strip's last frames the take's last picture would be held, since the take has fewer frames."""
    if compat.has_retiming_keys(strip):
        return 0
    return max(0, compat.end_exclusive(strip) - (_begins(strip, take) + take.frames))


def held_before(strip: compat.Strip, take: KeptTake) -> int:
    """In how many of the strip's first frames the take's first picture would be held, as it has no handle there."""
    return 0 if compat.has_retiming_keys(strip) else max(0, _begins(strip, take) - compat.start(strip))


def _begins(strip: compat.Strip, take: KeptTake) -> int:
    """The frame on which the take's media would begin in the strip."""
    return compat.content_start(strip) + shown_handle(strip) - take.handle_before


def shown_handle(strip: compat.Strip) -> int:
    """How many frames of its media come before the first frame of the take that is none of its handle."""
    takes, index = takes_of(strip), shown_index(strip)
    if index is None:
        return 0
    take = takes[index]
    if strip.type == "IMAGE" and swap_media.keeps_length(strip):  # its list is as long as that of an earlier take
        names, first = [element.filename for element in strip.elements], frame_file(take.handle_before)
        return next((number for number in reversed(range(len(names))) if names[number] == first), 0)
    return take.handle_before


def set_mark(strip: compat.Strip, job_id: str, mark: str) -> None:
    """Mark a take of the strip with STAR or REJECT, or with nothing."""
    if mark not in MARKS:
        raise ValueError(f"{mark!r} is no mark")
    _write_takes(strip, [replace(take, mark=mark) if take.job_id == job_id else take for take in takes_of(strip)])


def set_note(strip: compat.Strip, job_id: str, note: str) -> None:
    """Keep a person's words about a take of the strip."""
    kept = " ".join(note.split())[:MAX_NOTE_CHARACTERS].encode("utf-8", "ignore").decode()
    _write_takes(strip, [replace(take, note=kept) if take.job_id == job_id else take for take in takes_of(strip)])


def set_folders(strip: compat.Strip, moved: dict[str, str]) -> None:
    """Let the takes in these folders (absolute paths) be found in others, to which their files were moved or copied."""
    takes = takes_of(strip)
    if untrusted.text_in(strip, TAKES) and any(take.folder in moved for take in takes):
        _write_takes(strip, [replace(take, folder=moved.get(take.folder, take.folder)) for take in takes])


def follow(strip: compat.Strip, moved: dict[str, str]) -> None:
    """As `set_folders`, and let the strip play the shown take from its new folder as well."""
    target = moved.get(_played_folder(strip)) if strip.type in ("IMAGE", "MOVIE") else None
    if target is None:
        set_folders(strip, moved)
        return
    takes = takes_of(strip)  # before: the takes that stay were beside the shown one, which is elsewhere afterwards
    strip_media.set_played_folder(strip, take_strips.path_in_strip(target))
    if untrusted.text_in(strip, TAKES):
        _write_takes(strip, [replace(take, folder=moved.get(take.folder, take.folder)) for take in takes])


def pending(strip: compat.Strip) -> tuple[str, ...]:
    """The jobs whose takes are being made for the strip, in the order in which they were asked for."""
    return tuple(asked.job_id for asked in asked_for(strip))


def asked_for(strip: compat.Strip) -> tuple[Asked, ...]:
    """The takes that are being made for the strip, in the order in which they were asked for."""
    text = untrusted.text_in(strip, PENDING)
    return _asked_in(text) if text else ()


def jobs_on(strip: compat.Strip) -> tuple[str, ...]:
    """Every job that the strip keeps a take of or waits for; its own first. Quick enough for thousands of strips."""
    own = (untrusted.id_in(strip, identity.JOB),)
    text, waiting = untrusted.text_in(strip, TAKES), untrusted.text_in(strip, PENDING)
    return own + _jobs_in(text, waiting) if text or waiting else own


@lru_cache(maxsize=_KEPT_TEXTS)
def _jobs_in(text: str, waiting: str) -> tuple[str, ...]:
    kept = tuple(take.job_id for take in _takes_in(text))
    return kept + tuple(asked.job_id for asked in _asked_in(waiting))


def request_text(strip: compat.Strip, job_id: str) -> str:
    """What the strip keeps of a job's request, whether it shows, keeps or waits for the job's take; else empty."""
    asked = next((each for each in asked_for(strip) if each.job_id == job_id), None)
    return asked.request if asked is not None else made_of(strip, job_id).request


def provenance_text(strip: compat.Strip, job_id: str) -> str:
    """What the strip keeps of the strips that a job's take is made from; else empty."""
    asked = next((each for each in asked_for(strip) if each.job_id == job_id), None)
    return asked.asked if asked is not None else made_of(strip, job_id).asked


def set_provenance(strip: compat.Strip, job_id: str, text: str) -> None:
    """Let a strip that stands for the job, or waits for its take, know this of the strips that it is made from."""
    if job_id == untrusted.id_in(strip, identity.JOB):
        strip[provenance.PROPERTY] = text
    elif job_id in pending(strip):
        set_asked(strip, [replace(each, asked=text) if each.job_id == job_id else each for each in asked_for(strip)])


def asked_besides(strip: compat.Strip, job_id: str) -> list[Asked]:
    """What a placeholder or a take strip waits for besides that job; a placeholder's own job comes first."""
    others = [each for each in asked_for(strip) if each.job_id != job_id]
    own = untrusted.id_in(strip, identity.JOB)
    if identity.role_of(strip) == identity.PLACEHOLDER_ROLE and own != job_id:
        made = made_of(strip, own)
        others.insert(0, Asked(own, "", made.request, made.asked))
    return others


def lead_with(strip: compat.Strip, job_id: str) -> None:
    """Let a placeholder stand for another of the jobs that it waits for; its own job goes behind the others."""
    asked = next((each for each in asked_for(strip) if each.job_id == job_id), None)
    if asked is None:
        return
    first, *others = asked_besides(strip, job_id)
    strip[identity.JOB], strip[identity.REQUEST] = job_id, asked.request
    if asked.asked:
        strip[provenance.PROPERTY] = asked.asked
    set_asked(strip, [*others, first])


def set_pending(strip: compat.Strip, job_ids: Iterable[str]) -> None:
    """Let these jobs be all whose takes are being made for the strip. What is known of each one stays."""
    known = {asked.job_id: asked for asked in asked_for(strip)}
    set_asked(strip, [known.get(job_id, Asked(job_id)) for job_id in job_ids])


def set_asked(strip: compat.Strip, asked: Sequence[Asked]) -> None:
    """Let these be all takes that are being made for the strip. `waiting_refusal` is asked before."""
    if asked:
        strip[PENDING] = json.dumps([asdict(each) for each in asked[:MAX_PENDING]])
    elif strip.get(PENDING) is not None:
        del strip[PENDING]


def waiting_refusal(strip: compat.Strip) -> str:
    """Why the strip can't wait for one more take; empty if it can."""
    count = len(asked_for(strip))
    if count < MAX_PENDING and len(untrusted.text_in(strip, PENDING)) < bounds.MAX_JSON_CHARACTERS // 2:
        return ""
    words = "'{}' waits for {} takes already: wait for some of them, or cancel them."
    return iface_(words).format(strip.name, count)


def _refusal(scene: bpy.types.Scene, strip: compat.Strip, take: KeptTake | None) -> str:
    if take is None:
        return iface_("The strip doesn't have this take.")
    if scene.library is not None:
        return iface_("The strip's scene is linked from another file: show another take in that file.")
    if take.is_movie != (strip.type == "MOVIE"):
        if take.is_movie:
            return iface_("The take is a movie, and the strip plays pictures: put the take beside it.")
        return iface_("The take is in pictures, and the strip plays a movie: put the take beside it.")
    if take.is_movie and compat.has_retiming_keys(strip) and not _fits_retiming(strip, take):
        return iface_("The strip is retimed, and the take has {} frames, not {}: clear the retiming first.").format(
            take.frames, _movie_frames(strip)
        )
    return take_strips.missing_refusal(take.files())


def _fits_retiming(strip: compat.Strip, take: KeptTake) -> bool:
    """Whether a movie has each frame where the retimed one has it."""
    return take.frames == _movie_frames(strip) and take.handle_before == shown_handle(strip)


def _movie_frames(strip: compat.Strip) -> int:
    return compat.content_frames(strip) + sum(compat.trims(strip))


def _made_of_shown(strip: compat.Strip) -> Made:
    return Made(*(untrusted.text_in(strip, key) for key in (identity.REQUEST, identity.TAKE, provenance.PROPERTY)))


def _remember_made(strip: compat.Strip, job_id: str, made: Made) -> None:
    if not made.request and not made.take:
        return
    known = dict(_made_in(untrusted.text_in(strip, MADE)))
    known.pop(job_id, None)
    known[job_id] = made  # those at the front are forgotten first, where there is no room: their take.json knows
    text = _json_of_made(known)
    while len(text) > bounds.MAX_JSON_CHARACTERS and len(known) > 1:
        del known[next(iter(known))]
        text = _json_of_made(known)
    strip[MADE] = text


def _json_of_made(known: dict[str, Made]) -> str:
    return json.dumps({job_id: asdict(made) for job_id, made in known.items()})


def _write_takes(strip: compat.Strip, takes: Sequence[KeptTake]) -> None:
    beside, shown_job = os.path.dirname(_played_folder(strip)), untrusted.id_in(strip, identity.JOB)
    most = MAX_TAKES
    text = json.dumps([_entry(take, beside) for take in _few(takes, shown_job, most)])
    while len(text) > bounds.MAX_JSON_CHARACTERS:  # as with many long notes: what is longer would not be read again
        most = min(most, len(takes)) * 9 // 10
        text = json.dumps([_entry(take, beside) for take in _few(takes, shown_job, most)])
    strip[TAKES] = text


def _few(takes: Sequence[KeptTake], shown_job: str, most: int) -> list[KeptTake]:
    """At most that many of them: the oldest go that are neither shown nor starred nor noted."""
    too_many, kept = len(takes) - most, []
    for take in reversed(takes):
        if too_many > 0 and take.job_id != shown_job and take.mark != STAR and not take.note:
            too_many -= 1
        else:
            kept.append(take)
    return kept[::-1][:most]


def _entry(take: KeptTake, beside: str) -> dict[str, Any]:
    parent, name = os.path.split(take.folder)
    folder = name if path_rules.are_same(parent, beside) and is_name(name) else take.folder
    entry: dict[str, Any] = {"job": take.job_id, "folder": folder, "first_file": take.first_file}
    entry |= {"frames": take.frames, "movie": take.is_movie, "mark": take.mark, "note": take.note}
    handles = take.handle_before, take.handle_after
    return {**entry, "handles": handles} if any(handles) else entry


def _at(take: KeptTake, beside: str, played: str) -> KeptTake:
    """The take with an absolute folder: `played` if that is known, else beside the one that is shown."""
    if played:
        return take if take.folder == played else replace(take, folder=played)
    return take if os.path.isabs(take.folder) else replace(take, folder=os.path.join(beside, take.folder))


def _played_folder(strip: compat.Strip) -> str:
    path = strip.directory if strip.type == "IMAGE" else os.path.dirname(strip.filepath)
    return os.path.normpath(bpy.path.abspath(path, library=strip.id_data.library))


def _shown_take(strip: compat.Strip, job_id: str, played: str) -> KeptTake:
    """The take that the strip shows, by what it plays."""
    is_movie = strip.type == "MOVIE"
    frames = max(1, _movie_frames(strip) if is_movie else len(strip.elements))
    made = untrusted.take(untrusted.text_in(strip, identity.TAKE))
    handles = (made.handle_before, made.handle_after) if made is not None and made.frames == frames else (0, 0)
    if is_movie:
        return KeptTake(job_id, played, bpy.path.basename(strip.filepath), frames, True, "", "", *handles)
    first = strip.elements[0].filename if len(strip.elements) else frame_file(0)
    return KeptTake(job_id, played, first, frames, False, "", "", *handles)


@lru_cache(maxsize=_KEPT_TEXTS)
def _takes_in(text: str) -> tuple[KeptTake, ...]:
    """The takes in a property, with their folders as it has them; without those that can't have been written here."""
    takes: dict[str, KeptTake] = {}
    for entry in _list_in(text)[:MAX_TAKES]:
        take = _take(entry)
        if take is not None:
            takes.setdefault(take.job_id, take)
    return tuple(takes.values())


def _take(entry: Any) -> KeptTake | None:
    if not isinstance(entry, dict):
        return None
    job_id, folder, first, frames, movie = (entry.get(k) for k in ("job", "folder", "first_file", "frames", "movie"))
    whole = isinstance(frames, int) and not isinstance(frames, bool) and 1 <= frames <= MAX_TAKE_FRAMES
    if not (is_id(job_id) and (is_name(folder) or is_folder(folder)) and whole):
        return None
    if not isinstance(first, str) or first not in _FIRST_FILES or movie is not (first != frame_file(0)):
        return None
    mark, note = entry.get("mark"), entry.get("note")
    has_note = isinstance(note, str) and len(note) <= MAX_NOTE_CHARACTERS and "\0" not in note
    has_note = has_note and is_encodable(note, "strict")  # half a character can't be drawn
    marked = mark if mark in MARKS else "", note if has_note else ""
    return KeptTake(job_id, folder, first, frames, movie, *marked, *_handles(entry.get("handles"), frames))


def _handles(values: Any, frames: int) -> tuple[int, int]:
    """The handle frames in an entry; none if such a take can't have them."""
    if not isinstance(values, list) or len(values) != 2 or not all(map(untrusted.is_frame, values)):
        return 0, 0
    before, after = values
    return (before, after) if bounds.are_sane_handles(before, after, frames) else (0, 0)


@lru_cache(maxsize=64)
def _made_in(text: str) -> dict[str, Made]:
    """By job, what a property holds of how takes were made. It is not to be changed."""
    try:
        values = bounds.parsed(text) if text else {}
    except ValueError:
        return {}
    entries = list(values.items())[-MAX_TAKES:] if isinstance(values, dict) else []
    return {
        job_id: Made(*(_text(entry.get(key)) for key in ("request", "take", "asked")))
        for job_id, entry in entries
        if is_id(job_id) and isinstance(entry, dict)
    }


@lru_cache(maxsize=1024)
def _asked_in(text: str) -> tuple[Asked, ...]:
    asked: dict[str, Asked] = {}
    for entry in _list_in(text)[:MAX_PENDING]:
        if isinstance(entry, dict) and is_id(entry.get("job_id")):
            shown = entry.get("shown") if is_id(entry.get("shown")) else ""
            each = Asked(entry["job_id"], shown, _text(entry.get("request")), _text(entry.get("asked")))
            asked.setdefault(each.job_id, each)
    return tuple(asked.values())


def _list_in(text: str) -> list[Any]:
    try:
        values = bounds.parsed(text) if text else []
    except ValueError:
        return []
    return values if isinstance(values, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
