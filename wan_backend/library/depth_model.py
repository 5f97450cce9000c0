"""Where a model is that tells depth from footage. Standard library and protocol only; no torch, nothing is loaded.

No depth model comes with the backend. One is used where it lies: beside the video model's folder, or in the Hugging
Face cache; any that transformers knows as a depth estimation model whose larger numbers are nearer.
"""

from __future__ import annotations

from pathlib import Path

from ..protocol.messages import Fix, FixSetting, Guide, Problem, ProblemKind, Role, TakeRequest
from ..storage import guarded_files
from .locate import find_snapshots, hub_cache

KIND = "ForDepthEstimation"
"""How transformers' names of such models end."""
REPO = "depth-anything/Depth-Anything-V2-Small-hf"


def find(model_folder: Path) -> Path | None:
    """The folder of a depth model on this machine, or None; `model_folder` is the video model's."""
    try:
        with guarded_files.guard():
            beside = sorted(child for child in model_folder.parent.iterdir() if child.is_dir())
    except guarded_files.Unlookable:
        beside = []
    cached = find_snapshots(hub_cache(), REPO)
    return next((folder for folder in (*beside, *cached) if _is_depth_model(folder)), None)


def missing(request: TakeRequest, model_folder: Path) -> Problem | None:
    """Why a request can't keep to the depth of its footage, or None."""
    estimated = request.guide is Guide.DEPTH and request.source(Role.FOOTAGE) and not request.source(Role.DEPTH)
    if not estimated or find(model_folder) is not None:
        return None
    return absent()


def absent() -> Problem:
    """That there is no depth model, and what to do."""
    sentence = (
        f"Depth is told from footage by a model that is not on this machine; put {REPO} beside the video model's "
        "folder, or choose edges instead."
    )
    return Problem(ProblemKind.BAD_SETTING, sentence, [Fix("Use edges", FixSetting.GUIDE, Guide.EDGES.value)])


def _is_depth_model(folder: Path) -> bool:
    try:
        with guarded_files.guard():
            names = guarded_files.read_json(folder / "config.json").get("architectures") or []
            return any(str(name).endswith(KIND) for name in names)
    except guarded_files.Unlookable:
        return False
