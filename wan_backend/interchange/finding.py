"""Where the media of a cut is on this machine: at its path, by its name beside the file, or in a folder to look in.

Files are only looked for; where several have one name, `media_search` chooses. A take is believed to be one where it
lies in the film's media folders, beside the file or in the folder to look in; elsewhere it is a clip like any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..frames import movie_length
from ..protocol.bounds import MAX_MOVIE_FRAMES
from ..protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutTrack
from ..protocol.plain_names import is_below, is_folder
from . import media_urls
from .endings import ALL
from .media_search import MAX_OPENED, Search
from .writing import first_used

BESIDE = ("", "media")


@dataclass
class Finder:
    """Finds media; `base` is the folder of the file, `media_folders` those of the film."""

    base: str
    media_folders: Sequence[str]
    search_folder: str = ""
    missing: int = 0
    """Clips whose media isn't here."""
    lost_takes: int = 0
    moved: int = 0
    """Clips whose media was found in the folder to look in."""
    _there: dict[str, frozenset[str]] = field(default_factory=dict)
    _rate: float = 24.0
    _search: Search | None = None
    _opened: int = 0

    def found(self, cut: Cut) -> Cut:
        """The cut with its media as it is here; what isn't here is missing."""
        self._rate = float(cut.frame_rate.exact())
        nested = [replace(each, tracks=self._tracks(each.tracks)) for each in cut.nested]
        return replace(cut, tracks=self._tracks(cut.tracks), nested=nested)

    def _tracks(self, tracks: list[CutTrack]) -> list[CutTrack]:
        return [replace(track, clips=[self._clip(clip) for clip in track.clips]) for track in tracks]

    def _clip(self, clip: CutClip) -> CutClip:
        looked = [self._media(media) for media in clip.media]
        shown = looked[clip.active]
        if shown.kind is ClipMediaKind.MISSING:
            self.missing += 1
        if clip.speed < 0 and shown.kind is ClipMediaKind.FILE and not shown.frames:
            shown, clip = self._measured(shown, clip)
            looked[clip.active] = shown
        kept = [each for each in looked if each is shown or each.kind is not ClipMediaKind.MISSING]
        self.lost_takes += len(looked) - len(kept)
        return replace(clip, media=kept, active=next(at for at, each in enumerate(kept) if each is shown))

    def _measured(self, media: ClipMedia, clip: CutClip) -> tuple[ClipMedia, CutClip]:
        """Media that plays backwards is counted from its end, which a file may leave unsaid: the movie is asked."""
        self._opened += 1
        file = os.path.join(media.folder, media.files[0])
        seconds = movie_length.seconds_of(Path(file)) if self._opened <= MAX_OPENED else None
        frames = round((seconds or 0.0) * (media.rate or self._rate))
        if not 0 < frames <= MAX_MOVIE_FRAMES:
            return media, replace(clip, media_start=0)
        starts = max(0, first_used(clip.media_start, clip.length, clip.speed, frames))
        return replace(media, frames=frames), replace(clip, media_start=starts)

    def _media(self, media: ClipMedia) -> ClipMedia:
        if media.kind not in (ClipMediaKind.FILE, ClipMediaKind.PICTURES):
            return media
        if all(name.lower().endswith(ALL) for name in set(media.files)):
            for folder in self._candidates(media.folder):
                if is_folder(folder) and self._has(folder, media.files):
                    return self._as_take(replace(media, folder=folder))
            for folder in self._searched(media):
                if self._has(folder, media.files):
                    self.moved += 1
                    return self._as_take(replace(media, folder=folder))
        name = media.name or media.files[0]
        return ClipMedia(ClipMediaKind.MISSING, name, frames=media.frames, rate=media.rate)

    def _searched(self, media: ClipMedia) -> list[str]:
        """Where it may be in the folder to look in."""
        if not self.search_folder:
            return []
        if self._search is None:
            self._search = Search(self.search_folder)
        return self._search.candidates(media, media_urls.split(media.folder.rstrip("/\\"))[1], self._rate)

    def _candidates(self, folder: str) -> Iterator[str]:
        if os.path.isabs(folder):
            yield folder
        last = media_urls.split(folder.rstrip("/\\"))[1]
        for beside in BESIDE:
            if last and last not in (".", ".."):
                yield os.path.join(self.base, beside, last) if beside else os.path.join(self.base, last)
            yield os.path.join(self.base, beside) if beside else self.base

    def _has(self, folder: str, names: list[str]) -> bool:
        """Whether the folder has all of these as plain files."""
        if len(names) == 1:
            return os.path.isfile(os.path.join(folder, names[0]))
        if folder not in self._there:
            try:
                with os.scandir(folder) as entries:
                    self._there[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError:
                self._there[folder] = frozenset()
        return self._there[folder].issuperset(names)

    def _places(self) -> list[str]:
        return [self.base, *self.media_folders, *([self.search_folder] if self.search_folder else [])]

    def _as_take(self, media: ClipMedia) -> ClipMedia:
        if not media.job_id or is_below(media.folder, self._places()):
            return media
        return replace(media, job_id="", mark="", note="")
