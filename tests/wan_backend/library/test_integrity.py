"""What is missing or broken in a folder in the diffusers layout is named."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.library import integrity
from wan_backend.storage.guarded_files import UnusableFile

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def test_a_missing_component_is_named(tmp_path):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    shutil.rmtree(folder / "vae")
    with pytest.raises(UnusableFile, match="folder 'vae' is missing"):
        integrity.check(folder)


@pytest.mark.parametrize("kept_bytes", [0, 4, 8, 40, -1])
def test_a_cut_off_file_is_named(tmp_path, kept_bytes):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:kept_bytes])
    with pytest.raises(UnusableFile, match=WEIGHTS + "' is (cut off|not a safetensors file)"):
        integrity.check(folder)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\xff" * 100, b"\x05\0\0\0\0\0\0\0[[[[[", bytes(100)])
def test_something_else_in_the_place_of_weights(tmp_path, content):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(UnusableFile, match="not a safetensors file"):
        integrity.check(folder)


def test_a_repaired_file_is_looked_at_again(tmp_path):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-1])
    with pytest.raises(UnusableFile):
        integrity.check(folder)
    (folder / WEIGHTS).write_bytes(whole)
    integrity.check(folder)


def test_every_shard_of_an_index_must_be_there(tmp_path):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    (folder / WEIGHTS).rename(folder / "transformer" / "a-00001-of-00002.safetensors")
    mapping = {"x": "a-00001-of-00002.safetensors", "y": "a-00002-of-00002.safetensors"}
    (folder / "transformer" / "a.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    with pytest.raises(UnusableFile, match=r"a-00002-of-00002\.safetensors' is missing"):
        integrity.check(folder)


def test_pickled_weights_are_refused(tmp_path):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    (folder / WEIGHTS).rename(folder / "transformer" / "pytorch_model.bin")
    with pytest.raises(UnusableFile, match="only pickled weights"):
        integrity.check(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\0"])
def test_an_index_that_is_no_index(tmp_path, content):
    folder = tiny_folder.write(tmp_path / "m", "WanPipeline", layers=30, heads=12)
    (folder / "model_index.json").write_text(content)
    with pytest.raises(UnusableFile, match=r"model_index\.json"):
        integrity.check(folder)


@pytest.mark.ci
def test_the_stand_in_is_whole(vace_folder):
    integrity.check(vace_folder)
