"""Movies in the place of a cut's picture sequences, for programs that read no sequences."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from ..frames import marks, movie_copy
from ..frames.unreadable_source import UnreadableSource
from ..protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutTrack
from ..protocol.media import SETTINGS_FILE
from ..protocol.plain_names import is_name
from ..storage import folder_trees, whole_file
from .writing import is_sequence

SECONDS = 420.0
"""So long movies are made for one file; what is left stays pictures."""


@dataclass
class Movies:
    """Makes a movie of each sequence in a new folder, once, however many clips play it."""

    folder: Path
    rate: Fraction
    left: int = 0
    """Sequences that stay pictures: of odd or several sizes, damaged, or there was no time."""
    _made: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def of(self, cut: Cut) -> Cut:
        """The cut with movies, as far as they could be made."""
        nested = [replace(each, tracks=self._tracks(each.tracks)) for each in cut.nested]
        return replace(cut, tracks=self._tracks(cut.tracks), nested=nested)

    def _tracks(self, tracks: list[CutTrack]) -> list[CutTrack]:
        return [replace(track, clips=list(map(self._clip, track.clips))) for track in tracks]

    def _clip(self, clip: CutClip) -> CutClip:
        return replace(clip, media=list(map(self._media, clip.media)))

    def _media(self, media: ClipMedia) -> ClipMedia:
        if media.kind is not ClipMediaKind.PICTURES or not is_sequence(media):
            return media
        key = media.folder, media.files[0], len(media.files)
        if key not in self._made:
            self._made[key] = self._movie(media)
            self.left += not self._made[key]
        name = self._made[key]
        if not name:
            return media
        return replace(
            media, kind=ClipMediaKind.FILE, folder=str(self.folder), files=[name], frames=len(media.files), rate=0.0
        )

    def _movie(self, media: ClipMedia) -> str:
        """The name of the new movie; empty if there is none."""
        if time.monotonic() > self._until:
            return ""
        name = self._free_name(os.path.basename(media.folder.rstrip("/\\")))
        pictures = [Path(media.folder, each) for each in media.files]
        folder_trees.make(self.folder)
        try:
            movie_copy.write(pictures, self.folder / name, self.rate, _marks_of(media))
        except (OSError, ValueError, UnreadableSource):
            (self.folder / name).unlink(missing_ok=True)
            return ""
        return name

    def _free_name(self, stem: str) -> str:
        stem = stem if is_name(stem, windows=True) else "movie"
        numbered = (f"{stem}-{number}.mp4" for number in range(2, len(self._names) + 3))
        name = f"{stem}.mp4"
        name = name if name.lower() not in self._names else next(n for n in numbered if n.lower() not in self._names)
        self._names.add(name.lower())
        return name


def _marks_of(media: ClipMedia) -> marks.Marks | None:
    """What the pictures say of how they came to be: the movie says it, too."""
    mark = marks.mark_of(Path(media.folder, media.files[0]))
    if mark is None or not mark.digital_source_type:
        return None
    try:
        model = whole_file.read_json(Path(media.folder, SETTINGS_FILE))["request"]["model"]
    except (OSError, ValueError, LookupError, TypeError):
        model = ""
    return marks.Marks(mark.digital_source_type, model if isinstance(model, str) else "", marks.PROGRAM)
