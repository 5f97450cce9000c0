"""Steps on disk: the newest alone, written beside the arithmetic, and never in its way."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from wan_backend.pipelines.checkpoint import Checkpoint
from wan_backend.protocol.media import STEPS_FILE
from wan_backend.worker.kept_steps import KeptSteps


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


def test_a_slow_disk_holds_nothing_up_and_gets_the_newest(tmp_path, monkeypatch):
    written, goes_on = [], threading.Event()

    def slow(self, _file, _fingerprint):
        goes_on.wait(5)
        written.append(self.done)

    monkeypatch.setattr(Checkpoint, "write", slow)
    with KeptSteps(tmp_path) as steps:
        steps.find("job")
        began = time.monotonic()
        for done in range(1, 100):
            steps.keep(at(done))
            time.sleep(0.001)
        assert time.monotonic() - began < 1
        goes_on.set()
    assert written[-1] == 99 and len(written) <= 3


def test_a_disk_that_hangs_does_not_hold_the_end_of_a_job(tmp_path, monkeypatch):
    hangs = threading.Event()
    monkeypatch.setattr(Checkpoint, "write", lambda *_: hangs.wait(20))
    began = time.monotonic()
    with KeptSteps(tmp_path) as steps:
        steps.keep(at(1))
    assert time.monotonic() - began < 1.4
    hangs.set()


def test_a_full_disk_costs_the_steps_and_is_said_once(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoint, "write", full)
    with KeptSteps(tmp_path) as steps:
        for done in (1, 2, 3):
            steps.keep(at(done))
            steps.flush()
    assert len([record for record in caplog.records if "can't be kept" in record.message]) == 1


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_file_is_as_none(tmp_path, content):
    (tmp_path / STEPS_FILE).write_bytes(content)
    with KeptSteps(tmp_path) as steps:
        assert steps.find("job") is None
        steps.keep(at(1))
    with KeptSteps(tmp_path) as steps:
        assert steps.find("job").done == 1


def test_a_full_size_take_s_steps_hold_its_arithmetic_up_for_milliseconds(tmp_path):
    """480p, 81 frames, UniPC: 8.4 MB of latents and three times as much of its own. Copying is all that is waited
    for; a step of such a take is a second on the fastest card.
    """
    from wan_backend.pipelines.sampling import make_scheduler

    sampler = make_scheduler({}, "unipc", 3.0)
    sampler.set_timesteps(30)
    latents = torch.randn(1, 16, 21, 60, 104)
    with KeptSteps(tmp_path) as steps:
        steps.find("job")
        waited = []
        for done in range(1, 5):
            latents = sampler.step(latents * 0.5, sampler.timesteps[done - 1], latents, return_dict=False)[0]
            began = time.perf_counter()
            steps.keep(Checkpoint.after(done, latents, sampler))
            waited.append(time.perf_counter() - began)
    assert 30e6 < (tmp_path / STEPS_FILE).stat().st_size < 40e6
    assert min(waited) < 0.05, waited
