"""The operators of the seven tasks: what each asks for, and the sentences with which they refuse."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from stand_in_session import set_prompts

JOB = "a" * 32
FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


def why_not(name: str) -> str:
    operator = getattr(bpy.ops.wan_vse, name)
    if operator.poll():
        return ""
    with pytest.raises(RuntimeError) as refused:
        operator()
    return str(refused.value).partition(".poll() ")[2].strip()


@pytest.fixture
def film(stand_in, settings, cut):
    """Two shots with a gap, a still, a scene strip."""
    cut.shot("A", 1, 41)
    cut.shot("B", 61, 101)
    cut.still("Still", 101, 141)
    cut.scene_strip("Blocked", 141, 181)
    return cut


@pytest.mark.parametrize(
    ("operator", "selected", "task", "roles", "place"),
    [
        ("animate_picture", ("Still",), "image_to_video", ["first"], (101, 40, 2)),
        ("restyle", ("A",), "restyle", ["footage"], (1, 40, 2)),
        ("fill_gap", ("A", "B"), "fill_gap", ["before", "after"], (41, 20, 1)),
        ("extend", ("A",), "extend", ["before"], (41, 24, 2)),
        ("dress_previs", ("Blocked",), "previs", ["depth"], (141, 40, 2)),
        ("edit_footage", ("A",), "edit", ["footage"], (1, 40, 2)),
        ("edit_footage", ("A", "Still"), "edit", ["footage", "reference"], (1, 40, 2)),
    ],
)
def test_each_asks_for_its_own(stand_in, film, operator, selected, task, roles, place) -> None:
    film.select(*selected)
    settings = film.scene.wan_vse
    settings.extend_frames = 24
    if operator == "extend":
        film.shot("In the way", 42, 50)
    assert getattr(bpy.ops.wan_vse, operator)() == FINISHED
    (take,) = stand_in.planned
    request = take.request
    assert request.task == task
    assert [wanted.role.value for wanted in take.target.wanted] == roles
    assert (request.origin.start, request.length_frames, request.origin.channel) == place


@pytest.mark.parametrize(
    ("operator", "selected", "name"),
    [
        ("animate_picture", ("Still",), "Image to video"),
        ("fill_gap", ("A", "B"), "Fill gap"),
        ("extend", ("A",), "Extend"),
        ("dress_previs", ("Blocked", "Still"), "Previs"),
    ],
)
def test_pictures_need_no_words(stand_in, film, addon, operator, selected, name) -> None:
    set_prompts(film.scene.wan_vse, "")
    film.select(*selected)
    assert getattr(bpy.ops.wan_vse, operator)() == FINISHED
    assert stand_in.planned[0].request.prompt == ""
    assert addon("timeline.take_strips").strip_name(stand_in.planned[0].request) == name
    assert addon("ui.wording").title("", stand_in.planned[0].request.task) == f"{name}, without a prompt"


@pytest.mark.parametrize(
    ("operator", "selected"), [("restyle", ("A",)), ("dress_previs", ("Blocked",)), ("edit_footage", ("A", "Still"))]
)
def test_a_shape_alone_needs_words(stand_in, film, operator, selected) -> None:
    set_prompts(film.scene.wan_vse, "")
    film.select(*selected)
    asked = getattr(bpy.ops.wan_vse, operator)
    assert asked.poll() and asked() == {"CANCELLED"} and stand_in.planned == []


@pytest.mark.parametrize(("operator", "selected"), [("restyle", ("A",)), ("dress_previs", ("Blocked",))])
def test_where_only_words_are_missing_they_are_asked_for(
    stand_in, film, addon, monkeypatch, operator, selected
) -> None:
    dialog = addon("operators.prompt_dialog")
    set_prompts(film.scene.wan_vse, "")
    film.select(*selected)
    cls = dialog._BY_NAME[operator]
    assert cls.refusal(bpy.context) == "" and "prompt is empty" in cls.words_refusal(bpy.context)
    opened = []
    ours = SimpleNamespace(
        ops=SimpleNamespace(wan_vse=SimpleNamespace(prompt_dialog=lambda how, making: opened.append((how, making))))
    )
    asking = type(cls.__name__, (), {"words_refusal": cls.words_refusal})()
    with monkeypatch.context() as patched:
        patched.setattr(addon("operators.make_takes"), "bpy", ours)
        assert cls.invoke(asking, bpy.context, None) == {"CANCELLED"}
    assert opened == [("INVOKE_DEFAULT", operator)]
    setattr(film.scene.wan_vse, dialog._field(film.scene.wan_vse, operator), "neon")
    assert bpy.ops.wan_vse.prompt_dialog(making=operator) == FINISHED
    assert [take.request.prompt for take in stand_in.planned] == ["neon"]


def test_the_dialog_makes_nothing_without_words(stand_in, film) -> None:
    set_prompts(film.scene.wan_vse, "")
    film.select("A")
    assert bpy.ops.wan_vse.prompt_dialog(making="restyle") == {"CANCELLED"} and stand_in.planned == []


def test_words_in_another_place_are_chosen_there(stand_in, film) -> None:
    set_prompts(film.scene.wan_vse, "")
    film.select("A")
    film.scene.wan_vse.prompt_source = "TEXT_BLOCK"
    assert "Choose the text block" in why_not("restyle")


def test_generate_is_text_whatever_is_selected(stand_in, film) -> None:
    film.select("A")
    film.scene.frame_set(300)
    assert bpy.ops.wan_vse.generate() == FINISHED
    assert (stand_in.planned[0].request.task, stand_in.planned[0].target.wanted) == ("text_to_video", ())


def test_each_text_strip_becomes_a_job(stand_in, film) -> None:
    film.text("rain", 300, 330)
    film.text("fog", 340, 350)
    film.select("rain", "fog")
    film.scene.wan_vse.prompt_source = "TEXT_STRIP"
    assert bpy.ops.wan_vse.generate() == FINISHED
    asked = [take.request for take in stand_in.planned]
    assert [(one.prompt, one.origin.start, one.length_frames) for one in asked] == [("rain", 300, 30), ("fog", 340, 10)]
    assert len({one.seed for one in asked}) == 2, "each draws its own"


@pytest.mark.parametrize("wanted", [True, False])
def test_the_words_of_a_prompt_do_not_stay_over_its_take(stand_in, film, wanted) -> None:
    for words, start in (("rain", 300), ("a title", 300)):
        film.text(words, start, start + 30, 5 if words == "rain" else 6)
    film.select("rain")
    settings = film.scene.wan_vse
    settings.prompt_source, settings.mute_text_strips = "TEXT_STRIP", wanted
    assert bpy.ops.wan_vse.generate() == FINISHED
    assert [film.strips[name].mute for name in ("rain", "a title")] == [wanted, False]
    assert bpy.ops.wan_vse.generate() == FINISHED, "a muted one still is a prompt"


def test_a_locked_seed_is_that_of_every_take(stand_in, film) -> None:
    film.scene.wan_vse.seed, film.scene.wan_vse.seed_locked = 5, True
    film.select("A", "B")
    bpy.ops.wan_vse.restyle()
    assert [take.request.seed for take in stand_in.planned] == [5, 5]


def test_strength_and_freedom_are_each_tasks_own(stand_in, film) -> None:
    settings = film.scene.wan_vse
    settings.strength, settings.freedom, settings.guide, settings.conform = 0.25, 0.5, "FRAMES", "REPEAT"
    film.select("A")
    bpy.ops.wan_vse.restyle()
    film.select("Blocked")
    bpy.ops.wan_vse.dress_previs()
    film.select("Still")
    bpy.ops.wan_vse.animate_picture()
    asked = [take.request for take in stand_in.planned]
    assert [(one.strength, one.guide.value, one.conform.value) for one in asked] == [
        (0.25, "frames", "repeat"),
        (0.5, "none", "repeat"),
        (1.0, "none", "repeat"),
    ]


@pytest.mark.parametrize(("blocking", "guide"), [("DEPTH", "none"), ("EDGES", "edges")])
def test_a_previs_keeps_to_depth_or_outlines(stand_in, film, addon, blocking, guide) -> None:
    film.scene.wan_vse.blocking = blocking
    film.select("Blocked")
    bpy.ops.wan_vse.dress_previs()
    request = stand_in.planned[0].request
    assert request.guide.value == guide
    film.scene.wan_vse.blocking = "DEPTH" if blocking == "EDGES" else "EDGES"
    addon("operators.apply_settings").fill(film.scene.wan_vse, request)
    assert film.scene.wan_vse.blocking == blocking


def test_a_model_that_a_camera_steers_is_sent_the_camera_alone(stand_in, film, addon) -> None:
    settings = film.scene.wan_vse
    settings.camera_scale = 0.25
    row = stand_in.server.models[0]
    stand_in.server.models[0] = dataclasses.replace(row, follows_camera=True)
    film.select("Blocked", "Still")
    bpy.ops.wan_vse.dress_previs()
    (take,) = stand_in.planned
    assert [wanted.role.value for wanted in take.target.wanted] == ["camera", "look"]
    assert (take.request.camera.scale, take.request.camera.numbers, take.request.strength) == (0.25, [], 1.0)
    settings.camera_scale = 3.0
    addon("operators.apply_settings").fill(settings, take.request)
    assert round(settings.camera_scale, 6) == 0.25
    stand_in.server.models[0] = row
    bpy.ops.wan_vse.dress_previs()
    assert stand_in.planned[1].request.camera is None


@pytest.mark.parametrize("name", ["animate_picture", "restyle", "fill_gap", "extend", "dress_previs", "edit_footage"])
def test_each_says_what_to_select(stand_in, film, name) -> None:
    film.select()
    film.scene.frame_set(500)
    assert why_not(name).partition(" ")[0] in ("Select", "There")
    stand_in.server.status.state = "missing"
    assert "press Set Up Backend" in why_not(name)


def test_a_lost_picture_is_said_before_the_click(stand_in, film) -> None:
    for path in film.folder.glob("*.png"):
        path.unlink()
    film.select("A")
    assert "can't be found" in why_not("restyle")


def test_a_scene_strip_without_a_camera_is_said(stand_in, film) -> None:
    film.scene_strip("Blind", 300, 320, camera=False)
    film.select("Blind")
    assert "camera" in why_not("dress_previs")


def test_what_the_plan_refuses_is_said(stand_in, film) -> None:
    m = stand_in.messages
    problem = m.Problem(m.ProblemKind.BAD_LENGTH, "2,400 frames are more than can be made: shorten the gap.")
    stand_in.server.plan_query.plan = m.Plan(
        "embedded", 1, 1, 1, m.FrameRate(16), 1, 1, 1.0, 1.0, m.Sampler.UNIPC, problem=problem
    )
    film.select("A", "B")
    assert why_not("fill_gap") == "2,400 frames are more than can be made: shorten the gap"


def test_a_take_that_will_be_shorter_has_a_shorter_placeholder(stand_in, film) -> None:
    m = stand_in.messages
    stand_in.server.plan_query.plan = m.Plan("embedded", 1, 1, 1, m.FrameRate(16), 30, 1, 1.0, 1.0, m.Sampler.UNIPC)
    film.select("Still")
    bpy.ops.wan_vse.animate_picture()
    film.select("A")
    bpy.ops.wan_vse.restyle()
    assert [take.request.length_frames for take in stand_in.planned] == [30, 40]


def test_nothing_of_the_cut_is_touched(stand_in, film) -> None:
    before = film.places(), film.read()
    for name, selected in (("restyle", ("A",)), ("fill_gap", ("A", "B")), ("extend", ("B",))):
        film.select(*selected)
        assert getattr(bpy.ops.wan_vse, name)() == FINISHED
    film.select()
    assert (film.places(), film.read()) == before


def test_a_fix_goes_to_the_setting_of_the_shown_task(stand_in, film) -> None:
    settings = film.scene.wan_vse
    film.select("Blocked")
    bpy.ops.wan_vse.apply_fix(setting="strength", value="0.5")
    assert (settings.freedom, round(settings.strength, 4)) == (0.5, 0.7)
    settings.task = "EXTEND"
    bpy.ops.wan_vse.apply_fix(setting="length_frames", value="30")
    assert (settings.extend_frames, settings.length_frames) == (30, 72)


@pytest.mark.parametrize("found", [True, False])
def test_another_take_of_the_same_sources(stand_in, film, addon, found) -> None:
    """They lie on the disk; where not, they are looked at once more."""
    film.select("A")
    bpy.ops.wan_vse.restyle()
    take = stand_in.planned.pop()
    m = stand_in.messages
    files = ["0001.png", "0002.png"]
    folder = Path(addon("jobs.unknown_jobs").own_folder()) / "footage"
    if found:
        folder.mkdir(parents=True)
        for name in files:
            (folder / name).write_bytes(b"x")
    source = m.Source(m.Role.FOOTAGE, str(folder), files, frames=40, rendered=True)
    request = dataclasses.replace(take.request, sources=[source])
    strip = addon("timeline.take_strips").add_placeholder(film.scene, "P", 2, 1, 40)
    conversion = importlib.import_module(stand_in.messages.__name__.replace("messages", "conversion"))
    addon("timeline.identity").mark_placeholder(strip, "a" * 32, json.dumps(conversion.to_json(request)))
    provenance = addon("timeline.provenance")
    strip[provenance.PROPERTY] = provenance.write(provenance.remember(film.scene, take.target))
    film.compat.set_handles(strip, 5, 30)
    assert bpy.ops.wan_vse.regenerate(seed="NEW") == FINISHED
    (again,) = stand_in.planned
    assert (again.request.origin.start, again.request.length_frames) == (1, 40), "as long as its footage"
    if found:
        assert (again.request.sources, again.target) == ([source], None)
        assert provenance.read(again.provenance_text).sources[0].name == "A"
    else:
        (wanted,) = again.target.wanted
        assert (wanted.start, wanted.end_exclusive, wanted.strip_names) == (1, 41, ("A",))


def test_settings_of_a_restyled_take_come_back(stand_in, film, addon) -> None:
    settings = film.scene.wan_vse
    settings.strength, settings.guide, settings.conform = 0.25, "FRAMES", "REPEAT"
    settings.matrix_precision = "FAST_8_BIT"
    film.select("A")
    bpy.ops.wan_vse.restyle()
    settings.strength, settings.guide, settings.conform = 0.9, "NONE", "FLOW"
    settings.matrix_precision = "EXACT"
    addon("operators.apply_settings").fill(settings, stand_in.planned[0].request)
    assert (settings.strength, settings.guide, settings.conform) == (0.25, "FRAMES", "REPEAT")
    assert settings.matrix_precision == "FAST_8_BIT"


@pytest.mark.parametrize(
    ("operator", "selected"), [("restyle", ("A",)), ("fill_gap", ("A", "B")), ("dress_previs", ("Blocked",))]
)
def test_a_fix_under_a_failed_job_selects_what_its_take_is_made_from(stand_in, film, addon, operator, selected) -> None:
    """So that the panel's button works right away."""
    identity, provenance = addon("timeline.identity"), addon("timeline.provenance")
    film.select(*selected)
    assert getattr(bpy.ops.wan_vse, operator)() == FINISHED
    (take,) = stand_in.planned
    job = stand_in.add("f" * 32, "failed", request=dataclasses.replace(take.request, sources=[]))
    waits = film.effect("Waits", "COLOR", 200, 220)
    waits[identity.JOB], waits[identity.ROLE] = job.job_id, identity.PLACEHOLDER_ROLE
    waits[provenance.PROPERTY] = provenance.write(provenance.remember(film.scene, take.target))
    film.select("Still", "Waits")
    assert bpy.ops.wan_vse.apply_fix(setting="quality", value="draft", job_id=job.job_id) == FINISHED
    assert {strip.name for strip in film.strips if strip.select} == set(selected)
    assert film.scene.wan_vse.task == operator.replace("dress_", "").upper()
    assert getattr(bpy.ops.wan_vse, operator)() == FINISHED
    assert stand_in.planned[1].target.sources == take.target.sources


def test_a_fix_of_a_job_whose_strips_are_gone_leaves_the_selection(stand_in, film) -> None:
    job = stand_in.add("f" * 32, "failed")
    film.select("Still")
    assert bpy.ops.wan_vse.apply_fix(setting="quality", value="draft", job_id=job.job_id) == FINISHED
    assert {strip.name for strip in film.strips if strip.select} == {"Still"}


def test_generate_sends_what_the_panel_says(stand_in, settings, scene) -> None:
    settings.quality, settings.length_frames, settings.seed, settings.seed_locked = "BEST", 33, 5, True
    scene.frame_set(20)
    assert bpy.ops.wan_vse.generate() == FINISHED
    ((_, request, _),) = stand_in.asked
    assert (request.prompt, request.quality, request.length_frames) == ("fog over pines", "best", 33)
    assert (request.origin.start, request.origin.channel, request.seed) == (20, 1, 5)


def test_the_seed_that_was_drawn_is_shown(stand_in, settings) -> None:
    bpy.ops.wan_vse.generate()
    assert settings.seed == stand_in.asked[0][1].seed
    assert not settings.seed_locked


def test_generate_into_gap_fills_it_and_leaves_the_panel(stand_in, settings, scene, addon) -> None:
    compat = addon("timeline.compat")
    compat.new_color(compat.strips(scene.sequence_editor), "Left", 1, 1, 40)
    compat.new_color(compat.strips(scene.sequence_editor), "Right", 1, 101, 40)
    scene.frame_set(60)
    assert bpy.ops.wan_vse.generate_into_gap() == FINISHED
    ((_, request, _),) = stand_in.asked
    assert (request.origin.start, request.length_frames) == (41, 60)
    assert settings.length_mode == "GAP"


@pytest.mark.parametrize(("seed", "same"), [("SAME", True), ("NEW", False)])
def test_regenerate_covers_the_strip_from_above(stand_in, take, seed: str, same: bool) -> None:
    assert bpy.ops.wan_vse.regenerate(seed=seed) == FINISHED
    ((_, request, name),) = stand_in.asked
    assert (request.origin.channel, request.origin.start, request.length_frames) == (3, 50, 40)
    assert (request.seed == 7) is same
    assert (request.prompt, name) == ("fog over pines", "A take")


def test_a_take_that_landed_is_not_undone_by_adjusting_the_order_for_it(addon) -> None:
    assert "REGISTER" not in addon("operators.make_takes").WAN_VSE_OT_regenerate.bl_options


def words_of(take) -> list[tuple[int, int, str]]:
    return [(each.first, each.last, each.prompt) for each in take.request.words]


def test_text_strips_over_a_take_are_its_words_over_time(stand_in, film) -> None:
    settings = film.scene.wan_vse
    film.text("rain", 1, 21)
    film.text("fog", 21, 41)
    film.select("A")
    bpy.ops.wan_vse.restyle()
    assert stand_in.planned[-1].request.words == [], "not without being asked for"
    settings.words_over_time = True
    assert bpy.ops.wan_vse.restyle() == FINISHED
    take = stand_in.planned[-1]
    assert words_of(take) == [(0, 19, "rain"), (20, 39, "fog")] and take.request.prompt
    assert film.strips["rain"].mute and film.strips["fog"].mute
    assert bpy.ops.wan_vse.restyle() == FINISHED
    assert words_of(stand_in.planned[-1]) == words_of(take), "muted words still are words"


def test_selected_text_strips_make_one_take_or_one_each(stand_in, film) -> None:
    settings = film.scene.wan_vse
    film.text("rain", 300, 330)
    film.text("fog", 340, 360)
    film.select("rain", "fog")
    settings.words_over_time, settings.style_words, settings.mute_text_strips = True, "grainy", False
    set_prompts(settings, "")
    assert bpy.ops.wan_vse.generate() == FINISHED
    (take,) = stand_in.planned
    assert (take.request.origin.start, take.request.length_frames, take.request.prompt) == (300, 60, "")
    assert words_of(take) == [(0, 29, "rain, grainy"), (40, 59, "fog, grainy")]
    assert not film.strips["rain"].mute
    settings.prompt_source = "TEXT_STRIP"
    assert bpy.ops.wan_vse.generate() == FINISHED
    assert [(one.request.prompt, one.request.words) for one in stand_in.planned[1:]] == [
        ("rain, grainy", []),
        ("fog, grainy", []),
    ]


def test_without_words_a_prompt_is_still_asked_for(stand_in, film, addon) -> None:
    film.scene.wan_vse.words_over_time = True
    set_prompts(film.scene.wan_vse, "")
    film.select("A")
    restyle = addon("operators.make_takes").WAN_VSE_OT_restyle
    assert "prompt is empty" in restyle.words_refusal(bpy.context)
    words = film.text("x" * 6000, 1, 41)
    if len(words.text) == 6000:  # Blender 4.2 keeps 511 characters
        assert "6,000 characters" in why_not("restyle")
    words.text = "rain"
    assert restyle.words_refusal(bpy.context) == "", "the panel sees that a text was written"


def test_pictures_over_a_take_are_kept_and_muted(stand_in, film) -> None:
    settings = film.scene.wan_vse
    film.still("Storm", 11, 31, 4)
    film.still("Calm", 25, 31, 5)
    film.select("A")
    assert bpy.ops.wan_vse.restyle() == FINISHED
    assert not film.strips["Storm"].mute and not stand_in.planned[-1].target.kept, "not without being asked for"
    settings.keep_pictures, settings.mute_text_strips = True, False
    assert bpy.ops.wan_vse.restyle() == FINISHED
    take = stand_in.planned[-1]
    wanted = [(each.role.value, each.strip_names, each.at_frame) for each in take.target.wanted]
    assert wanted == [("footage", ("A",), 0), ("kept", ("Storm",), 10), ("kept", ("Calm",), 24)]
    assert film.strips["Storm"].mute and film.strips["Calm"].mute and not film.strips["A"].mute
    assert bpy.ops.wan_vse.restyle() == FINISHED
    assert stand_in.planned[-1].target.wanted == take.target.wanted, "muted pictures still are pictures"


def test_a_take_of_words_needs_no_prompt_where_it_keeps_a_picture(stand_in, film) -> None:
    settings = film.scene.wan_vse
    set_prompts(settings, "")
    film.still("Storm", 310, 330, 4)
    film.scene.frame_set(300)
    settings.length_mode, settings.length_frames = "FRAMES", 48
    settings.keep_pictures = settings.words_over_time = settings.words_of_markers = True
    film.scene.timeline_markers.new("rain", frame=320)
    film.select()
    settings.mute_kept_pictures = False
    assert bpy.ops.wan_vse.generate() == FINISHED
    take = stand_in.planned[-1]
    assert words_of(take) == [(20, 47, "rain")] and take.request.prompt == ""
    assert [each.at_frame for each in take.target.wanted] == [10]
    assert not film.strips["Storm"].mute
    settings.words_of_markers = False
    assert bpy.ops.wan_vse.generate() == FINISHED
    assert words_of(stand_in.planned[-1]) == []


def test_two_pictures_at_one_frame_are_refused_before_anything_is_asked(stand_in, film) -> None:
    film.scene.wan_vse.keep_pictures = True
    film.still("Storm", 11, 31, 4)
    film.still("Calm", 11, 31, 5)
    film.select("A")
    assert "both begin at frame 11" in why_not("restyle")
    film.scene.wan_vse.keep_pictures = False
    assert not why_not("restyle")


def test_a_picture_whose_file_is_gone_is_refused(stand_in, film) -> None:
    film.scene.wan_vse.keep_pictures = True
    still = film.still("Storm", 11, 31, 4)
    still.elements[0].filename = "gone.png"
    film.select("A")
    assert "gone.png" in why_not("restyle")
