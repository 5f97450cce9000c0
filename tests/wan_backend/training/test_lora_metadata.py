"""What the head of a LoRA file says for people, also of others' and of damaged ones."""

from __future__ import annotations

import json

import pytest

from wan_backend.storage import lora_metadata


def written(file, metadata) -> str:
    head = json.dumps({"__metadata__": metadata}).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    return str(file)


def test_a_trigger_is_found_by_each_key_that_trainers_write(tmp_path):
    for key in ("modelspec.trigger_phrase", "trigger_word", "instance_prompt"):
        assert lora_metadata.trigger_of(written(tmp_path / "a.safetensors", {key: " hrbr\n look "})) == "hrbr look"
    assert lora_metadata.trigger_of(written(tmp_path / "a.safetensors", {"other": "x"})) == ""


def test_a_pairs_trigger_is_that_of_its_files(tmp_path):
    written(tmp_path / "a_low_noise.safetensors", {"modelspec.trigger_phrase": "hrbr"})
    assert lora_metadata.trigger_of(tmp_path) == "hrbr"


BROKEN = [b"", b"abc", b"\xff" * 64, (5).to_bytes(8, "little") + b"[1,2]", b"\x02" + bytes(7) + b"{}"]


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_such_file_says_nothing(tmp_path, content):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    assert lora_metadata.trigger_of(file) == "" and lora_metadata.trigger_of(tmp_path / "none.safetensors") == ""
