"""The takes on the disk: read with suspicion, listed at once the next time, found by any word."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

FAR = float("inf")


def job(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def library_module(addon):
    return addon("jobs.take_library")


@pytest.fixture
def to_json(addon, messages):
    import importlib

    return importlib.import_module("wan_vse.wan_backend.protocol.conversion").to_json


@pytest.fixture
def media(tmp_path) -> Path:
    folder = tmp_path / "wan"
    folder.mkdir()
    return folder


@pytest.fixture
def put(media, messages, make_request, to_json):
    """put(number, prompt=...) is the folder of a take with that request."""

    def make(number: int, folder: Path | None = None, **changes) -> Path:
        place = (folder or media) / job(number)
        place.mkdir(parents=True)
        request = dataclasses.replace(make_request(), **changes)
        take = messages.Take(str(place), "0001.png", messages.MediaFormat.PNG, 8, 64, 36, messages.FrameRate(24))
        content = {"format": 1, "job_id": job(number), "request": to_json(request), "take": to_json(take)}
        (place / "take.json").write_text(json.dumps(content))
        os.utime(place / "take.json", (1_000_000 + number, 1_000_000 + number))
        return place

    return make


@pytest.fixture
def library(library_module, tmp_path):
    return library_module.TakeLibrary(tmp_path / "kept" / "takes.json")


def listed(library, *places) -> list[str]:
    library.look([str(place) for place in places])
    while library.busy:
        library.tick(FAR)
    return [take.job_id for take in library.takes()]


def test_newest_first_with_what_they_were_made_from(library, put, media, messages) -> None:
    put(1, prompt="a red ball", seed=11)
    source = messages.Source(messages.Role.FOOTAGE, "/films/beach", ["0001.png"])
    put(2, prompt="Fog in the Harbor", seed=4711, task=messages.Task.RESTYLE, sources=[source])
    assert listed(library, media) == [job(2), job(1)]
    assert library.takes()[0].frames == 8 and not library.takes()[0].is_movie
    by_words = {"BALL": [1], "harbor fog": [2], "4711": [2], "restyle": [2], "beach": [2], "no such words": []}
    for words, found in by_words.items():
        assert [take.job_id for take in library.search(words)] == [job(number) for number in found], words


def test_what_is_no_take_is_not_listed(library, put, media, tmp_path) -> None:
    put(1)
    (media / "notes").mkdir()
    (media / job(2)).mkdir()
    (media / job(3)).mkdir()
    (media / job(3) / "take.json").write_text("[" * 100_000)
    (media / job(4)).symlink_to(put(5, tmp_path / "elsewhere"), target_is_directory=True)
    (media / job(6)).mkdir()
    os.mkfifo(media / job(6) / "take.json")
    (media / job(7)).mkdir()
    (media / job(7) / "take.json").write_text('{"take": {"first_file": "../../secret.png", "frames": 3}}')
    (media / job(8)).mkdir()
    (media / job(8) / "take.json").write_bytes(b" " * ((1 << 20) + 1))
    assert listed(library, media, tmp_path / "lost") == [job(1)]


def test_of_a_newer_versions_take_what_can_be_read_is_shown(library, put, media) -> None:
    file = put(1, prompt="a kite", seed=5) / "take.json"
    content = json.loads(file.read_text())
    content["format"] = 9
    content["request"]["task"] = "dream"
    content["take"]["frame_rate"] = "fast"
    file.write_text(json.dumps(content))
    assert listed(library, media) == [job(1)]
    take = library.takes()[0]
    assert (take.is_newer, take.prompt, take.task, take.seed, take.frames) == (True, "a kite", "dream", 5, 8)


def test_the_index_lists_them_before_any_folder_was_read(library_module, library, put, media, tmp_path) -> None:
    put(1), put(2)
    listed(library, media)
    again = library_module.TakeLibrary(tmp_path / "kept" / "takes.json")
    again.look([str(media)])
    assert [take.job_id for take in again.takes()] == [job(2), job(1)], "not one tick was needed"
    (media / job(2) / "take.json").unlink()
    assert listed(again, media) == [job(1)], "what is gone goes"


def test_only_what_changed_is_read_again(library_module, library, put, media, monkeypatch) -> None:
    put(1, prompt="old"), put(2)
    listed(library, media)
    read = []
    real = library_module.read_take
    monkeypatch.setattr(library_module, "read_take", lambda *given: read.append(given[0].name) or real(*given))
    file = media / job(1) / "take.json"
    file.write_text(file.read_text().replace("old", "new"))
    os.utime(file, (2_000_000, 2_000_000))
    listed(library, media)
    assert read == [job(1)] and library.search("new")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1, "fields": []}\n[1]', b"\xff\xfe"])
def test_a_broken_index_costs_nothing(library_module, put, media, tmp_path, content) -> None:
    put(1)
    file = tmp_path / "takes.json"
    file.write_bytes(content)
    assert listed(library_module.TakeLibrary(file), media) == [job(1)]


def test_rows_of_the_index_of_other_kinds_are_left_out(library_module, library, put, media, tmp_path) -> None:
    put(1), put(2)
    listed(library, media)
    file = tmp_path / "kept" / "takes.json"
    head, first, second = file.read_text().splitlines()
    row = json.loads(first)
    row[json.loads(head)["fields"].index("frames")] = "many"
    file.write_text("\n".join((head, json.dumps(row), second)))
    again = library_module.TakeLibrary(file)
    again.look([str(media)])
    assert len(again.takes()) == 1


def test_a_place_for_the_index_that_is_none_costs_the_index_alone(library_module, put, media, tmp_path) -> None:
    put(1)
    (tmp_path / "file").write_text("")
    assert listed(library_module.TakeLibrary(tmp_path / "file" / "takes.json"), media) == [job(1)]


def test_a_look_stops_at_its_deadline(library, put, media) -> None:
    for number in range(5):
        put(number)
    library.look([str(media)])
    assert not library.tick(time.perf_counter() - 1) and library.busy
    assert library.takes() == []


def test_folders_of_another_film_are_not_listed(library, put, media, tmp_path) -> None:
    put(1), put(2, tmp_path / "other")
    assert listed(library, media, tmp_path / "other") == [job(2), job(1)]
    assert listed(library, media) == [job(1)]


def test_of_a_take_and_its_copy_the_one_in_the_first_place_is_listed(library, put, media, tmp_path) -> None:
    put(1), put(1, tmp_path / "other")
    assert listed(library, tmp_path / "other", media) == [job(1)]
    assert library.takes()[0].folder == str(tmp_path / "other" / job(1))


def test_a_long_index_is_read_in_slices_the_newest_first(
    library_module, library, put, media, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(library_module, "FIRST_ROWS", 2)
    monkeypatch.setattr(library_module, "ROWS_AT_ONCE", 2)
    for number in range(1, 8):
        put(number)
    listed(library, media)
    again = library_module.TakeLibrary(tmp_path / "kept" / "takes.json")
    again.look([str(media)])
    assert [take.job_id for take in again.takes()] == [job(7), job(6)]
    again._step = lambda look: pytest.fail("the index goes first")
    for count in (4, 6, 7):
        again._read_rows(2)
        assert len(again.takes()) == count
    assert [take.job_id for take in again.takes()] == [job(number) for number in range(7, 0, -1)]


def test_the_words_for_a_search_are_there_when_the_look_is_over(
    library_module, library, put, media, monkeypatch
) -> None:
    put(1, prompt="Fog")
    listed(library, media)
    monkeypatch.setattr(library, "_words_of", lambda take: library._words[take.folder])
    assert [take.job_id for take in library.search("fog")] == [job(1)]
