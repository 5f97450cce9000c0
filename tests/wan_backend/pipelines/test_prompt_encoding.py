"""Cleaning of prompts, and their embeddings: in memory, on disk, bit for bit the same, bounded and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.prompt_encoding import MAX_TOKENS, PromptCache, PromptFiles, clean, encode
from wan_backend.pipelines.stopping import Stopped


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [("  a \n\t b  ", "a b"), ("&amp;amp; c", "& c"), ("donâ€™t", "don't"), ("", ""), ("a\ud800b", "a?b")],
)
def test_cleaning(raw, cleaned):
    assert clean(raw) == cleaned


@given(st.text())
def test_any_text_can_be_cleaned_and_encoded(text):
    clean(text).encode("utf-8")


def test_embeddings_are_zero_past_the_prompt(vace_folder):
    model = WanModel(vace_folder, torch.device("cpu"))
    embeds = encode(model.tokenizer, model.text_encoder, "abc")
    assert embeds.shape == (1, MAX_TOKENS, 32)
    assert embeds[:, :4].abs().min() > 0
    assert not embeds[:, 8:].any()
    assert not embeds.requires_grad


def test_a_stop_ends_the_encoding(vace_folder):
    model = WanModel(vace_folder, torch.device("cpu"))
    with pytest.raises(Stopped):
        encode(model.tokenizer, model.text_encoder, "abc", lambda: True)


def test_the_cache_forgets_what_was_longest_unused():
    cache = PromptCache(limit=2)
    cache.put("a", torch.zeros(1))
    cache.put("b", torch.ones(1))
    assert cache.get("a") is not None
    cache.put("c", torch.ones(1))
    assert cache.get("b") is None and cache.get("a") is not None and cache.get("c") is not None


def test_the_cache_keeps_a_copy():
    cache, embeds = PromptCache(), torch.zeros(1)
    cache.put("a", embeds)
    embeds += 1
    assert cache.get("a") == 0


CPU = torch.device("cpu")


def embeds(length: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    made = torch.zeros(1, MAX_TOKENS, 32, dtype=dtype)
    made[:, :length] = torch.randn(length, 32, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [0, 1, 40, MAX_TOKENS])
def test_the_same_bits_come_back_and_zeros_take_no_room(tmp_path, dtype, length):
    given = embeds(length, dtype=dtype)
    PromptFiles(tmp_path / "prompts", "encoder").put("fog", given)
    found = PromptFiles(tmp_path / "prompts", "encoder").get("fog", MAX_TOKENS)
    assert found is not None and found.dtype is dtype and torch.equal(found, given)
    (file,) = (tmp_path / "prompts").iterdir()
    assert file.stat().st_size < 200 + length * 32 * given.itemsize


def test_what_a_text_encoder_says_comes_back_bit_for_bit(tmp_path, t2v_folder):
    model = WanModel(t2v_folder, CPU)
    read = encode(model.tokenizer, model.text_encoder, "fog over a forest")
    PromptCache(files=PromptFiles(tmp_path, "encoder")).put("fog", read)
    found = PromptCache(files=PromptFiles(tmp_path, "encoder")).get("fog")
    assert found is not None and torch.equal(found, read)


def test_another_encoder_or_prompt_finds_nothing(tmp_path):
    PromptFiles(tmp_path, "encoder").put("fog", embeds(3))
    assert PromptFiles(tmp_path, "other").get("fog", MAX_TOKENS) is None
    assert PromptFiles(tmp_path, "encoder").get("rain", MAX_TOKENS) is None


def test_the_prompt_is_written_nowhere(tmp_path):
    PromptFiles(tmp_path, "encoder").put("my secret film", embeds(3))
    for file in tmp_path.iterdir():
        assert "secret" not in file.name and b"secret" not in file.read_bytes()


def zeros_in_its_second_half(whole: bytes) -> bytes:
    """As a power cut may leave it, whose numbers are all there."""
    return whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2 - 32) + whole[-32:]


DAMAGES = {
    "nothing": lambda whole: b"", "nonsense": lambda whole: b"nonsense", "cut": lambda whole: whole[:-5],
    "zeros": zeros_in_its_second_half,
    "zeros to the end": lambda whole: whole[: len(whole) // 2] + bytes(len(whole) // 2),
    "one bit": lambda whole: whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
    "without a checksum, as before": lambda whole: whole[:-32],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_read_over_and_replaced(tmp_path, damage):
    files = PromptFiles(tmp_path, "encoder")
    files.put("fog", embeds(30))
    (file,) = tmp_path.iterdir()
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert files.get("fog", MAX_TOKENS) is None
    files.put("fog", embeds(30))
    assert files.get("fog", MAX_TOKENS) is not None


def test_nobody_waits_for_the_disk(tmp_path, monkeypatch):
    """What a power cut leaves of a file is told by its checksum."""
    monkeypatch.setattr(os, "fsync", lambda _handle: pytest.fail("the way to the first step waits for the disk"))
    files = PromptFiles(tmp_path, "encoder")
    files.put("fog", embeds(3))
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for left in (b"", bytes(len(content)), content[:-40] + bytes(40), content[: len(content) // 2]):
        file.write_bytes(left)
        assert files.get("fog", MAX_TOKENS) is None


def test_the_longest_unused_make_room(tmp_path):
    size = 30 * 32 * 4 + 140
    files = PromptFiles(tmp_path, "encoder", limit_bytes=3 * size)
    for number, prompt in enumerate("abc"):
        files.put(prompt, embeds(30, number))
        os.utime(files._file(prompt), (number, number))
    assert files.get("a", MAX_TOKENS) is not None  # used again
    files.put("d", embeds(30))
    assert [files.get(prompt, MAX_TOKENS) is not None for prompt in "abcd"] == [True, False, True, True]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3 * size


def test_a_folder_that_can_not_be_made_costs_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    files = PromptFiles(tmp_path / "file" / "prompts", "encoder")
    cache = PromptCache(files=files)
    cache.put("fog", embeds(3))
    assert cache.get("fog") is not None and files.get("fog", MAX_TOKENS) is None


def test_a_full_disk_leaves_no_part(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    PromptFiles(tmp_path, "encoder").put("fog", embeds(3))
    assert list(tmp_path.iterdir()) == []


def test_the_encoder_s_own_files_tell_it_from_others(t2v_folder, tmp_path):
    import shutil

    copy: Path = shutil.copytree(t2v_folder, tmp_path / "copy")
    first = WanModel(copy, CPU).fingerprint("text_encoder")
    assert first == WanModel(copy, CPU).fingerprint("text_encoder") != WanModel(copy, CPU).fingerprint()
    os.utime(next((copy / "transformer").glob("*.safetensors")), (1, 1))
    assert WanModel(copy, CPU).fingerprint("text_encoder") == first
    for part in ("text_encoder", "tokenizer"):
        os.utime(next(each for each in (copy / part).iterdir() if each.name != "config.json"), (1, 1))
        changed = WanModel(copy, CPU).fingerprint("text_encoder")
        assert changed != first
        first = changed
