"""Where this extension is, where it may write, and what its preferences say about the backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ...wan_backend.storage import private_files
from ..backend.launch_command import BackendSettings, Machine
from . import card_choice

PACKAGE = __package__.rsplit(".", 2)[0]
"""The extension's root package, as Blender names it: "bl_ext.user_default.wan_vse"."""


_tightened: set[Path] = set()
"""Folders that were made private in this session."""


def package_root() -> Path:
    """The folder that holds `blender_addon` and `wan_backend`."""
    return Path(__file__).resolve().parents[2]


def user_folder() -> Path:
    """The extension's own folder, outside of its package: it stays through updates."""
    folder = Path(bpy.utils.extension_path_user(PACKAGE, create=True)).absolute()
    if folder not in _tightened:
        _tightened.add(folder)
        private_files.tighten(folder)
    return folder


def preferences() -> Any | None:
    """The add-on's preferences; None if the add-on is not enabled by Blender (as in tests of a part)."""
    addon: Any = bpy.context.preferences.addons.get(PACKAGE)
    return None if addon is None else addon.preferences


def backend_settings() -> BackendSettings:
    """What the preferences say about the backend, now."""
    wanted, root, folder = preferences(), package_root(), user_folder()
    if wanted is None:
        return BackendSettings(root, folder)
    return BackendSettings(
        root,
        folder,
        command=bpy.path.abspath(wanted.backend_command),
        models_folder=bpy.path.abspath(wanted.models_folder),
        device=wanted.device.lower() or "auto",
        memory_budget_gib=wanted.memory_budget_gib,
        warm_up=wanted.warm_up,
        idle_minutes=wanted.idle_minutes,
        certificate=bpy.path.abspath(wanted.certificate),
        private_key=bpy.path.abspath(wanted.private_key),
        cards=tuple(card_choice.parsed(wanted.cards)),
        cards_per_take=wanted.cards_per_take,
        machine=machine_at(wanted, wanted.used_machine),
    )


def machine_at(wanted: Any, number: int) -> Machine | None:
    """The machine of that number in the preferences; None for 0, which is this one."""
    if not 1 <= number <= len(wanted.machines):
        return None
    entry = wanted.machines[number - 1]
    pairs = tuple((bpy.path.abspath(pair.near), pair.far) for pair in entry.pairs if pair.near and pair.far)
    return Machine(entry.name, entry.command, pairs)
