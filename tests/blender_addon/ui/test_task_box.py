"""The task in the panel: the implied one first, the others one click away, each with its own settings alone."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import bpy
import pytest
from stand_in_session import set_prompts
from test_drawing import Recorder

MAKING = {"generate", "animate_picture", "restyle", "fill_gap", "extend", "dress_previs", "edit_footage", "new_take"}
PLACES = ["TEXT_TO_VIDEO", "IMAGE_TO_VIDEO", "RESTYLE", "FILL_GAP", "EXTEND", "PREVIS", "EDIT"]


class Buttons(Recorder):
    """Notes the properties and the choices, too."""

    def __init__(self, words=None, orders=None, choices=None) -> None:
        super().__init__(words, orders)
        self.__dict__["choices"] = [] if choices is None else choices

    def _take(self, name, *values, **named):
        if name in ("prop", "prop_enum"):
            self.words.append(".".join(str(value) for value in values[1:]))
        made = super()._take(name, *values, **named)
        if name == "operator" and values[0] == "wan_vse.choose_task":
            self.choices.append(made)
        if isinstance(made, tuple):
            return tuple(Buttons(self.words, self.orders, self.choices) for _ in made)
        return Buttons(self.words, self.orders, self.choices) if isinstance(made, Recorder) else made

    @property
    def places(self):
        """The tasks of the seven places, in their order."""
        return [choice.task for choice in self.choices if not hasattr(choice, "implied")]

    @property
    def button(self):
        """The operator of the button that asks for takes; of a take, also for one with the same seed."""
        (button,) = {name for name in self.orders if name in MAKING}
        return button


@pytest.fixture
def panel(stand_in, settings, cut, addon):
    """panel("A") selects and draws; returns what can be read and pressed."""

    def draw(*names: str, frame: int = 1) -> Buttons:
        cut.scene.frame_set(frame)
        cut.select(*names)
        return redraw()

    def redraw() -> Buttons:
        layout = Buttons()
        addon("ui.sidebar").WAN_VSE_PT_generate.draw(SimpleNamespace(layout=layout), bpy.context)
        return layout

    cut.shot("A", 1, 41)
    cut.shot("B", 61, 101)
    cut.still("Still", 101, 141)
    cut.scene_strip("Blocked", 141, 181)
    draw.again = redraw
    return draw


OWN = {
    "length_mode": "TEXT_TO_VIDEO",
    "as_long_as_strip": "IMAGE_TO_VIDEO",
    "strength": "RESTYLE",
    "guide": "RESTYLE",
    "extend_frames": "EXTEND",
    "extend_direction": "EXTEND",
    "freedom": "PREVIS",
    "blocking": "PREVIS",
}


@pytest.mark.parametrize(
    ("selected", "task", "operator"),
    [
        ((), "TEXT_TO_VIDEO", "generate"),
        (("A",), "RESTYLE", "restyle"),
        (("Still",), "IMAGE_TO_VIDEO", "animate_picture"),
        (("A", "B"), "FILL_GAP", "fill_gap"),
        (("Blocked",), "PREVIS", "dress_previs"),
    ],
)
def test_the_implied_task_has_its_button_and_the_seven_keep_their_places(panel, selected, task, operator) -> None:
    drawn = panel(*selected, frame=300)
    assert drawn.places == PLACES
    assert drawn.button == operator
    before = set(drawn.orders[: drawn.orders.index(operator)])
    assert before <= {"choose_task", "prompt_dialog"}, "nothing but the tasks and the prompt comes before the button"
    shown = {name for name in OWN if any(word.partition(".")[0] == name for word in drawn.words)}
    assert shown == {name for name, owner in OWN.items() if owner == task}


def test_the_camera_is_offered_only_where_the_model_follows_it(panel, stand_in) -> None:
    assert "camera_scale" not in panel("Blocked").words
    row = stand_in.server.models[0]
    stand_in.server.models[0] = dataclasses.replace(row, follows_camera=True)
    drawn = panel("Blocked")
    assert "camera_scale" in drawn.words and not {"blocking", "freedom"} & set(drawn.words)
    assert "Looks at the scene's camera first" in drawn.words and "Renders the source first" not in drawn.words
    assert "camera_scale" not in panel("A").words


def test_another_task_is_one_click_away_until_the_selection_changes(panel, settings) -> None:
    panel("A")
    assert bpy.ops.wan_vse.choose_task(task="EXTEND") == {"FINISHED"}
    assert settings.task == "EXTEND"
    drawn = panel.again()
    assert drawn.button == "extend" and drawn.places == PLACES
    assert {"extend_frames", "extend_direction"} <= set(drawn.words)
    assert "strength" not in drawn.words
    assert panel("Still").button == "animate_picture"
    assert panel("A").button == "restyle", "a choice ends with its selection"


def test_an_edit_stays_chosen_while_reference_pictures_are_selected_along_with_its_footage(cut) -> None:
    cut.shot("Shot", 1, 20)
    cut.shot("Other", 30, 50)
    for number in range(2):
        cut.still(f"Hat {number}", 60 + 20 * number, 70 + 20 * number)
    settings = cut.scene.wan_vse
    cut.select("Shot")
    settings.task = "EDIT"
    for names in (["Shot", "Hat 0"], ["Shot", "Hat 0", "Hat 1"], ["Shot", "Hat 1"], ["Shot"]):
        cut.select(*names)
        assert settings.task == "EDIT", names
    cut.select("Shot", "Other")
    assert settings.task != "EDIT", "another footage"
    cut.select("Shot")
    assert settings.task == "RESTYLE", "the choice has ended"
    cut.select("Hat 0")
    settings.task = "EDIT"
    cut.select("Hat 1")
    assert settings.task == "IMAGE_TO_VIDEO", "a still alone is footage"


def test_an_edit_is_chosen_by_hand_and_says_how_to_give_it_pictures(panel, settings) -> None:
    panel("A")
    settings.task = "EDIT"
    drawn = panel.again()
    assert drawn.button == "edit_footage" and "Edit: 'A'" in drawn.words
    assert any("as reference pictures" in word for word in drawn.words)
    settings.edit_prompt = " "
    assert any("describe what is to change" in word for word in panel.again().words)
    panel("A", "Still")
    settings.task = "EDIT"
    drawn = panel.again()
    assert "Edit: 'A' with 1 picture" in drawn.words
    assert not any("as reference pictures" in word for word in drawn.words)


def test_a_choice_without_a_selection_ends_when_the_playhead_enters_a_gap(panel, settings) -> None:
    panel(frame=300)
    settings.task = "PREVIS"
    assert panel(frame=310).button == "dress_previs"
    assert panel(frame=50).button == "fill_gap"
    assert panel(frame=300).button == "generate", "and does not come back"


def test_each_task_has_its_own_prompt(panel, settings, stand_in) -> None:
    settings.restyle_prompt, settings.extend_prompt = "watercolor", ""
    panel("A")
    assert stand_in.server.plan_query.planned.prompt == "watercolor"
    settings.task = "EXTEND"
    panel.again()
    assert stand_in.server.plan_query.planned.prompt == ""


def test_style_words_end_each_prompt(panel, settings, stand_in) -> None:
    settings.restyle_prompt, settings.style_words = "a tram.", "ink on paper"
    panel("A")
    assert stand_in.server.plan_query.planned.prompt == "a tram, ink on paper"


def test_the_button_says_how_long_it_takes_as_far_as_that_is_known(panel, stand_in) -> None:
    m = stand_in.messages
    plan = m.Plan("embedded", 256, 144, 41, m.FrameRate(16), 36, 20, 1.0, 1.0, m.Sampler.UNIPC)
    stand_in.server.plan_query.plan = plan
    drawn = panel("A", "B")
    assert "Fill Gap" in drawn.words and any("Time not known" in word for word in drawn.words)
    stand_in.server.plan_query.plan = dataclasses.replace(plan, expected_seconds=130.0)
    assert "Fill Gap, about 2 min 10 s" in panel("A", "B").words


def test_what_the_prompt_lacks_is_said_and_one_that_may_be_empty_is_planned_as_it_is(panel, stand_in, settings) -> None:
    set_prompts(settings, "")
    assert any("prompt is empty" in word for word in panel("A").words)
    assert stand_in.server.plan_query.planned.prompt == "any"
    assert not any("prompt is empty" in word for word in panel("A", "B").words)
    assert stand_in.server.plan_query.planned.prompt == "", "or its plan would never be found again"


def test_what_it_is_made_from_is_said(panel, settings) -> None:
    assert "Fill Gap: 'A' to 'B'" in panel("A", "B").words
    assert "Fill Gap: 'A' to 'B'" in panel(frame=50).words, "around the playhead"
    assert "Previs: 'Blocked'" in panel("Blocked").words
    assert any("in the look of" in word for word in panel("Blocked", "Still").words)
    panel("Still")
    settings.task = "EXTEND"
    assert "Extend: After 'Still'" in panel.again().words
    settings.extend_direction = "BACKWARD"
    assert "Extend: Before 'Still'" in panel.again().words


def test_the_place_is_said_before_the_click(panel, stand_in) -> None:
    assert "Channel 1, frames 41 to 60" in panel("A", "B").words
    assert stand_in.server.plan_query.planned.task == "fill_gap"
    assert [source.role.value for source in stand_in.server.plan_query.planned.sources] == ["before", "after"]


def test_a_held_part_is_said(panel, cut) -> None:
    cut.compat.set_handles(cut.strips["B"], 61, 113)
    cut.strips["B"].channel = 4
    cut.compat.set_handles(cut.strips["B"], 61, 113)
    assert "Extends the held part: 12 frames" in panel("B").words


def test_what_is_rendered_first_is_said(panel, cut) -> None:
    cut.compat.new_color(cut.strips, "Color", 1, 300, 20)
    assert any("Renders the" in word for word in panel("Color").words)
    assert not any("Renders the" in word for word in panel("A").words)


def test_several_text_strips_are_counted(panel, cut, settings) -> None:
    cut.text("rain", 300, 330)
    cut.text("fog", 340, 350)
    assert any("choose Text Strips" in word for word in panel("rain", "fog").words)
    settings.prompt_source = "TEXT_STRIP"
    drawn = panel("rain", "fog")
    assert "Generate 2 Takes" in drawn.words
    assert any("2 takes; the first" in word for word in drawn.words)


def test_words_over_time_are_listed_with_their_frames(panel, cut, settings) -> None:
    settings.words_over_time = True
    assert "No text strip lies over these frames" in panel("A").words
    cut.text("rain", 1, 21)
    cut.text("fog", 11, 31, 6)
    drawn = panel("A").words
    assert {"1 to 10: rain", "11 to 30: fog"} <= set(drawn)
    assert any("'fog' lies over 'rain'" in word for word in drawn)
    for number in range(3):
        cut.text(f"more {number}", 31 + 2 * number, 33 + 2 * number)
    assert {"1 to 10: rain", "11 to 30: fog", "and 3 more"} <= set(panel("A").words)
    settings.prompt_source = "TEXT_STRIP"
    assert not any("rain" in word for word in panel("A").words)


def test_markers_speak_too_where_that_is_asked_for(panel, cut, scene, settings) -> None:
    settings.words_over_time = True
    scene.timeline_markers.new("snow", frame=21)
    assert not any("snow" in word for word in panel("A").words)
    settings.words_of_markers = True
    drawn = panel("A")
    assert any(word.startswith("21 to") and word.endswith(": snow") for word in drawn.words)
    assert "Mute Text Strips" not in drawn.words
    scene.timeline_markers[0].name = "hail"
    assert any("hail" in word for word in panel("A").words)
    cut.text("rain", 1, 31)
    drawn = panel("A")
    assert "1 to 30: rain" in drawn.words and "Where text strips lie, markers say nothing" in drawn.words
    scene.timeline_markers.clear()
    cut.strips.remove(cut.strips["rain"])
    assert "No text strip and no marker speaks for these frames" in panel("A").words


def test_kept_pictures_are_listed_with_their_frames(panel, cut, settings) -> None:
    settings.keep_pictures = True
    assert "No image strip begins over these frames" in panel("A").words
    cut.still("Storm", 11, 21, 5)
    cut.still("Logo", -20, 31, 7)
    drawn = panel("A")
    assert "11: 'Storm'" in drawn.words and any("'Logo' begins before the take" in word for word in drawn.words)
    cut.strips["Storm"].name = "Gale"
    assert "11: 'Gale'" in panel("A").words
    for number in range(3):
        cut.still(f"More {number}", 15 + 2 * number, 21 + 2 * number, 8 + number)
    assert {"11: 'Gale'", "15: 'More 0'", "and 2 more"} <= set(panel("A").words)


def test_a_refusal_is_said_in_the_panel(panel, cut) -> None:
    cut.shot("Muted", 300, 320).mute = True
    assert any("muted" in word for word in panel("Muted").words)


def test_a_choice_ends_with_the_file(panel, settings, tmp_path) -> None:
    panel("A")
    settings.task = "EXTEND"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert bpy.context.scene.wan_vse.task == "RESTYLE"


def test_an_older_file_has_its_prompt_for_each_task_that_needs_one(settings, addon, tmp_path) -> None:
    set_prompts(settings, "")
    settings.prompt, settings.restyle_prompt = "rain", "ink"
    settings.prompts_apart = False  # as in a file that was saved before
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    kept = bpy.context.scene.wan_vse
    assert (kept.prompt, kept.image_prompt, kept.restyle_prompt, kept.previs_prompt) == ("rain", "rain", "ink", "rain")
    assert (kept.gap_prompt, kept.extend_prompt, kept.prompts_apart) == ("", "", True)


def test_a_job_whose_source_is_rendered_says_so(stand_in, addon) -> None:
    wording = addon("ui.wording")
    job = stand_in.add("a" * 32, "queued", sentence="Rendering the source.", progress=0.4)
    assert wording.progress(job) == "Rendering the source"
    assert wording.short_progress(job) == "40%"
    camera = stand_in.add("c" * 32, "queued", sentence="Looking at the scene's camera.")
    assert wording.progress(camera) == "Looking at the scene's camera" and wording.is_rendering(camera)
    assert wording.progress_says(camera, camera.sentence)
    waiting = stand_in.add("b" * 32, "queued", sentence="Waiting.")
    assert wording.progress(waiting) == "Waiting"


def test_the_queue_says_which_task_a_job_is(stand_in, addon) -> None:
    stand_in.add("a" * 32, "done")
    addon("ui.refresh").refresh()
    layout = Recorder()
    addon("ui.sidebar").WAN_VSE_PT_queue.draw(SimpleNamespace(layout=layout), bpy.context)
    assert "Text: Big, seed 7" in layout.words
    assert addon("ui.task_box").name_of("relight") == "relight"


def test_a_strip_of_a_whole_film_is_refused_in_the_panel_and_nothing_is_asked(stand_in, panel, cut, settings) -> None:
    cut.effect("Grade", "ADJUSTMENT", 1, 100_001)
    drawn = panel("Grade")
    assert "'Grade' covers 100,000 frames, and a take has at most 2,000" in " ".join(drawn.words)
    assert not hasattr(stand_in.server.plan_query, "planned"), (
        "no plan is asked for, as its request would name every frame"
    )
    assert not bpy.ops.wan_vse.restyle.poll()
    cut.compat.set_handles(cut.strips["Grade"], 1, 2001)
    panel.again()
    assert stand_in.server.plan_query.planned.length_frames == 2000 and bpy.ops.wan_vse.restyle.poll()
