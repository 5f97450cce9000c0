"""All tasks but edits (`test_edited_takes.py`) through the real process: exact lengths, true kept frames, no litter.

The checkpoint is a tiny random one.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Collection, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.wan_backend.worker.footage import HEIGHT, WIDTH, picture, source
from tests.wan_backend.worker.worker_process import Worker, left_behind, pictures, problem_in
from wan_backend.catalogue import entries
from wan_backend.frames import marks
from wan_backend.planning import kept_pictures, plan_steps
from wan_backend.planning.draft import Draft
from wan_backend.protocol.messages import Conform, FrameRate, Guide, Plan, Role, RunParams, TakeRequest, Task

MODEL_RATE = FrameRate(16)
JOB = "a" * 32


@pytest.fixture
def worker(steady_worker: Worker) -> Worker:
    return steady_worker


@pytest.fixture(scope="session")
def patched_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint whose autoencoder folds 2 x 2 pixels into channels before it begins."""
    from diffusers import AutoencoderKLWan

    from wan_backend.bench import tiny_checkpoint

    folder = tmp_path_factory.mktemp("patched") / "model"
    pipeline = tiny_checkpoint.make_pipeline()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKLWan(
            base_dim=2, num_res_blocks=1, dim_mult=[1, 2, 4], temperal_downsample=[True, True],
            patch_size=2, in_channels=12, out_channels=12, scale_factor_spatial=8,
        )  # fmt: skip
    pipeline.register_modules(vae=vae.eval())
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(params=["vace_folder", "patched_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def params(tmp_path: Path):
    """Makes RunParams for a task: its sources on the disk, and a plan as the server would make it."""

    def make(task: Task, folder: Path, take=12, scene=24, window=0, backward=False, media=None, **more) -> RunParams:
        step = Fraction(16, scene)
        sources, before, after, frames = [], 0, 0, _up(int(-(-(take - 1) * step // 1)) + 1)
        if task is Task.IMAGE_TO_VIDEO:
            sources = [source(tmp_path, Role.FIRST, range(3, 4)), source(tmp_path, Role.LAST, range(5, 6))]
        elif task is Task.RESTYLE:
            sources = [source(tmp_path, Role.FOOTAGE, range(take))]
        elif task is Task.PREVIS:
            sources = [source(tmp_path, Role.DEPTH, range(take)), source(tmp_path, Role.LOOK, range(50, 51))]
        elif task is Task.EXTEND and backward:
            sources, after = [source(tmp_path, Role.AFTER, range(20, 30))], 4
            frames = _up(int(-(-take * step // 1)) + after)
        elif task is Task.EXTEND:
            sources, before = [source(tmp_path, Role.BEFORE, range(10))], 5
            frames = _up(int(-(-take * step // 1)) + before)
        elif task is Task.FILL_GAP:
            sources = [source(tmp_path, Role.BEFORE, range(10)), source(tmp_path, Role.AFTER, range(20, 40))]
            free = int(-(-(take + 1) * step // 1)) - 1
            before, frames = 5, _up(5 + free + 1)
            after = frames - before - free
        request = TakeRequest(
            "fog", "any", WIDTH, HEIGHT, take, FrameRate(scene), 5, str(media or tmp_path / "media"), task=task,
            sources=sources, **more,
        )  # fmt: skip
        plan = Plan(
            "any", WIDTH, HEIGHT, frames, MODEL_RATE, take, 2, 3.0, 3.0, "unipc",
            kept_before=before, kept_after=after, window_frames=window,
        )  # fmt: skip
        return RunParams(JOB, request, plan, str(folder), device="cpu")

    return make


def _up(frames: int) -> int:
    """The next 4k + 1."""
    return -(-(frames - 1) // 4) * 4 + 1


ASKED = {
    "text": (Task.TEXT_TO_VIDEO, {}),
    "image": (Task.IMAGE_TO_VIDEO, {}),
    "restyle by frames": (Task.RESTYLE, {"guide": Guide.FRAMES, "strength": 0.5}),
    "restyle by edges": (Task.RESTYLE, {"guide": Guide.EDGES}),
    "fill gap": (Task.FILL_GAP, {}),
    "extend": (Task.EXTEND, {}),
    "extend backward": (Task.EXTEND, {"backward": True}),
    "previs": (Task.PREVIS, {"strength": 0.4}),
}


NEIGHBORED = ("fill gap", "extend", "extend backward")
SCENES = {24: FrameRate(24), 30: FrameRate(30, 1.001), 50: FrameRate(50)}


def some(cases: Iterable[Any], wanted: Collection[Any]) -> list[Any]:
    """All of the cases in the long run, and in every other those that are `wanted`."""
    return [
        case
        if case in wanted
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
        for case in cases
    ]


@pytest.mark.parametrize(("name", "scene"), some(
    [*((name, 30) for name in ASKED), ("fill gap", 24), ("fill gap", 50)], [("fill gap", 50)],
))  # fmt: skip
def test_what_the_planner_plans_is_made_by_the_embedded_model(worker, params, name, scene):
    task, more = ASKED[name]
    entry = entries.entry("embedded")
    asked = params(task, entries.PACKAGE / entry.package_folder, take=37, **more)
    request = dataclasses.replace(
        asked.request, model="embedded", width=128, height=96, frame_rate=SCENES[scene], steps=2
    )
    plan = plan_steps.plan(request, entry)
    assert plan.problem is None and (plan.width, plan.height) == (128, 96)
    frames = taken(worker, dataclasses.replace(asked, request=request, plan=plan))
    assert frames.shape == (37, 96, 128, 3)


@pytest.mark.long
@pytest.mark.long
@pytest.mark.parametrize("name", ["fill gap", "restyle by edges"])
def test_ten_seconds_are_planned_in_windows_and_made(worker, params, name):
    task, more = ASKED[name]
    entry = entries.entry("embedded")
    asked = params(task, entries.PACKAGE / entry.package_folder, take=240, **more)
    request = dataclasses.replace(asked.request, model="embedded", width=128, height=96, steps=2)
    plan = plan_steps.plan(request, entry)
    assert plan.problem is None and plan.window_frames and plan.model_frames > plan.window_frames
    assert len(taken(worker, dataclasses.replace(asked, request=request, plan=plan))) == 240


def taken(worker: Worker, asked: RunParams) -> np.ndarray:
    """The take's frames; it is whole, and nothing else lies about."""
    take = worker.run(asked).take
    assert take.frames == asked.request.length_frames
    assert left_behind(asked.request.media_folder) == [Path(take.folder).name]
    files = [f"{n:04}.png" for n in range(1, take.frames + 1)]
    assert left_behind(take.folder) == [*files, "take.json"]
    settings = json.loads((Path(take.folder) / "take.json").read_text())
    assert settings["request"]["task"] == asked.request.task
    kind = marks.COMPOSITE if asked.request.sources else marks.GENERATED
    assert settings["marks"]["digital_source_type"] == kind
    assert marks.mark_of(Path(take.folder, take.first_file)).digital_source_type == kind
    frames = pictures(take.folder)
    assert frames.shape == (take.frames, asked.plan.height, asked.plan.width, 3) and frames.std() > 5
    return frames


@pytest.mark.parametrize("name", ASKED)
def test_a_task_makes_exactly_the_frames_that_are_asked(worker, params, folder, name):
    task, more = ASKED[name]
    taken(worker, params(task, folder, **more))


NEIGHBORS = [(name, take, scene) for name in NEIGHBORED for take in (1, 5, 31) for scene in (16, 25, 60)]
# Each pair of two of them is in one at least.
PAIRS = [
    (name, (1, 5, 31)[one], (16, 25, 60)[(one + at) % 3]) for at, name in enumerate(NEIGHBORED) for one in range(3)
]


@pytest.mark.parametrize(("name", "take", "scene"), some(NEIGHBORS, PAIRS))
def test_neighbors_of_any_rate_and_length(worker, params, vace_folder, name, take, scene):
    task, more = ASKED[name]
    taken(worker, params(task, vace_folder, take=take, scene=scene, **more))


def test_an_image_to_video_begins_and_ends_on_its_very_pictures(worker, params, vace_folder):
    frames = taken(worker, params(Task.IMAGE_TO_VIDEO, vace_folder))
    assert np.array_equal(frames[0], picture(3)) and np.array_equal(frames[-1], picture(5))
    assert not np.array_equal(frames[5], picture(3))


@pytest.mark.parametrize(
    ("name", "more"),
    some(
        [
            *((name, {"take": 24}) for name in ASKED),
            *((name, {"take": 96, "window": 33}) for name in ("text", "fill gap")),
        ],
        [("image", {"take": 24}), ("restyle by frames", {"take": 24}), ("text", {"take": 96, "window": 33})],
    ),
)  # fmt: skip
def test_kept_pictures_are_shown_exactly_at_their_frames(worker, params, vace_folder, tmp_path, name, more):
    """Also where the model has no frame at that time: 10 and 15 are thirds and halves of its frames."""
    task, settings = ASKED[name]
    asked = params(task, vace_folder, **settings, **more)
    places = {10: 40, 15: 41, 80: 42} if more["take"] > 80 else {10: 40, 15: 41}
    kept = [
        dataclasses.replace(source(tmp_path / "kept", Role.KEPT, range(number, number + 1)), at_frame=at)
        for at, number in places.items()
    ]
    request = dataclasses.replace(asked.request, sources=[*asked.request.sources, *kept])
    plan = kept_pictures.settle(Draft(request, entries.entry("embedded"), asked.plan)).plan
    assert [each.at_frame for each in plan.kept_pictures] == sorted(places)
    frames = taken(worker, dataclasses.replace(asked, request=request, plan=plan))
    for at, number in places.items():
        assert np.array_equal(frames[at], picture(number))
        assert not np.array_equal(frames[at + 1], picture(number))


def test_the_take_next_to_a_seam_shows_the_true_neighbor_where_that_is_nearest(worker, params, vace_folder):
    """At 48 fps the first frame of the take is nearer in time to the neighbor's last than to any that is made."""
    frames = taken(worker, params(Task.FILL_GAP, vace_folder, take=30, scene=48, conform=Conform.REPEAT))
    assert np.array_equal(frames[0], picture(9)) and not np.array_equal(frames[1], picture(9))
    backward = params(Task.EXTEND, vace_folder, take=30, scene=48, conform=Conform.REPEAT, backward=True)
    assert np.array_equal(taken(worker, backward)[-1], picture(20))


@pytest.mark.parametrize(
    "name", some(["text", "extend", "fill gap", "restyle by frames", "previs"], ["text", "fill gap", "previs"])
)
def test_a_long_take_is_made_in_windows(worker, params, vace_folder, name):
    task, more = ASKED[name]
    asked = params(task, vace_folder, take=96, scene=16, window=33, **more)
    assert asked.plan.model_frames > 2 * 33
    taken(worker, asked)


def test_the_strength_shows_in_a_restyled_take(worker, params, vace_folder):
    def restyled(strength: float) -> np.ndarray:
        return taken(worker, params(Task.RESTYLE, vace_folder, strength=strength))

    little, half, whole = restyled(0.0), restyled(0.5), restyled(1.0)
    assert np.array_equal(little, half)  # one step of two in both
    assert not np.array_equal(half, whole)


def test_progress_tells_of_the_footage_and_ends_with_the_last_frame(worker, params, vace_folder):
    taken(worker, params(Task.FILL_GAP, vace_folder))
    sentences = [report.sentence for report in worker.progress]
    assert "Reading the footage" in sentences
    shown = [report.progress for report in worker.progress]
    assert shown == sorted(shown) and worker.progress[-1].eta_seconds == 0
    assert sentences[-1] == "Frame 17 of 17"


def test_a_source_that_is_gone_is_a_sentence_and_leaves_nothing(worker, params, vace_folder, tmp_path):
    asked = params(Task.EXTEND, vace_folder)
    (tmp_path / "before" / "0009.png").unlink()
    problem = worker.refusal(asked)
    assert problem.kind == "bad_source" and "0009.png" in problem.sentence
    assert left_behind(asked.request.media_folder) == []


def test_depth_of_footage_without_a_depth_model_is_a_sentence_with_a_fix(worker, params, vace_folder):
    problem = worker.refusal(params(Task.RESTYLE, vace_folder, guide=Guide.DEPTH))
    assert "edges" in problem.sentence and problem.fixes[0].value == "edges"


def test_a_cancel_while_it_decodes_leaves_nothing(worker, params, vace_folder):
    asked = params(Task.FILL_GAP, vace_folder, take=200)
    number = worker.send("run", asked)
    worker.wait_for("decoding")
    worker.send("cancel", {"job_id": asked.job_id})
    assert problem_in(worker.answer(number)).kind == "cancelled"
    assert left_behind(asked.request.media_folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted for it")
def test_a_disk_too_small_for_the_film_that_waits_is_a_sentence(worker, params, vace_folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        asked = params(Task.FILL_GAP, vace_folder, media=disk / "wan")
        assert worker.refusal(asked).kind == "disk_full"
        assert left_behind(asked.request.media_folder) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
