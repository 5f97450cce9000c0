"""Trainings on another machine: clips go over by content, and what is kept comes home, on the way and at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.wan_backend.server.served import Served, request, wait_until


@pytest.fixture
def loras(tmp_path) -> Path:
    return tmp_path / "loras"


@pytest.fixture
def training(tmp_path, loras):
    """training(words) is a request for a training on eight stills."""

    def asked(words: str = "", name: str = "Harbor") -> dict[str, Any]:
        folder = tmp_path / "footage"
        folder.mkdir(exist_ok=True)
        for number in range(8):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), 20 * number, np.uint8))
        sources = [{"role": "clip", "folder": str(folder), "files": [f"{number}.png"]} for number in range(8)]
        trained = {"name": name, "trigger": "zug", "kind": "look", "sample_prompt": "zug at noon"}
        return request(loras, words, sources=sources, training=trained, length_frames=1)

    return asked


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def kept(job: dict[str, Any]) -> list[tuple[int, str]]:
    return [(each["step"], Path(each["path"]).name) for each in job["training"]["kept"]]


def test_a_lora_comes_home_with_its_samples_and_those_before_it(relay, training, loras, tmp_path):
    near = relay()
    near.wait(lambda m: m.get("method") == "link" and m["params"]["connected"])
    plan = near.call("plan", request=training())
    assert plan["problem"] is None and plan["training"]["clips"] == 8
    job_id = near.submit(training("kept:2"))
    done = near.wait_for(job_id, "done")
    assert kept(done) == [(1, "Harbor 000001.safetensors"), (2, "Harbor 000002.safetensors"), (2, "Harbor.safetensors")]
    assert all(Path(each["path"]).is_file() and Path(each["picture"]).is_file() for each in done["training"]["kept"])
    assert files(loras / "Harbor") == [
        "Harbor.safetensors",
        "samples/000001.jpg",
        "samples/000002.jpg",
        "step 000001/Harbor 000001.safetensors",
        "step 000002/Harbor 000002.safetensors",
        "training.json",
    ]
    assert (loras / "Harbor" / "Harbor.safetensors").read_bytes() == b"the whole LoRA" * 1000
    settings = json.loads((loras / "Harbor" / "training.json").read_bytes())
    assert settings["job_id"] == job_id and settings["trigger"] == "zug"
    assert len(list((tmp_path / "far/sent/contents").iterdir())) == 8, "the clips went over"
    assert near.jobs()[job_id]["training"]["kept"] == done["training"]["kept"]
    assert near.call("details", job_id=job_id)["request"]["media_folder"] == str(loras)
    wait_until(lambda: not list((tmp_path / "far/sent/takes").glob("*/*")))  # it need not lie twice
    assert not list((tmp_path / "near/arriving").iterdir())


@pytest.mark.long
def test_what_is_kept_on_the_way_comes_at_once_and_only_the_last_of_it_stays(relay, training, loras):
    near = relay()
    job_id = near.submit(training("kept:7 slow:0.3"))
    near.wait(lambda m: _kept_of(m, job_id) and Path(_kept_of(m, job_id)[-1]["path"]).is_file())
    assert near.jobs()[job_id]["state"] == "denoising"
    done = near.wait_for(job_id, "done")
    assert [step for step, _ in kept(done)] == [4, 5, 6, 7, 7]
    assert [name for name in files(loras / "Harbor") if name.startswith("step")] == [
        f"step {step:06d}/Harbor {step:06d}.safetensors" for step in (4, 5, 6, 7)
    ]


def _kept_of(message: dict[str, Any], job_id: str) -> list[dict[str, Any]]:
    params = message.get("params") or {}
    return (params.get("training") or {}).get("kept") or [] if params.get("job_id") == job_id else []


def test_a_name_that_is_taken_here_gets_a_number_and_its_files_with_it(relay, training, loras):
    (loras / "Harbor").mkdir(parents=True)
    (loras / "Harbor" / "Harbor.safetensors").write_bytes(b"a person's")
    near = relay()
    done = near.wait_for(near.submit(training("kept:1")), "done")
    assert Path(done["training"]["kept"][-1]["path"]) == loras / "Harbor 2" / "Harbor 2.safetensors"
    assert Path(done["training"]["kept"][0]["path"]).name == "Harbor 2 000001.safetensors"
    assert files(loras / "Harbor") == ["Harbor.safetensors"]


def test_a_line_that_breaks_and_a_blender_that_is_closed_lose_nothing(relay, training, loras, tmp_path):
    near = relay(line=("--break-after", "60000", "--once", str(tmp_path / "fault")), serve=("--stay",))
    job_id = near.submit(training("kept:4 slow:1"))
    near.wait(lambda m: bool(_kept_of(m, job_id)))
    near.end_stdin()
    again = relay(serve=("--stay",))
    wait_until(lambda: again.jobs()[job_id]["state"] == "done")
    done = again.jobs()[job_id]
    assert [step for step, _ in kept(done)] == [1, 2, 3, 4, 4]
    assert all(Path(each["path"]).is_file() for each in done["training"]["kept"])


@pytest.mark.long
def test_of_one_that_fails_what_was_kept_comes_and_stays_over_there_for_a_retry(relay, training, loras, tmp_path):
    near = relay()
    job_id = near.submit(training("kept:2 fails"))
    near.wait_for(job_id, "failed")
    wait_until(lambda: len(near.jobs()[job_id]["training"]["kept"]) == 2)
    assert "samples/000002.jpg" in files(loras / "Harbor")
    far = tmp_path / "far/sent/takes"
    assert list(far.glob("*/Harbor"))
    near.call("retry", job_id=job_id)
    near.wait_for(job_id, "failed")
    note = tmp_path / f"near/landed/{job_id}.training.json"
    wait_until(lambda: json.loads(note.read_bytes())["whole"])
    near.call("clear", job_ids=[job_id])
    wait_until(lambda: not list(far.glob("*/Harbor")))
    assert "samples/000002.jpg" in files(loras / "Harbor")


@pytest.mark.long
def test_folders_that_both_see_have_it_at_once(relay, training, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    near: Served = relay("--pair", str(share), str(share))
    asked = {**training("kept:1"), "media_folder": str(share / "loras")}
    done = near.wait_for(near.submit(asked), "done")
    assert Path(done["training"]["kept"][-1]["path"]) == share / "loras" / "Harbor" / "Harbor.safetensors"
    assert not (tmp_path / "far/sent/takes").exists()
