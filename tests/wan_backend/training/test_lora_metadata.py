"""What the head of a LoRA file says for people, also of others' and of damaged ones."""

from __future__ import annotations

import json
import os

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


@pytest.mark.parametrize(
    ("hostile", "words"),
    [("a\0b\x1b[31m", "a b [31m"), ("\ud800hrbr", "hrbr"), ("x" * (1 << 20), "x" * 200), ("\x07" * 9, ""), (7, "")],
)
def test_a_strangers_trigger_is_words_that_a_field_can_have(tmp_path, hostile, words):
    found = lora_metadata.trigger_of(written(tmp_path / "a.safetensors", {"trigger_word": hostile}))
    assert found == words


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_under_a_loras_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    assert lora_metadata.trigger_of(tmp_path / "a.safetensors") == lora_metadata.trigger_of(tmp_path) == ""


DEEP = b'{"__metadata__":' + b"[" * 100_000
BROKEN = [b"", b"abc", b"\xff" * 64, (5).to_bytes(8, "little") + b"[1,2]", b"\x02" + bytes(7) + b"{}"]
BROKEN += [len(DEEP).to_bytes(8, "little") + DEEP, (4).to_bytes(8, "little") + b'"\xff\xfe"']


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_such_file_says_nothing(tmp_path, content):
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    assert lora_metadata.trigger_of(file) == "" and lora_metadata.trigger_of(tmp_path / "none.safetensors") == ""
