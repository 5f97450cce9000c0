"""What the buttons of a training do: the list of strips, the start, the use of what came of it, its trigger."""

from __future__ import annotations

import json
import struct
from types import SimpleNamespace

import bpy
import pytest

A = "a" * 32


@pytest.fixture
def listed(settings, cut):
    """Four shots of which three are selected, and a described training."""
    for number in range(4):
        cut.shot(f"Shot {number}", 1 + 100 * number, 50 + 100 * number)
    cut.select("Shot 0", "Shot 1", "Shot 2")
    settings.training.name, settings.training.trigger, settings.training.caption = "ink", "inkwsh", "a dog"
    return settings.training


def names(training):
    return [row.name for row in training.clips]


def plan_with(messages, **more):
    plan = {
        "model": "embedded",
        "width": 64,
        "height": 36,
        "model_frames": 33,
        "model_frame_rate": messages.FrameRate(16),
    }
    plan |= {
        "take_frames": 49,
        "steps": 300,
        "guidance_scale": 1.0,
        "flow_shift": 3.0,
        "sampler": messages.Sampler.EULER,
    }
    return messages.Plan(**plan, **more)


def test_the_selected_strips_become_the_list_and_keep_their_captions(listed, cut) -> None:
    assert bpy.ops.wan_vse.choose_clips() == {"FINISHED"}
    assert names(listed) == ["Shot 0", "Shot 1", "Shot 2"]
    listed.clips[1].caption = "a cat"
    cut.select("Shot 1", "Shot 3")
    bpy.ops.wan_vse.choose_clips(extend=True)
    assert names(listed) == ["Shot 0", "Shot 1", "Shot 2", "Shot 3"]
    bpy.ops.wan_vse.choose_clips()
    assert [(row.name, row.caption) for row in listed.clips] == [("Shot 1", "a cat"), ("Shot 3", "")]
    listed.active_clip = 1
    bpy.ops.wan_vse.remove_clip()
    assert names(listed) == ["Shot 1"] and listed.active_clip == 0


def test_texts_and_sounds_alone_are_no_list(listed, cut) -> None:
    cut.text("words", 1, 50)
    cut.select("words")
    assert bpy.ops.wan_vse.choose_clips() == {"CANCELLED"}
    assert not len(listed.clips)


def test_the_selected_strips_are_trained_from_where_the_list_is_empty(listed, stand_in) -> None:
    assert bpy.ops.wan_vse.train_lora() == {"FINISHED"}
    ((what, request),) = stand_in.asked
    assert what == "train" and request.training.name == "ink"
    assert [source.role.value for source in stand_in.planned[0].target.wanted] == ["clip"] * 3
    assert names(listed) == ["Shot 0", "Shot 1", "Shot 2"]


def test_more_strips_than_a_list_may_have_are_not_put_on_it(listed, stand_in, addon, monkeypatch) -> None:
    monkeypatch.setattr(addon("timeline.training_clips"), "MAX_STRIPS", 2)
    operator = addon("operators.train_lora").WAN_VSE_OT_train_lora
    assert operator.refusal(bpy.context) == "The list may have at most 2 strips: select fewer"
    assert not bpy.ops.wan_vse.train_lora.poll() and not len(listed.clips) and not stand_in.asked


def test_all_reasons_stand_in_the_buttons_tooltip(listed, stand_in, addon) -> None:
    bpy.ops.wan_vse.choose_clips()
    listed.name, listed.trigger = "", ""
    operator, messages = addon("operators.train_lora").WAN_VSE_OT_train_lora, stand_in.messages
    problem = messages.Problem(messages.ProblemKind.BAD_SETTING, "The model is 8 bit: use its bf16 file.")
    stand_in.server.training_plan_query.plan = plan_with(messages, problem=problem)
    said = operator.refusal(bpy.context)
    for words in ("a name", "a trigger", "8 bit"):
        assert words in said
    assert not bpy.ops.wan_vse.train_lora.poll()


class Clicked:
    """A click on the button, as Blender calls the operator for it; its window has one timer."""

    def __init__(self, operator) -> None:
        self.operator, self.reported, self.timers = operator, [], []
        manager = SimpleNamespace(
            event_timer_add=lambda seconds, window: self.timers.append("timer") or "timer",
            event_timer_remove=self.timers.remove,
            modal_handler_add=lambda clicked: True,
        )
        self.context = SimpleNamespace(scene=bpy.context.scene, window=object(), window_manager=manager)

    def report(self, kind, words) -> None:
        self.reported.append(words)

    def execute(self, context):
        return self.operator.execute(self, bpy.context)

    def cancel(self, context) -> None:
        self.operator.cancel(self, context)

    def press(self):
        return self.operator.invoke(self, self.context, None)

    def tick(self):
        return self.operator.modal(self, self.context, SimpleNamespace(type="TIMER"))


@pytest.fixture
def clicked(addon, listed, stand_in) -> Clicked:
    """The backend has planned nothing yet: no panel was drawn."""
    assert stand_in.server.training_plan_query.plan is None
    return Clicked(addon("operators.train_lora").WAN_VSE_OT_train_lora)


def test_without_a_plan_a_click_waits_for_it_and_renders_nothing_that_cant_be_trained(clicked, stand_in) -> None:
    messages, query = stand_in.messages, stand_in.server.training_plan_query
    assert clicked.press() == {"RUNNING_MODAL"} and query.planned is not None
    assert clicked.tick() == {"PASS_THROUGH"} and not stand_in.asked
    problem = messages.Problem(messages.ProblemKind.BAD_SETTING, "The model is 8 bit: use its bf16 file.")
    query.plan = plan_with(messages, problem=problem)
    assert clicked.tick() == {"CANCELLED"}
    assert clicked.reported == ["The model is 8 bit: use its bf16 file."]
    assert not stand_in.asked and not clicked.timers


def test_a_click_goes_on_once_the_plan_is_there_or_none_comes(clicked, stand_in, addon, monkeypatch) -> None:
    query = stand_in.server.training_plan_query
    assert clicked.press() == {"RUNNING_MODAL"}
    query.plan = plan_with(stand_in.messages)
    assert clicked.tick() == {"FINISHED"} and [what for what, _ in stand_in.asked] == ["train"]
    assert clicked.press() == {"FINISHED"}
    query.plan = None
    monkeypatch.setattr(addon("operators.train_lora"), "PLAN_SECONDS", 0.0)
    assert clicked.press() == {"RUNNING_MODAL"} and clicked.tick() == {"FINISHED"}
    assert len(stand_in.asked) == 3 and not clicked.timers


def test_one_lora_of_a_training_takes_the_place_of_its_others(settings, stand_in, tmp_path) -> None:
    for step in (200, 300):
        (tmp_path / f"ink-{step}.safetensors").write_bytes(b"")
    stand_in.add_training(A, "denoising", (200, 300), folder=str(tmp_path))
    assert bpy.ops.wan_vse.use_trained(job_id=A, step=200) == {"FINISHED"}
    settings.loras[0].strength = 0.7
    assert (settings.loras[0].name, settings.loras[0].trigger, settings.loras[0].use) == ("ink, 200", "inkwsh", True)
    bpy.ops.wan_vse.use_trained(job_id=A)
    (row,) = settings.loras
    assert (row.name, row.path) == ("ink", str(tmp_path / "ink-300.safetensors"))
    assert row.strength == pytest.approx(0.7)


def test_a_lora_whose_file_is_gone_is_not_used(settings, stand_in, tmp_path) -> None:
    stand_in.add_training(A, "done", (300,), folder=str(tmp_path))
    assert bpy.ops.wan_vse.use_trained(job_id=A) == {"CANCELLED"}
    assert bpy.ops.wan_vse.use_trained(job_id=A, step=7) == {"CANCELLED"}
    assert not len(settings.loras)


def test_the_trigger_goes_into_the_prompt_once(settings, addon, tmp_path) -> None:
    head = json.dumps({"__metadata__": {"modelspec.trigger_phrase": "inkwsh"}}).encode()
    file = tmp_path / "ink.safetensors"
    file.write_bytes(struct.pack("<Q", len(head)) + head)
    row = addon("jobs.lora_rows").add(settings, str(file))
    assert row.trigger == "inkwsh"
    settings.prompt, settings.task = "a red circle", "TEXT_TO_VIDEO"
    assert bpy.ops.wan_vse.add_trigger() == {"FINISHED"}
    assert settings.prompt == "inkwsh, a red circle"
    assert not bpy.ops.wan_vse.add_trigger.poll()
    settings.prompt = ""
    bpy.ops.wan_vse.add_trigger()
    assert settings.prompt == "inkwsh"


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", struct.pack("<Q", 4) + b"null"])
def test_another_path_has_another_trigger_or_none(settings, addon, tmp_path, content: bytes) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(content)
    row = addon("jobs.lora_rows").add(settings, "/nowhere/ink.safetensors")
    row.trigger = "inkwsh"
    row.path = str(file)
    assert row.trigger == ""


def test_a_trainings_settings_come_back_into_its_panel(settings, stand_in) -> None:
    stand_in.add_training(A, "failed", asked={"noisy_share": 0.25, "only_with_trigger": True})
    settings.prompt = "as it was"
    bpy.ops.wan_vse.apply_fix(setting="model", value="embedded", job_id=A)
    training = settings.training
    assert (training.name, training.trigger, settings.prompt) == ("ink", "inkwsh", "as it was")
    assert training.noisy_share == 0.25 and training.only_with_trigger


def test_a_training_that_is_done_is_not_tried_again(stand_in, addon) -> None:
    retry = addon("operators.queue_jobs").WAN_VSE_OT_retry_job
    done, failed = stand_in.add_training(A, "done", (300,)), stand_in.add_training("b" * 32, "failed")
    assert "trained" in retry.job_refusal(done)
    assert retry.job_refusal(failed) == ""


def test_redraws_look_at_a_long_list_a_few_strips_at_a_time(listed, scene, addon, monkeypatch) -> None:
    bpy.ops.wan_vse.choose_clips()
    module, files = addon("operators.train_lora"), addon("timeline.picture_files")
    looked = []
    read_strip = module.planned_training.read_strip
    monkeypatch.setattr(module.planned_training, "read_strip", lambda *a: looked.append(a[1].name) or read_strip(*a))
    clips = addon("timeline.training_clips").clips_of(scene, [(row.name, "") for row in listed.clips], _rates(addon))
    reader = module._Reader()
    for round_ in range(1, 4):
        reader.begin()
        for each in clips:
            reader._until = 1e18 if len(looked) < round_ else 0.0
            reader.read(scene, each, "/tmp/clips", files.glance)
        assert len(looked) == round_ and reader.is_whole == (round_ == 3)


def _rates(addon):
    from fractions import Fraction

    return addon("timeline.training_clips").Rates(Fraction(24), Fraction(16), 17)
