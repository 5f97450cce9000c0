"""A server with a models folder as ComfyUI has it: what it tells of it, and what it tells its worker."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.wan_backend.library import heads_only, hostile
from tests.wan_backend.server.served import request

SMALL = "wan2.1-t2v-1.3b"


@pytest.fixture
def comfy(tmp_path) -> Path:
    folder = tmp_path / "models"
    heads_only.write(folder / "unet" / "t2v.safetensors", heads_only.transformer())
    heads_only.write(folder / "clip" / "umt5.safetensors", heads_only.text_encoder())
    heads_only.write(folder / "vae" / "vae.safetensors", heads_only.vae())
    return folder


def start(serve, comfy, tmp_path):
    return serve("--models-folder", str(comfy), HF_HUB_CACHE=str(tmp_path / "cache"))


def test_the_first_job_of_all_waits_for_the_look_and_gets_the_files(serve, comfy, media, tmp_path):
    server = start(serve, comfy, tmp_path)
    job_id = server.submit(request(media, "fog", length_frames=5, model=SMALL, resolution="480p"))
    server.wait_for(job_id, "done")
    told = json.loads((media / job_id / "take.json").read_bytes())["model_parts"]
    assert {part["part"]: Path(part["place"]).name for part in told} == {
        "transformer": "t2v.safetensors", "text_encoder": "umt5.safetensors", "tokenizer": "umt5.safetensors",
        "vae": "vae.safetensors",
    }  # fmt: skip


def test_a_refusal_that_came_late_is_a_refusal(serve, comfy, media, tmp_path):
    (comfy / "vae" / "vae.safetensors").unlink()
    server = start(serve, comfy, tmp_path)
    asked = request(media, "fog", length_frames=5, model=SMALL, resolution="480p")
    refused = server.refused("submit", job_id="f" * 32, request=asked)
    assert "put wan_2.1_vae.safetensors into 'vae'" in refused["data"]["sentence"]


def test_models_and_doctor_tell_of_files(serve, comfy, tmp_path):
    server = start(serve, comfy, tmp_path)
    (row,) = server.rows(lambda _: True, SMALL)
    assert row["here"] and "t2v.safetensors (bf16)" in row["sentence"]
    found = [finding["sentence"] for finding in server.call("doctor")["findings"] if finding["topic"] == "file"]
    assert any("umt5.safetensors: text encoder (UMT5), bf16." in sentence for sentence in found)


def test_a_file_that_comes_later_is_found(serve, comfy, tmp_path):
    vae = comfy / "vae" / "vae.safetensors"
    vae.unlink()
    server = start(serve, comfy, tmp_path)
    (row,) = server.rows(lambda _: True, SMALL)
    assert not row["here"]
    heads_only.write(vae, heads_only.vae())
    server.rows(lambda rows: rows[SMALL]["here"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_bad_files_stop_neither_the_rows_nor_the_queue(serve, comfy, media, tmp_path):
    for number, content in enumerate([*hostile.SAFETENSORS.values(), *hostile.GGUF.values()]):
        (comfy / "unet" / f"bad {number}{'.gguf' if content[:4] == b'GGUF' else '.safetensors'}").write_bytes(content)
    for number, make in enumerate(hostile.STRANGE.values()):
        make(comfy / "unet" / f"strange {number}.safetensors")
    folder = tmp_path / "cache" / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "model_index.json")
    server = start(serve, comfy, tmp_path)
    (row,) = server.rows(lambda _: True, SMALL)
    assert row["here"]
    job_id = server.submit(request(media, "fog", length_frames=5, model=SMALL, resolution="480p"))
    server.wait_for(job_id, "done")
