"""What compilers leave on the disk lies in a folder of ours, and does not grow without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wan_backend.server import worker_process
from wan_backend.storage import compiled_kernels

NOW = 1_000_000_000.0
DAY = 24 * 3600.0


def left(state: Path, name: str, size: int, days_ago: float) -> Path:
    """What some other versions have left."""
    folder = state / compiled_kernels.FOLDER / name
    (folder / "triton" / "KX4").mkdir(parents=True)
    (folder / "triton" / "KX4" / "kernel.cubin").write_bytes(bytes(size))
    os.utime(folder, (NOW - days_ago * DAY,) * 2)
    return folder


def test_a_worker_compiles_into_our_folder_unless_a_person_has_one(tmp_path, monkeypatch):
    for name in compiled_kernels.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    around = worker_process.environment(online=False, state=tmp_path)
    for name in compiled_kernels.VARIABLES:
        assert Path(around[name]).parent == compiled_kernels.folder_of(tmp_path)
        assert Path(around[name]).is_relative_to(tmp_path / compiled_kernels.FOLDER)
    monkeypatch.setenv("TRITON_CACHE_DIR", "/mine")
    assert worker_process.environment(online=False, state=tmp_path)["TRITON_CACHE_DIR"] == "/mine"


def test_other_versions_have_a_folder_of_their_own(tmp_path, monkeypatch):
    before = compiled_kernels.folder_of(tmp_path)
    assert compiled_kernels.folder_of(tmp_path) == before
    monkeypatch.setattr(compiled_kernels, "_version", lambda package: "99.0")
    assert compiled_kernels.folder_of(tmp_path) != before


def test_what_nobody_used_for_long_goes_and_ours_stays(tmp_path):
    old, recent = left(tmp_path, "old", 10, days_ago=40), left(tmp_path, "recent", 10, days_ago=20)
    ours = left(tmp_path, compiled_kernels.folder_of(tmp_path).name, 10, days_ago=400)
    compiled_kernels.prune(tmp_path, now=NOW)
    assert not old.exists() and recent.exists() and ours.exists()
    compiled_kernels.prune(tmp_path, now=NOW + 29 * DAY)
    assert not recent.exists() and ours.exists()


def test_the_oldest_go_where_all_together_are_too_large(tmp_path):
    one, two = left(tmp_path, "one", 600, days_ago=2), left(tmp_path, "two", 600, days_ago=1)
    compiled_kernels.prune(tmp_path, limit_bytes=1000, now=NOW)
    assert two.exists() and not one.exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_bytes(bytes(2000))
    (tmp_path / compiled_kernels.FOLDER).mkdir()
    (tmp_path / compiled_kernels.FOLDER / "link").symlink_to(elsewhere)
    compiled_kernels.prune(tmp_path, limit_bytes=0, now=NOW)
    assert (elsewhere / "film.mp4").exists()


def test_a_folder_that_can_not_be_made_stops_nobody(tmp_path):
    (tmp_path / compiled_kernels.FOLDER).write_bytes(b"")
    compiled_kernels.prune(tmp_path, now=NOW)


def test_a_folder_that_can_not_be_made_is_not_named(tmp_path):
    folder = compiled_kernels.folder_of(tmp_path)
    made = compiled_kernels.environment(tmp_path, {})
    assert set(made) == set(compiled_kernels.VARIABLES) and all(Path(place).is_dir() for place in made.values())
    (folder / "triton").rmdir()
    (folder / "triton").write_bytes(b"in the way")
    assert compiled_kernels.environment(tmp_path, {}) == {"TORCHINDUCTOR_CACHE_DIR": str(folder / "torch")}
    (tmp_path / "file").write_bytes(b"")
    assert compiled_kernels.environment(tmp_path / "file", {}) == {}


def test_importing_torch_makes_no_folder(monkeypatch):
    for meant in ("/nowhere/torch", None):
        if meant is None:
            monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        else:
            monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", meant)
        with compiled_kernels.not_made_by_import():
            assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).is_dir()
        assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == meant
