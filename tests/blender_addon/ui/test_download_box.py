"""The box of a model that is not here, in every state, and the operators that it offers."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import bpy
import pytest
from test_drawing import Recorder, draw_all, visible_text

GB = 1_000_000_000


@pytest.fixture
def d(extension: str) -> Any:
    """The messages about downloads."""
    return importlib.import_module(f"{extension}.wan_backend.protocol.downloads")


@pytest.fixture
def online(monkeypatch, addon) -> None:
    """Blender may use the network."""
    bpy.context.preferences.system.use_online_access = True


@pytest.fixture
def box(stand_in, settings, addon, online):
    """box() draws what is under the choice of the model, which is the one that isn't here."""
    settings.model_id = "far"

    def draw() -> Recorder:
        layout = Recorder()
        addon("ui.download_box").draw_for(layout, bpy.context, "far", "text_to_video")
        return layout

    return draw


def plan(d, **more: Any) -> Any:
    values = {"total_bytes": 19 * GB, "fetch_bytes": 12 * GB, "disk_bytes": 12 * GB, "free_bytes": 80 * GB}
    return d.DownloadPlan("far", "Far", "/models", "Apache-2.0", "https://licence", **{**values, **more})


def test_a_model_that_is_here_has_no_box(stand_in, settings, addon) -> None:
    layout = Recorder()
    addon("ui.download_box").draw_for(layout, bpy.context, "big", "text_to_video")
    assert layout.words == []


def test_the_offer(stand_in, box) -> None:
    drawn = box()
    assert drawn.orders == ["download_model"]
    assert "Far is not on this machine" in visible_text(
        drawn
    ) and "At most 19.0 GB, license: Apache-2.0" in visible_text(drawn)


def test_asking(stand_in, box) -> None:
    stand_in.server.downloads.asking.add("far")
    assert "Asking Hugging Face" in visible_text(box())


def test_the_plan_says_everything_before(stand_in, box, d) -> None:
    stand_in.server.downloads.plans["far"] = plan(d, notes=["A note."])
    drawn = box()
    for words in ("12.0 GB", "7.0 GB are already here", "80.0 GB", "/models", "License: Apache-2.0", "A note."):
        assert words in visible_text(drawn)
    assert drawn.orders == ["url_open", "confirm_download", "cancel_download"]


def test_a_plan_that_can_not_be(stand_in, box, d) -> None:
    m = stand_in.messages
    fixes = [
        m.Fix("Retry", action=m.FixAction.DOWNLOAD, value="far"),
        m.Fix("Choose Folder", action=m.FixAction.OPEN_PREFERENCES),
    ]
    stand_in.server.downloads.plans["far"] = plan(
        d, problem=m.Problem(m.ProblemKind.DISK_FULL, "Too little room.", fixes)
    )
    drawn = box()
    assert "Too little room." in visible_text(drawn) and drawn.orders == [
        "cancel_download",
        "download_model",
        "open_preferences",
    ]
    assert "Far" in drawn.words


@pytest.mark.parametrize(
    ("state", "orders", "words"),
    [
        ("waiting", ["pause_download", "cancel_download"], "Waiting for its turn"),
        ("running", ["pause_download", "cancel_download"], "3.21 of 19.00 GB"),
        ("checking", ["pause_download", "cancel_download"], "Checking"),
        ("paused", ["resume_download", "cancel_download"], "Paused"),
    ],
)
def test_how_far_it_is(stand_in, box, d, state, orders, words) -> None:
    stand_in.server.downloads.all["far"] = d.DownloadStatus(
        "far", d.DownloadState(state), 3_210_000_000, 19 * GB, 45_200_000, 350.0, "/models", "Fetching vae/x."
    )
    drawn = box()
    assert drawn.orders == orders and words in visible_text(drawn)
    assert "45.2 MB/s, 5 min 50 s left" in visible_text(drawn)


def test_a_failed_one(stand_in, box, d) -> None:
    m = stand_in.messages
    problem = m.Problem(
        m.ProblemKind.OFFLINE,
        "The hub can't be reached.",
        [m.Fix("Retry", action=m.FixAction.DOWNLOAD, value="far")],
        "/l",
    )
    stand_in.server.downloads.all["far"] = d.DownloadStatus("far", d.DownloadState.FAILED, 5, 10, problem=problem)
    drawn = box()
    assert drawn.orders == ["resume_download", "open_log", "cancel_download"]
    assert visible_text(drawn).count("can't be reached") == 1


def test_downloads_of_other_models_are_seen_too(stand_in, settings, addon, d) -> None:
    stand_in.server.downloads.all["far"] = d.DownloadStatus("far", d.DownloadState.RUNNING, 5 * GB, 10 * GB)
    layout = Recorder()
    addon("ui.download_box").draw_for(layout, bpy.context, "embedded", "text_to_video")
    assert "Far: Downloading" in visible_text(layout)
    assert "5.00 of 10.00 GB" in visible_text(draw_all(addon))


def test_a_refusal_is_shown(stand_in, box) -> None:
    stand_in.server.downloads.refused["far"] = "Another Blender is at it."
    assert "Another Blender" in visible_text(box())


def test_offline_is_said_with_the_switch(stand_in, box) -> None:
    bpy.context.preferences.system.use_online_access = False
    if bpy.app.online_access:
        pytest.skip("this Blender is online whatever is set")
    assert "Blender is offline." in visible_text(box())
    with pytest.raises(RuntimeError, match="allow online access"):
        bpy.ops.wan_vse.download_model(model="far")


def test_what_the_operators_ask(stand_in, settings, online, d) -> None:
    if not bpy.app.online_access:
        pytest.skip("this Blender is offline whatever is set")
    ops = bpy.ops.wan_vse
    assert ops.download_model(model="far") == {"FINISHED"}
    assert ops.confirm_download(model="far") == {"CANCELLED"}
    stand_in.server.downloads.plans["far"] = plan(d)
    assert ops.confirm_download(model="far") == {"FINISHED"}
    assert ops.pause_download(model="far") == {"CANCELLED"}
    assert ops.cancel_download(model="far") == {"FINISHED"}
    stand_in.server.downloads.all["far"] = d.DownloadStatus("far", d.DownloadState.RUNNING, 5, 10)
    assert ops.pause_download(model="far") == {"FINISHED"}
    assert ops.resume_download(model="far") == {"CANCELLED"}
    assert ops.cancel_download(model="far") == {"FINISHED"}
    stand_in.server.downloads.all["far"] = d.DownloadStatus("far", d.DownloadState.PAUSED, 5, 10)
    assert ops.resume_download(model="far") == {"FINISHED"}
    assert ops.apply_fix(action="download", value="far") == {"FINISHED"}
    wanted = ["start", "start", "forget", "pause", "cancel", "start", "start"]
    assert stand_in.asked == [(f"{name} download", "far") for name in wanted]


def test_a_job_without_its_model_has_the_button(stand_in, settings, addon) -> None:
    m = stand_in.messages
    problem = m.Problem(
        m.ProblemKind.MODEL_MISSING,
        "Far is not here.",
        [m.Fix("Download...", action=m.FixAction.DOWNLOAD, value="far")],
    )
    stand_in.add("a" * 32, "failed", problem=problem)
    assert "Download..." in visible_text(draw_all(addon))


def test_while_it_comes_the_outcome_is_no_alarm(stand_in, settings, addon, d) -> None:
    m = stand_in.messages
    problem = m.Problem(
        m.ProblemKind.MODEL_MISSING,
        "Far is not here.",
        [m.Fix("Download...", action=m.FixAction.DOWNLOAD, value="far")],
    )
    stand_in.server.plan_query.plan = m.Plan(
        "far", 832, 480, 81, m.FrameRate(16), 81, 8, 3.0, 3.0, m.Sampler.UNIPC, problem=problem
    )
    settings.model_id = "far"
    assert "Far is not here." in visible_text(draw_all(addon))
    stand_in.server.downloads.all["far"] = d.DownloadStatus("far", d.DownloadState.RUNNING, 5, 10)
    drawn = draw_all(addon)
    assert "Far is not here." not in visible_text(drawn) and "being downloaded" in visible_text(drawn)


def quick_fix(m) -> Any:
    return m.Fix("Download 4-Step LoRA (631 MB)...", action=m.FixAction.DOWNLOAD, value="quick")


def test_what_a_draft_lacks_is_said_with_a_button_until_it_comes(stand_in, settings, addon, d) -> None:
    m = stand_in.messages
    stand_in.server.plan_query.plan = m.Plan(
        "big", 832, 480, 81, m.FrameRate(16), 81, 20, 5.0, 5.0, m.Sampler.UNIPC, notes=["With its LoRA."]
    )
    stand_in.server.plan_query.plan = replace(stand_in.server.plan_query.plan, fixes=[quick_fix(m)])
    settings.model_id = "big"
    assert "With its LoRA." in visible_text(draw_all(addon)) and "Download 4-Step LoRA (631 MB)..." in visible_text(
        draw_all(addon)
    )
    stand_in.server.downloads.all["quick"] = d.DownloadStatus("quick", d.DownloadState.RUNNING, 5, 10)
    drawn = visible_text(draw_all(addon))
    assert "Download 4-Step LoRA" not in drawn and "4-step LoRA for Big: Downloading" in drawn


def test_a_lora_is_asked_for_told_of_and_fetched_as_a_model_is(stand_in, settings, addon, online, d) -> None:
    if not bpy.app.online_access:
        pytest.skip("this Blender is offline whatever is set")
    ops = bpy.ops.wan_vse
    assert ops.download_model(model="quick") == {"FINISHED"}
    stand_in.server.downloads.plans["quick"] = replace(plan(d), model="quick", licence="MIT")
    layout = Recorder()
    addon("ui.download_box").draw_for(layout, bpy.context, "embedded", "text_to_video")
    assert "License: MIT" in visible_text(layout) and "confirm_download" in layout.orders
    assert ops.confirm_download(model="quick") == {"FINISHED"}
    assert stand_in.asked == [("start download", "quick")] * 2


def test_the_preferences_list_what_makes_drafts_quicker(stand_in, settings, addon) -> None:
    page, layout = addon("ui.preferences_page"), Recorder()
    page.draw_extras(layout, bpy.context)
    for words in ("For Faster Drafts", "4-step LoRA for Big", "Four steps.", "At most 631 MB, license: MIT"):
        assert words in visible_text(layout)
    assert layout.orders == ["download_model"]


@pytest.mark.parametrize("state", ["", "paused"])
def test_a_model_that_can_not_do_the_task_is_not_offered(stand_in, settings, addon, online, d, state) -> None:
    if state:
        stand_in.server.downloads.all["far"] = d.DownloadStatus("far", d.DownloadState(state), 5, 10)
    layout = Recorder()
    addon("ui.download_box").draw_for(layout, bpy.context, "far", "restyle")
    if state:
        assert layout.orders == ["resume_download", "cancel_download"]
    else:
        assert layout.orders == [] and "Far is not on this machine, and is only for Text." in visible_text(layout)
