"""A person's hand on mouse and keyboard, by xdotool: what it presses goes to Blender's real window, and is counted."""

from __future__ import annotations

import subprocess
from collections import Counter

import bpy
import window


class Hand:
    """Its own display's pointer and keys. Blender handles what was pressed once the caller lets it draw."""

    def __init__(self) -> None:
        self.pressed: Counter[str] = Counter()
        """How many of "keys", "clicks", "drags" and "texts" since `begin`."""

    def begin(self) -> None:
        """Count from zero."""
        self.pressed.clear()

    def key(self, name: str) -> None:
        """A key, with its modifiers as xdotool has them: "shift+f"."""
        self.pressed["keys"] += 1
        _do("key", "--clearmodifiers", name)

    def type(self, text: str) -> None:
        """A text into the field that has the cursor."""
        self.pressed["texts"] += 1
        _do("type", "--delay", "20", text)

    def move(self, x: float, y: float) -> None:
        """To a point of the window, y from its bottom, in two steps: Blender tells where the pointer came from."""
        down = window.main_window().height - 1 - round(y)
        _do("mousemove", str(round(x) - 3), str(down))
        _do("mousemove", str(round(x)), str(down))

    def click(self) -> None:
        """The left button, where the pointer is."""
        self.pressed["clicks"] += 1
        _do("click", "1")

    def wheel(self, down: bool) -> None:
        """One notch of the wheel."""
        _do("click", "5" if down else "4")

    def take_hold(self) -> None:
        """Begin a drag where the pointer is."""
        self.pressed["drags"] += 1
        _do("mousedown", "1")

    def let_go(self) -> None:
        """End it."""
        _do("mouseup", "1")


def at_frame(frame: float, channel: float) -> tuple[float, float]:
    """Where that place of the timeline lies in the window."""
    shown = window.region(window.timeline(), "WINDOW")
    x, y = shown.view2d.view_to_region(frame, channel, clip=False)
    return shown.x + x, shown.y + y


def rest() -> bpy.types.Region:
    """The timeline's region, over which keys are the sequencer's."""
    return window.region(window.timeline(), "WINDOW")


def _do(*arguments: str) -> None:
    subprocess.run(["xdotool", *arguments], check=True)
