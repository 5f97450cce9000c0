"""The folder of a training among a person's LoRAs: nothing that is there is overwritten."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from wan_backend.storage import training_folder
from wan_backend.worker.trained_loras import TrainedLoras

OWN, OTHER = "a" * 32, "b" * 32


def begun(folder: Path, job_id: str) -> Path:
    loras = TrainedLoras(folder, "Waves", job_id, [])
    loras.begin({"name": "Waves"})
    return loras.folder


def test_each_training_of_a_name_has_a_folder_and_finds_it_again(tmp_path):
    assert begun(tmp_path, OWN).name == "Waves"
    assert begun(tmp_path, OTHER).name == "Waves 2"
    assert [begun(tmp_path, job_id).name for job_id in (OWN, OTHER)] == ["Waves", "Waves 2"]


@pytest.mark.parametrize("settings", ["{}", "[]", "no json", "[" * 100_000, '{"job_id": [1]}'])
def test_a_persons_own_folder_file_or_link_of_that_name_stays_as_it_is(tmp_path, settings):
    (tmp_path / "Waves").mkdir()
    (tmp_path / "Waves" / "training.json").write_text(settings)
    (tmp_path / "Waves 2").write_bytes(b"a file")
    names = ["Waves", "Waves 2"]
    if os.name != "nt":
        (tmp_path / "Waves 3").symlink_to(tmp_path / "nowhere")
        names.append("Waves 3")
    assert begun(tmp_path, OWN).name == f"Waves {len(names) + 1}"
    assert (tmp_path / "Waves" / "training.json").read_text() == settings


def test_of_two_that_begin_at_the_same_moment_each_has_a_folder(tmp_path, monkeypatch):
    """The other one takes the name after this one has seen that it is free."""
    real, others = os.rename, []

    def rename(source: Path, target: Path) -> None:
        if not others:
            others.append(OTHER)
            begun(tmp_path, OTHER)
        real(source, target)

    monkeypatch.setattr(training_folder.os, "rename", rename)
    assert begun(tmp_path, OWN).name == "Waves 2"
    assert [begun(tmp_path, job_id).name for job_id in (OWN, OTHER)] == ["Waves 2", "Waves"]
    assert sorted(os.listdir(tmp_path)) == ["Waves", "Waves 2"]


def test_a_disk_that_gives_names_back_with_their_marks_apart_has_it_all_the_same(tmp_path):
    training_folder.claim(tmp_path, "Caf\u00e9", OWN, {})
    os.rename(tmp_path / "Caf\u00e9", tmp_path / "Cafe\u0301")
    assert training_folder.find(tmp_path, "Caf\u00e9", OWN) == tmp_path / "Cafe\u0301"


def test_a_training_finds_its_folder_though_the_name_before_it_is_free_again(tmp_path):
    begun(tmp_path, OTHER)
    own = begun(tmp_path, OWN)
    (tmp_path / "Waves" / "training.json").unlink()
    (tmp_path / "Waves").rmdir()
    assert begun(tmp_path, OWN) == own


def test_a_folder_that_cant_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def rename(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(training_folder.os, "rename", rename)
    with pytest.raises(PermissionError):
        begun(tmp_path, OWN)
    assert not os.listdir(tmp_path)


def test_a_folder_that_goes_or_is_replaced_meanwhile_is_made_anew(tmp_path):
    loras = TrainedLoras(tmp_path, "Waves", OWN, [])
    loras.begin({"name": "Waves"})
    shutil.rmtree(loras.folder)
    loras.keep(1, {}, {}, "")
    assert training_folder.is_of(tmp_path / "Waves", OWN)
    shutil.rmtree(loras.folder)
    (tmp_path / "Waves").write_text("a person's")
    loras.keep(2, {}, {}, "")
    assert loras.folder == tmp_path / "Waves 2" and training_folder.is_of(loras.folder, OWN)
    assert (tmp_path / "Waves").read_text() == "a person's"
