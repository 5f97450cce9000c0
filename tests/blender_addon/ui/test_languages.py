"""In a made-up language, what the backend says is shown in that language, whichever panel shows it.

It knows the templates of the backend's source alone: it says them loudly, with their values in turned order. Blender
as a module has no languages of its own, so the language is handed in as Blender's would be.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from test_drawing import draw, draw_all, visible_text

from tools import messages as listed
from wan_backend.catalogue import entries
from wan_backend.planning import plan_steps
from wan_backend.protocol import messages as backends
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.sentences import Sentence

BACKEND = Path(backends.__file__).parents[1]
PLACE = re.compile(r"(\{\w+\})")


@pytest.fixture(scope="module")
def known() -> frozenset[str]:
    """What a translator has of the backend."""
    files = BACKEND.rglob("*.py")
    return frozenset(text for file in files for _, text in listed.templates(ast.parse(file.read_text("utf-8"))))


@pytest.fixture
def loud(known: frozenset[str], addon, monkeypatch) -> Callable[[str], str]:
    def say(template: str) -> str:
        if template not in known:
            return template
        parts = PLACE.split(template)
        parts[::2], parts[1::2] = [part.upper() for part in parts[::2]], parts[1::2][::-1]
        return "".join(parts)

    translation = addon("translation")
    monkeypatch.setattr(translation, "_translate", translation._translate)
    translation.use(say)
    return say


@pytest.fixture
def received(extension: str, stand_in) -> Callable[[Any], Any]:
    """A message of the backend as the add-on has it."""
    conversion = importlib.import_module(f"{extension}.wan_backend.protocol.conversion")

    def receive(message: Any) -> Any:
        kind = getattr(stand_in.messages, type(message).__name__)
        return conversion.from_json(kind, json.loads(json.dumps(to_json(message))))

    return receive


def is_loud(text: str, sentence: Sentence, say: Callable[[str], str]) -> bool:
    """The sentence is in the text as the language has it, and isn't in English."""
    spoken, seen = (" ".join(each.split()) for each in (sentence.rendered(say), text))
    return spoken != sentence and spoken in seen and sentence not in seen


def request(seed: int = 1, **more: Any) -> backends.TakeRequest:
    return backends.TakeRequest("fog", "embedded", 4000, 2000, 33, backends.FrameRate(24), seed, "/takes", **more)


def plan(**more: Any) -> backends.Plan:
    return plan_steps.plan(request(**more), entries.load().entry("embedded"))


def test_a_plan(stand_in, settings, addon, loud, received) -> None:
    made = plan()
    assert made.problem is None and made.notes
    memory = Sentence("{residencies}.", residencies=Sentence("all of it stays on the card").capitalized())
    fix = backends.Fix(Sentence("Use {frames} frames", frames=9), backends.FixSetting.LENGTH_FRAMES, "9")
    made = dataclasses.replace(made, memory=memory, fixes=[fix], memory_bytes=1_000_000_000)
    stand_in.server.plan_query.plan = received(made)
    text = visible_text(draw_all(addon))
    for sentence in (*made.notes, fix.label):
        assert is_loud(text, sentence, loud), sentence
    assert is_loud(text, memory, loud) and "ALL OF IT STAYS ON THE CARD." in text


@pytest.mark.parametrize("more", [{"resolution": "9000p"}, {"seed": -1}, {"task": backends.Task.EXTEND}])
def test_a_refusal(stand_in, settings, addon, loud, received, more: dict[str, Any]) -> None:
    made = plan(**more)
    assert made.problem is not None
    stand_in.server.plan_query.plan = received(made)
    text = visible_text(draw(addon("ui.sidebar").WAN_VSE_PT_generate))
    assert is_loud(text, made.problem.sentence, loud)
    for fix in made.problem.fixes:
        assert is_loud(text, fix.label, loud)


def test_why_a_button_is_gray(stand_in, settings, addon, loud, received, monkeypatch) -> None:
    made = plan(seed=-1)
    stand_in.server.plan_query.plan_of = lambda _request: received(made)
    said: list[str] = []
    operator = addon("operators.make_takes").WAN_VSE_OT_generate
    monkeypatch.setattr(operator, "poll_message_set", said.append, raising=False)
    assert not operator.poll(bpy.context)
    assert made.problem is not None and said == [made.problem.sentence.unended().rendered(loud)]
    assert said[0].isupper()


def test_a_problem_and_what_would_help(stand_in, settings, addon, loud, received) -> None:
    clause = Sentence("it is cut off: it has {size} of {expected} bytes", size="1", expected="2")
    sentence = Sentence(
        "{model} in {folder} can't be used because {why}; {fix}.",
        model="Wan", folder="/models", why=clause, fix=Sentence("download it again"),
    )  # fmt: skip
    problem = backends.Problem(
        backends.ProblemKind.MODEL_BROKEN,
        sentence,
        [backends.Fix(Sentence("Retry"), action=backends.FixAction.DOWNLOAD)],
    )
    stand_in.add("a" * 32, "failed", problem=received(problem))
    text = visible_text(draw_all(addon))
    assert is_loud(text, sentence, loud) and "IT IS CUT OFF: IT HAS 2 OF 1 BYTES" in text and "RETRY" in text


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("loading", Sentence("Loading the transformer")),
        ("denoising", Sentence("Resuming at step {step} of {steps}", step=3, steps=8)),
        ("decoding", Sentence("Frame {number} of {frames}", number=3, frames=33)),
        ("queued", Sentence("{folder} does not answer; this job continues as soon as it does.", folder="/takes")),
    ],
)
def test_progress(stand_in, settings, addon, loud, received, state: str, sentence: Sentence) -> None:
    report = backends.ProgressParams("a" * 32, backends.JobState(state), sentence=sentence)
    stand_in.add("a" * 32, state, sentence=received(report).sentence, step=3, steps=8)
    assert is_loud(visible_text(draw_all(addon)), sentence, loud)


def test_notes_of_a_finished_take(stand_in, settings, addon, loud, received) -> None:
    note = Sentence("{place} ran out of memory; the take started again with less of the model in memory at once, "
                    "and later takes will start that way.", place=Sentence("The graphics card"))  # fmt: skip
    done = Sentence.joined([Sentence("Done."), note])
    report = backends.ProgressParams("a" * 32, backends.JobState.DECODING, sentence=done)
    stand_in.add("a" * 32, "done", sentence=received(report).sentence)
    text = visible_text(draw_all(addon))
    assert is_loud(text, note, loud) and "DONE." not in text


def test_the_worker_the_set_up_and_the_library(stand_in, settings, addon, loud, received) -> None:
    broken = Sentence("The worker {how}.", how=Sentence("ran out of memory (RAM)"))
    worker = backends.WorkerStatus(backends.WorkerState.BROKEN, "cuda", "2.13", broken)
    stand_in.server.worker = received(worker)
    looking = Sentence("Searching the models folders: {count} files so far.", count="1,200")
    stand_in.server.looking = received(backends.ModelsResult([], looking=looking)).looking
    text = visible_text(draw_all(addon))
    assert is_loud(text, broken, loud) and is_loud(text, looking, loud)
    stand_in.server.status.state, stand_in.setup.state = "missing", "running"
    step = Sentence("Downloading uv {version}", version="1.2")
    stand_in.setup.progress = received(backends.SetupProgress(backends.SetupState.RUNNING, 1, 4, 0.1, step))
    assert is_loud(visible_text(draw_all(addon)), step, loud)


def test_what_an_older_version_kept_stays_as_it_is(stand_in, settings, addon, loud) -> None:
    stand_in.add("a" * 32, "loading", sentence=stand_in.messages.Sentence("An older {sentence} with 100 %d"))
    assert "An older {sentence} with 100 %d" in visible_text(draw_all(addon))


def test_languages_are_registered_for_labels_and_operators(addon, monkeypatch) -> None:
    languages = addon("languages")
    assert languages.catalog_of({"Place": "Platzieren", "Held": ""}) == {
        ("*", "Place"): "Platzieren",
        ("Operator", "Place"): "Platzieren",
    }
    monkeypatch.setattr(languages.pkgutil, "iter_modules", lambda _path: [(None, "de_DE", False)])
    monkeypatch.setattr(
        languages.importlib, "import_module", lambda *_: SimpleNamespace(MESSAGES={"Place": "Platzieren"})
    )
    given: dict[str, Any] = {}
    there = SimpleNamespace(register=given.__setitem__, unregister=given.__delitem__)
    monkeypatch.setattr(languages, "bpy", SimpleNamespace(app=SimpleNamespace(translations=there)))
    languages.register()
    assert given == {languages.__package__: {"de_DE": languages.catalog_of({"Place": "Platzieren"})}}
    languages.unregister()
    assert not given
