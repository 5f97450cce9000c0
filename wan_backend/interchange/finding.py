"""Where the media of a cut is on this machine: at its path, else by its name beside the file that names it.

Files are only looked for, never opened. A take is believed to be one where it lies in the film's media folders or
beside the file; elsewhere it is a clip like any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutTrack
from ..protocol.plain_names import is_below, is_folder
from . import media_urls
from .endings import ALL

BESIDE = ("", "media")


@dataclass
class Finder:
    """Finds media; `base` is the folder of the file, `media_folders` those of the film."""

    base: str
    media_folders: Sequence[str]
    missing: int = 0
    """Clips whose media isn't here."""
    lost_takes: int = 0
    _there: dict[str, frozenset[str]] = field(default_factory=dict)

    def found(self, cut: Cut) -> Cut:
        """The cut with its media as it is here; what isn't here is missing."""
        nested = [replace(each, tracks=self._tracks(each.tracks)) for each in cut.nested]
        return replace(cut, tracks=self._tracks(cut.tracks), nested=nested)

    def _tracks(self, tracks: list[CutTrack]) -> list[CutTrack]:
        return [replace(track, clips=[self._clip(clip) for clip in track.clips]) for track in tracks]

    def _clip(self, clip: CutClip) -> CutClip:
        looked = [self._media(media) for media in clip.media]
        shown = looked[clip.active]
        if shown.kind is ClipMediaKind.MISSING:
            self.missing += 1
        kept = [each for each in looked if each is shown or each.kind is not ClipMediaKind.MISSING]
        self.lost_takes += len(looked) - len(kept)
        return replace(clip, media=kept, active=next(at for at, each in enumerate(kept) if each is shown))

    def _media(self, media: ClipMedia) -> ClipMedia:
        if media.kind not in (ClipMediaKind.FILE, ClipMediaKind.PICTURES):
            return media
        if all(name.lower().endswith(ALL) for name in set(media.files)):
            for folder in self._candidates(media.folder):
                if is_folder(folder) and self._has(folder, media.files):
                    return self._as_take(replace(media, folder=folder))
        name = media.name or media.files[0]
        return ClipMedia(ClipMediaKind.MISSING, name, frames=media.frames, rate=media.rate)

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

    def _as_take(self, media: ClipMedia) -> ClipMedia:
        if not media.job_id or is_below(media.folder, [self.base, *self.media_folders]):
            return media
        return replace(media, job_id="", mark="", note="")
