"""Takes are made until the worst seam joins, at most as many as were allowed, and the best is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import fake_backend_frames as frames_of_fake

FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


class Retried:
    """A shot on channel 1, and a take that extends it, of which the fake backend says how it joins."""

    def __init__(self, pumped, scene, addon, folder: Path):
        self.pumped, self.scene, self.addon, self.folder = pumped, scene, addon, folder
        self.compat, self.takes = addon("timeline.compat"), addon("timeline.strip_takes")
        self.state, self.retry = addon("timeline.seam_retry"), addon("operators.retry_seams")
        pumped.session.on_change.append(self.retry.follow)
        self.retry.pop_ended()
        for index in range(20):
            (folder / f"{index + 1:04d}.png").write_bytes(frames_of_fake.png(index))
        strips = self.compat.strips(scene.sequence_editor)
        source = self.compat.new_image(strips, "Shot", str(folder / "0001.png"), 1, 10)
        for index in range(1, 20):
            source.elements.append(f"{index + 1:04d}.png")

    def extend(self, figures: str) -> None:
        """Extend the shot; the figures are those of the first take and of those after it, in turn."""
        settings, source = self.scene.wan_vse, self.compat.strip_named(self.scene, "Shot")
        self.pumped.session.server.want()
        self.pumped.until(lambda: self.pumped.session.server.status.state == "ready")
        settings.model, settings.extend_prompt, settings.extend_frames = "embedded", f"jumps {figures}", 8
        addon_preferences = self.addon("jobs.folders").preferences()
        addon_preferences.media_folder = str(self.folder / "media")
        self.scene.sequence_editor.active_strip = source
        source.select = True
        assert bpy.ops.wan_vse.extend() == FINISHED
        self.pumped.until(lambda: self.strip is not None)
        source = self.compat.strip_named(self.scene, "Shot")
        source.select = False

    @property
    def strip(self):
        strips = self.compat.all_strips(self.scene)
        return next((strip for strip in strips if strip.get("wan_vse_role") == "take"), None)

    def until_ended(self):
        self.pumped.until(lambda: self.state.of(self.strip).end)
        return self.state.of(self.strip)

    def figures(self) -> list[float]:
        """Of the strip's takes, the oldest first."""
        ended = self.state.of(self.strip)
        return [ended.figure(self.strip, take.job_id) for take in self.takes.takes_of(self.strip)][::-1]

    def shown(self) -> float:
        return self.state.of(self.strip).figure(self.strip, self.strip["wan_vse_job"])


@pytest.fixture
def retried(pumped, scene, addon, tmp_path):
    made = Retried(pumped, scene, addon, tmp_path)
    preferences = addon("jobs.folders").preferences()
    before = preferences.media_folder
    yield made
    preferences.media_folder = before


def test_it_stops_at_the_first_that_joins(retried):
    retried.extend("2.3 1.5 0.7 0.1")
    assert bpy.ops.wan_vse.retry_worst_seam(count=5) == FINISHED
    ended = retried.until_ended()
    assert (ended.end, ended.before, ended.after) == ("better", 2.3, 0.7)
    assert retried.figures() == [2.3, 1.5, 0.7] and retried.shown() == 0.7
    assert retried.retry.pop_ended() == ["The seam joins now: 0.7 instead of 2.3 (takes made: 2)."]


def test_the_best_is_kept_where_none_joins(retried):
    retried.extend("2.3 1.4 1.9 5")
    bpy.ops.wan_vse.retry_worst_seam(count=3)
    ended = retried.until_ended()
    assert (ended.end, ended.after) == ("better", 1.4) and retried.shown() == 1.4
    assert retried.figures() == [2.3, 1.4, 1.9, 5.0]


def test_none_is_better_and_the_first_stays(retried):
    retried.extend("1.2 3 4")
    bpy.ops.wan_vse.retry_worst_seam(count=2)
    assert retried.until_ended().end == "not_better" and retried.shown() == 1.2
    said = "No new take joins better than 1.2: the one before is shown (takes made: 2)."
    assert retried.retry.pop_ended() == [said]


def test_without_a_measured_seam_it_says_so(retried, capfd):
    retried.extend("")
    assert bpy.ops.wan_vse.retry_worst_seam() == CANCELLED
    assert "No seam is measured" in capfd.readouterr().out


def test_canceling_the_job_ends_it(retried):
    retried.extend("2.3 1.5 1.4")
    bpy.ops.wan_vse.retry_worst_seam(count=3)
    strip = retried.strip
    retried.scene.sequence_editor.active_strip = strip
    strip.select = True
    assert bpy.ops.wan_vse.end_seam_retry() == FINISHED
    ended = retried.state.of(retried.strip)
    assert ended.end == "canceled" and len(ended.jobs) == 1 and retried.shown() == 2.3
    assert bpy.ops.wan_vse.end_seam_retry() == FINISHED and retried.state.of(retried.strip) is None


def test_it_goes_on_after_the_film_was_opened_again(retried, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    retried.extend("2.3 1.5 0.7")
    bpy.ops.wan_vse.retry_worst_seam(count=3)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    retried.scene = bpy.context.scene
    retried.retry._strips_replaced()
    assert retried.until_ended().end == "better" and retried.shown() == 0.7


def test_a_copy_leaves_it_to_its_original(retried):
    retried.extend("2.3 1.5 0.7")
    bpy.ops.wan_vse.retry_worst_seam(count=3)
    assert retried.strip.split(frame=34, split_method="SOFT") is not None
    retried.pumped.until(
        lambda: (
            [kept.end for strip in retried.compat.all_strips(retried.scene) if (kept := retried.state.of(strip))]
            == ["better"]
        )
    )


@pytest.mark.parametrize(
    "changed",
    [{"jobs": 3}, {"jobs": ["x"]}, {"end": "won"}, {"most": 10**9}, {"before": -1}, {"after": "x"}, {"first": 1}],
)
def test_hostile_states_are_none(retried, changed):
    strip = retried.compat.strip_named(retried.scene, "Shot")
    whole = {
        "retry_id": "a" * 32, "first": "b" * 32, "before": 2.0, "most": 3, "at_start": True, "at_end": False,
        "jobs": ["c" * 32], "end": "", "after": 0.0,
    }  # fmt: skip
    strip["wan_vse_seam_retry"] = json.dumps(whole)
    assert retried.state.of(strip).jobs == ("c" * 32,)
    strip["wan_vse_seam_retry"] = json.dumps({**whole, **changed})
    assert retried.state.of(strip) is None
