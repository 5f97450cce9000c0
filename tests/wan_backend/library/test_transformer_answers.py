"""A transformer that may be a whole model or one of two experts: it is asked what it is, and that is remembered."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import heads_only, tiny_folder
from wan_backend.command_line import arguments
from wan_backend.library import transformer_answers
from wan_backend.library.transformer_answers import TransformerAnswers
from wan_backend.protocol.choices import FixAction, TransformerPart
from wan_backend.protocol.messages import Plan, Role, Source, Task
from wan_backend.server.planner import Planner

TEXT, PICTURES = heads_only.transformer(5120, 40), heads_only.transformer(5120, 40, 36)
CONTROL = heads_only.transformer(5120, 40, control=8)
NEW, NEW_PICTURES, OLD, VACE = "wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.1-t2v-14b", "wan2.1-vace-14b"
SAYS_IT = (FixAction.TRANSFORMER_WHOLE, FixAction.TRANSFORMER_HIGH, FixAction.TRANSFORMER_LOW)


class Home:
    """A models folder with every component but a transformer, and a server's memory of what a person said."""

    def __init__(self, folder: Path) -> None:
        self.models, self.memory = folder / "models", folder / "transformers.json"
        heads_only.write(self.models / "text_encoders" / "umt5_xxl_fp16.safetensors", heads_only.text_encoder(), "F16")
        heads_only.write(self.models / "vae" / "wan_2.1_vae.safetensors", heads_only.vae())

    def put(self, name: str, shapes: heads_only.Shapes = TEXT) -> Path:
        return heads_only.write(self.models / "unet" / f"{name}.safetensors", shapes, "F16")

    def plan(self, model: str, answers: TransformerAnswers | None = None) -> Plan:
        """The plan of a server that has just started."""
        planner = Planner([str(self.models)], None, answers=answers or TransformerAnswers(self.memory))
        planner.library.refresh()
        more = {}
        if model == NEW_PICTURES:
            cv2.imwrite(str(self.memory.with_name("first.png")), np.zeros((480, 832, 3), np.uint8))
            source = Source(Role.FIRST, str(self.memory.parent), ["first.png"])
            more = {"task": Task.IMAGE_TO_VIDEO, "sources": [source]}
        return planner.plan(take_request(str(self.models), model=model, width=832, height=480, **more))

    def asked(self, model: str) -> dict[FixAction, str]:
        """The answers that the plan offers, each with the file that it is about."""
        plan = self.plan(model)
        assert plan.problem is not None
        return {fix.action: fix.value for fix in plan.problem.fixes if fix.action in SAYS_IT}

    def say(self, file: Path, part: TransformerPart) -> None:
        TransformerAnswers(self.memory).record(file, part)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return Home(tmp_path)


def test_a_file_that_says_nothing_is_asked_about_once(home):
    file = home.put("mine")
    for model in (OLD, NEW):
        assert home.asked(model) == dict.fromkeys(SAYS_IT, str(file))
    home.say(file, TransformerPart.WHOLE)
    plan = home.plan(OLD)
    assert plan.problem is None
    (again,) = [fix for fix in plan.fixes if fix.action is FixAction.TRANSFORMER_UNKNOWN]
    assert again.value == str(file) and "mine.safetensors" in again.label
    assert home.plan(NEW).problem is not None and not home.asked(NEW)


def test_one_expert_makes_no_model_and_the_other_is_asked_about_next(home):
    first, second = home.put("a"), home.put("b")
    home.say(first, TransformerPart.HIGH)
    assert set(home.asked(NEW).values()) == {str(second)}
    assert set(home.asked(OLD).values()) == {str(second)}
    home.say(second, TransformerPart.LOW)
    assert home.plan(NEW).problem is None
    assert home.plan(OLD).problem is not None and not home.asked(OLD)
    second.unlink()
    plan = home.plan(NEW)
    assert plan.problem is not None and "lacks the low-noise expert" in plan.problem.sentence


def test_an_answer_is_of_the_file_as_it_was(home):
    file = home.put("mine")
    home.say(file, TransformerPart.WHOLE)
    home.put("mine", {**TEXT, "logit_scale": ()})
    assert home.asked(OLD) == dict.fromkeys(SAYS_IT, str(file))


def test_a_name_goes_before_an_answer(home):
    for part in (TransformerPart.WHOLE, TransformerPart.LOW):
        high = home.put("wan22_high_noise")
        home.say(high, part)
        plan = home.plan(NEW)
        assert plan.problem is not None and "lacks the low-noise expert" in plan.problem.sentence


def test_an_answer_is_taken_back(home):
    file = home.put("mine")
    home.say(file, TransformerPart.WHOLE)
    home.say(file, TransformerPart.UNKNOWN)
    assert set(home.asked(OLD)) == set(SAYS_IT)


def test_both_experts_in_one_file_stay_usable(home):
    file = home.put("rapid_x", PICTURES)
    assert home.plan(NEW_PICTURES).problem is None, "its name says that it is merged"
    file.rename(file.with_name("mine.safetensors"))
    assert set(home.asked(NEW_PICTURES)) == set(SAYS_IT)
    home.say(file.with_name("mine.safetensors"), TransformerPart.WHOLE)
    assert home.plan(NEW_PICTURES).problem is None


def test_a_control_model_is_asked_about_like_others(home):
    file = home.put("mine_vace", CONTROL)
    assert set(home.asked(VACE)) == set(SAYS_IT)
    home.say(file, TransformerPart.HIGH)
    plan = home.plan("wan2.2-vace-fun-a14b")
    assert plan.problem is not None and "lacks the low-noise expert" in plan.problem.sentence
    home.say(home.put("other_vace", CONTROL), TransformerPart.LOW)
    assert home.plan("wan2.2-vace-fun-a14b").problem is None
    home.say(file, TransformerPart.WHOLE)
    assert home.plan(VACE).problem is None


def test_a_command_line_says_it_for_itself(home):
    file = home.put("a=b")
    options = arguments.parser().parse_args(["serve", "--state", "x", "--transformer", f"{file}=whole"])
    given = TransformerAnswers(home.memory, dict(options.transformer))
    assert home.plan(OLD, given).problem is None
    assert home.asked(OLD), "it isn't remembered"


@pytest.mark.parametrize("text", ["file", "=", "file=", "file=unknown", "file=WHOLE"])
def test_a_command_line_that_says_something_else(text, capsys):
    with pytest.raises(SystemExit):
        arguments.parser().parse_args(["doctor", "--transformer", text])
    assert "doesn't end in =whole, =high or =low" in capsys.readouterr().err


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[]", b"\xff", b'{"format": 2, "transformers": []}', b'{"format": 1, "transformers": 7}',
    b'{"format": 1, "transformers": [1, {}, {"file": 3, "length": 1, "part": "high"}, {"file": "x", "part": "high"}]}',
    b"[" * 100_000,
])  # fmt: skip
def test_a_damaged_memory_is_asked_again_and_written_anew(home, content):
    file = home.put("mine")
    home.memory.write_bytes(content)
    assert set(home.asked(OLD)) == set(SAYS_IT)
    home.say(file, TransformerPart.WHOLE)
    assert home.plan(OLD).problem is None


def test_the_memory_has_an_end(home, monkeypatch):
    monkeypatch.setattr(transformer_answers, "MAX_ANSWERS", 5)  # each is written to the disk
    answers = TransformerAnswers(home.memory)
    for number in range(8):
        answers.record(Path(f"/nowhere/{number}"), TransformerPart.HIGH)
    kept = json.loads(home.memory.read_text())["transformers"]
    assert [each["file"] for each in kept] == [f"/nowhere/{number}" for number in range(3, 8)]


def test_a_folder_can_be_answered_for(home):
    made = tiny_folder.write(home.memory.with_name("elsewhere"), "WanPipeline", 40, 40)
    folder = made.joinpath("transformer").rename(home.models / "mine")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_class_name": "WanTransformer3DModel"}))
    assert set(home.asked(OLD).values()) == {str(folder)}
    home.say(folder, TransformerPart.WHOLE)
    assert home.plan(OLD).problem is None
