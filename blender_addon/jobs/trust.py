"""Whether the open file's own scripts may run: those of a file that was opened untrusted run nowhere.

Blender keeps that to itself, so it is told by what it shows: whether a script was refused, whether one ran, what was
chosen when the file was opened, and what the preferences say.
"""

from __future__ import annotations

import fnmatch
import os
from typing import Any

import bpy

_ran_text = False
"""A text of the file was run when it was loaded, as only a trusted file's is."""


def file_loaded() -> None:
    """Another file was loaded, or the same one again."""
    global _ran_text
    _ran_text = not bpy.app.autoexec_fail and any(
        text.use_module and text.name.endswith(".py") for text in bpy.data.texts
    )


def may_run_scripts() -> bool:
    """Whether a Blender that renders a copy of the open file may run its drivers and texts. Where in doubt, not."""
    if bpy.app.autoexec_fail:
        return False
    if _ran_text:
        return True
    return bpy.context.preferences.filepaths.use_scripts_auto_execute and not (_opened_untrusted() or _is_excluded())


def is_excluded(path: str, excluded: list[tuple[str, bool]]) -> bool:
    """Whether the preferences exclude the folder of the file `path`; `excluded` has paths, each with "is a glob"."""
    folder = os.path.normcase(os.path.join(os.path.dirname(path), ""))
    for each, is_glob in excluded:
        if each and (
            fnmatch.fnmatchcase(folder, os.path.normcase(each))
            if is_glob
            else folder.startswith(os.path.join(os.path.normcase(each), ""))
        ):
            return True
    return False


def _is_excluded() -> bool:
    paths: Any = bpy.context.preferences.autoexec_paths
    return is_excluded(bpy.data.filepath, [(os.path.abspath(each.path), each.use_glob) for each in paths if each.path])


def _opened_untrusted() -> bool:
    """Whether File > Open was last used for this very file, with Trusted Source left unchecked."""
    manager = bpy.context.window_manager
    last: Any = manager.operator_properties_last("wm.open_mainfile") if manager else None
    path = "" if last is None else last.filepath
    if not path or not bpy.data.filepath:
        return False
    same = os.path.normcase(os.path.abspath(path)) == os.path.normcase(os.path.abspath(bpy.data.filepath))
    return same and not last.use_scripts
