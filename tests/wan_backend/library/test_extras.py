"""The files of LoRAs and tiny autoencoders are found where people keep them, and only whole."""

from __future__ import annotations

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.catalogue import entries
from wan_backend.library import extras

PAIR = entries.load().loras["wan2.2-t2v-a14b-4step"]
TINY = entries.load().autoencoders["taew2_1"]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(tiny_folder.safetensors())
    return [folder / name for name in names]


@pytest.mark.parametrize("subfolder", extras.SUBFOLDERS)
def test_in_a_models_folder(tmp_path, subfolder):
    files = write(tmp_path / "models" / subfolder, PAIR.files)
    assert extras.find_lora(PAIR, [tmp_path / "nothing", tmp_path / "models"]) == files
    (tiny,) = write(tmp_path / "models" / subfolder, [TINY.file])
    assert extras.find_tiny(TINY, [str(tmp_path / "models")]) == tiny


def test_in_the_cache(empty_cache):
    files = write(empty_cache / "models--lightx2v--Wan2.2-Distill-Loras" / "snapshots" / "abc", PAIR.files)
    assert extras.find_lora(PAIR) == files
    (tiny,) = write(empty_cache / "models--lightx2v--Autoencoders" / "snapshots" / "abc", [TINY.file])
    assert extras.find_tiny(TINY) == tiny


def test_half_a_pair_and_a_cut_off_file_are_not_here(tmp_path):
    first, second = write(tmp_path, PAIR.files)
    second.unlink()
    assert extras.find_lora(PAIR, [tmp_path]) == []
    second.write_bytes(first.read_bytes()[:-1])
    assert extras.find_lora(PAIR, [tmp_path]) == []
    (tmp_path / TINY.file).write_bytes(b"")
    assert extras.find_tiny(TINY, [tmp_path, "\0"]) is None
