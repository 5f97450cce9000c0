"""Whether the open file's own scripts may run; those of a file that was opened untrusted must run nowhere.

Blender has no function for this. The preferences are only a default, and the choice made when a file was opened
(Trusted Source, excluded folders, the command line, Allow Execution) can't be read. So it is found by its effect.
"""

from __future__ import annotations

from typing import Any

import bpy

_CANARY = "wan_vse_may_run"

_ran_text = False
"""True if a text of the file was run when it was loaded, which Blender does only with trusted files."""


def file_loaded() -> None:
    """Another file was loaded, or the same one again."""
    global _ran_text
    _ran_text = not bpy.app.autoexec_fail and any(
        text.use_module and text.name.endswith(".py") for text in bpy.data.texts
    )


def may_run_scripts() -> bool:
    """Whether a Blender that renders a copy of the open file may run its drivers and texts. If in doubt, not.

    Not for a draw or a timer: what is asked of Blender changes its data for a moment.
    """
    if bpy.app.autoexec_fail:
        return False
    if _ran_text:
        return True
    # If the preference is off, asking would bring up Blender's warning that scripts were refused.
    return bpy.context.preferences.filepaths.use_scripts_auto_execute and _drivers_run()


def _drivers_run() -> bool:
    """Whether Blender runs a driver's Python now: one of our own, in a scene that is gone again at once.

    It has a name that Blender allows to no driver of a file that isn't trusted.
    """
    ran: list[float] = []

    def note() -> float:
        ran.append(1.0)
        return 1.0

    scene = bpy.data.scenes.new(_CANARY)
    bpy.app.driver_namespace[_CANARY] = note
    try:
        scene[_CANARY] = 0.0
        curve: Any = scene.driver_add(f'["{_CANARY}"]')
        driver = curve.driver
        driver.type, driver.expression = "SCRIPTED", f"{_CANARY}() if __import__ else 0.0"
        scene.view_layers[0].update()
    finally:
        bpy.data.scenes.remove(scene)
        del bpy.app.driver_namespace[_CANARY]
    return bool(ran)
