"""Copies in 16 bit: made once, equal to what would be loaded without, believed only of the very files."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.wan_backend.library import file_forms as forms
from wan_backend.loading import bf16_cache
from wan_backend.loading.wan_model import Precision, WanModel
from wan_backend.server import diagnosis

HALF = torch.bfloat16
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
Usage = namedtuple("Usage", "free")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small weights are worth a copy here, and the disk may be nearly full."""
    monkeypatch.setattr(bf16_cache, "MIN_BYTES", 1000)
    monkeypatch.setattr(bf16_cache, "LEFT_FREE_BYTES", 0)


@pytest.fixture
def folder(tmp_path) -> Path:
    return forms.folder(tmp_path / "model", "control")


@pytest.fixture
def copies(tmp_path) -> Path:
    return tmp_path / "state" / "copies"


def load(folder: Path, copies: Path | None, component: str = "transformer"):
    return WanModel(folder, torch.device("cpu"), Precision(HALF, HALF, HALF), copies=copies).component(component)


@pytest.mark.parametrize("component", ["transformer", "text_encoder", "vae"])
def test_a_part_from_its_copy_equals_the_part_itself(folder, copies, component):
    without = load(folder, None, component).state_dict()
    for _time in ("made", "used"):
        copied = load(folder, copies, component).state_dict()
        assert copied.keys() == without.keys()
        assert all(torch.equal(copied[name], weight) for name, weight in without.items())
        assert all(copied[name].dtype == weight.dtype for name, weight in without.items())


def test_the_copy_is_read_instead_of_the_source(folder, copies):
    load(folder, copies)
    (copy,) = copies.iterdir()
    file = copy / Path(WEIGHTS).name
    assert file.stat().st_size < 0.6 * (folder / WEIGHTS).stat().st_size
    weights = load_file(file)
    save_file({**weights, "proj_out.bias": torch.full_like(weights["proj_out.bias"], 7.0)}, file)
    assert torch.all(load(folder, copies).proj_out.bias == 7)


def test_a_source_that_changed_is_copied_anew(folder, copies):
    load(folder, copies)
    weights = load_file(folder / WEIGHTS)
    save_file({**weights, "proj_out.bias": torch.full_like(weights["proj_out.bias"], 3.0)}, folder / WEIGHTS)
    assert torch.all(load(folder, copies).proj_out.bias == 3)
    assert len(list(copies.iterdir())) == 1


def test_machines_with_different_models_in_one_place_share_no_copy(folder, copies, monkeypatch):
    """As where a home is shared and the disk with the models isn't."""
    file = folder / WEIGHTS
    own = {}
    for host, value in (("one", 3.0), ("two", 5.0)):
        monkeypatch.setattr(bf16_cache.socket, "gethostname", lambda host=host: host)
        weights = load_file(file)
        save_file({**weights, "proj_out.bias": torch.full_like(weights["proj_out.bias"], value)}, file)
        own[host] = file.read_bytes(), file.stat().st_mtime_ns
        assert torch.all(load(folder, copies).proj_out.bias == value)
    made = {copy: copy.stat().st_mtime_ns for copy in copies.iterdir()}
    assert len(made) == 2, "neither machine has removed the other's"

    file.write_bytes(own["one"][0])
    os.utime(file, ns=(own["one"][1],) * 2)
    monkeypatch.setattr(bf16_cache.socket, "gethostname", lambda: "one")
    assert torch.all(load(folder, copies).proj_out.bias == 3)
    model = WanModel(folder, torch.device("cpu"), Precision(HALF, HALF, HALF), copies=copies)
    kept = model.weight_files("transformer")[0].parent
    assert kept in made and {copy: copy.stat().st_mtime_ns for copy in copies.iterdir()} == made, "none is made anew"

    for note in copies.glob("*/source.json"):
        os.utime(note, (1000.0, 1000.0))
    load(folder, copies, "vae")  # makes one more, and looks through the others
    assert kept.is_dir() and len([copy for copy in made if copy.is_dir()]) == 1, "the other's was unused for long"


def test_shards_are_copied_shard_by_shard(folder, copies):
    without = load(folder, None).state_dict()
    weights = load_file(folder / WEIGHTS)
    names = sorted(weights)
    shards = {"a-00001-of-00002.safetensors": names[::2], "a-00002-of-00002.safetensors": names[1::2]}
    for shard, some in shards.items():
        save_file({name: weights[name] for name in some}, folder / "transformer" / shard, {"format": "pt"})
    (folder / WEIGHTS).unlink()
    mapping = {name: shard for shard, some in shards.items() for name in some}
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": mapping}))
    copied = load(folder, copies).state_dict()
    assert all(torch.equal(copied[name], weight) for name, weight in without.items())
    (copy,) = copies.iterdir()
    assert {file.name for file in copy.glob("*.safetensors")} == set(shards)


def test_no_copy_without_room_or_need_or_place(folder, copies, monkeypatch):
    load(folder, None)
    monkeypatch.setattr(bf16_cache, "MIN_BYTES", 1 << 40)
    load(folder, copies)
    assert not copies.exists()
    monkeypatch.setattr(bf16_cache, "MIN_BYTES", 1000)
    monkeypatch.setattr(bf16_cache.shutil, "disk_usage", lambda _place: Usage(free=1000))
    load(folder, copies)
    assert list(copies.iterdir()) == []


def test_no_copy_where_32_bit_are_wanted(folder, copies):
    _ = WanModel(folder, torch.device("cpu"), copies=copies).transformer
    assert not copies.exists()


def test_a_disk_that_fills_up_costs_only_the_copy(folder, copies, monkeypatch):
    def full(*_arguments, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bf16_cache, "save_file", full)
    assert load(folder, copies).dtype == HALF
    assert list(copies.iterdir()) == []


def test_what_a_killed_worker_left_and_what_lost_its_source_goes(folder, copies, tmp_path):
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    load(other, copies)
    (copies / "1234.begun3999999").mkdir()
    given_up = copies / "9abc.begun3999999.another machine"
    given_up.mkdir()
    os.utime(given_up, (1000.0, 1000.0))
    being_made = {copies / f"5678.begun{os.getppid()}", copies / "9abc.begun3999998.another machine"}
    for each in being_made:
        each.mkdir()
    shutil.rmtree(other)
    load(folder, copies)
    assert being_made < set(copies.iterdir())
    (copy,) = set(copies.iterdir()) - being_made
    assert json.loads((copy / "source.json").read_bytes())["source"] == str(folder / "transformer")


def test_copies_that_can_not_be_looked_at_cost_nothing_else(folder, copies):
    unseen = copies / ("a" * 300)  # more than a name can have
    model = WanModel(folder, torch.device("cpu"), Precision(HALF, HALF, HALF), copies=unseen)
    assert model.weight_files("text_encoder") == sorted((folder / "text_encoder").glob("*.safetensors")) != []


def test_a_broken_source_is_still_named(folder, copies):
    from wan_backend.protocol.errors import Refusal

    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1000])
    with pytest.raises(Refusal, match=r"diffusion_pytorch_model\.safetensors' is cut off"):
        load(folder, copies)


def test_the_doctor_says_how_large_the_copies_are(folder, tmp_path):
    assert diagnosis._copies(tmp_path / "state" / "copies") == []
    load(folder, tmp_path / "state" / "copies")
    (finding,) = diagnosis._copies(tmp_path / "state" / "copies")
    assert "MB in" in finding.sentence and "may be deleted" in finding.mend


def damaged(copy: Path) -> Path:
    """Zeros in the second half of its weights, as a power cut may leave them."""
    file = copy / Path(WEIGHTS).name
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    return file


def test_what_a_power_cut_left_is_made_anew(folder, copies, monkeypatch):
    without = load(folder, None).state_dict()
    monkeypatch.setattr(bf16_cache, "_boot", lambda: "before")
    load(folder, copies)
    (copy,) = copies.iterdir()
    damaged(copy)
    monkeypatch.setattr(bf16_cache, "_boot", lambda: "after")
    found = load(folder, copies).state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in without.items())
    assert len(list(copies.iterdir())) == 1


def test_its_checksums_are_compared_once_and_not_at_each_load(folder, copies, monkeypatch):
    monkeypatch.setattr(bf16_cache, "_boot", lambda: "before")
    load(folder, copies)
    read: list[str] = []
    digest = bf16_cache._digest
    monkeypatch.setattr(bf16_cache, "_digest", lambda file: (read.append(file.name), digest(file))[1])
    load(folder, copies)
    assert read == []
    monkeypatch.setattr(bf16_cache, "_boot", lambda: "after")
    load(folder, copies)
    assert Path(WEIGHTS).name in read
    read.clear()
    load(folder, copies)
    assert read == []


def test_a_copy_of_an_older_version_is_made_anew_after_a_start(folder, copies):
    load(folder, copies)
    (copy,) = copies.iterdir()
    note = json.loads((copy / "source.json").read_bytes())
    (copy / "source.json").write_text(json.dumps({"source": note["source"], "stamp": note["stamp"]}))
    load(folder, copies)
    assert "sha256" in json.loads((copy / "source.json").read_bytes())
