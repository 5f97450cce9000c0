"""How many handle frames a take gets at each end, so that an editor can slip and dissolve it; and the words for that.

Where the take joins a neighbor, its handle is the neighbor's own frames, as far as they are among the sources. Where it
ends freely, the model makes some more frames, as many as its window has room for beside the take itself: a handle never
makes a take in more windows, and never leaves out a kept frame. A take that begins or ends on a given picture, or whose
frames follow others one by one, has none there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..catalogue.entries import ModelEntry
from ..protocol.messages import MAX_TAKE_FRAMES, Role, TakeRequest, Task
from ..protocol.sentences import NO_SENTENCE, Sentence
from .lengths import ClipLengths, choose_lengths

NO_ROOM = Sentence("the model has no room for more frames")
_ON_A_PICTURE = {
    Role.FIRST: Sentence("the take begins on the picture"),
    Role.LAST: Sentence("the take ends on the picture"),
}
_FOLLOWING = {
    Task.RESTYLE: Sentence("each frame of the take follows one of the footage"),
    Task.PREVIS: Sentence("each frame of the take follows one of the scene"),
    Task.EDIT: Sentence("each frame of the take follows one of the footage"),
}
_NEIGHBORS = (Role.BEFORE, Role.AFTER)
_PICTURES = (Role.FIRST, Role.LAST)


@dataclass(frozen=True)
class Handles:
    """The handle frames at the start and at the end of a take, at the scene's rate, and the clip that has them."""

    clip: ClipLengths
    before: int = 0
    after: int = 0
    note: Sentence = NO_SENTENCE


def choose_handles(request: TakeRequest, take_frames: int, scene_rate: Fraction, entry: ModelEntry) -> Handles:
    """The handles that `request` asks for, as far as there can be some, and why there are none where there can't."""
    clip = choose_lengths(request, take_frames, scene_rate, entry)
    wanted = min(request.handle_frames, (MAX_TAKE_FRAMES - take_frames) // 2)
    if request.handle_frames < 1:
        return Handles(clip)
    if request.task in _FOLLOWING:
        return Handles(clip, note=Sentence("Handles: none, as {reason}.", reason=_FOLLOWING[request.task]))
    free = [_is_free(request, end) for end in (0, 1)]
    made, longer = _made(request, take_frames, scene_rate, entry, clip, wanted, free)
    counts = [made if free[end] else _of_neighbor(request, end, wanted) for end in (0, 1)]
    return Handles(longer, counts[0], counts[1], _note(request, counts, free))


def _made(
    request: TakeRequest,
    take_frames: int,
    scene_rate: Fraction,
    entry: ModelEntry,
    clip: ClipLengths,
    wanted: int,
    free: list[bool],
) -> tuple[int, ClipLengths]:
    """How many more frames the model makes at each free end, and the clip with them."""
    for frames in range(wanted if any(free) else 0, 0, -1):
        lead, tail = (frames if is_free else 0 for is_free in free)
        longer = choose_lengths(request, take_frames, scene_rate, entry, lead, tail)
        kept_as_many = longer.kept_before >= clip.kept_before and longer.kept_after >= clip.kept_after
        if longer.model_frames <= entry.max_frames and kept_as_many:
            return frames, longer
    return 0, clip


def _is_free(request: TakeRequest, end: int) -> bool:
    """Whether nothing is given at that end of the take: 0 is its start, 1 its end."""
    return request.source(_NEIGHBORS[end]) is None and request.source(_PICTURES[end]) is None


def _of_neighbor(request: TakeRequest, end: int, wanted: int) -> int:
    neighbor = request.source(_NEIGHBORS[end])
    return 0 if neighbor is None else min(wanted, neighbor.frames)


def _note(request: TakeRequest, counts: list[int], free: list[bool]) -> Sentence:
    before, after = counts
    if before and before == after:
        if before < request.handle_frames and all(free):
            return Sentence("Handles: {frames} at each end, as {reason}.", frames=_frames(before), reason=NO_ROOM)
        return Sentence("Handles: {frames} at each end.", frames=_frames(before))
    if before and after:
        return Sentence(
            "Handles: {before} at the start, {after} at the end.", before=_frames(before), after=_frames(after)
        )
    why = [_why_none(request, end) for end in (0, 1)]
    if after:
        return Sentence(
            "Handles: {frames} at the end; none at the start, as {reason}.", frames=_frames(after), reason=why[0]
        )
    if before:
        return Sentence(
            "Handles: {frames} at the start; none at the end, as {reason}.", frames=_frames(before), reason=why[1]
        )
    if why[0] == why[1]:
        return Sentence("Handles: none, as {reason}.", reason=why[0])
    return Sentence("Handles: none, as {first}, and {second}.", first=why[0], second=why[1])


def _why_none(request: TakeRequest, end: int) -> Sentence:
    return _ON_A_PICTURE[_PICTURES[end]] if request.source(_PICTURES[end]) is not None else NO_ROOM


def _frames(count: int) -> Sentence:
    return Sentence("1 frame") if count == 1 else Sentence("{count} frames", count=count)
