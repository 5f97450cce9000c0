"""Which places don't answer: what lies in one, and how the one is found at which everybody waits."""

from __future__ import annotations

import time

import pytest

from tests.wan_backend.dead_mount import PATIENCE_SECONDS, mount
from wan_backend.catalogue.entries import load
from wan_backend.library import extras, locate, survey
from wan_backend.storage import unresponsive_folders

__all__ = ["mount"]


@pytest.fixture(autouse=True)
def every_place_answers():
    yield
    unresponsive_folders.set_unresponsive(())


def silent_of(probe, seconds=0.05):
    """What does not answer, waited for."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := probe.silent(seconds)) and not probe.over:
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/mnt/share", "/mnt/share"),
        ("/mnt/share/", "/mnt/share"),
        ("/mnt/share/a/b.png", "/mnt/share"),
        ("/mnt/other/../share/a", "/mnt/share"),
        ("/mnt/shares", ""),
        ("/mnt", ""),
        ("/", ""),
        ("share", ""),
        ("", ""),
    ],
)
def test_what_lies_in_a_silent_place_is_silent(path, place):
    assert unresponsive_folders.containing(path) == ""
    unresponsive_folders.set_unresponsive(["/mnt/share", "/net/x/"])
    assert unresponsive_folders.containing(path) == place
    assert unresponsive_folders.touching(path) == ("/mnt/share" if path in ("/", "/mnt") else place)


def test_where_the_root_is_silent_everything_is():
    unresponsive_folders.set_unresponsive(["/"])
    assert unresponsive_folders.containing("/mnt") == unresponsive_folders.containing("/") == "/"


def test_the_topmost_place_that_does_not_answer_is_named_until_it_does(mount, tmp_path):
    (mount.folder / "project" / "deep").mkdir(parents=True)
    mount.die()
    probe = unresponsive_folders.Probe([str(tmp_path), "relative", str(mount.folder / "project" / "deep"), "\0"])
    assert silent_of(probe) == str(mount.folder) and not probe.over
    mount.come_back()
    assert silent_of(probe, PATIENCE_SECONDS) == "" and probe.over


def test_where_all_answer_there_is_none(tmp_path):
    probe = unresponsive_folders.Probe([str(tmp_path / "never" / "made")], [str(tmp_path)])
    assert silent_of(probe, PATIENCE_SECONDS) == "" and probe.over


def test_a_link_to_a_dead_share_among_a_folders_children_is_found(mount, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    mount.also_at(models / "nas")
    mount.die()
    assert silent_of(unresponsive_folders.Probe([], [str(models)])) == str(models / "nas")


def test_who_looks_everywhere_passes_over_what_is_silent(mount, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(mount.folder / "cache"))
    models = tmp_path / "models"
    models.mkdir()
    mount.also_at(models / "loras")
    folders = [mount.folder, models]
    entry = next(entry for entry in load().models.values() if entry.repo)
    lora = next(lora for lora in load().loras.values() if not lora.package_folder)
    mount.die()
    unresponsive_folders.set_unresponsive([str(mount.folder), str(models / "loras")])
    missing = locate.find(entry, folders)
    assert f"{mount.folder} does not answer" in missing.problem.sentence
    assert extras.find(lora, folders) == [] and locate.snapshots() == []
    found = survey.survey(folders, locate.snapshots())
    assert [(looked.file, looked.why) for looked in found.files] == [
        (models / "loras", "it can't be read (it does not answer)")
    ]
    assert mount.waiting == []
