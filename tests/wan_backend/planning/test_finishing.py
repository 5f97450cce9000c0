"""Which takes can be made larger, to which size, and what is said where one can't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wan_backend.library import upscalers
from wan_backend.planning import finishing, machine_steps
from wan_backend.planning.draft import Inventory
from wan_backend.protocol import bounds
from wan_backend.protocol.messages import Finish, FixAction, FrameRate, Pictures, Role, Source, TakeRequest

NAME = "4xOwn.safetensors"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A models folder with an upscaling model of the person's own; spandrel is installed."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finishing.importlib.util, "find_spec", lambda name: object() if name == "spandrel" else None)
    file = tmp_path / "models" / "upscale_models" / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "take").mkdir()
    for number in range(5):
        (tmp_path / "take" / f"{number + 1:04d}.png").write_bytes(b"png")
    return tmp_path / "models"


def asked(
    folder: Path, factor: int = 2, size=(832, 480), scene=(1920, 1080), upscaler: str = NAME, **finish
) -> TakeRequest:
    files = [f"{number + 1:04d}.png" for number in range(5)]
    take = Source(Role.FOOTAGE, str(folder.parent / "take"), files, frames=5, pictures=Pictures(*size))
    return TakeRequest(
        "fog", "gone-model", *scene, 5, FrameRate(24), 1, str(folder.parent), sources=[take],
        finish=Finish(upscaler, factor, "base", **finish),
    )  # fmt: skip


def plan(folder: Path, request: TakeRequest):
    return machine_steps.plan_on_machine(request, Inventory(models_folders=[str(folder)]))


def said(folder: Path, request: TakeRequest) -> str:
    problem = plan(folder, request).problem
    assert problem is not None
    return str(problem.sentence)


@pytest.mark.parametrize(("factor", "size", "scene", "made"), [
    (2, (832, 480), (1920, 1080), (1664, 960)),
    (4, (832, 480), (1920, 1080), (3328, 1920)),
    (0, (832, 480), (1920, 1080), (1920, 1108)),  # the take's own aspect, filling the frame
    (0, (1280, 720), (3840, 2160), (3840, 2160)),
    (0, (480, 832), (1081, 1921), (1110, 1922)),  # sides of a movie are even
])  # fmt: skip
def test_the_size_is_a_multiple_or_fills_the_scene(folder, factor, size, scene, made):
    found = plan(folder, asked(folder, factor, size, scene))
    assert found.problem is None, found.problem.sentence
    assert (found.width, found.height) == made and found.all_frames == 5 and found.steps == 0
    assert found.disk_bytes > 3 * made[0] * made[1] * 5 and any("flicker" in note for note in found.notes)


def test_handles_are_the_takes_own(folder):
    request = replace(asked(folder, handle_before=1, handle_after=2), length_frames=2)
    found = plan(folder, request)
    assert (found.problem, found.take_frames, found.handle_before, found.handle_after) == (None, 2, 1, 2)
    assert "aren't as many" in said(folder, replace(request, length_frames=3))


def test_what_cant_be_made_larger_is_said(folder):
    assert "as large as the scene already" in said(folder, asked(folder, 0, (1920, 1088)))
    assert "8192 pixels at most" in said(folder, asked(folder, 4, (2560, 1440)))
    assert "choose one of them" in said(folder, asked(folder, 3))
    for sources in ([], [replace(asked(folder).sources[0], pictures=None)], asked(folder).sources * 2):
        assert "no take to make larger" in said(folder, replace(asked(folder), sources=sources))
    (folder.parent / "take" / "0001.png").unlink()
    assert "0001.png is no longer there" in said(folder, asked(folder))


def test_the_upscaling_model_is_found_or_said(folder):
    assert "put it into 'upscale_models'" in said(folder, asked(folder, upscaler="none.safetensors"))
    assert "could run any code" in said(folder, asked(folder, upscaler="4x-UltraSharp.pth"))
    problem = plan(folder, asked(folder, upscaler="realesrgan-x4plus")).problem
    assert "download it" in problem.sentence and problem.fixes[0].action is FixAction.DOWNLOAD
    (folder / "upscale_models" / "RealESRGAN_x4plus.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert plan(folder, asked(folder, upscaler="realesrgan-x4plus")).problem is None
    assert [file.name for file in upscalers.own_files([folder])] == [NAME]
    (folder / "upscale_models" / NAME).write_bytes(b"cut")
    assert "not a safetensors file" in said(folder, asked(folder))


def test_a_comfyui_folder_is_looked_through(folder):
    (folder / "upscale_models").rename(folder / "other")
    (folder / "models").mkdir()
    (folder / "other").rename(folder / "models" / "upscale_models")
    assert [file.name for file in upscalers.own_files([folder])] == [NAME]


def test_without_spandrel_the_plan_says_what_to_run(folder, monkeypatch):
    monkeypatch.setattr(finishing.importlib.util, "find_spec", lambda name: None)
    assert "pip install --no-deps einops==" in said(folder, asked(folder))


@pytest.mark.parametrize("finish", [
    Finish("x" * 2000), Finish("x", 3), Finish("x", 2, "\0"), Finish("x", 2, "y", -1), Finish("x", 2, "y", 0, 10**6)
])  # fmt: skip
def test_what_nobody_wrote_is_no_request(folder, finish):
    assert bounds.is_sane_request(asked(folder)) and not bounds.is_sane_request(replace(asked(folder), finish=finish))
