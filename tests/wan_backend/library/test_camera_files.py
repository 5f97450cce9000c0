"""Models that a camera steers, put together of files as ComfyUI and alibaba-pai name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.library import heads_only
from wan_backend.catalogue import entries
from wan_backend.library import locate
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.library_index import LibraryIndex

SMALL, LARGE, TWO = "wan2.1-fun-camera-1.3b", "wan2.1-fun-camera-14b", "wan2.2-fun-camera-a14b"
SMALL_SHAPES = heads_only.steered(heads_only.seeing(heads_only.transformer(channels=32), 30))
LARGE_SHAPES = heads_only.steered(heads_only.seeing(heads_only.transformer(5120, 40, 32), 40))
EXPERT_SHAPES = heads_only.steered(heads_only.transformer(5120, 40, 36))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "models"
    heads_only.write(place / "text_encoders" / "umt5.safetensors", heads_only.text_encoder())
    heads_only.write(place / "vae" / "vae.safetensors", heads_only.vae())
    heads_only.write(place / "clip_vision" / "clip_vision_h.safetensors", heads_only.image_encoder())
    return place


def here(folder: Path) -> dict[str, locate.LocatedModel]:
    """The models of the catalogue that are found, but for the one that comes with the package."""
    survey = LibraryIndex([str(folder)]).refresh()
    found = {entry.id: locate.find(entry, [folder], survey) for entry in entries.load().models.values()}
    return {name: each for name, each in found.items() if isinstance(each, locate.LocatedModel) and name != "embedded"}


@pytest.mark.parametrize(
    ("model", "files", "shapes"),
    [
        (SMALL, ["wan2.1_fun_camera_v1.1_1.3B_bf16"], SMALL_SHAPES),
        (SMALL, ["Wan2.1-Fun-V1.1-1.3B-Control-Camera/diffusion_pytorch_model"], SMALL_SHAPES),
        (LARGE, ["wan2.1_fun_camera_v1.1_14B_bf16"], LARGE_SHAPES),
        (TWO, ["wan2.2_fun_camera_high_noise_14B_bf16", "wan2.2_fun_camera_low_noise_14B_bf16"], EXPERT_SHAPES),
        (TWO, [f"A14B/{one}_noise_model/diffusion_pytorch_model" for one in ("high", "low")], EXPERT_SHAPES),
    ],
)
def test_files_make_the_model_and_no_other(folder, model, files, shapes) -> None:
    for name in files:
        heads_only.write(folder / "diffusion_models" / f"{name}.safetensors", shapes)

    found = here(folder)

    assert list(found) == [model]
    parts = ComponentFiles(found[model].folder, found[model].components)
    index = parts.index()
    assert parts.architecture(index) is entries.entry(model).architecture
    assert index.get("boundary_ratio") == (0.9 if model == TWO else None)


def test_what_is_missing_is_named(folder) -> None:
    heads_only.write(folder / "diffusion_models" / "wan2.1_fun_camera_v1.1_1.3B_bf16.safetensors", SMALL_SHAPES)
    (folder / "clip_vision" / "clip_vision_h.safetensors").unlink()
    survey = LibraryIndex([str(folder)]).refresh()
    found = locate.find(entries.entry(SMALL), [folder], survey)
    assert isinstance(found, locate.UnavailableModel) and "clip_vision_h.safetensors" in found.problem.sentence


def test_one_expert_alone_is_no_model(folder) -> None:
    heads_only.write(folder / "diffusion_models" / "wan2.2_fun_camera_low_noise_14B_bf16.safetensors", EXPERT_SHAPES)
    assert here(folder) == {}


@pytest.mark.parametrize(
    "shapes",
    [
        heads_only.seeing(heads_only.transformer(channels=36), 30),  # Fun InP 1.3B
        heads_only.seeing(heads_only.transformer(channels=48), 30),  # Fun Control 1.3B
        heads_only.transformer(control=15),  # VACE
    ],
)
def test_look_alikes_are_not_taken_for_it(folder, shapes) -> None:
    heads_only.write(folder / "diffusion_models" / "wan2.1_fun_camera_v1.1_1.3B_bf16.safetensors", shapes)
    assert not {SMALL, LARGE, TWO} & set(here(folder))
