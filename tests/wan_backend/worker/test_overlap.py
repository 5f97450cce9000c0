"""On the way to the first step nothing waits for what it doesn't need, as the order of what happens shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.wan_backend.worker.footage import HEIGHT, WIDTH, source
from wan_backend.frames import source_frames
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.stopping import Stopped, check
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import (
    FrameRate,
    Plan,
    ProblemKind,
    ProgressParams,
    Role,
    RunParams,
    TakeRequest,
    Task,
)
from wan_backend.worker.overlap import beside, files_to_come
from wan_backend.worker.take_job import make_take
from wan_backend.worker.warm_model import WarmModel

RATE = FrameRate(16)
WAIT_SECONDS = 60.0


@pytest.fixture
def params(vace_folder, tmp_path):
    """A take that goes on from footage, so that it has sources to read, a prompt and a canvas to encode."""

    def make(job: str = "a" * 32, steps: int = 3, **more) -> RunParams:
        sources = [source(tmp_path, Role.BEFORE, range(5))]
        request = TakeRequest(
            "fog", "any", WIDTH, HEIGHT, 9, RATE, 1, str(tmp_path / "media"), task=Task.EXTEND, sources=sources, **more
        )
        plan = Plan("any", WIDTH, HEIGHT, 9, RATE, 9, steps, 3.0, 3.0, "unipc", kept_before=5)
        work = tmp_path / "state" / "jobs" / job / "work"
        return RunParams(
            job, request, plan, str(vace_folder), "cpu", work_folder=str(work), state_folder=str(tmp_path / "state")
        )

    return make


@pytest.fixture
def warm(vace_folder) -> WarmModel:
    return WarmModel(WanModel(vace_folder, torch.device("cpu")))


class Course:
    """What happened in a job, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changed = threading.Condition()

    def note(self, event: str) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, event: str) -> None:
        """Until that happened; whoever comes after it by nature waits in vain."""
        with self._changed:
            came = self._changed.wait_for(lambda: event in self.events, WAIT_SECONDS)
        assert came, f"{event} has to wait for this: {self.events}"

    def report(self, progress: ProgressParams) -> None:
        self.note(progress.sentence)

    def reads(self, after: str = ""):
        """Reads sources as ever, once `after` has happened."""

        def read(source, frames: Sequence[int], width, height, scene_size) -> Iterator[np.ndarray]:
            self.note("sources begin")
            if after:
                self.wait_for(after)
            yield from source_frames.read(source, frames, width, height, scene_size)
            self.note("sources end")

        return read


def never() -> bool:
    return False


def test_the_prompt_is_read_while_the_sources_are(params, warm):
    course = Course()
    make_take(params(), warm, course.report, never, course.reads(after="Reading the prompt"))
    order = [course.events.index(each) for each in ("Reading the prompt", "sources end", "Preparing the canvas")]
    assert order == sorted(order)


def test_a_take_that_may_go_on_from_kept_steps_reads_no_prompt_for_nothing(params, warm):
    wanted = params(steps=4)
    reports = 0

    def stop_after_a_step() -> bool:
        return reports > 0

    def report(progress: ProgressParams) -> None:
        nonlocal reports
        reports += progress.step >= 1  # that of the first step comes in any case, however quick it was

    with pytest.raises(Stopped):
        make_take(wanted, warm, report, stop_after_a_step)
    warm.cache.prompts._embeds.clear()
    warm.cache.prompts.files = None
    for file in Path(wanted.state_folder, "prompts").iterdir():
        file.unlink()
    course = Course()
    make_take(wanted, warm, course.report, never, course.reads())
    assert course.events.index("sources end") < course.events.index("Reading the prompt")
    assert any(event.startswith("Resuming") for event in course.events)


def test_overlapped_or_not_the_frames_are_the_same(params, warm, monkeypatch):
    from tests.wan_backend.worker.worker_process import pictures
    from wan_backend.worker import overlap

    one = make_take(params("a" * 32), warm, lambda _: None, never)
    monkeypatch.setattr(overlap, "estimates_depth", lambda _request: True)
    other = make_take(params("b" * 32), WarmModel(warm.model), lambda _: None, never)
    assert np.array_equal(pictures(one.take.folder), pictures(other.take.folder))


def test_a_source_that_can_not_be_read_ends_the_job_before_the_prompt_is(params, warm):
    course = Course()

    def fails(*_arguments) -> Iterator[np.ndarray]:
        raise Refusal.of(ProblemKind.BAD_SOURCE, "The movie is damaged.")
        yield

    use = PlacedModel.use

    def noted_use(placement, component):
        course.note(component)
        return use(placement, component)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Refusal, match="damaged"):
        patch.setattr(PlacedModel, "use", noted_use)
        make_take(params(), warm, course.report, never, fails)
    assert "transformer" not in course.events


def test_a_cancel_ends_both(params, warm):
    course, canceled = Course(), threading.Event()

    def report(progress: ProgressParams) -> None:
        course.report(progress)
        if progress.sentence == "Reading the prompt":
            canceled.set()

    def read(*_arguments) -> Iterator[np.ndarray]:
        course.wait_for("Reading the prompt")
        while True:
            check(canceled.is_set)
            yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    before = threading.active_count()
    with pytest.raises(Stopped):
        make_take(params(), warm, report, canceled.is_set, read)
    assert threading.active_count() <= before + 1  # the kept steps' thread ends by itself


def test_what_goes_wrong_aside_ends_what_is_done_here():
    ended = []

    def aside() -> None:
        raise OSError("gone")

    def here(should_stop) -> None:
        while not should_stop():
            pass
        ended.append(True)
        raise Stopped

    with pytest.raises(OSError, match="gone"):
        beside(aside, here, never)
    assert ended


def test_a_stop_is_a_stop():
    with pytest.raises(Stopped):
        beside(lambda: 1, lambda should_stop: check(should_stop), lambda: True)
    assert beside(lambda: 1, lambda _should_stop: None, never) == 1


def test_files_are_read_ahead_in_the_order_of_their_use(params, warm):
    job, model, prompts = params(), warm.model, warm.cache.prompts
    parts = [part for part, files in files_to_come(model, job.request, job.plan, prompts) if files]
    assert parts == ["text_encoder", "vae", "transformer"]
    make_take(job, warm, lambda _: None, never)
    model.drop("transformer")
    (left,) = [each for each in files_to_come(model, job.request, job.plan, prompts) if each[1]]
    assert left[0] == "transformer" and all(file.suffix == ".safetensors" for file in left[1])


def test_the_first_preview_is_there_before_the_second_step_ends(params, warm):
    previews: list[str] = []
    steps: list[int] = []

    def report(progress: ProgressParams) -> None:
        if progress.sentence.startswith("Step ") and progress.step:
            steps.append(progress.step)
            previews.append(progress.preview)
            assert Path(progress.preview).stat().st_size

    make_take(params(steps=6), warm, report, never)
    assert steps[0] == 1 and previews[0], "however quick the steps are, the first is told, with its preview"


def test_kernels_that_had_to_wait_come_after_the_first_preview(params, warm, monkeypatch):
    course = Course()
    monkeypatch.setattr(
        PlacedModel, "take_up_kernels", lambda _self, seconds, left: course.note(f"kernels, {left} steps left") or False
    )
    make_take(params(steps=3), warm, course.report, never)
    order = [course.events.index(each) for each in ("Step 1 of 3", "kernels, 2 steps left")]
    assert order == sorted(order)
