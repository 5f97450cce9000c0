"""A cut in a file: a line of JSON for the cut, for each track and for each clip.

Neither side reads or writes all of a film at once: Blender's window does a few lines at a time.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any

from .bounds import json_values
from .conversion import from_json, to_json
from .cut import Cut, CutClip, CutTrack, NestedCut, has_sane_form, is_sane_clip
from .errors import INVALID_PARAMS, ProtocolError

CUT, NESTED, TRACK, CLIP = "cut", "nested", "track", "clip"


def lines_of(cut: Cut) -> Iterator[str]:
    """The lines, each with its end."""
    yield _line(CUT, replace(cut, tracks=[], nested=[]))
    for nested in cut.nested:
        yield _line(NESTED, NestedCut())
        yield from _tracks(nested.tracks)
    if cut.nested:
        yield _line(NESTED, None)
    yield from _tracks(cut.tracks)


def _tracks(tracks: Iterable[CutTrack]) -> Iterator[str]:
    for track in tracks:
        yield _line(TRACK, replace(track, clips=[]))
        for clip in track.clips:
            yield _line(CLIP, clip)


def _line(key: str, value: Any) -> str:
    return json.dumps({key: to_json(value)}, allow_nan=False) + "\n"


def reading(lines: Iterable[str]) -> Generator[None, None, Cut]:
    """Returns the cut of the lines, and yields after each. Raises ProtocolError where they hold no sane cut."""
    cut: Cut | None = None
    top: list[CutTrack] = []
    nested: list[NestedCut] = []
    tracks = top
    for line in lines:
        key, value = _read(line)
        if cut is None:
            _expect(key == CUT, key)
            cut = from_json(Cut, value, CUT)
        elif key == NESTED:
            tracks = [] if value is not None else top
            nested += [NestedCut(tracks)] if value is not None else []
        elif key == TRACK:
            tracks.append(from_json(CutTrack, value, TRACK))
        else:
            _expect(key == CLIP and bool(tracks), key)
            clip = from_json(CutClip, value, CLIP)
            _expect(is_sane_clip(clip), CLIP)
            tracks[-1].clips.append(clip)
        yield
    _expect(cut is not None, CUT)
    assert cut is not None
    whole = replace(cut, nested=nested, tracks=top)
    _expect(has_sane_form(whole), CUT)
    return whole


def read(lines: Iterable[str]) -> Cut:
    """The cut of the lines, at once. Raises ProtocolError."""
    work = reading(lines)
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


def _read(line: str) -> tuple[str, Any]:
    try:
        found = json_values(line)
    except ValueError as error:
        raise ProtocolError(INVALID_PARAMS, f"{error}") from None
    _expect(isinstance(found, dict) and len(found) == 1, CUT)
    ((key, value),) = found.items()
    return key, value


def _expect(good: bool, where: str) -> None:
    if not good:
        raise ProtocolError(INVALID_PARAMS, f"{where}: not as a cut has it")
