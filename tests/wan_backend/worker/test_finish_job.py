"""A take that is made larger: its files, what is kept of it when it stops, and that nothing is left where it fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend import upscaling_models
from wan_backend.frames import source_frames
from wan_backend.frames.marks import GENERATED, marks_of
from wan_backend.pipelines import upscaling
from wan_backend.pipelines.stopping import Stopped
from wan_backend.planning import finishing
from wan_backend.planning.draft import Inventory
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Component, ComponentFile, JobState, MediaFormat, RunParams
from wan_backend.storage import media_folder
from wan_backend.worker import finish_job


@pytest.fixture
def params(tmp_path):
    """Makes the RunParams of a job, as the server would."""

    def make(factor: int = 2, media_format: MediaFormat = MediaFormat.PNG) -> RunParams:
        models = tmp_path / "models"
        file = upscaling_models.write(models / "upscale_models" / upscaling_models.NAME)
        request = upscaling_models.request(tmp_path, factor, media_format=media_format)
        plan = finishing.plan(request, request.finish, Inventory(models_folders=[str(models)]))
        assert plan.problem is None, plan.problem.sentence
        parts = [ComponentFile(Component.UPSCALER, str(file))]
        return RunParams(
            "job", request, plan, str(file.parent), "cpu", model_parts=parts, work_folder=str(tmp_path / "work")
        )

    return make


def run(params: RunParams, should_stop=lambda: False, read=source_frames.read):
    reports = []
    return finish_job.make_larger(params, reports.append, should_stop, read), reports


def pictures(folder: str) -> list[np.ndarray]:
    return [cv2.imread(str(file)) for file in sorted(Path(folder).glob("*.png"))]


@pytest.mark.parametrize(("factor", "size"), [(2, (96, 64)), (4, (192, 128)), (0, (120, 80))])
def test_a_take_becomes_larger(params, factor, size):
    result, reports = run(params(factor))
    take = result.take
    assert (take.width, take.height, take.frames, take.handle_before, take.handle_after) == (*size, 5, 1, 0)
    made = pictures(take.folder)
    assert [picture.shape for picture in made] == [(size[1], size[0], 3)] * 5
    settings = json.loads((Path(take.folder) / "take.json").read_text())
    assert settings["request"]["finish"]["base"] == "base" and settings["marks"]["digital_source_type"] == GENERATED
    marks = marks_of([Path(take.folder) / take.first_file])
    assert [mark.digital_source_type for mark in marks] == [GENERATED]
    assert reports[0].state is JobState.LOADING and reports[-1].sentence == "Picture 5 of 5"
    shares = [report.progress for report in reports]
    assert shares == sorted(shares) and shares[-1] > 0.99


@pytest.mark.parametrize("media_format", [MediaFormat.FFV1, MediaFormat.H264])
def test_a_movie_becomes_a_larger_movie(params, media_format):
    result, _ = run(params(media_format=media_format))
    source = replace(
        params().request.sources[0], folder=result.take.folder, files=[result.take.first_file], is_movie=True
    )
    read = list(source_frames.read(replace(source, pictures=None), range(5), 96, 64, (96, 64)))
    assert len(read) == 5 and read[0].shape == (64, 96, 3)


def test_what_was_made_is_kept_for_the_next_try(params, monkeypatch):
    job = params()
    made: list[int] = []
    enlarge = upscaling.Upscaler.enlarge

    def counted(self, picture, width, height):
        made.append(1)
        return enlarge(self, picture, width, height)

    monkeypatch.setattr(upscaling.Upscaler, "enlarge", counted)
    with pytest.raises(Stopped):
        run(job, lambda: len(made) >= 3)
    assert not list(Path(job.request.media_folder).iterdir()) and len(made) == 3
    result, _ = run(job)
    assert len(made) == 3 + 3  # the third was stopped in its middle
    again, _ = run(replace(job, job_id="other", work_folder=""))
    assert all(map(np.array_equal, pictures(result.take.folder), pictures(again.take.folder)))
    assert not (Path(job.work_folder) / finish_job.KEPT_FOLDER).exists()


def test_what_is_kept_of_another_take_is_not_used(params, monkeypatch):
    job, made = params(), []
    with pytest.raises(Stopped):
        run(job, lambda: bool(list(Path(job.work_folder).rglob("0002.png"))))
    upscaling_models.write(Path(job.model_parts[0].place), blocks=2)  # the model changed
    enlarge = upscaling.Upscaler.enlarge
    monkeypatch.setattr(upscaling.Upscaler, "enlarge", lambda self, *picture: made.append(1) or enlarge(self, *picture))
    run(job)
    assert len(made) == 5


def test_a_disk_that_keeps_nothing_costs_the_kept_pictures_alone(params, monkeypatch, tmp_path):
    (tmp_path / "work").write_bytes(b"a file where the folder should be")
    result, _ = run(params())
    assert len(pictures(result.take.folder)) == 5


def test_on_a_full_disk_the_kept_pictures_make_way_for_the_take(params, monkeypatch):
    job = params()
    free = [job.plan.disk_bytes * 2 + media_folder.RESERVE_BYTES, media_folder.RESERVE_BYTES]
    kept: list[int] = []

    def look(_folder: Path) -> int:
        kept.append(len(list(Path(job.work_folder).rglob("*.png"))))
        return free[len(kept) > 2]

    monkeypatch.setattr(finish_job.byte_sizes, "free_bytes_at", look)
    result, _ = run(job)
    assert kept == [0, 1, 2] and not (Path(job.work_folder) / finish_job.KEPT_FOLDER).exists()
    assert len(pictures(result.take.folder)) == 5


def test_a_take_that_is_gone_by_then_is_said(params):
    job = params()
    shutil.rmtree(job.request.sources[0].folder)
    with pytest.raises(Refusal, match=r"Pictures of the take .* can't be read .*put its files back"):
        run(job)


def test_a_picture_that_cant_be_read_is_named_and_nothing_is_left(params):
    job = params()
    (Path(job.request.sources[0].folder) / "0003.png").write_bytes(b"no picture")
    with pytest.raises(Refusal, match=r"0003\.png"):
        run(job)
    assert not list(Path(job.request.media_folder).iterdir())
