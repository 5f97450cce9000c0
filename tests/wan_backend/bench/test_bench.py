"""The benchmark measures what it says, and what it measures is equal work."""

from __future__ import annotations

import json
import mmap
import os
import time
from pathlib import Path

import pytest
import torch

from wan_backend import bench
from wan_backend.bench import figures, random_weights
from wan_backend.bench.comparison import Row, table
from wan_backend.bench.time_and_memory import Measured, Meter
from wan_backend.loading.wan_model import WanModel

SMALL = ["--size", "64x48", "--frames", "5", "--steps", "3", "--repeat", "1", "--device", "cpu"]


@pytest.mark.parametrize("kind", ["vace_folder", pytest.param("t2v_folder", marks=pytest.mark.long)])
def test_both_engines_make_the_same_frames(kind, request, tmp_path, capsys):
    folder = request.getfixturevalue(kind)
    assert bench.main(["--folder", str(folder), "--json", str(tmp_path / "bench.json"), *SMALL]) == 0
    said = json.loads((tmp_path / "bench.json").read_text())
    assert list(said["phases"]) == ["load", "encode", "step", "decode"]
    assert all(phase["ours_seconds"] > 0 < phase["diffusers_seconds"] for phase in said["phases"].values())
    assert said["largest_difference_of_frames"] <= 1
    printed = capsys.readouterr()
    assert "times faster" in printed.out and "decode" in printed.out
    assert "A take with diffusers, not measured\n" in printed.err and "A take with Wan VSE, 1 of 1\n" in printed.err


def test_a_model_that_is_not_there_is_a_sentence_and_leaves_no_figures(tmp_path, capsys):
    assert bench.main(["--folder", str(tmp_path), "--json", str(tmp_path / "bench.json"), *SMALL]) == 2
    assert "model_index.json" in capsys.readouterr().err and not (tmp_path / "bench.json").exists()
    assert bench.main(["--model", "nope"]) == 2
    assert "embedded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        *(["--size", "5"], ["--size", "65x48"], ["--frames", "6"], ["--steps", "1"]),
        *(["--caps", "1.3B-480p", "--table"], ["--cards", "--training", "tiny"]),
        *(["--gib", "3"], ["--shards"], ["--caps", "1.3B-480p", "--frames", "33"], ["--link", "3", "--repeat", "2"]),
    ],
)
def test_wrong_flags_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        bench.main(wrong)
    assert "error" in capsys.readouterr().err


def test_the_meter_sees_time_and_memory():
    measured = Measured()
    with Meter(torch.device("cpu"), measured):
        block = mmap.mmap(-1, 200_000_000)  # memory of its own: what was freed before may still be the process's
        block.write(b"x" * len(block))
        time.sleep(0.05)
    assert measured.median_seconds >= 0.05
    assert measured.peak_bytes > 100_000_000
    block.close()


def test_the_table_divides_the_right_way_round():
    row = Row("step", 2.0, 1.0, None, 5 * 10**9)
    assert row.speedup == 2.0
    assert table([row]).splitlines()[1].split() == ["step", "2.000", "1.000", "2.000", "-", "5.000"]


def test_random_weights_are_made_as_a_checkpoint_would_be_loaded(monkeypatch, t2v_folder):
    small = {"num_attention_heads": 2, "ffn_dim": 16, "num_layers": 1}
    monkeypatch.setitem(random_weights.TRANSFORMER_CONFIGS, "1.3B", small)
    monkeypatch.setattr(random_weights, "UMT5_XXL", {"vocab_size": 128, "d_model": 4096, "num_layers": 1, "d_ff": 8})
    half = torch.bfloat16
    monkeypatch.setattr(random_weights.Precision, "for_device", lambda _d: random_weights.Precision(half, half, half))
    model = random_weights.RandomModel("1.3B", torch.device("cpu"))
    transformer = model.transformer
    assert transformer.dtype == half and transformer.config.num_layers == 1
    assert transformer.blocks[0].norm2.weight.dtype == transformer.scale_shift_table.dtype == torch.float32
    loaded = WanModel(t2v_folder, torch.device("cpu"), model.precision).transformer
    kinds = {name: weight.dtype for name, weight in loaded.named_parameters()}
    ours = {name: weight.dtype for name, weight in transformer.named_parameters()}
    assert ours == {name: kinds[name] for name in ours}
    assert {k: b.dtype for k, b in transformer.named_buffers()} == {k: b.dtype for k, b in loaded.named_buffers()}
    assert model.config("scheduler")["_class_name"] == "UniPCMultistepScheduler"
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("asked", [["--training", "tiny"], ["--caps", "14B-720p"], ["--link", "3"]])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(asked, tmp_path, capsys):
    with pytest.raises(SystemExit):
        bench.main([*asked, "--json", str(tmp_path / "away" / "figures.json")])
    assert "figures.json can't be written: No such file" in capsys.readouterr().err


def test_figures_of_an_earlier_run_stay_until_there_are_new_ones(tmp_path, capsys):
    file = tmp_path / "figures.json"
    file.write_text("old")
    assert figures.writable(str(file)) == file and file.read_text() == "old"
    figures.write(file, {"new": 1})
    assert json.loads(file.read_text()) == {"new": 1} and not figures.is_lost(file)
    figures.write(Path(os.devnull), {"new": 1})
    assert not Path(os.devnull).is_file()
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    figures.write(file, {"new": 1})
    assert figures.is_lost(file) and "The figures can't be written to" in capsys.readouterr().err
