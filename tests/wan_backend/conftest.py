"""Tiny checkpoints and folders for every test of the backend; torch is imported only where one is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VACE checkpoint of random weights, for what needs no meaning. Not to be changed."""
    return _checkpoint(tmp_path_factory, "vace")


@pytest.fixture(scope="session")
def t2v_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random text to video checkpoint. Not to be changed."""
    return _checkpoint(tmp_path_factory, "t2v")


def _checkpoint(factory: pytest.TempPathFactory, kind: str) -> Path:
    from wan_backend.bench import tiny_checkpoint

    folder = factory.mktemp(kind) / "model"
    tiny_checkpoint.write(folder, kind=kind)
    return folder


@pytest.fixture(scope="session")
def first_picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.1 I2V is. Not to be changed, as the three after it."""
    return _picture_checkpoint(tmp_path_factory, "first_picture")


@pytest.fixture(scope="session")
def first_and_last_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.1 FLF2V is."""
    return _picture_checkpoint(tmp_path_factory, "first_and_last")


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.2 I2V is, with one transformer."""
    return _picture_checkpoint(tmp_path_factory, "pictures")


@pytest.fixture(scope="session")
def first_latent_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.2 TI2V is."""
    return _picture_checkpoint(tmp_path_factory, "first_latent")


@pytest.fixture(scope="session")
def text_experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.2 T2V A14B is. Not to be changed, as the four after it."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_experts(tmp_path_factory.mktemp("experts") / "model", "text")


@pytest.fixture(scope="session")
def pictures_experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.2 I2V A14B is."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_experts(tmp_path_factory.mktemp("experts") / "model", "pictures")


@pytest.fixture(scope="session")
def control_experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Wan 2.2 VACE-Fun A14B is."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_experts(tmp_path_factory.mktemp("experts") / "model", "control")


@pytest.fixture(scope="session")
def fast_text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as FastWan 2.1 1.3B is."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_distilled(tmp_path_factory.mktemp("fast") / "model", "text")


@pytest.fixture(scope="session")
def fast_latent_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as FastWan 2.2 TI2V 5B is."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_distilled(tmp_path_factory.mktemp("fast") / "model", "first_latent")


@pytest.fixture(scope="session")
def renderer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Bernini-R 1.3B is. Not to be changed, as the one after it."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_renderer(tmp_path_factory.mktemp("renderer") / "model")


@pytest.fixture(scope="session")
def renderer_experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint as Bernini-R A14B is."""
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write_renderer(tmp_path_factory.mktemp("renderer") / "model", experts=2)


@pytest.fixture(scope="session")
def camera_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as Wan 2.1 Fun Camera is."""
    from tests.wan_backend.library import file_forms

    return file_forms.folder(tmp_path_factory.mktemp("camera") / "model", "camera")


@pytest.fixture(scope="session")
def camera_experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as Wan 2.2 Fun Camera A14B is."""
    from tests.wan_backend.library import file_forms

    return file_forms.with_two_experts(
        file_forms.folder(tmp_path_factory.mktemp("camera") / "model", "camera_and_picture"), 0.875
    )


def _picture_checkpoint(factory: pytest.TempPathFactory, architecture: str) -> Path:
    from tests.wan_backend.loading import small_checkpoints

    return small_checkpoints.write(factory.mktemp(architecture) / "model", architecture)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the embedded model in it."""
    from tests.wan_backend.library import tiny_folder

    folder = tmp_path_factory.mktemp("models")
    tiny_folder.write(folder / "embedded")
    return folder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A media folder, not made yet."""
    return tmp_path / "media"
