"""Tiny checkpoints for every test of the backend; torch is imported only where one is asked for."""

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
    from wan_backend.embedded import standin

    folder = factory.mktemp(kind) / "model"
    standin.write(folder, kind=kind)
    return folder
