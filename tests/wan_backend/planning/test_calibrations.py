"""What was measured for the step cache is found for the same model and settings alone, whatever the file holds."""

from __future__ import annotations

import dataclasses
import json
import os
import sys

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.library.component_files import ComponentFiles
from wan_backend.planning import calibrations as module
from wan_backend.planning.calibrations import Branch, Calibration, CalibrationKey, Calibrations, model_identity
from wan_backend.protocol.messages import Sampler

KEY = CalibrationKey("model", 3, Sampler.UNIPC, 3.0)
FOUND = Calibration({Branch.PROMPT: [1.0, 0.9, 1.1], Branch.NEGATIVE: [1.0, 0.8, 1.2]}, [0, 2])


def test_it_is_found_again_by_another_process_for_its_key_alone(tmp_path):
    file = tmp_path / "state" / "calibrations.json"
    Calibrations(file).record(KEY, FOUND)
    assert Calibrations(file).find(KEY) == FOUND
    for change in ({"model": "x"}, {"steps": 4}, {"sampler": Sampler.EULER}, {"flow_shift": 5.0}, {"controlled": True}):
        assert Calibrations(file).find(dataclasses.replace(KEY, **change)) is None


def test_a_new_one_replaces_the_old_and_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_CALIBRATIONS", 2)
    kept = Calibrations(tmp_path / "c.json")
    other = dataclasses.replace(FOUND, starts=[0])
    keys = [dataclasses.replace(KEY, flow_shift=shift) for shift in (1.0, 2.0, 3.0)]
    for key in keys:
        kept.record(key, FOUND)
    kept.record(keys[2], other)
    assert kept.count() == 2
    assert [kept.find(key) for key in keys] == [None, FOUND, other]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: "{",
        lambda value: json.dumps({**value, "format": 99}),
        lambda value: json.dumps([value]),
        lambda value: json.dumps({**value, "calibrations": 3}),
        lambda value: json.dumps(value).replace("0.9", "-1"),
        lambda value: json.dumps(value).replace("0.9", "NaN"),
        lambda value: json.dumps(value).replace("0.9", '"many"'),
        lambda value: json.dumps(value).replace("0.9", "1" + 400 * "0"),
        lambda value: json.dumps(value).replace("[0, 2]", "[Infinity]"),
        lambda value: json.dumps(value).replace('"prompt"', '"other"'),
        lambda value: json.dumps(value).replace("[1.0, 0.9, 1.1]", "[1.0, 0.9]"),
    ],
)
def test_a_damaged_file_holds_nothing_and_is_written_anew(tmp_path, change):
    file = tmp_path / "c.json"
    Calibrations(file).record(KEY, FOUND)
    file.write_text(change(json.loads(file.read_text())))
    assert Calibrations(file).find(KEY) is None
    Calibrations(file).record(KEY, FOUND)
    assert Calibrations(file).find(KEY) == FOUND


def test_what_is_no_number_is_not_kept_in_place_of_what_was(tmp_path):
    kept = Calibrations(tmp_path / "c.json")
    kept.record(KEY, FOUND)
    with pytest.raises(ValueError, match="JSON"):
        kept.record(KEY, Calibration({Branch.PROMPT: [1.0, float("nan"), 1.1]}, [0]))
    assert kept.find(KEY) == FOUND


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    file = tmp_path / "c.json"
    half_written = file.with_name(file.name + ".part")
    half_written.write_text("another's")
    Calibrations(file).record(KEY, FOUND)
    assert Calibrations(file).find(KEY) == FOUND and half_written.read_text() == "another's"


def test_without_a_file_nothing_is_kept():
    Calibrations().record(KEY, FOUND)
    assert Calibrations().find(KEY) is None


def test_a_model_is_told_by_its_transformer_wherever_it_lies(tmp_path):
    folder = tiny_folder.write(tmp_path / "one")
    before = model_identity(ComponentFiles(folder))
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"other")
    assert model_identity(ComponentFiles(folder.rename(tmp_path / "two"))) == before
    (tmp_path / "two" / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"other")
    assert model_identity(ComponentFiles(tmp_path / "two")) != before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c.json")
    kept = Calibrations(tmp_path / "c.json")
    assert kept.find(KEY) is None
    kept.record(KEY, FOUND)
    assert kept.find(KEY) == FOUND
