"""What may be said of an entry, by the backend's own means: short words for `holds`.

What these ask of the backend is imported only when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Holds = Callable[[Path], None]
CANVAS = 160, 64


def all_of(*holds: Holds) -> Holds:
    """Each of them."""

    def check(path: Path) -> None:
        for each in holds:
            each(path)

    return check


# Footage and pictures.


def frames_show(numbers: Sequence[int], first: int = 0) -> Holds:
    """The movie's frames from `first` on are those that show these numbers (recipes.numbered)."""

    def check(path: Path) -> None:
        from tests.wan_backend.frames.written_movies import number_in

        found = [number_in(picture) for picture in _read(path, range(first, first + len(numbers)), is_movie=True)]
        assert found == list(numbers)

    return check


def looks_like(level: Callable[[], Any], decibels: float = 38.0, is_movie: bool = False, frame: int = 0) -> Holds:
    """The picture, brought to the size of the one that `level` gives (H, W, 3, uint8), is that one."""

    def check(path: Path) -> None:
        import numpy as np

        wanted = level()
        (found,) = _read(path, [frame], is_movie, (wanted.shape[1], wanted.shape[0]))
        error = np.square(found.astype(float) - wanted).mean()
        assert error == 0 or 10 * np.log10(255**2 / error) >= decibels, f"{10 * np.log10(255**2 / error):.1f} dB"

    return check


def refused(*words: str, is_movie: bool = False, frame: int = 0) -> Holds:
    """That frame is refused, in a sentence with the file's name and these words."""

    def check(path: Path) -> None:
        import pytest

        from wan_backend.protocol.errors import Refusal

        with pytest.raises(Refusal) as caught:
            _read(path, [frame], is_movie)
        problem = caught.value.problem
        assert problem.kind == "bad_source" and path.name in problem.sentence and problem.sentence.endswith(".")
        assert [word for word in words if word not in problem.sentence] == [], problem.sentence

    return check


def read_or_refused(is_movie: bool = False) -> Holds:
    """It is read, or a sentence with its name; nothing else may come of it."""

    def check(path: Path) -> None:
        from wan_backend.protocol.errors import Refusal

        try:
            _read(path, [0], is_movie)
        except Refusal as refusal:
            assert path.name in refusal.problem.sentence

    return check


def _read(path: Path, frames: Sequence[int], is_movie: bool, size: tuple[int, int] = CANVAS) -> list[Any]:
    from wan_backend.frames import source_frames
    from wan_backend.protocol.messages import Role, Source

    source = Source(Role.FOOTAGE, str(path.parent), [path.name], is_movie=is_movie, frames=max(frames) + 1)
    return list(source_frames.read(source, list(frames), *size, size))


# Files of models. `make` gives the models folder.


def parts_are(**kinds: str | tuple[str, ...]) -> Holds:
    """The folder's usable files, by what part each is: parts_are(transformer="wan_low.safetensors", ...)."""

    def check(folder: Path) -> None:
        from wan_backend.library.library_index import LibraryIndex

        found: dict[str, set[str]] = {}
        for candidate in LibraryIndex([str(folder)]).refresh().candidates:
            found.setdefault(candidate.component, set()).add(candidate.path.name)
        assert found == {part: {names} if isinstance(names, str) else set(names) for part, names in kinds.items()}

    return check


def model_refused(name: str, *words: str) -> Holds:
    """The file of that name is no part of any model, and what is said of it has these words."""

    def check(folder: Path) -> None:
        from wan_backend.library.library_index import LibraryIndex

        survey = LibraryIndex([str(folder)]).refresh()
        (row,) = [row for row in survey.files if row.file.name == name]
        assert not row.components and row.why
        assert [word for word in words if word not in row.why] == [], row.why
        assert name not in [candidate.path.name for candidate in survey.candidates]

    return check


def planned(model: str, problem: str = "", **asked: Any) -> Holds:
    """A take asked of the folder's model can be made; or its plan has a problem with these words."""

    def check(folder: Path) -> None:
        from tests.wan_backend.job_queue.written_jobs import take_request
        from wan_backend.server.planner import Planner

        planner = Planner([str(folder)], None)
        planner.library.refresh()
        found = planner.plan(take_request(str(folder), model=model, **asked)).problem
        if problem:
            assert found is not None and problem in found.sentence, found
        else:
            assert found is None, found.sentence

    return check


# LoRAs. `make` gives the file; what it was made for is the embedded model, where nothing else is said.


def lora_usable(model: str = "embedded", note: str = "") -> Holds:
    """A take with it can be made; `note` is among what its plan says."""

    def check(file: Path) -> None:
        made = _planned_with(file, model)
        assert made.problem is None, made.problem.sentence
        assert note in " ".join(made.notes)

    return check


def lora_refused(*words: str, model: str = "embedded") -> Holds:
    """It's refused by its name, in a sentence with these words."""

    def check(file: Path) -> None:
        made = _planned_with(file, model)
        assert made.problem is not None and made.problem.kind == "bad_lora", made
        sentence = made.problem.sentence
        assert [word for word in (file.name, *words) if word not in sentence] == [], sentence

    return check


def _planned_with(file: Path, model: str) -> Any:
    from tests.wan_backend.job_queue.written_jobs import take_request
    from wan_backend.protocol.messages import LoraUse
    from wan_backend.server.planner import Planner

    return Planner([], None).plan(take_request(str(file.parent), model=model, loras=[LoraUse(str(file))]))
