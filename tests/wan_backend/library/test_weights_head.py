"""Heads of safetensors and GGUF files, whole, cut off, or of something else."""

from __future__ import annotations

import json
import struct

import pytest

from tests.wan_backend.library import heads_only
from wan_backend.library import weights_head
from wan_backend.storage.guarded_files import UnusableFile


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16, b"no\n" * 40])
@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_something_else_under_such_a_name(tmp_path, content, suffix):
    (tmp_path / f"x.{suffix}").write_bytes(content)
    with pytest.raises(UnusableFile):
        weights_head.read_head(tmp_path / f"x.{suffix}")


def test_a_cut_off_file_is_named(tmp_path):
    file = heads_only.write(tmp_path / "x.safetensors", heads_only.transformer())
    with open(file, "r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    with pytest.raises(UnusableFile, match="cut off: it has"):
        weights_head.read_head(file)


def test_a_head_is_read_again_only_when_the_file_changes(tmp_path):
    file = heads_only.write(tmp_path / "x.safetensors", {"a": (1,)})
    assert weights_head.read_head(file) is weights_head.read_head(file)
    heads_only.write(file, {"a": (1,), "b": (1,)})
    assert "b" in weights_head.read_head(file).tensors


def test_a_gguf_of_a_strange_version_is_named(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 9, 0, 0))
    with pytest.raises(UnusableFile, match="version 9"):
        weights_head.read_head(tmp_path / "x.gguf")


def test_metadata_is_no_tensor(tmp_path):
    head = json.dumps({"__metadata__": {"made": "today"}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    assert weights_head.read_head(tmp_path / "x.safetensors").metadata == {"made": "today"}
