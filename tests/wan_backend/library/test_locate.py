"""Where models are found, and what is said of a folder that holds another, or not all of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from unittest.mock import ANY

import pytest

from tests.wan_backend.library import tiny_folder
from wan_backend.catalogue import entries
from wan_backend.library import hub_cache, integrity, locate

SMALL, LARGE = entries.entry("wan2.1-t2v-1.3b"), entries.entry("wan2.1-t2v-14b")
EXPERTS = entries.entry("wan2.2-t2v-a14b")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_small(folder):
    return tiny_folder.write(folder, "WanPipeline", layers=30, heads=12)


def write_large(folder, architecture):
    """A folder of 40 layers of 40 heads, which only the configuration tells from others such."""
    tiny_folder.write(
        folder, "WanPipeline" if architecture == "text" else "WanImageToVideoPipeline", layers=40, heads=40
    )
    if architecture == "text":
        return folder
    more = {
        "in_channels": 36,
        "image_dim": 1280,
        "pos_embed_seq_len": 514 if architecture == "first_and_last" else None,
    }
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))
    index = json.loads((folder / "model_index.json").read_text())
    index["image_encoder"] = ["transformers", "CLIPVisionModel"]
    index["image_processor"] = ["transformers", "CLIPProcessor"]  # as the published FLF2V has it
    (folder / "model_index.json").write_text(json.dumps(index))
    for component, name in (("image_encoder", "config.json"), ("image_processor", "preprocessor_config.json")):
        (folder / component).mkdir()
        (folder / component / name).write_text(json.dumps({"hidden_size": 1280, "image_size": 224, "patch_size": 14}))
    (folder / "image_encoder" / "model.safetensors").write_bytes(tiny_folder.safetensors())
    return folder


def sentence(found) -> str:
    assert isinstance(found, locate.UnavailableModel)
    assert found.problem.sentence.endswith(".")
    return found.problem.sentence


@pytest.mark.parametrize("name", ["wan2.1-t2v-1.3b", "Wan2.1-T2V-1.3B-Diffusers"])
def test_in_a_models_folder_by_name(tmp_path, name):
    wanted = write_small(tmp_path / "models" / name)
    assert locate.find(SMALL, [tmp_path / "nothing", tmp_path / "models"]) == locate.LocatedModel(wanted)


def test_the_models_folder_itself_recognized_by_its_transformer(tmp_path):
    wanted = write_small(tmp_path / "my model")
    assert locate.find(SMALL, [wanted]) == locate.LocatedModel(wanted)
    assert isinstance(locate.find(LARGE, [wanted]), locate.UnavailableModel)


TOLD_APART = {"text": LARGE.id, "first_and_last": "wan2.1-flf2v-14b-720p"}


@pytest.mark.parametrize("architecture", TOLD_APART)
def test_models_of_one_size_are_recognized_apart_by_looking_inside(tmp_path, architecture):
    wanted = write_large(tmp_path / "my model", architecture)
    for other, model_id in TOLD_APART.items():
        found = locate.find(entries.entry(model_id), [wanted])
        assert (
            found == locate.LocatedModel(wanted)
            if other == architecture
            else isinstance(found, locate.UnavailableModel)
        )


def test_a_folder_of_the_right_name_with_another_architecture_is_refused(tmp_path):
    write_large(tmp_path / "wan2.1-i2v-14b-480p", "first_and_last")
    said = sentence(locate.find(entries.entry("wan2.1-i2v-14b-480p"), [tmp_path]))
    assert "video from a first and a last picture" in said


@pytest.mark.parametrize("component", ["image_encoder/model.safetensors", "image_processor/preprocessor_config.json"])
def test_a_missing_piece_of_the_image_encoder_is_named(tmp_path, component):
    folder = write_large(tmp_path / "wan2.1-i2v-14b-480p", "first_picture")
    (folder / component).unlink()
    said = sentence(locate.find(entries.entry("wan2.1-i2v-14b-480p"), [tmp_path]))
    assert component.split("/")[0] in said and "can't be used because" in said


def test_two_transformers_are_said(tmp_path):
    folder = write_large(tmp_path / LARGE.id, "text")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "transformer_2": index["transformer"]}))
    assert "doesn't say when each works" in sentence(locate.find(LARGE, [tmp_path]))
    index |= {"transformer_2": index["transformer"], "boundary_ratio": 0.875}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert "two transformers, so it is a different model" in sentence(locate.find(LARGE, [tmp_path]))
    assert locate.find(EXPERTS, [tmp_path / LARGE.id]) == locate.UnavailableModel(ANY)
    second = folder / "transformer_2"
    shutil.copytree(folder / "transformer", second)
    assert locate.find(EXPERTS, [folder]) == locate.LocatedModel(folder)
    next(second.glob("*.safetensors")).unlink()
    assert "transformer_2" in sentence(locate.find(EXPERTS, [folder]))


def test_one_expert_alone_is_no_model_of_two(tmp_path):
    write_large(tmp_path / EXPERTS.id, "text")
    assert "one transformer, so it is a different model" in sentence(locate.find(EXPERTS, [tmp_path]))


def test_twins_are_found_by_their_names_alone(tmp_path):
    twins = [entries.entry(f"wan2.1-i2v-14b-{size}") for size in ("480p", "720p")]
    nameless = write_large(tmp_path / "my model", "first_picture")
    for twin in twins:
        assert isinstance(locate.find(twin, [nameless]), locate.UnavailableModel)
    named = write_large(tmp_path / "models" / twins[1].repo.rpartition("/")[2], "first_picture")
    assert locate.find(twins[1], [named]) == locate.find(twins[1], [tmp_path / "models"]) == locate.LocatedModel(named)
    assert isinstance(locate.find(twins[0], [tmp_path / "models"]), locate.UnavailableModel)


def test_a_distilled_model_is_recognized_from_its_base_by_its_index(tmp_path):
    fast = entries.entry("fastwan2.1-t2v-1.3b")
    wanted = tiny_folder.write(tmp_path / "fast", "WanDMDPipeline", layers=30, heads=12)
    assert locate.find(fast, [wanted]) == locate.LocatedModel(wanted)
    assert isinstance(locate.find(SMALL, [wanted]), locate.UnavailableModel)


def test_in_the_cache_by_its_main_branch(empty_cache):
    home = empty_cache / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers"
    tiny_folder.write(home / "snapshots" / "old", "WanPipeline", layers=30, heads=12)
    wanted = write_small(home / "snapshots" / "abc")
    os.utime(wanted, (1, 1))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    assert locate.find(SMALL) == locate.LocatedModel(wanted)
    (home / "refs" / "main").unlink()
    assert locate.find(SMALL) == locate.LocatedModel(home / "snapshots" / "old")


@pytest.mark.parametrize("place", ["cache", "models folder"])
def test_a_newer_partial_snapshot_hides_no_whole_one(empty_cache, tmp_path, place):
    home = (empty_cache if place == "cache" else tmp_path / "models") / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers"
    whole = write_small(home / "snapshots" / "whole")
    os.utime(whole, (1, 1))
    partial = write_small(home / "snapshots" / "partial")
    next((partial / "vae").glob("*.safetensors")).unlink()
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("partial")
    assert locate.find(SMALL, [] if place == "cache" else [tmp_path / "models"]) == locate.LocatedModel(whole)
    if place == "cache":
        assert locate.snapshots() == [whole]
        next((whole / "vae").glob("*.safetensors")).unlink()
        assert locate.snapshots() == [partial, whole]  # each may lend what it has


def test_a_machine_without_memory_is_not_told_as_a_broken_model(tmp_path, monkeypatch):
    wanted = write_small(tmp_path / "Wan2.1-T2V-1.3B-Diffusers")

    def spent(*_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(integrity, "check", spent)
    found = locate.find(SMALL, [tmp_path])
    assert found.problem.kind == "out_of_memory" and str(wanted) in found.problem.sentence
    assert "this machine's memory is full" in found.problem.sentence and "again, or" not in found.problem.sentence


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"HF_HOME": "$HOME/e", "HOME": "/d"}, "/d/e/hub"),
        ({"HF_HUB_CACHE": "${HOME}/f", "HOME": "/d"}, "/d/f"),
        ({"HF_HOME": "$UNSET_BY_ALL/g"}, "$UNSET_BY_ALL/g/hub"),
        ({"HF_HOME": "$WHERE", "WHERE": "~/h", "HOME": "/d"}, "/d/h/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_library_has_it(monkeypatch, variables, wanted):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(hub_cache.cache_folder()) == wanted


def test_not_here_says_how_to_fetch_it():
    assert "download it (17.5 GB)" in sentence(locate.find(SMALL))
    assert "models folder" in sentence(locate.find(SMALL))


def test_a_models_folder_may_be_a_cache_of_hugging_face(tmp_path):
    home = tmp_path / "models" / "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers"
    wanted = write_small(home / "snapshots" / ("a" * 40))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("a" * 40)
    assert locate.find(SMALL, [tmp_path / "models"]) == locate.LocatedModel(wanted)
    assert isinstance(locate.find(LARGE, [tmp_path / "models"]), locate.UnavailableModel)


@pytest.mark.parametrize("wrong", ["absent", "file", "nul"])
def test_a_models_folder_that_is_none_is_said(tmp_path, wrong):
    (tmp_path / "file").write_text("")
    folder = "\0" if wrong == "nul" else str(tmp_path / wrong)
    assert "can't be read" in sentence(locate.find(SMALL, [folder]))
    assert "preferences" in sentence(locate.find(SMALL, [folder]))


def test_a_folder_of_the_right_name_with_another_model_is_refused(tmp_path):
    write_small(tmp_path / "wan2.1-t2v-14b")
    assert "30 layers of 12 heads" in sentence(locate.find(LARGE, [tmp_path]))
    tiny_folder.write(tmp_path / "wan2.1-t2v-1.3b", "StableDiffusionPipeline")
    assert "StableDiffusionPipeline" in sentence(locate.find(SMALL, [tmp_path]))


def test_a_folder_with_something_else_in_it(tmp_path):
    (tmp_path / "wan2.1-t2v-1.3b").mkdir()
    assert "model_index.json' is missing" in sentence(locate.find(SMALL, [tmp_path]))


def test_a_whole_folder_wins_over_a_broken_one(tmp_path):
    write_small(tmp_path / "a" / SMALL.id)
    (tmp_path / "a" / SMALL.id / "vae" / "config.json").unlink()
    wanted = write_small(tmp_path / "b" / SMALL.id)
    assert locate.find(SMALL, [tmp_path / "a", tmp_path / "b"]) == locate.LocatedModel(wanted)


@pytest.mark.parametrize("missing", [
    "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json", "scheduler/scheduler_config.json", "model_index.json",
])  # fmt: skip
def test_a_missing_file_is_named(tmp_path, missing):
    folder = write_small(tmp_path / SMALL.id)
    (folder / missing).unlink()
    said = sentence(locate.find(SMALL, [tmp_path]))
    assert missing.split("/")[0] in said and "can't be used because" in said
