"""What must hold of every entry, asked of the backend: one of each kind in CI, the whole corpus in the long run."""

from __future__ import annotations

import importlib.util

import pytest

from tests.world import footage, loras, model_files, pictures
from tests.world.entry import Entry, parameters


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory, monkeypatch):
    """Nobody's own models."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


def skip_without_needs(entry: Entry) -> None:
    """Skip the test, and say so, where what the entry is made with isn't here."""
    for need in entry.needs:
        kind, _, name = need.rpartition(":")
        if not (_has_encoder(name) if kind == "encoder" else importlib.util.find_spec(name)):
            pytest.skip(f"{need} is not here")


def holds(entry: Entry, folder) -> None:
    skip_without_needs(entry)
    folder = folder / "they" / "have"
    folder.mkdir(parents=True)
    made = entry.make(folder)
    if entry.holds is not None:
        entry.holds(made)


def _has_encoder(name: str) -> bool:
    import av

    try:
        av.Codec(name, "w")
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("entry", parameters(footage.ENTRIES))
def test_footage(entry, tmp_path):
    holds(entry, tmp_path)


@pytest.mark.parametrize("entry", parameters(pictures.ENTRIES))
def test_pictures(entry, tmp_path):
    holds(entry, tmp_path)


@pytest.mark.parametrize("entry", parameters(model_files.ENTRIES))
def test_model_files(entry, tmp_path):
    holds(entry, tmp_path)


@pytest.mark.parametrize("entry", parameters(loras.ENTRIES))
def test_loras(entry, tmp_path):
    holds(entry, tmp_path)


@pytest.mark.ci
def test_one_of_each_kind_runs_in_ci():
    for kind in (footage, pictures, model_files, loras):
        assert any(entry.short for entry in kind.ENTRIES), kind.__name__
        assert all(entry.seen for entry in kind.ENTRIES), kind.__name__
