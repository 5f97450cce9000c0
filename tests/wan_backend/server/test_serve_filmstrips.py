"""The server makes filmstrips in a process of its own, keeps them, and goes on behind one that can't be made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import FILMSTRIP_HEAD, FILMSTRIP_MARK, MAX_FILMSTRIPS, MAX_REEL_FRAMES, MAX_REEL_SIDE
from wan_backend.protocol.messages import Film, FilmstripsParams, Role, Source
from wan_backend.server import filmstrip_requests as module
from wan_backend.server.filmstrip_requests import Filmstrips


@pytest.fixture
def film(tmp_path: Path) -> Film:
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"000{number}.png"), np.full((36, 64, 3), 90 * number, np.uint8))
    return Film(Source(Role.FOOTAGE, str(tmp_path), ["0001.png", "0002.png"], frames=2), 64, 36)


def test_the_method_answers_with_files(serve, film) -> None:
    lost = dataclasses.replace(film, source=dataclasses.replace(film.source, files=["lost.png"], frames=1))
    (first, second) = serve().call("filmstrips", films=to_json(FilmstripsParams([film, lost]))["films"])["files"]
    assert Path(first).read_bytes().startswith(FILMSTRIP_MARK) and second == ""


def test_made_once_and_one_that_is_damaged_costs_itself_alone(film, tmp_path, monkeypatch) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = dataclasses.replace(film, source=dataclasses.replace(film.source, files=["broken.png"], frames=1))
    strips = Filmstrips(tmp_path / "kept")
    first, none, last = strips.of(FilmstripsParams([film, broken, dataclasses.replace(film, width=32)])).files
    assert first and last and first != last and none == ""
    monkeypatch.setattr(module, "have_child_make", lambda *given: pytest.fail("it is kept"))
    assert strips.of(FilmstripsParams([film])).files == [first]


def test_no_more_than_a_few_at_once_and_no_film_of_no_size(film, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "have_child_make", lambda *given: None)
    many = [dataclasses.replace(film, width=0)] * (MAX_FILMSTRIPS + 3)
    assert Filmstrips(tmp_path / "kept").of(FilmstripsParams(many)).files == [""] * len(many)


def test_reels_have_bounds_and_the_oldest_go(film, tmp_path, monkeypatch) -> None:
    strips = Filmstrips(tmp_path / "kept")
    long = dataclasses.replace(film, side=64, source=dataclasses.replace(film.source, frames=MAX_REEL_FRAMES + 1))
    large = dataclasses.replace(film, side=MAX_REEL_SIDE + 1)
    first, none, nothing = strips.of(FilmstripsParams([dataclasses.replace(film, side=64), long, large])).files
    assert Path(first).stat().st_size == FILMSTRIP_HEAD.size + 2 * 64 * 36 * 4 and (none, nothing) == ("", "")
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    (second,) = strips.of(FilmstripsParams([dataclasses.replace(film, side=32)])).files
    assert Path(second).is_file() and not Path(first).exists()
