"""Takes of the open film that nothing uses: found, moved into the trash by a person, brought back, and removed.

What is moved is written into the film's scenes, so that Blender's undo and redo carry it: after each of them, the
folders follow what the film says. Nothing is removed for good but by a press of its own. Only takes of this film are
offered, none that its strips play or keep, none whose job is not settled, and none that another .blend beside it names.
"""

from __future__ import annotations

import json
import logging
import os
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.plain_names import is_id
from ..timeline import path_rules, untrusted
from . import film_takes, project, take_folders
from .other_films import OtherFilms
from .take_library import ListedTake

log = logging.getLogger(__name__)

KEY = "wan_vse_trashed"
"""A custom property of a scene: a JSON list of the jobs whose takes were moved into the trash."""
MAX_AT_ONCE = 20_000
"""More ids would not fit into the text that is read back."""


class Cleaner:
    """What nothing uses, as far as it is known; one look at a time."""

    def __init__(self) -> None:
        self.sentence = ""
        """How the last removal ended."""
        self.unreadable: list[str] = []
        """The names of .blend files beside the film that can't be looked through."""
        self._moved: dict[str, Path] = {}
        """The places in the trash of what was moved since the file was opened, by job."""
        self._back: dict[str, Path] = {}
        """Where they were before."""
        self._kept: Callable[[str], bool] = lambda job_id: False
        self._others: OtherFilms | None = None
        self._used = film_takes.UsedJobs()
        self._candidates: list[ListedTake] | None = None
        self._to_measure: deque[ListedTake] = deque()
        self._sizes: dict[str, int] = {}
        self._removing: Iterator[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether it still looks, or removes."""
        return self._others is not None or self._removing is not None

    @property
    def removing(self) -> bool:
        """Whether takes are being removed for good."""
        return self._removing is not None

    def begin(self, kept: Callable[[str], bool]) -> None:
        """Look for what nothing uses. `kept` says of a job that its take must stay, whatever the strips show."""
        self._kept = kept
        self._others = OtherFilms(project.path())
        self._used = film_takes.UsedJobs()
        self._candidates = None
        self._to_measure.clear()
        film_takes.library().look(film_takes.places())

    def unused(self) -> list[ListedTake]:
        """The takes that nothing uses; none while it still looks."""
        return self._candidates or []

    def size_bytes(self) -> int:
        """Their bytes."""
        return sum(self._sizes.get(take.folder, 0) for take in self.unused())

    def tick(self, deadline: float) -> bool:
        """Go on until `deadline` (of time.perf_counter); True if something changed."""
        if not self.busy:
            return False
        while self.busy and time.perf_counter() < deadline:
            self._remove_step() if self._removing is not None else self._look_step(deadline)
        return True

    def _look_step(self, deadline: float) -> None:
        library, others = film_takes.library(), self._others
        assert others is not None
        if library.busy:
            library.tick(deadline)
        elif not others.done:
            others.step()
        elif not self._used.done:
            self._used.step()
        elif self._candidates is None:
            used, own = self._used.found, project.ids()  # `clean` asks again
            self._candidates = [
                take
                for take in library.takes()
                if take.project_id in own
                and take.job_id not in used
                and take.job_id not in others.named
                and unicodedata.normalize("NFC", os.path.basename(take.folder)) not in others.named
                and not self._kept(take.job_id)
            ][:MAX_AT_ONCE]
            self.unreadable = others.unreadable
            self._to_measure.extend(self._candidates)
        elif self._to_measure:
            take = self._to_measure.popleft()
            if take.folder not in self._sizes:
                self._sizes[take.folder] = take_folders.size_bytes(Path(take.folder))
        else:
            self._others = None

    def clean(self) -> tuple[int, str]:
        """Move what nothing uses into the trash, and write that into the film: how many, and why not more.

        What was used meanwhile stays. The caller pushes the undo step.
        """
        used, refusal, moved = film_takes.used_jobs(), "", []
        for take in self.unused():
            if take.job_id in used or self._kept(take.job_id):
                continue
            try:
                place = take_folders.move_to_trash(Path(take.folder))
            except OSError as error:
                refusal = refusal or iface_("{} could not be moved ({}).").format(
                    path_rules.shown(take.folder), path_rules.shown(iface_(str(error)))
                )
                continue
            self._moved[take.job_id], self._back[take.job_id] = place, Path(take.folder)
            film_takes.library().forget(take.folder)
            moved.append(take.job_id)
        self._candidates = None
        if moved:
            _write({*_written(), *moved})
        return len(moved), refusal

    def follow(self) -> None:
        """After an undo or redo: let the folders be where the film says that they are."""
        if not self._moved and not self._back:
            return
        trashed = _written()
        changed = False
        for job_id, place in list(self._moved.items()):
            if job_id not in trashed:
                changed = self._bring_back(job_id, place) or changed
        for job_id in trashed - self._moved.keys():
            if job_id in self._back and self._back[job_id].is_dir():
                changed = self._move_again(job_id) or changed
        if changed:
            film_takes.library().look(film_takes.places())

    def _bring_back(self, job_id: str, place: Path) -> bool:
        try:
            take_folders.bring_back(place)
        except OSError as error:
            log.warning("A take stays in the trash: %s", error)
            return False
        self._moved.pop(job_id, None)
        return True

    def _move_again(self, job_id: str) -> bool:
        try:
            self._moved[job_id] = take_folders.move_to_trash(self._back[job_id])
        except OSError as error:
            log.warning("A take is not moved into the trash again: %s", error)
            return False
        return True

    def opened(self) -> None:
        """A file was opened: takes that it plays come back, whoever moved them, as where it was not saved since."""
        self._moved.clear()
        self._back.clear()
        self._others, self._candidates = None, None
        places = {take_folders.job_of(folder): folder for folder in self.in_trash()}
        if places:
            for job_id in film_takes.used_jobs() & places.keys():
                self._bring_back(job_id, places[job_id])

    def in_trash(self) -> list[Path]:
        """The takes in the trash of the film's media folders."""
        return [folder for place in film_takes.places() for folder in take_folders.trashed(place)]

    def bring_all_back(self) -> tuple[int, str]:
        """Move everything out of the trash: how many, and why not more. The caller pushes the undo step."""
        return self.bring_back({take_folders.job_of(folder) for folder in self.in_trash()})

    def bring_back(self, job_ids: set[str]) -> tuple[int, str]:
        """The same for the takes of these jobs alone."""
        refusal, moved = "", set()
        for folder in [folder for folder in self.in_trash() if take_folders.job_of(folder) in job_ids]:
            try:
                back = take_folders.bring_back(folder)
            except OSError as error:
                refusal = refusal or iface_("{} could not be moved ({}).").format(
                    path_rules.shown(str(folder)), path_rules.shown(iface_(str(error)))
                )
                continue
            job_id = take_folders.job_of(back)
            self._moved.pop(job_id, None)
            self._back[job_id] = back
            moved.add(job_id)
        _write(_written() - moved)
        film_takes.library().look(film_takes.places())
        return len(moved), refusal

    def empty(self) -> int:
        """Begin to remove the trash's takes of this film for good; how many they are.

        Those that strips use come back instead: they may have been pasted or appended since.
        """
        own, used = project.ids(), film_takes.used_jobs()
        mine: dict[str, Path] = {}
        for folder in self.in_trash():
            job_id = take_folders.job_of(folder)
            if job_id in used:
                if self._bring_back(job_id, folder):
                    _write(_written() - {job_id})
            elif film_takes.project_of(folder) in own:
                mine[job_id] = folder
        if mine:
            self._removing = self._remove(list(mine.values()))
        for job_id in mine:
            self._moved.pop(job_id, None)
        _write(_written() - mine.keys())
        return len(mine)

    def _remove(self, folders: Iterable[Path]) -> Iterator[None]:
        for folder in folders:
            try:
                yield from take_folders.remove_for_good(folder)
            except OSError as error:
                self.sentence = iface_("{} could not be removed ({}).").format(
                    path_rules.shown(str(folder)), path_rules.shown(iface_(str(error)))
                )

    def _remove_step(self) -> None:
        assert self._removing is not None
        try:
            next(self._removing)
        except StopIteration:
            self._removing = None


def _write(job_ids: set[str]) -> None:
    """Write into the film which takes are in the trash."""
    own = [scene for scene in bpy.data.scenes if scene.library is None]
    for number, scene in enumerate(own):
        if job_ids and number == 0:
            scene[KEY] = json.dumps(sorted(job_ids)[:MAX_AT_ONCE])
        elif scene.get(KEY) is not None:
            del scene[KEY]


def _written() -> set[str]:
    found: set[str] = set()
    for scene in bpy.data.scenes:
        if scene.library is None:
            found |= _parsed(untrusted.text_in(scene, KEY))
    return found


def _parsed(text: str) -> set[str]:
    try:
        values = bounds.parsed(text) if text else []
    except ValueError:
        return set()
    return {value for value in values if is_id(value)} if isinstance(values, list) else set()
