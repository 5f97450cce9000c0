"""The real process with a tiny checkpoint: takes on the disk, canceling, refusing, and going on afterwards."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from tests.wan_backend.worker.worker_process import Worker, left_behind, pictures, problem_in
from wan_backend.protocol import PROTOCOL_VERSION, take_names
from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.messages import (
    Decoder,
    FrameRate,
    MediaFormat,
    Plan,
    RunParams,
    TakeRequest,
)


@pytest.fixture
def worker(steady_worker: Worker) -> Worker:
    return steady_worker


@pytest.fixture
def params(vace_folder: Path, tmp_path: Path):
    """Makes RunParams: nine frames of 64 x 48, shown at 24 fps."""

    def make(job: str = "a" * 32, media_format=MediaFormat.PNG, folder=vace_folder, media=None, **plan) -> RunParams:
        media = media or tmp_path / "wan – 'films'"
        rate = FrameRate(24, 1.001)
        request = TakeRequest("fog", "embedded", 64, 48, 12, rate, 5, str(media), media_format=media_format)
        values = {"width": 64, "height": 48, "model_frames": 9, "take_frames": 12, "steps": 2, "guidance_scale": 3.0}
        settled = Plan(
            "embedded", **{**values, **plan}, model_frame_rate=FrameRate(16), flow_shift=3.0, sampler="unipc"
        )
        return RunParams(job, request, settled, str(folder), device="cpu")

    return make


def test_it_says_who_it_is(worker):
    assert worker.ready.pid == worker.process.pid
    assert worker.ready.protocol == PROTOCOL_VERSION and worker.ready.torch and worker.ready.device


def test_a_take_is_whole_on_the_disk(worker, params):
    asked = params()
    result = worker.run(asked)
    take = result.take
    name = take_names.numbered(1, take_names.title(asked.request))
    assert take.folder == os.path.join(asked.request.media_folder, name)
    assert left_behind(asked.request.media_folder) == [name]
    settings = json.loads(Path(take.folder, "take.json").read_bytes())
    assert take_names.is_called_after(name, settings["job_id"], settings["title"])
    assert settings["job_id"] == asked.job_id and settings["take"]["folder"] == take.folder
    frames = pictures(take.folder)
    assert frames.shape == (12, 48, 64, 3) == (take.frames, take.height, take.width, 3)
    assert take.first_file == "0001.png" and take.frame_rate == asked.request.frame_rate
    assert frames.std() > 10 and not np.array_equal(frames[0], frames[-1])
    settings = json.loads((Path(take.folder) / "take.json").read_text())
    assert settings["format"] == 1 and settings["job_id"] == asked.job_id
    assert from_json(TakeRequest, settings["request"]) == asked.request
    assert from_json(Plan, settings["plan"]) == asked.plan
    assert settings["backend"]["device"] == "cpu" and settings["made"].endswith("+00:00")


def test_progress_goes_through_the_phases_and_never_says_done(worker, params):
    worker.run(params())
    states = list(dict.fromkeys(report.state.value for report in worker.progress))
    assert states[0] == "loading" and states[-2:] == ["denoising", "decoding"]
    shown = [report.progress for report in worker.progress]
    assert shown == sorted(shown) and shown[-1] < 1
    assert worker.progress[-1].step == 2 and worker.progress[-1].eta_seconds == 0


def test_the_seed_means_the_same_frames_bit_for_bit(worker, params):
    first, again = (pictures(worker.run(params(job)).take.folder) for job in ("b" * 32, "c" * 32))
    assert np.array_equal(first, again)
    asked = to_json(params("d" * 32))
    other_seed = from_json(RunParams, {**asked, "request": {**asked["request"], "seed": 6}})
    assert not np.array_equal(pictures(worker.run(other_seed).take.folder), first)
    other_prompt = from_json(RunParams, {**asked, "request": {**asked["request"], "prompt": "a red ball"}})
    assert not np.array_equal(pictures(worker.run(other_prompt).take.folder), first)


@pytest.mark.long  # CI has what one has begun and another ends, see test_resume
def test_another_worker_makes_the_same_frames(worker, params, tmp_path):
    frames = pictures(worker.run(params("b" * 32)).take.folder)
    other = Worker(tmp_path / "log")
    again = pictures(other.run(params("c" * 32)).take.folder)
    other.end()
    assert np.array_equal(frames, again)


def test_movies_show_the_same_frames(worker, params):
    frames = pictures(worker.run(params()).take.folder)
    take = worker.run(params("f" * 32, MediaFormat.FFV1)).take
    with av.open(os.path.join(take.folder, take.first_file)) as container:
        movie = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.array_equal(movie, frames)
    take = worker.run(params("e" * 32, MediaFormat.H264)).take
    with av.open(os.path.join(take.folder, take.first_file)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


@pytest.mark.parametrize(("state", "step"), [("loading", 0), ("denoising", 1), ("decoding", 0)])
@pytest.mark.parametrize("media_format", [MediaFormat.PNG, MediaFormat.H264])
def test_cancel_lands_and_leaves_nothing(worker, params, state, step, media_format):
    asked = params("9" * 32, media_format, width=256, height=144, model_frames=33, take_frames=49, steps=12)
    number = worker.send("run", asked)
    worker.wait_for(state, step)
    worker.send("cancel", {"job_id": asked.job_id})
    problem = problem_in(worker.answer(number))
    assert problem.kind == "cancelled"
    assert left_behind(asked.request.media_folder) == []


def test_a_job_after_a_canceled_one_is_unharmed(worker, params):
    first = pictures(worker.run(params()).take.folder)
    asked = params("8" * 32, steps=200)
    number = worker.send("run", asked)
    worker.wait_for("denoising", 3)
    worker.send("cancel", {"job_id": asked.job_id})
    worker.answer(number)
    assert np.array_equal(pictures(worker.run(params()).take.folder), first)


def test_a_second_job_and_nonsense_are_refused_while_one_runs(worker, params):
    asked = params("7" * 32, steps=60)
    number = worker.send("run", asked)
    worker.wait_for("denoising")
    second = worker.answer(worker.send("run", params("6" * 32)))
    assert "busy" in second["error"]["message"]
    worker.write(b"{nonsense\n")
    assert worker.answer(None)["error"]["code"] == -32700
    assert "error" in worker.answer(worker.send("dance", {}))
    assert "result" in worker.answer(number)


def test_a_model_that_is_missing_or_broken_is_a_sentence(worker, params, tmp_path):
    assert worker.refusal(params(folder=tmp_path)).kind == "model_missing"
    (tmp_path / "model_index.json").write_text("{}")
    assert worker.refusal(params(folder=tmp_path)).kind == "model_broken"


def test_a_media_folder_that_can_not_be_made_is_a_sentence(worker, params, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    problem = worker.refusal(params(media=tmp_path / "file" / "wan"))
    assert problem.kind == "folder" and "file" in problem.sentence


def test_an_error_nobody_thought_of_is_internal_and_names_the_log(worker, params):
    problem = worker.refusal(params(take_frames=-1, model_frames=9, steps=-3))
    assert problem.kind == "internal"
    if sys.platform == "linux":
        assert problem.log == str(worker.log)
    assert "Traceback" in worker.log.read_text()
    worker.run(params())


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted for it")
def test_a_disk_that_fills_up_while_it_writes_is_a_sentence(worker, params, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        for media_format in MediaFormat:
            asked = params("5" * 32, media_format, media=disk / "wan", width=256, height=144)
            problem = worker.refusal(asked)
            assert problem.kind == "disk_full", problem
            assert "free" in problem.sentence
            assert left_behind(asked.request.media_folder) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("busy", [pytest.param(False, marks=pytest.mark.long), True])
def test_it_leaves_at_the_end_of_stdin_whatever_it_is_doing(tmp_path, params, busy):
    worker = Worker(tmp_path / "log")
    asked = params(width=256, height=144, steps=500)
    if busy:
        worker.send("run", asked)
        worker.wait_for("denoising", 1)
    assert worker.end() == 0
    assert left_behind(asked.request.media_folder) in ([], [f"{asked.job_id}.partial"])


def test_its_heart_beats_while_it_works(worker, params):
    asked = params(width=256, height=144, steps=500)
    number = worker.send("run", asked)
    worker.wait_for("denoising", 1)
    before = len(worker.beats)
    while len(worker.beats) < before + 2:
        assert worker.read()["method"] == "progress"
    worker.send("cancel", {"job_id": asked.job_id})
    worker.answer(number)
    assert worker.beats[-1].cpu_seconds > worker.beats[0].cpu_seconds > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux alone")
def test_it_dies_with_its_parent_even_where_stdin_stays_open(tmp_path):
    read, write = os.pipe()
    script = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'wan_backend.worker'], stdin={read})\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, pass_fds=[read])
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while b"ready" not in parent.stdout.readline():
        pass
    parent.kill()
    parent.wait(60)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)
    parent.stdout.close()
    os.close(read)
    os.close(write)


def test_a_tiny_autoencoder_makes_the_pictures_where_that_is_planned(worker, params, tmp_path):
    from tests.wan_backend.pipelines import tiny_files

    asked = params(decoder=Decoder.TINY)
    tiny = dataclasses.replace(asked, tiny_decoder=str(tiny_files.write(tmp_path / "taew2_1.safetensors")))
    take = worker.run(tiny).take
    frames = pictures(take.folder)
    assert frames.shape == (12, 48, 64, 3) and frames.std() > 5
    whole = pictures(worker.run(params("b" * 32)).take.folder)
    assert np.abs(frames.astype(int) - whole).mean() > 5


def test_a_broken_tiny_autoencoder_loses_no_take_where_the_whole_one_fits(worker, params, tmp_path):
    broken = dataclasses.replace(params(decoder=Decoder.TINY), tiny_decoder=str(tmp_path / "none.safetensors"))
    take = worker.run(broken).take
    assert np.array_equal(pictures(take.folder), pictures(worker.run(params("b" * 32)).take.folder))
    settings = json.loads((Path(take.folder) / "take.json").read_text())
    assert settings["plan"]["decoder"] == "whole" and "can't be loaded" in settings["plan"]["notes"][-1]
    poor = dataclasses.replace(broken, job_id="c" * 32, memory_budget_bytes=1_000_000)
    assert "none.safetensors can't be loaded" in worker.refusal(poor).sentence


def test_a_tiny_autoencoder_helps_where_the_whole_one_does_not_fit(worker, params, tmp_path):
    from tests.wan_backend.pipelines import tiny_files

    file = str(tiny_files.write(tmp_path / "taew2_1.safetensors"))
    asked = dataclasses.replace(params(), tiny_decoder=file, memory_budget_bytes=1_000_000)
    settings = json.loads((Path(worker.run(asked).take.folder) / "take.json").read_text())
    assert settings["plan"]["decoder"] == "tiny" and "the tiny one made" in settings["plan"]["notes"][-1]
    roomy = dataclasses.replace(params("b" * 32), tiny_decoder=file)
    settings = json.loads((Path(worker.run(roomy).take.folder) / "take.json").read_text())
    assert settings["plan"]["decoder"] == "whole" and settings["plan"]["notes"] == []


def test_a_model_of_two_experts_makes_a_take(worker, params, text_experts_folder):
    take = worker.run(params(folder=text_experts_folder, steps=4, low_noise_guidance_scale=2.0)).take
    assert pictures(take.folder).shape == (12, 48, 64, 3)
    sentences = [report.sentence for report in worker.progress]
    assert "Loading the second transformer" in sentences and sentences.index("Loading the transformer") < (
        sentences.index("Loading the second transformer")
    )
    steps = [report.step for report in worker.progress if report.state.value == "denoising"]
    assert steps == sorted(steps) and steps[-1] == 4
    shown = [report.progress for report in worker.progress]
    assert shown == sorted(shown)


@pytest.mark.parametrize("kind", ["fast_text_folder", "fast_latent_folder"])
def test_a_distilled_model_makes_a_take(worker, params, request, kind):
    asked = params(folder=request.getfixturevalue(kind), steps=3, guidance_scale=1.0, timesteps=[1000.0, 757.0, 522.0])
    plan = dataclasses.replace(asked.plan, sampler="dmd", height=64)
    take = worker.run(dataclasses.replace(asked, plan=plan)).take
    assert pictures(take.folder).shape == (12, 64, 64, 3)
