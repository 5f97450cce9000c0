"""Every panel draws in every state, with icons, operators and properties that this Blender has, and changes nothing.

Without a window there is no layout to draw into: a recorder takes its place and checks what it is given.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import bpy
import pytest

ICONS = set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())
STATES = ("queued", "loading", "encoding", "denoising", "decoding", "done", "failed", "cancelled", "interrupted")


class Recorder:
    """Takes a layout's place; `words` gathers what a person would read, `orders` the operators."""

    def __init__(self, words: list[str] | None = None, orders: list[str] | None = None) -> None:
        self.__dict__["words"] = [] if words is None else words
        self.__dict__["orders"] = [] if orders is None else orders

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in bpy.types.UILayout.bl_rna.properties, name

    def __getattr__(self, name: str) -> Any:
        function = bpy.types.UILayout.bl_rna.functions.get(name)
        assert function is not None or hasattr(bpy.types.UILayout, name), name
        return lambda *values, **named: self._take(name, *values, **named)

    def _take(self, name: str, *values: Any, icon: str = "NONE", text: str = "", **named: Any) -> Any:
        assert icon in ICONS, icon
        self.words.append(text)
        if name == "operator":
            module, _, operator = values[0].partition(".")
            assert hasattr(bpy.types, f"{module.upper()}_OT_{operator}"), values
            self.orders.append(operator)
            return SimpleNamespace()
        if name == "prop":
            assert values[1] in values[0].bl_rna.properties, values
        if name == "panel":
            return Recorder(self.words, self.orders), Recorder(self.words, self.orders)
        if name == "progress":
            assert 0 <= named["factor"] <= 1
        return Recorder(self.words, self.orders)


def draw(panel: Any, **more: Any) -> Recorder:
    """Draw a panel; returns the Recorder."""
    layout = Recorder()
    panel.draw(SimpleNamespace(layout=layout, **more), bpy.context)
    return layout


def draw_all(addon) -> Recorder:
    """Everything that a person can see."""
    addon("ui.refresh").refresh()
    layout = Recorder()
    for panel in addon("ui.sidebar").CLASSES:
        if not hasattr(panel, "poll") or panel.poll(bpy.context):
            panel.draw(SimpleNamespace(layout=layout), bpy.context)
    preferences = addon("preferences").get()
    known = {prop.identifier for prop in preferences.bl_rna.properties} - {"rna_type"}
    values = {name: getattr(preferences, name) for name in known} | {"media_folder": "", "announce": "QUEUE"}
    page = SimpleNamespace(layout=layout, bl_rna=preferences.bl_rna, **values)
    addon("ui.preferences_page").draw(page, bpy.context)
    queue = addon("ui.queue_list").WAN_VSE_UL_queue
    for row in bpy.context.window_manager.wan_vse.rows:
        queue.draw_item(SimpleNamespace(), bpy.context, layout, None, row, 0, None, "active_row")
    return layout


def visible_text(layout: Recorder) -> str:
    return " ".join(layout.words)


@pytest.mark.parametrize("state", ["off", "starting", "ready", "missing", "failed"])
@pytest.mark.parametrize("source", ["FIELD", "TEXT_BLOCK", "TEXT_STRIP"])
def test_every_backend_state_draws(stand_in, settings, addon, state: str, source: str) -> None:
    stand_in.server.status.state = state
    settings.prompt_source = source
    assert draw_all(addon).orders


@pytest.mark.parametrize("mode", ["FRAMES", "SECONDS", "GAP"])
def test_every_length_draws(stand_in, settings, addon, mode: str) -> None:
    settings.length_mode = mode
    assert "generate" in draw_all(addon).orders


@pytest.mark.parametrize("state", STATES)
def test_every_job_draws(stand_in, settings, addon, state: str) -> None:
    problem = None
    if state in ("failed", "interrupted"):
        fix = stand_in.messages.Fix("Use Draft", stand_in.messages.FixSetting.QUALITY, "draft")
        problem = stand_in.messages.Problem(
            stand_in.messages.ProblemKind.INTERNAL, "It went wrong: do this.", [fix], "/tmp/worker.log"
        )
    stand_in.add("a" * 32, state, problem=problem, progress=0.4, step=3, steps=8, eta_seconds=72.0)
    drawn = draw_all(addon)
    if state == "denoising":
        assert "Step 3 of 8, 1 min 12 s left" in visible_text(drawn)
    if problem:
        assert "It went wrong: do this." in visible_text(drawn)
        assert {"apply_fix", "open_log", "retry_job"} <= set(drawn.orders)


@pytest.mark.parametrize("state", ["planning", "planned", "running", "failed", "done"])
def test_every_step_of_the_set_up_draws(stand_in, settings, addon, state: str) -> None:
    stand_in.server.status.state = "missing"
    stand_in.setup.state, stand_in.setup.sentence = state, "Fetching torch."
    stand_in.setup.plan = stand_in.messages.SetupPlan(
        "/usr/bin/python3", "cpu", "/tmp/x", 2_400_000_000, "About 2.4 GB."
    )
    stand_in.setup.progress = stand_in.messages.SetupProgress(
        stand_in.messages.SetupState.RUNNING, 2, 5, 0.3, "Fetching torch."
    )
    drawn = draw_all(addon)
    expected = {
        "planned": "Download 2.4 GB",
        "running": "Step 2 of 5",
        "planning": "Checking what",
        "failed": "Try Again",
        "done": "Set Up Backend",
    }[state]
    assert expected in visible_text(drawn)


def test_the_set_up_tells_bytes_and_time_left(stand_in, settings, addon) -> None:
    stand_in.server.status.state, stand_in.setup.state = "missing", "running"
    stand_in.setup.progress = stand_in.messages.SetupProgress(
        stand_in.messages.SetupState.RUNNING, 3, 4, 0.3, "Installing torch.", None, 310_000_000, 590_000_000, 130.0
    )
    assert "310 of 590 MB, 2 min 10 s left" in visible_text(draw_all(addon))
    stand_in.setup.progress = stand_in.messages.SetupProgress(
        stand_in.messages.SetupState.RUNNING, 3, 4, 0.3, "Installing torch.", None, 310_000_000, 2_900_000_000
    )
    assert "0.31 of 2.90 GB" in visible_text(draw_all(addon))


def test_a_fresh_user_is_told_what_to_do_first(stand_in, settings, addon) -> None:
    stand_in.server.status.state = "missing"
    drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    assert drawn.orders[0] == "setup_backend"
    assert "set up once" in visible_text(drawn)


def test_a_backend_that_is_not_there_is_named_with_the_button_that_helps(stand_in, settings, addon) -> None:
    status = stand_in.server.status
    status.state, status.sentence = "missing", "The backend set in the preferences, /no/python, is not there: do this."
    for remedy, words in (("use_set_up", "Use the One That Was Set Up"), ("clear", "Clear the Field")):
        status.remedy = SimpleNamespace(value=remedy, clears=True)
        for state in ("missing", "failed"):
            status.state = state
            drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
            assert "/no/python" in visible_text(drawn) and words in visible_text(drawn)
            assert "reset_backend" in drawn.orders and "setup_backend" not in drawn.orders
    status.state, status.remedy = "missing", SimpleNamespace(value="set_up", clears=False)
    drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    assert "/no/python" in visible_text(drawn) and drawn.orders[0] == "setup_backend"
    status.remedy = SimpleNamespace(value="none", clears=False)
    drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    assert "/no/python" in visible_text(drawn) and not {"setup_backend", "reset_backend"} & set(drawn.orders)


def test_the_plan_is_told_before_the_click(stand_in, settings, addon) -> None:
    m = stand_in.messages
    stand_in.server.plan_query.plan = m.Plan(
        "embedded", 832, 464, 81, m.FrameRate(16), 121, 30, 5.0, 3.0, m.Sampler.UNIPC,
            memory_bytes=9_000_000_000, disk_bytes=50_000_000, notes=["Height 468 became 464."],
    )  # fmt: skip
    text = visible_text(draw(addon("ui.sidebar").WAN_VSE_PT_generate))
    assert "832 x 464, 81 frames at 16 fps" in text
    assert "121 frames on the timeline" in text
    assert "Height 468 became 464." in text
    assert "9.0 GB" in text


def planned(m, **more):
    return m.Plan("embedded", 832, 464, 81, m.FrameRate(16), 121, 30, 5.0, 3.0, m.Sampler.UNIPC, **more)


def test_skipped_work_is_told_with_its_count(stand_in, settings, addon) -> None:
    m = stand_in.messages
    stand_in.server.plan_query.plan = planned(
        m, guided_steps=m.StepRange(3, 18), reused_steps=m.ReusedSteps([7, 8], [9]), forwards=42, all_forwards=60
    )
    text = visible_text(draw(addon("ui.sidebar").WAN_VSE_PT_generate))
    assert "30 steps, 15 with guidance, 3 passes reused: 42 of 60 passes computed" in text
    stand_in.server.plan_query.plan = planned(m, forwards=60, all_forwards=60)
    assert "passes" not in visible_text(draw(addon("ui.sidebar").WAN_VSE_PT_generate))


class Grays(Recorder):
    """Knows which properties and items lie in something that is gray."""

    def __init__(self, gray: list[str] | None = None, active: bool = True) -> None:
        super().__init__()
        self.__dict__.update(gray=[] if gray is None else gray, active=active)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "enabled":
            self.__dict__["active"] = self.active and value

    def _take(self, name: str, *values: Any, **named: Any) -> Any:
        super()._take(name, *values, **named)
        if name in ("prop", "prop_enum") and not self.active:
            self.gray.append(values[-1])
        return Grays(self.gray, self.active)


def test_what_can_not_be_skipped_is_gray_and_says_why(stand_in, settings, addon) -> None:
    m, panel = stand_in.messages, addon("ui.sidebar").WAN_VSE_PT_more

    def gray_with(plan: Any) -> list[str]:
        stand_in.server.plan_query.plan = plan
        layout = Grays()
        panel.draw(SimpleNamespace(layout=layout), bpy.context)
        return layout.gray

    problem = m.Problem(m.ProblemKind.BAD_LENGTH, "Too long.")
    for unknown in (None, planned(m, problem=problem), planned(m, can_calibrate=True)):
        assert gray_with(unknown) == []
    assert gray_with(planned(m, no_guidance_interval="No.", can_calibrate=True)) == ["guidance_in_part"]
    assert gray_with(planned(m, no_step_cache="Not calibrated.", can_calibrate=True)) == ["ON"]
    assert gray_with(planned(m, no_step_cache="Too few steps.")) == ["ON", "CALIBRATE"]
    assert "Too few steps." in visible_text(draw(panel))


def test_a_plan_that_can_not_be_done_has_buttons(stand_in, settings, addon) -> None:
    m = stand_in.messages
    problem = m.Problem(
        m.ProblemKind.BAD_LENGTH, "Too long: use 97 frames.", [m.Fix("Use 97 frames", m.FixSetting.LENGTH_FRAMES, "97")]
    )
    stand_in.server.plan_query.plan = m.Plan(
        "embedded", 1, 1, 1, m.FrameRate(16), 1, 1, 1.0, 1.0, m.Sampler.UNIPC, problem=problem
    )
    drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    assert "apply_fix" in drawn.orders
    assert "Too long: use 97 frames." in visible_text(drawn)


def test_a_plan_is_asked_for_without_a_prompt_too(stand_in, settings, addon) -> None:
    settings.prompt = ""
    draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    assert stand_in.server.plan_query.planned.model == "embedded"


def test_agx_brings_the_hint(stand_in, settings, scene, addon) -> None:
    scene.view_settings.view_transform = "AgX"
    assert "use_standard_view" in draw(addon("ui.sidebar").WAN_VSE_PT_generate).orders
    scene.view_settings.view_transform = "Standard"
    assert "use_standard_view" not in draw(addon("ui.sidebar").WAN_VSE_PT_generate).orders


def test_no_draw_changes_anything(stand_in, settings, addon, scene) -> None:
    def snapshot() -> object:
        names = [prop.identifier for prop in settings.bl_rna.properties]
        kept = {name: str(getattr(settings, name)) for name in names}
        return kept, [len(getattr(bpy.data, kind)) for kind in ("scenes", "texts", "images")], list(scene.keys())

    stand_in.add("a" * 32, "failed")
    addon("ui.refresh").refresh()
    before = snapshot()
    draw_all(addon)
    assert snapshot() == before
    assert stand_in.asked == []


def test_a_prompt_of_100_000_characters_draws(stand_in, settings, addon) -> None:
    settings.prompt = "words " * 16_000 + "x" * 4_000
    assert len(settings.prompt) >= 100_000
    draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    stand_in.add("a" * 32, "queued", prompt=settings.prompt)
    draw_all(addon)


def test_a_wrong_backend_in_the_preferences_is_said_and_not_set_up_again(stand_in, settings, addon) -> None:
    stand_in.server.status.state, stand_in.server.status.sentence = (
        "missing",
        "/nope/python is not there: correct it, or clear the field.",
    )
    preferences = addon("preferences").get()
    preferences.backend_command = "/nope/python"
    try:
        drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    finally:
        preferences.backend_command = ""
    assert "/nope/python is not there" in visible_text(drawn)
    assert "setup_backend" not in drawn.orders


def test_what_became_of_collecting_is_said(stand_in, settings, addon) -> None:
    stand_in.collector.sentence = "2 takes lie beside the .blend now."
    assert "2 takes lie beside" in visible_text(draw(addon("ui.sidebar").WAN_VSE_PT_generate))


def test_what_became_of_an_import_is_said(stand_in, settings, addon) -> None:
    stand_in.interchange.sentence = "'film.otio' is on the timeline: 2 strips."
    assert "'film.otio' is on the timeline" in visible_text(draw(addon("ui.sidebar").WAN_VSE_PT_generate))


def test_the_list_of_loras_says_what_it_is_and_what_a_take_was_made_with(stand_in, settings, addon) -> None:
    panel, loras = addon("ui.sidebar").WAN_VSE_PT_generate, addon("ui.lora_list")
    assert any("made for the chosen model" in word for word in draw(panel).words)
    row = addon("jobs.lora_rows").add(settings, "/loras/film.safetensors")
    assert loras.state(settings) == ["1 LoRA: film", "1 LoRA"]
    addon("jobs.lora_rows").add(settings, "/loras/ink.safetensors")
    assert loras.state(settings) == ["2 LoRAs: film, ink", "2 LoRAs"]
    for each in settings.loras:
        each.use = False
    assert loras.state(settings) == ["LoRAs: none used"]
    row = settings.loras[0]
    row.use, settings.loras[1].use = True, False
    assert "add_loras" in draw(panel).orders
    layout = Recorder()
    addon("ui.lora_list").WAN_VSE_UL_loras.draw_item(
        SimpleNamespace(), bpy.context, layout, settings, row, 0, settings, "active_lora"
    )
    assert "film" in layout.words
    assert addon("ui.wording").loras(addon("jobs.lora_rows").uses(settings.loras)) == "LoRAs: film 1"


def test_what_was_unusual_about_a_take_is_told_with_it(stand_in, settings, addon) -> None:
    stand_in.add("a" * 32, "done", sentence="Done. Memory ran out.")
    assert "Memory ran out." in visible_text(draw_all(addon))
    stand_in.all.clear()
    stand_in.add("b" * 32, "done", sentence="Done.")
    assert "Done." not in draw_all(addon).words


def test_what_stands_between_a_person_and_a_ready_backend_is_said(stand_in, settings, addon) -> None:
    stand_in.server.status.sentence = "The backend has been busy with a plan for 70 s."
    stand_in.server.looking = "Looking through the models folder: 812 files so far."
    for panel in ("WAN_VSE_PT_generate", "WAN_VSE_PT_backend"):
        text = visible_text(draw(getattr(addon("ui.sidebar"), panel)))
        assert "busy with a plan for 70 s" in text and "812 files so far" in text, panel


def test_a_backend_that_failed_can_be_restarted_and_its_log_read(stand_in, settings, addon) -> None:
    stand_in.server.status.state, stand_in.server.status.sentence = (
        "failed",
        "The backend ended three times; press Restart to try again.",
    )
    drawn = draw(addon("ui.sidebar").WAN_VSE_PT_generate)
    assert "ended three times" in visible_text(drawn) and {"restart_backend", "open_log"} <= set(drawn.orders)


def test_a_model_that_may_yet_be_found_is_not_called_missing(stand_in, settings, addon) -> None:
    m = stand_in.messages
    settings.model_id, stand_in.server.looking = "far", "Looking through the models folder: 812 files so far."
    problem = m.Problem(m.ProblemKind.MODEL_MISSING, "Far is not here: fetch it.")
    stand_in.server.plan_query.plan = m.Plan(
        "far", 1, 1, 1, m.FrameRate(16), 1, 1, 1.0, 1.0, m.Sampler.UNIPC, problem=problem
    )
    drawn = draw_all(addon)
    rows = {row[0]: row for row in addon("properties")._model_rows(settings)}
    assert "not here" not in visible_text(drawn) and "download_model" not in drawn.orders
    assert rows["far"][1] == "Far (looking)" and "812 files" in rows["far"][2]
    stand_in.server.looking = ""
    drawn = draw_all(addon)
    assert "Far is not here: fetch it." in visible_text(drawn) and "download_model" in drawn.orders


def test_a_start_that_takes_very_long_offers_another(stand_in, settings, addon) -> None:
    stand_in.server.status.state, stand_in.server.status.sentence = (
        "starting",
        "The backend has been starting for 200 s.",
    )
    panel = addon("ui.sidebar").WAN_VSE_PT_generate
    drawn = draw(panel)
    assert "starting for 200 s" in visible_text(drawn) and "restart_backend" not in drawn.orders
    stand_in.server.status.asks = True
    assert "restart_backend" in draw(panel).orders
