"""Steps on disk: the newest alone, written beside the denoising and never in its way; and what makes them useless."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.step_checkpoint import Checkpoint
from wan_backend.protocol.media import STEPS_FILE
from wan_backend.protocol.messages import (
    Decoder,
    Fix,
    FrameRate,
    GuidanceInterval,
    LoraUse,
    MatrixPrecision,
    MediaFormat,
    Origin,
    Plan,
    ReusedSteps,
    RunParams,
    StepCache,
    StepRange,
    TakeRequest,
)
from wan_backend.storage import whole_file
from wan_backend.worker import kept_steps as module
from wan_backend.worker.kept_steps import KeptSteps, fingerprint


def at(done: int, extent: int = 2) -> Checkpoint:
    return Checkpoint.at_the_end(done, torch.full((1, 1, 1, extent, extent), float(done)))


def test_the_newest_is_found_by_the_next_try(tmp_path):
    with KeptSteps(tmp_path / "work") as steps:
        assert steps.find("job") is None
        for done in range(1, 9):
            steps.keep(at(done))
        assert steps.find("job").done == 8
    assert [file.name for file in (tmp_path / "work").iterdir()] == [STEPS_FILE]
    with KeptSteps(tmp_path / "work") as steps:
        assert steps.find("another") is None
        assert steps.find("job").done == 8
        steps.remove()
        assert not (tmp_path / "work").exists()


def test_without_a_folder_they_are_kept_as_long_as_the_job(tmp_path):
    with KeptSteps(None) as steps:
        steps.find("job")
        steps.keep(at(3))
        assert steps.find("job").done == 3
        steps.remove()


@dataclass
class SlowDisk:
    """Writes when it may; until then it holds whatever is written."""

    may: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    written: list[int] = field(default_factory=list)


@pytest.fixture
def slow_disk(monkeypatch) -> Iterator[SlowDisk]:
    disk, write = SlowDisk(), Checkpoint.write

    def held(self, file, fingerprint):
        disk.begun.set()
        assert disk.may.wait(60)
        file.parent.mkdir(exist_ok=True)
        write(self, file, fingerprint)
        disk.written.append(self.done)

    monkeypatch.setattr(Checkpoint, "write", held)
    yield disk
    disk.may.set()


def test_a_slow_disk_holds_nothing_up_and_gets_the_newest(tmp_path, slow_disk):
    with KeptSteps(tmp_path) as steps:
        steps.find("job")
        for done in range(1, 100):
            steps.keep(at(done))
        assert slow_disk.begun.wait(60) and slow_disk.written == []
        slow_disk.may.set()
        steps.flush(60)
    assert slow_disk.written[-1] == 99 and len(slow_disk.written) <= 3


def test_a_disk_that_hangs_does_not_hold_the_end_of_a_job(tmp_path, slow_disk):
    with KeptSteps(tmp_path) as steps:
        steps.keep(at(1))
        assert slow_disk.begun.wait(60)
    assert slow_disk.written == []


def test_a_step_that_waits_for_the_disk_is_that_of_the_try_that_made_it(tmp_path, slow_disk):
    """Out of memory: the job goes on in 8 bit, while a step of the 16 bit weights still waits."""
    with KeptSteps(tmp_path) as steps:
        steps.find("16-bit")
        steps.keep(at(1))
        assert slow_disk.begun.wait(60)
        steps.keep(at(2))
        assert steps.find("8-bit") is None
        slow_disk.may.set()
        steps.flush(60)
        assert slow_disk.written == [1, 2]
    with KeptSteps(tmp_path) as steps:
        assert steps.find("8-bit") is None
        assert steps.find("16-bit").done == 2


def test_what_a_slow_disk_writes_after_the_take_is_whole_goes_as_well(tmp_path, slow_disk):
    folder = tmp_path / "work"
    with KeptSteps(folder) as steps:
        steps.find("job")
        steps.keep(at(1))
        assert slow_disk.begun.wait(60)
        steps.keep(at(2))
        steps.remove()
        slow_disk.may.set()
        steps.flush(60)
    steps._thread.join(60)
    assert slow_disk.written == [1] and not folder.exists()


def test_two_jobs_in_one_folder_do_not_write_into_each_other_s_file(tmp_path, monkeypatch):
    """A retry may begin while a slow disk still takes the last step of the try before."""
    at_the_disk, may = [], threading.Event()
    both = threading.Event()
    replace = whole_file.replace

    def slow(part, file):
        at_the_disk.append(part)
        if len(at_the_disk) == 2:
            both.set()
        assert may.wait(60)
        replace(part, file)

    monkeypatch.setattr(whole_file, "replace", slow)
    with KeptSteps(tmp_path) as steps:
        steps.find("job")
        steps.keep(at(1))
    with KeptSteps(tmp_path) as again:
        again.find("job")
        again.keep(at(2))
        assert both.wait(60)
        may.set()
        again.flush(60)
        steps.flush(60)
    assert at_the_disk[0] != at_the_disk[1]
    with KeptSteps(tmp_path) as later:
        assert later.find("job").done in (1, 2)
    assert [file.name for file in tmp_path.iterdir()] == [STEPS_FILE]


def test_what_a_killed_worker_had_begun_to_write_goes(tmp_path):
    left = tmp_path / f"{STEPS_FILE}.1-0.part"
    left.write_bytes(b"half")
    with KeptSteps(tmp_path):
        assert not left.exists()


def test_a_full_disk_costs_the_steps_and_is_said_once(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoint, "write", full)
    with KeptSteps(tmp_path) as steps:
        for done in (1, 2, 3):
            steps.keep(at(done))
            steps.flush()
    assert len([record for record in caplog.records if "can't be kept" in record.message]) == 1


def test_a_step_that_no_memory_is_left_to_write_costs_only_itself(tmp_path, monkeypatch):
    write, tries = Checkpoint.write, []

    def short_of_memory(self, file, fingerprint):
        tries.append(self.done)
        if len(tries) == 1:
            raise MemoryError
        write(self, file, fingerprint)

    monkeypatch.setattr(Checkpoint, "write", short_of_memory)
    with KeptSteps(tmp_path) as steps:
        steps.find("job")
        for done in (1, 2):
            steps.keep(at(done))
            steps.flush(5)
    assert tries == [1, 2]
    with KeptSteps(tmp_path) as steps:
        assert steps.find("job").done == 2


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_file_is_as_none(tmp_path, content):
    (tmp_path / STEPS_FILE).write_bytes(content)
    with KeptSteps(tmp_path) as steps:
        assert steps.find("job") is None
        steps.keep(at(1))
    with KeptSteps(tmp_path) as steps:
        assert steps.find("job").done == 1


def test_the_steps_of_a_full_size_take_are_as_large_as_they_have_to_be(tmp_path):
    """480p, 81 frames, UniPC: 8.4 MB of latents and three times as much of its own."""
    from wan_backend.pipelines.sampling import make_scheduler

    sampler = make_scheduler({}, "unipc", 3.0)
    sampler.set_timesteps(30)
    latents = torch.randn(1, 16, 21, 60, 104)
    with KeptSteps(tmp_path) as steps:
        steps.find("job")
        for done in range(1, 5):
            latents = sampler.step(latents * 0.5, sampler.timesteps[done - 1], latents, return_dict=False)[0]
            steps.keep(Checkpoint.after(done, latents, sampler))
        steps.flush(60)
    assert 30e6 < (tmp_path / STEPS_FILE).stat().st_size < 40e6


RATE = FrameRate(16)
REQUEST = TakeRequest("fog", "any", 48, 32, 9, RATE, 1, "/media")
PLAN = Plan("any", 48, 32, 9, RATE, 9, 6, 3.0, 3.0, "unipc")


def picture(level: int) -> np.ndarray:
    return np.full((32, 48, 3), level, np.uint8)


@pytest.fixture(scope="module")
def model(vace_folder) -> WanModel:
    return WanModel(vace_folder, torch.device("cpu"))


@pytest.fixture
def of(model):
    def make(canvas: Canvas | None = None, plan: dict | None = None, **request) -> str:
        asked = RunParams("job", dataclasses.replace(REQUEST, **request), dataclasses.replace(PLAN, **(plan or {})), "")
        return fingerprint(asked, canvas or Canvas(), model)

    return make


def test_where_the_take_goes_and_what_is_only_said_change_nothing(of):
    assert of() == of(media_folder="/elsewhere", media_format=MediaFormat.H264, origin=Origin(scene="Other"))
    assert of() == of(plan={"memory_bytes": 9, "disk_bytes": 9, "notes": ["Snapped."], "decoder": Decoder.TINY})
    assert of() == of(plan={"fixes": [Fix("Download...")], "memory": "All of it stays on the card."})


def test_every_field_of_a_plan_either_makes_another_job_or_is_known_to_be_said_only(of):
    only_said = {
        "memory_bytes", "memory", "disk_bytes", "notes", "fixes", "problem", "decoder", "forwards", "all_forwards",
        "no_guidance_interval", "no_step_cache", "can_calibrate", "cards", "cards_per_forward", "shared_weights",
    }  # fmt: skip
    others = {
        int: 7, bool: True, float: 0.125, str: "other", list: [1000.0], FrameRate: FrameRate(12), type(None): 0.5,
        MatrixPrecision: MatrixPrecision.FAST_8_BIT,
    }  # fmt: skip
    for each in dataclasses.fields(PLAN):
        value = getattr(PLAN, each.name)
        if each.name not in only_said | {"loras"}:
            assert of() != of(plan={each.name: others[type(value)]}), each.name


@pytest.mark.parametrize(
    "request_changes",
    [
        {"prompt": "rain"},
        {"negative_prompt": "blur"},
        {"seed": 2},
        {"strength": 0.5},
        {"matrix_precision": MatrixPrecision.FAST_8_BIT},
    ],
)
def test_another_request_is_another_job(of, request_changes):
    assert of() != of(**request_changes)


@pytest.mark.parametrize("skips", [{"guided_steps": StepRange(0, 1)}, {"reused_steps": ReusedSteps([1], [1])}])
def test_a_step_that_was_made_with_other_work_left_out_is_not_gone_on_from(of, skips):
    assert of() != of(plan=skips)
    assert of(plan={"reused_steps": ReusedSteps([1])}) != of(plan={"reused_steps": ReusedSteps([1], [1])})
    assert of() != of(step_cache=StepCache.ON) and of() != of(guidance_interval=GuidanceInterval(0, 0.5))


@pytest.mark.parametrize("plan", [{"steps": 7}, {"sampler": "euler"}, {"window_frames": 5}, {"guidance_scale": 1.0}])
def test_another_plan_is_another_job(of, plan):
    assert of() != of(plan=plan)


def test_what_the_sources_show_counts_and_where(of):
    canvases = [
        Canvas(),
        Canvas(kept={0: picture(1)}),
        Canvas(kept={0: picture(2)}),
        Canvas(kept={1: picture(1)}),
        Canvas(look=picture(1)),
        Canvas(guide=picture(1)[None]),
        Canvas(footage=picture(1)[None]),
    ]
    assert len({of(canvas) for canvas in canvases}) == len(canvases)
    assert of(Canvas(kept={0: picture(1)})) == of(Canvas(kept={0: picture(1)}))


def test_another_lora_under_the_same_name_is_another_job(of, tmp_path):
    file = tmp_path / "style.safetensors"
    plan = {"loras": [LoraUse(str(file), 0.5)]}
    found = [of(), of(plan=plan)]
    for content in (b"one", b"another"):
        file.write_bytes(content)
        found.append(of(plan=plan))
    assert len(set(found)) == 4 and of(plan=plan) == found[-1]


def test_another_version_or_model_is_another_job(of, model, t2v_folder, monkeypatch):
    before = of()
    other = WanModel(t2v_folder, torch.device("cpu"))
    assert fingerprint(RunParams("job", REQUEST, PLAN, ""), Canvas(), other) != before
    monkeypatch.setattr(module, "__version__", "99")
    assert of() != before
