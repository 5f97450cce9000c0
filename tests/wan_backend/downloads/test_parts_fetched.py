"""A model whose transformer is published as a file: it comes from there, the rest from other repositories."""

from __future__ import annotations

import huggingface_hub.constants
import pytest

from tests.wan_backend.downloads import fake_hub, fetched_cache
from tests.wan_backend.library import heads_only, tiny_folder
from wan_backend.catalogue import entries
from wan_backend.downloads import model_download
from wan_backend.library import locate
from wan_backend.library.library_index import LibraryIndex

CAMERA, LARGE = entries.entry("wan2.1-fun-camera-1.3b"), entries.entry("wan2.1-fun-camera-14b")
SHAPES = heads_only.steered(heads_only.seeing(heads_only.transformer(channels=32), 30))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The three repositories, with what is not needed in them too."""
    fetched_cache.cache_in(tmp_path / "cache", monkeypatch)
    made = fake_hub.FakeHub()
    for name, repo in (("parts", CAMERA.parts_repo), ("text", CAMERA.text_encoder_repo)):
        tiny_folder.write(tmp_path / name, "WanImageToVideoPipeline", layers=40, heads=40)
        made.add(repo, tmp_path / name)
        made.repos[repo]["image_encoder/config.json"] = b"{}"
        made.repos[repo]["image_encoder/model.safetensors"] = tiny_folder.safetensors(30_000)
    (tmp_path / "own").mkdir()
    made.add(CAMERA.repo, tmp_path / "own", README__md=b"About")
    made.repos[CAMERA.repo] |= {
        "diffusion_pytorch_model.safetensors": tiny_folder.safetensors(70_000),
        "models_t5_umt5-xxl-enc-bf16.pth": b"pickled",
        "Wan2.1_VAE.pth": b"pickled",
    }
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.url)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    yield made
    made.close()


@pytest.mark.parametrize("into_models_folder", [False, True])
def test_it_is_put_together_of_three_repositories(hub, tmp_path, into_models_folder) -> None:
    (tmp_path / "models").mkdir()
    folders = [str(tmp_path / "models")] if into_models_folder else []
    plan = model_download.plan(CAMERA, folders)
    assert plan.problem is None
    assert {file.name.partition("/")[0] for file in plan.files} == {
        "README.md", "diffusion_pytorch_model.safetensors", "vae", "image_encoder", "text_encoder", "tokenizer",
    }  # fmt: skip
    assert {file.repo for file in plan.files} == {CAMERA.repo, CAMERA.parts_repo, CAMERA.text_encoder_repo}

    folder = model_download.fetch(CAMERA, folders, lambda _: None)

    own = hub.repos[CAMERA.repo]["diffusion_pytorch_model.safetensors"]
    assert (folder / "diffusion_pytorch_model.safetensors").read_bytes() == own
    assert (folder / "vae").is_dir() and (folder / "text_encoder").is_dir()
    assert locate.downloaded_files(folders) == [folder / "diffusion_pytorch_model.safetensors"]
    assert model_download.plan(CAMERA, folders).fetch_bytes == 0


def test_what_was_fetched_is_found_among_single_files(hub, tmp_path) -> None:
    folder = model_download.fetch(CAMERA, [], lambda _: None)
    file = folder / CAMERA.transformer_files[0]
    whole = heads_only.write(tmp_path / "whole.safetensors", SHAPES)
    file.unlink()
    file.symlink_to(whole)

    survey = LibraryIndex([], locate.snapshots, files=locate.downloaded_files).refresh()

    assert [found.path for found in survey.of("transformer")] == [file]


def test_a_file_that_is_gone_from_its_repository_is_named(hub) -> None:
    del hub.repos[CAMERA.repo]["diffusion_pytorch_model.safetensors"]
    said = model_download.plan(CAMERA, []).problem
    assert said is not None and "diffusion_pytorch_model.safetensors" in said.sentence


def test_another_repository_of_the_same_name_is_not_taken_for_it(hub, tmp_path) -> None:
    """Comfy-Org's repository holds many models: its folder alone says nothing."""
    (tmp_path / "models" / "Wan_2.1_ComfyUI_repackaged").mkdir(parents=True)
    found = locate.find(LARGE, [tmp_path / "models"])
    assert isinstance(found, locate.UnavailableModel) and "is not on this machine" in found.problem.sentence
