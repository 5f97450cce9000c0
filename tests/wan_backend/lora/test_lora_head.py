"""Heads of LoRA files: what is no such file, and what its maker noted."""

from __future__ import annotations

import json
import struct

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.lora.lora_head import UnusableLora, files_of, read_lora_head


def test_a_head_is_read_without_the_numbers(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(tiny_folder.safetensors(6))
    assert read_lora_head(file).tensors["a"].shape == (6,)
    file.write_bytes(tiny_folder.safetensors(7))
    assert read_lora_head(file).tensors["a"].shape == (7,), "a file that was exchanged is read anew"


@pytest.mark.parametrize("name", ["a.pt", "a.ckpt", "a.pth", "a.bin"])
def test_a_pickled_file_is_not_even_opened(tmp_path, name):
    with pytest.raises(UnusableLora, match="could run any program"):
        read_lora_head(tmp_path / name)


HUGE = struct.pack("<Q", 1 << 60) + b"{}"
NO_ROWS = json.dumps({"a": [1]}).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "not a safetensors file"),
        (HUGE, "not a safetensors file"),
        (struct.pack("<Q", 4) + b"[1]}", "not a safetensors file"),
        (struct.pack("<Q", len(NO_ROWS)) + NO_ROWS, "not a safetensors file"),
        (tiny_folder.safetensors(64)[:-8], "incomplete"),
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused(tmp_path, content, why):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(UnusableLora, match=f"{why}; download it again"):
        read_lora_head(file)


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UnusableLora, match="is not there any more"):
        read_lora_head(tmp_path / "a.safetensors")
    with pytest.raises(UnusableLora, match=r"is not a \.safetensors file"):
        read_lora_head(tmp_path / "a.gguf")


def test_a_folder_means_the_one_file_in_it_or_a_pair(tmp_path):
    with pytest.raises(UnusableLora, match=r"folder without a \.safetensors file"):
        files_of(str(tmp_path))
    (tmp_path / "one_high_noise.safetensors").touch()
    assert [file.name for file in files_of(str(tmp_path))] == ["one_high_noise.safetensors"]
    (tmp_path / "one_low_noise.safetensors").touch()
    assert len(files_of(str(tmp_path))) == 2
    (tmp_path / "two.safetensors").touch()
    with pytest.raises(UnusableLora, match=r"folder with 3 \.safetensors files; choose one"):
        files_of(str(tmp_path))
    (tmp_path / "adapter_model.safetensors").touch()
    assert [file.name for file in files_of(str(tmp_path))] == ["adapter_model.safetensors"]


def test_what_diffusers_writes_for_two_transformers_is_kept_apart(tmp_path):
    rows = {"transformer.lora_alpha": 8, "transformer_2.lora_alpha": 2, "transformer_2.r": 4}
    file = tmp_path / "a.safetensors"
    file.write_bytes(tiny_folder.safetensors(4, lora_adapter_metadata=json.dumps(rows), ss_output_name="style_HIGH"))
    head = read_lora_head(file)
    assert head.settings("high") == {"lora_alpha": 8} and head.settings("low") == {"lora_alpha": 2, "r": 4}
    assert head.titles == ("style_HIGH",)
