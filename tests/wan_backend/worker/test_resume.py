"""kill -9 in the midst of a job, then the same job again: it goes on, and its frames are those of one never killed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faults.mounts import can_mount
from tests.wan_backend.lora import written_loras
from tests.wan_backend.worker.executors import RecordingExecutor, asked
from tests.wan_backend.worker.footage import source
from tests.wan_backend.worker.worker_process import Worker, pictures, problem_in
from tools.embedded_model.evaluate import WEIGHTS
from wan_backend.catalogue.entries import PACKAGE
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.component_files import ComponentFiles
from wan_backend.lora.resolve import transformer_configs
from wan_backend.protocol.media import PREVIEW_FILE, STEPS_FILE
from wan_backend.protocol.messages import (
    FrameRate,
    Guide,
    JobState,
    LoraUse,
    Plan,
    ReusedSteps,
    Role,
    RunParams,
    RunResult,
    StepRange,
    TakeRequest,
    Task,
    Words,
)

RATE = FrameRate(16)
STEPS = 30
JOB, WHOLE = "a" * 32, "b" * 32


@pytest.fixture
def params(tmp_path: Path) -> Callable[..., RunParams]:
    """RunParams of 17 frames, 64 x 48, with folders as the server gives them."""

    def make(
        folder: Path, job: str = JOB, window: int = 0, kept=(0, 0), state="state", skips=None, **request
    ) -> RunParams:
        asked = TakeRequest("fog", "any", 64, 48, 17, RATE, 5, str(tmp_path / "media"), **request)
        plan = Plan(
            "any", 64, 48, 17, RATE, 17, STEPS, 3.0, 3.0, "unipc",
            kept_before=kept[0], kept_after=kept[1], window_frames=window, **(skips or {}),
        )  # fmt: skip
        work = tmp_path / state / "jobs" / job / "work"
        return RunParams(
            job, asked, plan, str(folder), "cpu", work_folder=str(work), state_folder=str(tmp_path / state)
        )

    return make


@pytest.fixture
def worker(tmp_path: Path):
    """worker() is a new one; all are ended at the end of the test."""
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(tmp_path / f"worker-{len(started)}.log"))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end()
        for pipe in (each.process.stdin, each.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def steady(steady_worker: Worker) -> Worker:
    """A worker that nobody kills."""
    return steady_worker


def killed_at(worker: Worker, params: RunParams, state: str, step: int) -> None:
    """Kill it once the job is there and a step of it is on the disk, which may be later than the step is reported."""
    worker.send("run", params)
    worker.wait_for(state, step)
    kept = Path(params.work_folder) / STEPS_FILE
    while not kept.exists():
        assert "method" in worker.read(), "the take was finished before any step was kept"
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait(60)


def canceled_at(worker: Worker, params: RunParams, step: int) -> None:
    """Cancel it at that step: it leaves the same on the disk as a kill, and needs no worker of its own."""
    number = worker.send("run", params)
    worker.wait_for("denoising", step)
    worker.send("cancel", {"job_id": params.job_id})
    assert problem_in(worker.answer(number)).kind == "cancelled"


def sentences(worker: Worker) -> list[str]:
    return [report.sentence for report in worker.progress]


def steps_made(worker: Worker) -> list[int]:
    return [report.step for report in worker.progress if report.sentence.startswith("Step ")]


def went_on(worker: Worker) -> bool:
    return any(sentence.startswith("Resuming at step ") for sentence in sentences(worker))


SKIPS = {
    "guided_steps": StepRange(3, 20),
    "reused_steps": ReusedSteps([n for n in range(4, 30) if n % 4], [n for n in range(4, 20) if n % 3]),
}
"""Steps 4, 8, 16, 20, ... need nothing of those before."""
WORDS = {"words": [Words(0, 7, "rain"), Words(8, 12, "sun")]}
CASES = {
    "text": ("vace_folder", {}),
    "windows": ("vace_folder", {"window": 9}),
    "footage": (
        "vace_folder",
        {"task": Task.RESTYLE, "guide": Guide.EDGES, "strength": 0.7, "sources": {Role.FOOTAGE: range(17)}},
    ),
    "look and depth": (
        "vace_folder",
        {"task": Task.PREVIS, "strength": 0.4, "sources": {Role.DEPTH: range(17), Role.LOOK: range(50, 51)}},
    ),
    "extend": ("vace_folder", {"task": Task.EXTEND, "kept": (5, 0), "sources": {Role.BEFORE: range(10)}}),
    "picture": ("first_picture_folder", {"task": Task.IMAGE_TO_VIDEO, "sources": {Role.FIRST: range(3, 4)}}),
    "two experts": ("text_experts_folder", {}),
    "skipped work": ("vace_folder", {"window": 9, "skips": SKIPS}),
    "skipped work of two experts": ("text_experts_folder", {"skips": SKIPS}),
    "words over time": ("vace_folder", {"window": 9, "skips": {**SKIPS, **WORDS}}),
    "words of two experts": ("text_experts_folder", {"skips": WORDS}),
    "given latent": ("first_latent_folder", {"task": Task.IMAGE_TO_VIDEO, "sources": {Role.FIRST: range(3, 4)}}),
}

LONG = ("text", "windows", "look and depth", "extend", "picture", "two experts", "skipped work",
        "skipped work of two experts", "words of two experts")  # fmt: skip
"""Of these, CI has the like: words in windows with skipped work, footage that guides, a latent, and experts below."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in CASES])
def test_after_a_kill_it_goes_on_and_makes_the_same_frames(worker, steady, params, request, tmp_path, name):
    folder, asked = CASES[name]
    folder = request.getfixturevalue(folder)
    given = {k: v for k, v in asked.items() if k != "sources"}
    given["sources"] = [source(tmp_path, role, numbers) for role, numbers in asked.get("sources", {}).items()]
    made = [params(folder, job, **given) for job in (WHOLE, JOB)]
    if name == "given latent":  # its pixels come by 32
        made = [dataclasses.replace(each, plan=dataclasses.replace(each.plan, height=32)) for each in made]
    whole = pictures(steady.run(made[0]).take.folder)
    assert not went_on(steady)
    if name == "given latent":  # that a worker is killed, the others look at
        canceled_at(steady, made[1], 6)
    else:
        killed_at(worker(), made[1], "denoising", 14 if "skips" in asked else 6)
    assert (Path(made[1].work_folder) / STEPS_FILE).exists()
    resumed = pictures(steady.run(made[1]).take.folder)
    assert went_on(steady), sentences(steady)
    assert min(steps_made(steady)) > 1, "steps were made twice"
    assert np.array_equal(resumed, whole)
    assert not Path(made[1].work_folder).exists(), "a finished take needs no steps"


def test_two_experts_go_on_in_the_turn_of_the_second(worker, steady, params, text_experts_folder):
    whole = pictures(steady.run(params(text_experts_folder, WHOLE)).take.folder)
    second = next(each.step for each in steady.progress if each.sentence == "Continuing with the second transformer")
    assert 0 < second < STEPS - 5
    killed_at(worker(), params(text_experts_folder), "denoising", second + 4)
    resumed = pictures(steady.run(params(text_experts_folder)).take.folder)
    assert np.array_equal(resumed, whole) and went_on(steady)
    assert min(steps_made(steady)) > second, "steps were made twice"
    assert "Continuing with the second transformer" not in sentences(steady)


def with_loras(params: RunParams, *uses: LoraUse) -> RunParams:
    return dataclasses.replace(
        params,
        request=dataclasses.replace(params.request, loras=list(uses)),
        plan=dataclasses.replace(params.plan, loras=list(uses)),
    )


@pytest.mark.long  # in CI, one whose LoRA was changed meanwhile begins anew, which asks more of the same code
def test_a_job_with_a_lora_goes_on_and_makes_the_same_frames(worker, steady, params):
    uses = [LoraUse(str(PACKAGE / "embedded_model/loras/style.safetensors"), 0.75)]
    whole = pictures(steady.run(with_loras(params(WEIGHTS, WHOLE), *uses)).take.folder)
    killed_at(worker(), with_loras(params(WEIGHTS), *uses), "denoising", 6)
    resumed = pictures(steady.run(with_loras(params(WEIGHTS), *uses)).take.folder)
    assert went_on(steady) and min(steps_made(steady)) > 3, sentences(steady)
    assert np.array_equal(resumed, whole)


@pytest.mark.parametrize(
    "change", ["file", *(pytest.param(each, marks=pytest.mark.long) for each in ("strength", "one less", "one more"))]
)
def test_steps_made_with_another_lora_are_not_gone_on_from(steady, params, vace_folder, tmp_path, change):
    extents = shapes(transformer_configs(ComponentFiles(vace_folder))["transformer"])
    file, other = (written_loras.written(tmp_path / f"{name}.safetensors", extents) for name in ("mine", "other"))
    uses = [LoraUse(str(file), 0.75)]
    canceled_at(steady, with_loras(params(vace_folder), *uses), 6)
    assert (Path(params(vace_folder).work_folder) / STEPS_FILE).exists()
    if change == "strength":
        uses = [LoraUse(str(file), 0.8)]
    elif change == "file":
        shutil.copy(other, file)
    else:
        uses = [] if change == "one less" else [*uses, LoraUse(str(other))]
    again = pictures(steady.run(with_loras(params(vace_folder), *uses)).take.folder)
    assert not went_on(steady) and min(steps_made(steady)) < 3, sentences(steady)
    anew = pictures(steady.run(with_loras(params(vace_folder, WHOLE), *uses)).take.folder)
    assert np.array_equal(again, anew)


@pytest.mark.long
def test_killed_twice_and_killed_while_it_decodes(worker, steady, params, vace_folder):
    whole = pictures(steady.run(params(vace_folder, WHOLE)).take.folder)
    killed_at(worker(), params(vace_folder), "denoising", 4)
    killed_at(worker(), params(vace_folder), "decoding", 0)
    resumed = pictures(steady.run(params(vace_folder)).take.folder)
    assert np.array_equal(resumed, whole)
    assert not any(step < 12 for step in steps_made(steady))


def test_a_canceled_job_goes_on_where_it_was_and_another_one_begins_anew(steady, params, vace_folder):
    asked = params(vace_folder)
    canceled_at(steady, asked, 6)
    kept = (Path(asked.work_folder) / STEPS_FILE).read_bytes()
    steady.run(asked)
    assert went_on(steady)
    Path(asked.work_folder).mkdir()
    (Path(asked.work_folder) / STEPS_FILE).write_bytes(kept)
    steady.run(dataclasses.replace(asked, request=dataclasses.replace(asked.request, seed=6)))
    assert not went_on(steady) and min(steps_made(steady)) < 6


def test_a_preview_is_there_at_every_step_and_goes_with_the_job(steady, params):
    asked = params(WEIGHTS)
    asked = dataclasses.replace(asked, plan=dataclasses.replace(asked.plan, steps=4))
    one = steady
    number = one.send("run", asked)
    seen: list[bytes] = []
    while "method" in (message := one.read()):
        report = message["params"]
        if report.get("preview"):
            assert report["preview"] == str(Path(asked.work_folder) / PREVIEW_FILE)
        if report.get("preview") and report["state"] == "denoising":
            seen.append(Path(report["preview"]).read_bytes())
            assert len(seen[-1]) <= 40_000
            picture = cv2.imdecode(np.frombuffer(seen[-1], np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (288, 384, 3)
    assert message["id"] == number and "result" in message
    assert len(set(seen)) >= 3, "each step looks different"
    assert not Path(asked.work_folder).exists()


def test_prompts_that_are_known_load_no_text_encoder(steady, params, t2v_folder):
    """The folder is none that `steady` has warm."""
    whole = pictures(steady.run(params(t2v_folder, WHOLE)).take.folder)
    assert "Loading the text encoder" in sentences(steady)
    second = RecordingExecutor()  # another process
    answer = second.run(asked(params(t2v_folder)))
    assert isinstance(answer, RunResult) and second.sentences
    again = pictures(answer.take.folder)
    assert "Loading the text encoder" not in second.sentences
    assert np.array_equal(again, whole)


@pytest.mark.skipif(not can_mount(), reason="needs root on Linux, to mount a small disk")
def test_a_disk_that_fills_while_it_decodes_costs_the_decoding_alone(steady, params, vace_folder, tmp_path):
    disk = tmp_path / "media"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=18m", "tmpfs", str(disk)], check=True)
    one = steady
    try:
        number = one.send("run", params(vace_folder))
        one.wait_for("denoising", 1)
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 40_000))  # a frame or two
        problem = problem_in(one.answer(number))
        assert problem.kind == "disk_full" and "it resumes from its last step" in problem.sentence
        assert STEPS in steps_made(one)
        filler.unlink()
        one.run(params(vace_folder))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "The steps are done already" in sentences(one)
    assert not steps_made(one), "the denoising was made twice"
    assert all(report.step in (0, STEPS) for report in one.progress)
    assert [r.state for r in one.progress if r.state is JobState.DECODING]


@pytest.mark.skipif(not can_mount(), reason="needs root on Linux, to mount a small disk")
def test_a_state_folder_without_room_costs_nothing_but_the_steps(steady, params, vace_folder, tmp_path):
    disk = tmp_path / "full"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], check=True)
    one = steady
    try:
        one.run(params(vace_folder, state="full"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "can't be kept" in one.log.read_text()
