"""Takes of the open film whose files are not where its strips have them: found elsewhere, and the strips pointed there.

A take is known by its settings, wherever it lies. It is looked for in the media folders of the film and their trash,
where it was made, and where a person says: by its folder's name, which is quick, then, in slices, by the settings of
all takes there, as a person may have changed the name.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...wan_backend.protocol import take_names
from ...wan_backend.protocol.media import TRASH_FOLDER
from ..timeline import identity, strip_takes, take_strips, untrusted
from . import film_takes, take_folders
from .cleaning import Cleaner
from .request import MEDIA_FOLDER


def lost() -> dict[str, strip_takes.KeptTake]:
    """By job, the takes on strips of the open file of which a file is missing. It asks the disk for each of them."""
    kept = {take.job_id: take for found in identity.all_marked() for take in strip_takes.takes_of(found.strip)}
    return {job_id: take for job_id, take in kept.items() if take_strips.missing_refusal(take.files())}


def find(takes: dict[str, strip_takes.KeptTake], cleaner: Cleaner, chosen: str = "") -> dict[str, str]:
    """By job, the folders in which these takes were found whole; those in the trash come back out of it.

    `chosen` is a folder that a person named: a take's, a media folder, or one in which that lies.
    """
    titles = _titles(takes)
    found: dict[str, str] = {}
    if not chosen:
        trashed = {take_folders.job_of(folder) for folder in cleaner.in_trash()} & takes.keys()
        if trashed:
            cleaner.bring_back(trashed)
    for place in _places_in(chosen) if chosen else _places(takes):
        for job_id in takes.keys() - found.keys():
            folder = take_folders.find(Path(place), job_id, titles[job_id])
            if folder is not None and _is_whole(takes[job_id], folder):
                found[job_id] = str(folder)
    return found


class Search:
    """A look for takes in all folders where they may be, whatever these are called now. No strip is held."""

    def __init__(self, takes: dict[str, strip_takes.KeptTake], chosen: str = "") -> None:
        """`takes` and `chosen` are as in `find`, without what that has found."""
        self.found: dict[str, str] = {}
        self._takes = takes
        self._steps = self._look(list(dict.fromkeys(_places_in(chosen) if chosen else _places(takes))))

    def go_on(self, deadline: float = math.inf) -> bool:
        """Read the settings of more takes until `deadline` (of time.perf_counter); True once all is looked through."""
        return all(time.perf_counter() <= deadline for _ in self._steps)

    def _look(self, places: list[str]) -> Iterator[None]:
        for place in places:
            if self._takes.keys() <= self.found.keys():
                return
            for folder, job_id in take_folders.each_take(Path(place)):
                if job_id in self._takes and job_id not in self.found and _is_whole(self._takes[job_id], folder):
                    self.found[job_id] = str(folder)
                yield


def _is_whole(take: strip_takes.KeptTake, folder: Path) -> bool:
    return not take_strips.missing_refusal(replace(take, folder=str(folder)).files())


def point(takes: dict[str, strip_takes.KeptTake], found: dict[str, str]) -> None:
    """Let the strips play and keep these takes from where they were found. The caller pushes the undo step."""
    moved = {takes[job_id].folder: folder for job_id, folder in found.items()}
    for each in identity.all_marked():
        strip_takes.follow(each.strip, moved)


def _titles(takes: dict[str, strip_takes.KeptTake]) -> dict[str, str]:
    """What each take's folder is called behind its number, by its folder's name, else by what was asked for."""
    titles = {job_id: take_names.title_of(os.path.basename(take.folder)) for job_id, take in takes.items()}
    for found in identity.all_marked():
        for job_id in strip_takes.jobs_on(found.strip):
            if titles.get(job_id, "-"):
                continue
            text = strip_takes.request_text(found.strip, job_id)
            asked = untrusted.request(text) if text else None
            titles[job_id] = take_names.title(asked) if asked is not None else ""
    return titles


def _places(takes: dict[str, strip_takes.KeptTake]) -> Iterator[str]:
    """The film's media folders, then those in which its takes lay. No share is asked for what a .blend says alone."""
    lay = (os.path.dirname(take.folder) for take in takes.values())
    yield from dict.fromkeys([*film_takes.places(), *(place for place in lay if not place.startswith(("\\\\", "//")))])


def _places_in(chosen: str) -> list[str]:
    """Media folders, by a folder that a person named."""
    chosen = os.path.normpath(chosen)
    below = [chosen, os.path.join(chosen, MEDIA_FOLDER), os.path.dirname(chosen)]
    return [*below, *(os.path.join(place, TRASH_FOLDER) for place in below)]
