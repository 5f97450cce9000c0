"""What a person presses for what they want most, counted and held to its aim: the film has to be as it should then.

Makes no pictures, unless CLICKS_PICTURES names a folder for them. bpy, on the window's helpers and a hand.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import hand
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
PROMPT, OTHER_PROMPT = "an orange circle rises in the sky", "a white circle rises in the sky"
EXTENDED_FRAMES = 12
BACK_AT = 30
"""Where the deleted take is laid again."""
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """Each aim of the table, one after the other, in one film."""
    bpy.ops.wm.read_homefile(app_template="Video_Editing")
    yield None
    name = shots.lay_out(work).name
    bpy.ops.wm.save_as_mainfile(filepath=str(work / "clicks.blend"))
    window.clear_for_cutting()
    yield None  # Blender crashes where an area is touched before the new layout was drawn
    window.show_sidebar()
    yield None
    window.choose_tab()
    window.view_all()
    with window.in_timeline():
        bpy.ops.view2d.zoom_out(zoomfacx=-0.15, zoomfacy=0.0)
    editor = Editor(name)
    scene = editor.scene
    scene.frame_set(shots.HOLE_START + 12)
    settings = scene.wan_vse
    settings.prompt, settings.model_id, settings.quality = PROMPT, "embedded", "DRAFT"
    yield lambda: editor.session.server.status.state == "ready" and editor.session.server.models
    editor.say("ready")
    for part in (_fill, _second, _compare, _word, _extend, _find_again):
        yield from part(editor)
    editor.say("all as it should be")


class Editor:
    """Who presses, and what the film has."""

    def __init__(self, scene_name: str) -> None:
        self.hand = hand.Hand()
        self.session = self.module("jobs.session").current()
        self.taken: list[str] = []
        """The jobs so far."""
        self._scene_name = scene_name

    @property
    def scene(self) -> bpy.types.Scene:
        return bpy.data.scenes[self._scene_name]

    def module(self, name: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.blender_addon.{name}")

    def strip_in_gap(self) -> Any:
        """The strip that fills the gap."""
        found = [
            strip
            for strip in self.scene.sequence_editor.strips
            if strip.frame_final_start == shots.HOLE_START and strip.frame_final_end == shots.HOLE_END
        ]
        check(len(found) == 1, f"one strip fills the gap, not {len(found)}")
        return found[0]

    def new_job(self) -> str:
        """The one job that was asked for since the last one."""
        new = [job.job_id for job in self.session.queue() if job.job_id not in self.taken]
        check(len(new) == 1, f"one job was asked for, not {len(new)}")
        self.taken += new
        return new[0]

    def takes(self, strip: Any) -> Any:
        """Those that the strip keeps, newest first."""
        return self.module("timeline.strip_takes").takes_of(strip)

    def landed(self, job_id: str) -> Wait:
        """True once the job's take is on the timeline."""
        return lambda: (
            self.session.jobs.get(job_id).take is not None
            and any(take.job_id == job_id for strip in self.scene.sequence_editor.strips for take in self.takes(strip))
        )

    def places(self) -> list[tuple[Any, ...]]:
        """All strips, with what they keep of ours."""
        return sorted(
            (strip.name, strip.channel, strip.frame_final_start, strip.frame_final_end, strip.get("wan_vse_job", ""))
            for strip in self.scene.sequence_editor.strips
        )

    def counted(self, aim: str, **most: int) -> None:
        """Say what was pressed for it, which must be no more than that."""
        pressed = {what: count for what, count in self.hand.pressed.items() if count}
        self.say(f"{aim}: {', '.join(f'{count} {what}' for what, count in pressed.items())}")
        check(pressed == most, f"{aim}: pressed {pressed}, wanted {most}")

    def say(self, sentence: str) -> None:
        sys.stdout.write(f"[clicks] {sentence}\n")
        sys.stdout.flush()

    def shoot(self, name: str) -> None:
        """A picture of the screen, if a folder for them is named."""
        folder = os.environ.get("CLICKS_PICTURES")
        if folder:
            subprocess.run(["import", "-window", "root", str(Path(folder, f"{name}.png"))], check=True)


def check(holds: bool, sentence: str) -> None:
    """Raises AssertionError with the sentence unless it holds."""
    if not holds:
        raise AssertionError(sentence)


def _fill(editor: Editor) -> Iterator[Wait | None]:
    editor.hand.move(*hand.at_frame(shots.HOLE_START + 12, 4.5))
    yield None
    editor.hand.begin()
    editor.hand.key("shift+f")
    yield None
    editor.counted("fill the gap under the playhead", keys=1)
    editor.shoot("fill")
    strip, job_id = editor.strip_in_gap(), editor.new_job()
    check(strip.get("wan_vse_job") == job_id, "the placeholder stands for the job")
    task = editor.session.jobs.get(job_id).summary.task
    check(task == "fill_gap", f"the gap is filled from shot to shot, and not by {task}")
    yield editor.landed(job_id)
    yield None
    strip = editor.strip_in_gap()
    check(strip.type == "IMAGE" and strip.get("wan_vse_job") == job_id, "the take is in the gap")


def _second(editor: Editor) -> Iterator[Wait | None]:
    first = editor.strip_in_gap()
    name, place = first.name, (first.channel, first.frame_final_start, first.frame_final_end)
    editor.hand.begin()
    editor.hand.key("shift+n")
    yield None
    editor.counted("second take, other seed", keys=1)
    job_id = editor.new_job()
    yield editor.landed(job_id)
    yield None
    strip = editor.strip_in_gap()
    check((strip.name, (strip.channel, strip.frame_final_start, strip.frame_final_end)) == (name, place), "in place")
    check([take.job_id for take in editor.takes(strip)] == editor.taken[::-1], "the strip keeps both takes")
    seeds = {editor.session.jobs.get(job).summary.seed for job in editor.taken}
    check(len(seeds) == 2, "each take has a seed of its own")
    editor.shoot("second")


def _compare(editor: Editor) -> Iterator[Wait | None]:
    compare, before = editor.module("operators.compare_takes"), editor.places()
    editor.hand.begin()
    editor.hand.key("shift+v")
    yield None
    editor.counted("compare two takes", keys=1)
    check(compare.shown is not None and compare.shown.kind == "WIPE", "two takes are compared")
    check(compare.shown.second == editor.taken[0], "with the one before the shown one")
    preview = next(area for area in window.main_window().screen.areas if area != window.timeline())
    middle = preview.y + preview.height / 2
    editor.hand.move(preview.x + preview.width * 0.4, middle)
    yield None
    left = compare.shown.border
    editor.hand.move(preview.x + preview.width * 0.6, middle)
    yield None
    check(0 < left < compare.shown.border < 1, "the border follows the mouse")
    editor.shoot("compare")
    editor.hand.key("Escape")
    yield None
    check(compare.shown is None and editor.places() == before, "nothing is left of it")


def _word(editor: Editor) -> Iterator[Wait | None]:
    strip = editor.strip_in_gap()
    editor.hand.move(*hand.at_frame(shots.HOLE_START + 12, strip.channel + 0.5))
    yield None
    editor.hand.click()  # the take is selected, as it is when one looks at it
    for _ in range(3):
        yield None
    editor.shoot("selected")
    settings = editor.scene.wan_vse
    editor.hand.begin()
    editor.hand.move(*_prompt_field())
    yield None
    editor.hand.click()
    yield None
    editor.hand.type(OTHER_PROMPT)
    editor.hand.key("Return")
    yield None
    check(settings.take_prompt == OTHER_PROMPT, f"the take's prompt is edited, not {settings.take_prompt!r}")
    editor.hand.move(*hand.at_frame(shots.HOLE_START + 12, 4.5))
    editor.hand.key("shift+n")
    yield None
    editor.shoot("word")
    editor.counted("same shot, words changed", clicks=1, texts=1, keys=2)
    job_id = editor.new_job()
    check(editor.session.request_of(job_id).prompt == OTHER_PROMPT, "the new take has the new words")
    pending = editor.module("timeline.strip_takes").pending(editor.strip_in_gap())
    check(list(pending) == [job_id], "it comes onto the strip")
    editor.session.cancel(job_id)


def _prompt_field() -> tuple[float, float]:
    """The middle of the prompt of the selected take: below the panel's title, the tasks and the row of its takes."""
    shown = window.region(window.timeline(), "UI")
    unit = 20 * bpy.context.preferences.system.ui_scale
    return shown.x + shown.width * 0.4, shown.y + shown.height - 4.6 * unit


def _extend(editor: Editor) -> Iterator[Wait | None]:
    strips = editor.scene.sequence_editor.strips
    last = next(strip for strip in strips if strip.frame_final_start == shots.HOLE_END)
    channel = last.channel
    editor.scene.frame_set(shots.END - 4)
    editor.hand.move(*hand.at_frame(shots.END - 10, channel + 0.5))
    yield None
    editor.hand.click()  # the strip is selected, as by the drag at its handle that it takes the place of
    yield None
    check(last.select, "the strip is selected")
    editor.hand.begin()
    editor.hand.key("shift+e")
    yield None
    editor.hand.move(*hand.at_frame(shots.END + EXTENDED_FRAMES + 0.3, channel + 0.5))
    yield None
    editor.shoot("extend")
    editor.hand.click()
    yield None
    editor.counted("extend by handle", keys=1, clicks=1)
    job_id = editor.new_job()
    job = editor.session.jobs.get(job_id)
    check(job.summary.task == "extend", f"the strip is extended, and not {job.summary.task}")
    ghost = next(s for s in editor.scene.sequence_editor.strips if s.get("wan_vse_job") == job_id)
    ends = (ghost.frame_final_start, ghost.frame_final_end)
    check(ends == (shots.END, shots.END + EXTENDED_FRAMES), f"as far as the mouse went, not {ends}")
    editor.session.cancel(job_id)


def _find_again(editor: Editor) -> Iterator[Wait | None]:
    job_id = editor.taken[0]
    with window.in_timeline():
        for strip in editor.scene.sequence_editor.strips:
            strip.select = bool(strip.get("wan_vse_job"))
        bpy.ops.sequencer.delete()
    yield lambda: all(job.state.ended for job in editor.session.queue())
    with window.in_timeline():
        bpy.ops.wan_vse.clear_jobs()
    yield None
    check(not any(strip.get("wan_vse_job") for strip in editor.scene.sequence_editor.strips), "all takes are gone")
    browse, place = editor.module("operators.browse_takes"), hand.at_frame(BACK_AT, 3.5)
    editor.hand.move(*hand.at_frame(BACK_AT, 6.5))
    yield None
    editor.hand.begin()
    editor.hand.key("shift+t")
    yield None
    browser = browse.opened()
    check(browser is not None, "the browser is open")
    yield lambda: not browser.library.busy
    found = browser.found()
    index = next(index for index, take in enumerate(found) if take.job_id == job_id)
    area, region = browse._find(bpy.context, browser)
    box = browser.grid(region, area, bpy.context.preferences.system.ui_scale).picture(index)
    editor.hand.move(region.x + (box.left + box.right) / 2, region.y + (box.bottom + box.top) / 2)
    for _ in range(3):
        yield None
    editor.shoot("browser")
    editor.hand.take_hold()
    yield None
    editor.hand.move(place[0] - 40, place[1] + 60)
    yield None
    editor.hand.move(*place)
    yield None
    editor.shoot("dragged")
    editor.hand.let_go()
    yield None
    editor.counted("a take deleted yesterday", keys=1, drags=1)
    strip = next((s for s in editor.scene.sequence_editor.strips if s.get("wan_vse_job") == job_id), None)
    check(strip is not None, "the take is back")
    laid = (strip.channel, strip.frame_final_start)
    check(laid == (3, BACK_AT), f"where it was dropped, not {laid}")
    editor.hand.key("Escape")
    yield None
    check(browse.opened() is None, "the browser is closed")
