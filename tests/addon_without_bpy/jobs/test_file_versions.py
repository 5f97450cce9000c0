"""A file that is written again gets the next number: nothing is overwritten."""

from __future__ import annotations

from pathlib import Path


def test_the_next_version_is_free(addon, tmp_path: Path) -> None:
    free = addon("jobs.file_versions").free
    names = []
    for _ in range(3):
        file = Path(free(str(tmp_path / "film.otio")))
        file.touch()
        names.append(file.name)
    assert names == ["film.otio", "film_v002.otio", "film_v003.otio"]


def test_a_number_goes_on_as_it_is_written(addon, tmp_path: Path) -> None:
    free = addon("jobs.file_versions").free
    for name, following in (
        ("a_v007.otio", "a_v008.otio"),
        ("b.v0099.otio", "b.v0100.otio"),
        ("v2.otio", "v2_v002.otio"),
    ):
        (tmp_path / name).touch()
        assert Path(free(str(tmp_path / name))).name == following


def test_a_link_that_leads_nowhere_is_not_written_through(addon, tmp_path: Path) -> None:
    (tmp_path / "film.otio").symlink_to(tmp_path / "elsewhere")
    assert Path(addon("jobs.file_versions").free(str(tmp_path / "film.otio"))).name == "film_v002.otio"
