"""Every operator says why it can't be used, in a whole sentence."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest

JOB = "a" * 32
OTHER = "b" * 32


def why_not(name: str, **values: object) -> str:
    """The words with which Blender refuses the operator; empty if it would run."""
    operator = getattr(bpy.ops.wan_vse, name)
    if operator.poll():
        return ""
    with pytest.raises(RuntimeError) as refused:
        operator(**values)
    return str(refused.value).partition(".poll() ")[2].strip()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("off", "not running"),
        ("starting", "wait a moment"),
        ("missing", "press Set Up Backend"),
        ("failed", "press Restart"),
    ],
)
def test_generate_says_how_the_backend_is(stand_in, settings, state: str, words: str) -> None:
    stand_in.server.status.state = state
    assert words in why_not("generate")


def test_generate_needs_a_prompt_and_may_be_pressed_to_write_one(stand_in, settings, addon) -> None:
    operator = addon("operators.make_takes").WAN_VSE_OT_generate
    assert why_not("generate") == operator.words_refusal(bpy.context) == ""
    settings.prompt = "  "
    assert why_not("generate") == "" and "prompt is empty" in operator.words_refusal(bpy.context)
    assert bpy.ops.wan_vse.generate() == {"CANCELLED"} and stand_in.planned == []


def test_generate_refuses_what_the_plan_refuses(stand_in, settings) -> None:
    problem = stand_in.messages.Problem(stand_in.messages.ProblemKind.MODEL_MISSING, "The model is not here: fetch it.")
    stand_in.server.plan_query.plan = stand_in.messages.Plan(
        "embedded",
        256,
        144,
        49,
        stand_in.messages.FrameRate(16),
        72,
        8,
        3.0,
        3.0,
        stand_in.messages.Sampler.UNIPC,
        problem=problem,
    )
    assert why_not("generate") == "The model is not here: fetch it"


def test_generate_into_gap_needs_a_gap(stand_in, settings, scene, addon) -> None:
    assert why_not("generate_into_gap") == ""
    strips = addon("timeline.compat").strips(scene.sequence_editor)
    addon("timeline.compat").new_color(strips, "Wall", 1, 1, 400)
    assert "no gap under the playhead" in why_not("generate_into_gap")


@pytest.mark.parametrize("name", ["cancel_job", "retry_job", "place_take", "show_take"])
def test_an_empty_queue_is_said(stand_in, name: str) -> None:
    assert why_not(name) == "The queue is empty"


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("cancel_job", "done", "has already ended"),
        ("retry_job", "denoising", "has not ended yet"),
        ("place_take", "decoding", "still being made"),
        ("place_take", "failed", "no take to place"),
        ("clear_jobs", "queued", "No job has ended"),
        ("cancel_all", "done", "No job is running or waiting"),
    ],
)
def test_jobs_refuse_by_their_state(stand_in, name: str, state: str, words: str) -> None:
    stand_in.add(JOB, state)
    assert words in why_not(name)


def test_the_row_that_a_button_is_in_decides(stand_in, addon) -> None:
    """One job may be canceled, the other not: each row's button says so for itself."""
    stand_in.add(JOB, "done")
    stand_in.add(OTHER, "denoising")
    addon("ui.refresh").refresh()
    rows = bpy.context.window_manager.wan_vse.rows
    polls = {}
    for row in rows:
        with bpy.context.temp_override(wan_vse_row=row):
            polls[row.name] = bpy.ops.wan_vse.cancel_job.poll()
    assert polls == {JOB: False, OTHER: True}


def test_set_up_is_refused_offline(stand_in) -> None:
    if bpy.app.online_access:
        pytest.skip("this Blender is online")
    assert "Blender is offline" in why_not("setup_backend")


def test_set_up_needs_its_plan_first(stand_in) -> None:
    assert why_not("confirm_setup") == "Press Set Up Backend first"
    problem = SimpleNamespace(sentence="No Python fits: install one.")
    stand_in.setup.state, stand_in.setup.plan = "planned", SimpleNamespace(problem=problem)
    assert why_not("confirm_setup") == "No Python fits: install one"
    assert why_not("cancel_setup") == ""


def test_nothing_to_cancel(stand_in) -> None:
    assert why_not("cancel_setup") == "Nothing is being set up"


def test_a_strip_that_is_not_ours(stand_in, scene, addon) -> None:
    assert "not made by Wan VSE" in why_not("regenerate")
    assert "not made by Wan VSE" in why_not("load_settings")


@pytest.mark.parametrize(
    ("state", "words"), [("none", "No model is loaded"), ("busy", "cancel it first"), ("ready", "")]
)
def test_free_card(stand_in, state: str, words: str) -> None:
    stand_in.server.worker = stand_in.messages.WorkerStatus(stand_in.messages.WorkerState(state))
    assert words in why_not("free_card")


def test_takes_are_collected_beside_a_saved_file_only(stand_in) -> None:
    assert "Save the .blend file first" in why_not("collect_takes")


def test_the_view_is_standard_already(stand_in, scene) -> None:
    scene.view_settings.view_transform = "Standard"
    assert "already" in why_not("use_standard_view")


def test_no_log_yet(stand_in) -> None:
    stand_in.server.status.log = ""
    assert why_not("open_log") == "There is no log yet"


def test_without_a_scene_nothing_is_asked_for(stand_in, settings) -> None:
    workspace = bpy.context.workspace
    if not hasattr(workspace, "sequencer_scene"):
        pytest.skip("this Blender's sequencer always shows the context's scene")
    workspace.sequencer_scene = None
    for name in ("generate", "generate_into_gap", "new_seed", "write_prompt_text", "use_standard_view"):
        assert "shows no scene" in why_not(name), name
