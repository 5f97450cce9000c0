"""Checks that a request brings the sources that its task needs, and that their files can be used, as far as is known.

No file is opened. Files that are rendered for the take don't exist yet when it is planned, and are not looked for.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable

from ..catalogue.architecture import follows_camera
from ..protocol.messages import (
    MAX_REFERENCES,
    Fix,
    FixSetting,
    Framing,
    Problem,
    ProblemKind,
    Role,
    Source,
    TakeRequest,
    Task,
)
from ..protocol.plain_names import is_name
from ..protocol.sentences import Sentence

NEEDED = {
    Task.IMAGE_TO_VIDEO: (Role.FIRST,),
    Task.RESTYLE: (Role.FOOTAGE,),
    Task.EDIT: (Role.FOOTAGE,),
    Task.FILL_GAP: (Role.BEFORE, Role.AFTER),
    Task.PREVIS: (Role.DEPTH,),
}
"""Roles that each task needs; extend is not among them, since it needs one of two. A previs that follows a camera needs
none: what it follows are numbers."""
ABSENT = {
    Role.FIRST: Sentence("There is no first picture; select an image strip, or put the playhead on a strip."),
    Role.FOOTAGE: Sentence("There is nothing to restyle; select a strip, or a range of frames."),
    Role.BEFORE: Sentence("There is nothing before the gap; put the playhead between two strips."),
    Role.AFTER: Sentence("There is nothing after the gap; put the playhead between two strips."),
    Role.DEPTH: Sentence("There is no depth of the scene to follow; select a scene strip."),
}
NOTHING_TO_EDIT = Sentence("There is nothing to edit; select a strip, or a range of frames.")
SEVERAL = (Role.KEPT, Role.CLIP, Role.REFERENCE)
"""Roles of which there may be more than one source."""
MAX_CHECKED_FILES = 32
"""The number of files that are looked for in a long row of pictures."""


def check(request: TakeRequest, known_problem: Callable[[Source], Problem | None] = lambda _: None) -> Problem | None:
    """Why the request's sources can't be used; None if they can.

    `known_problem` is asked what an earlier look into a source's files showed.
    """
    roles = [source.role for source in request.sources if source.role not in SEVERAL]
    if len(set(roles)) != len(roles):
        return _bad(Sentence("Two sources of the take have the same role; select its strips again."))
    for role in () if follows_camera(request) else NEEDED.get(request.task, ()):
        if role not in roles:
            return _bad(NOTHING_TO_EDIT if request.task is Task.EDIT else ABSENT[role])
    if request.task is Task.EXTEND and (Role.BEFORE in roles) == (Role.AFTER in roles):
        return _bad(Sentence("A take extends one strip, at its end or at its beginning; select one strip."))
    problem = _reference_problem(request)
    if problem is not None:
        return problem
    for source in request.sources:
        problem = _source_problem(source, request)
        if problem is None and not source.rendered:
            problem = _file_problem(source) or known_problem(source)
        if problem is not None:
            return problem
    return None


def _reference_problem(request: TakeRequest) -> Problem | None:
    """Why the request's reference pictures can't be used together; None if they can."""
    count = len(request.references)
    if count and request.task is not Task.EDIT:
        return _bad(Sentence("Only an edit takes reference pictures; leave them out, or choose Edit."))
    if count > MAX_REFERENCES:
        return _bad(
            Sentence(
                "An edit takes at most {most} reference pictures, and {count} are selected; leave some out.",
                most=MAX_REFERENCES,
                count=count,
            )
        )
    several = next((each for each in request.references if each.frames > 1), None)
    if several is not None:
        return _bad(
            Sentence(
                "{what} has {count} frames, and a reference is one picture; choose one.",
                what=_what(several),
                count=several.frames,
            )
        )
    return None


def check_footage(request: TakeRequest, known_problem: Callable[[Source], Problem | None]) -> Problem | None:
    """Why the footage that is a request's only source can't be used, whatever the task; None if it can."""
    (source,) = request.sources
    return _source_problem(source, request) or _file_problem(source) or known_problem(source)


def _source_problem(source: Source, request: TakeRequest) -> Problem | None:
    """What is wrong with one source, or None."""
    what = _what(source)
    if source.frames < 1 or not source.files or source.first_frame < 0:
        return _bad(Sentence("{what} has no frames; choose another strip.", what=what))
    if not source.is_movie and source.frames != len(source.files):
        return _bad(
            Sentence(
                "There are {count} pictures from {what} on, not {frames}; select the strip again.",
                count=len(source.files),
                what=what,
                frames=source.frames,
            )
        )
    if source.role in (Role.FOOTAGE, Role.DEPTH) and source.frames != request.length_frames:
        fix = Fix(Sentence("Use {frames} frames", frames=source.frames), FixSetting.LENGTH_FRAMES, str(source.frames))
        sentence = Sentence(
            "{what} has {frames} frames here, but the take should have {wanted}; both must be the same.",
            what=what,
            frames=source.frames,
            wanted=request.length_frames,
        )
        return Problem(ProblemKind.BAD_SOURCE, sentence, [fix])
    if source.framing is not None and not _has_size(source.framing):
        return _bad(Sentence("No part of {what} is inside the frame; check its strip's scale and crop.", what=what))
    if source.pictures is not None and source.pictures.turn not in (0, 90, 180, 270):
        return _bad(
            Sentence(
                "{what} can't be turned by {turn} degrees; choose its strip again.",
                what=what,
                turn=source.pictures.turn,
            )
        )
    if not all(map(is_name, set(source.files))):
        return _bad(
            Sentence(
                "{what} is not the name of a file right in its folder; select the strip again.", what=f"{what[:100]!r}"
            )
        )
    if not source.folder or "\0" in source.folder or not os.path.isabs(source.folder):
        return _bad(Sentence("The folder of {what} is not known; save the file, or choose another strip.", what=what))
    return None


def _what(source: Source) -> str:
    """What a source is called by."""
    return source.files[0] if source.files else Sentence("a source")


def _file_problem(source: Source) -> Problem | None:
    """What the file system says against a source's files, or of some of them where they are many."""
    names = list(dict.fromkeys(source.files))
    step = math.ceil(len(names) / MAX_CHECKED_FILES)
    for name in dict.fromkeys([*names[::step], names[-1]]):
        file = os.path.join(source.folder, name)
        try:
            found = os.stat(file)
        except (OSError, ValueError) as error:
            return _bad(_why_not_found(file, error))
        if not stat.S_ISREG(found.st_mode):
            return _bad(
                Sentence("{file} is a folder, a pipe or a device, not a plain file; choose another strip.", file=file)
            )
        if not found.st_size:
            return _bad(
                Sentence("{file} is empty (0 bytes); export or copy it again, or choose another strip.", file=file)
            )
        if not os.access(file, os.R_OK):
            return _bad(
                Sentence(
                    "{file} can't be read: permission denied; change its permissions, or choose another strip.",
                    file=file,
                )
            )
    return None


def _why_not_found(file: str, error: OSError | ValueError) -> Sentence:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        return Sentence("{file} is no longer there; put it back, or choose another strip.", file=file)
    if isinstance(error, PermissionError):
        return Sentence(
            "{file} can't be read: permission denied; change its folder's permissions, or choose another strip.",
            file=file,
        )
    return Sentence(
        "{file} can't be reached ({reason}); check its disk or share, or choose another strip.",
        file=file,
        reason=error.strerror,
    )


def _has_size(framing: Framing) -> bool:
    sides = framing.canvas_width, framing.canvas_height, framing.width, framing.height
    places = framing.x, framing.y, framing.crop_left, framing.crop_top, framing.crop_right, framing.crop_bottom
    return all(math.isfinite(place) for place in (*sides, *places)) and min(sides) > 0


def _bad(sentence: Sentence) -> Problem:
    return Problem(ProblemKind.BAD_SOURCE, sentence)
