"""Blender's window as the pictures need it: areas, regions, and shots of them. bpy and ImageMagick."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import bpy
import shots

TABS_PIXELS = 24
"""The column of tabs at a sidebar's right edge."""
ABOVE_PAGE_PIXELS = 222
"""The search field, and Blender's own lines on an extension."""
LARGEST_BYTES = 190_000


def main_window() -> bpy.types.Window:
    """The window that Blender opened with."""
    return bpy.context.window_manager.windows[0]


def timeline() -> bpy.types.Area:
    """The sequencer that shows the timeline."""
    areas = main_window().screen.areas
    return next(a for a in areas if a.type == "SEQUENCE_EDITOR" and a.spaces.active.view_type != "PREVIEW")


def region(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    """The area's region of that kind."""
    return next(each for each in area.regions if each.type == kind)


def in_timeline() -> bpy.types.TempOverride:
    """A context in which the sequencer's operators run."""
    area = timeline()
    return bpy.context.temp_override(window=main_window(), area=area, region=region(area, "WINDOW"))


def show_sidebar() -> None:
    """Open the timeline's sidebar; its tab can be chosen once it was drawn."""
    timeline().spaces.active.show_region_ui = True


def choose_tab() -> None:
    """Show the tab "Wan"."""
    region(timeline(), "UI").active_panel_category = "Wan"


def fill_window() -> None:
    """Let the timeline fill the window, or end that."""
    with in_timeline():
        bpy.ops.screen.screen_full_area()


def view_all() -> None:
    """Bring every strip into view."""
    with in_timeline():
        bpy.ops.sequencer.view_all()


def shoot_sidebar(path: Path) -> None:
    """A picture of the sidebar, without its tabs and the empty space below the panels."""
    shown = region(timeline(), "UI")
    _shoot(path, shown.x, shown.y, shown.width - TABS_PIXELS, shown.height, trim=True)


def shoot_area(path: Path, area: bpy.types.Area, bottom_part: float = 1.0) -> None:
    """A picture of an area, or of so much of it from its bottom."""
    _shoot(path, area.x, area.y, area.width, int(area.height * bottom_part))


def shoot_areas(path: Path, areas: list[bpy.types.Area]) -> None:
    """A picture of the rectangle around some areas."""
    left, bottom = min(a.x for a in areas), min(a.y for a in areas)
    right, top = max(a.x + a.width for a in areas), max(a.y + a.height for a in areas)
    _shoot(path, left, bottom, right - left, top - bottom)


def _shoot(path: Path, x: int, y: int, width: int, height: int, trim: bool = False) -> None:
    """Cut [x, x + width) x [y, y + height) of the window (y goes up) out of the screen."""
    for program in ("import", "convert"):
        if shutil.which(program) is None:
            raise RuntimeError(f"ImageMagick's '{program}' is not on PATH: install ImageMagick.")
    window = main_window()
    top = window.height - y - height
    with tempfile.TemporaryDirectory() as folder:
        screen = Path(folder, "screen.png")
        subprocess.run(["import", "-window", "root", screen], check=True)
        crop = ["-crop", f"{width}x{height}+{max(0, x)}+{max(0, top)}", "+repage"]
        if trim:
            crop += ["-bordercolor", "#303030", "-fuzz", "2%", "-trim", "+repage", "-border", "6"]
        small = ["-strip", "-define", "png:compression-level=9"]
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["convert", screen, *crop, *small, path], check=True)
        if path.stat().st_size > LARGEST_BYTES:
            subprocess.run(["convert", path, "+dither", "-colors", "200", *small, path], check=True)


def open_film(work: Path, name: str) -> Generator[None, None, str]:
    """Lay the film of `shots` out, save it, and leave only what cutting needs; gives the scene's name."""
    bpy.ops.wm.read_homefile(app_template="Video_Editing")
    yield None
    scene_name = shots.lay_out(work).name
    bpy.ops.wm.save_as_mainfile(filepath=str(work / f"{name}.blend"))
    clear_for_cutting()
    yield None  # Blender crashes where an area is touched before the new layout was drawn
    show_sidebar()
    yield None
    choose_tab()
    return scene_name


def clear_for_cutting() -> None:
    """Leave only the preview and the timeline of the Video Editing workspace."""
    main_window().cursor_warp(10, 10)  # no tooltip in the pictures
    for kind in ("FILE_BROWSER", "PROPERTIES"):
        _close(next(area for area in main_window().screen.areas if area.type == kind))


def leave_the_timeline() -> None:
    """Close the preview."""
    _close(next(area for area in main_window().screen.areas if area != timeline()))


def show_preferences(package: str) -> None:
    """The page of `package` to the right of the timeline: a window of its own may lie anywhere on the screen."""
    with in_timeline():
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.45)
    page = max(main_window().screen.areas, key=lambda area: area.x)
    page.ui_type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Wan VSE"
    main_window().cursor_warp(10, 10)  # no tooltip in the picture
    with bpy.context.temp_override(window=main_window(), area=page):
        bpy.ops.preferences.addon_expand(module=package)


def shoot_preferences(path: Path) -> None:
    """A picture of the extension's page, below what Blender itself says of an extension."""
    page = next(area for area in main_window().screen.areas if area.type == "PREFERENCES")
    shown = region(page, "WINDOW")
    edge = 16  # the area's own outline reaches into the region
    width, height = shown.width - edge, shown.height - edge - ABOVE_PAGE_PIXELS
    _shoot(path, shown.x, shown.y + edge, width, height, trim=True)


def _close(area: bpy.types.Area) -> None:
    with bpy.context.temp_override(window=main_window(), area=area):
        bpy.ops.screen.area_close()
