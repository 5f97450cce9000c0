"""Plans on a thread of their own: who asks is always answered, in order, on the main thread; a disk holds only that."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import time
from typing import Any

import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import heads_only, tiny_folder
from wan_backend.library import library_index, locate, survey
from wan_backend.library.transformer_answers import TransformerAnswers
from wan_backend.protocol import ProtocolError, Refusal
from wan_backend.protocol.errors import INTERNAL_ERROR
from wan_backend.protocol.messages import ModelsResult, NameTransformerParams, Plan, TransformerPart
from wan_backend.server import planning_queue
from wan_backend.server.inbox import Call
from wan_backend.server.planner import Planner
from wan_backend.server.planning_queue import MAX_WAITING_PLANS, PlanningQueue, Prepared
from wan_backend.storage import guarded_files

PATIENCE_SECONDS = 60.0
SMALL = "wan2.1-t2v-1.3b"


class Main:
    """The main thread of a server, which does what other threads hand in."""

    def __init__(self, folder: Any, **of_planner: Any) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.told: list[ModelsResult] = []
        self.planner = Planner([str(folder)], None, **of_planner)
        self.planning = PlanningQueue(self.planner, self.inbox, self.told.append)

    def until(self, done: Any) -> Any:
        """Do what is handed in until `done` gives something."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (found := done()):
            assert time.monotonic() < until
            with contextlib.suppress(queue.Empty):
                event = self.inbox.get(timeout=0.05)
                assert isinstance(event, Call)
                event.do()
        return found

    def ask(self, method: Any, *arguments: Any) -> Any:
        """What `method` hands in."""
        answers: list[Any] = []
        method(*arguments, answers.append)
        return self.until(lambda: answers)[0]

    def looked(self) -> ModelsResult:
        """What is known once the first look is over."""
        return self.until(lambda: not self.planning.known.looking and self.planning.known)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gate(monkeypatch):
    """A disk that answers only once this is set."""
    made, real = threading.Event(), guarded_files.regular_stamp

    def stamp(file):
        if str(file).endswith("slow.safetensors"):
            assert made.wait(PATIENCE_SECONDS)
        return real(file)

    monkeypatch.setattr(guarded_files, "regular_stamp", stamp)
    yield made
    made.set()


@pytest.fixture
def models(tmp_path):
    """A models folder as ComfyUI has it, with one file that the gate holds back."""
    folder = tmp_path / "models"
    heads_only.write(folder / "a" / "t2v.safetensors", heads_only.transformer())
    heads_only.write(folder / "a" / "umt5.safetensors", heads_only.text_encoder())
    heads_only.write(folder / "a" / "vae.safetensors", heads_only.vae())
    (folder / "b").mkdir()
    (folder / "b" / "slow.safetensors").write_bytes(tiny_folder.safetensors())
    return folder


def wish(tmp_path, **changes):
    return take_request(str(tmp_path), **{"model": "embedded", **changes})


def row(known: ModelsResult, model: str):
    return next(row for row in known.models if row.model == model)


def test_what_is_known_is_told_at_once_and_the_rest_when_the_look_is_over(models, gate, monkeypatch):
    monkeypatch.setattr(planning_queue, "REPORT_SECONDS", 0.0)
    main = Main(models)
    known = main.planning.known
    assert row(known, "embedded").here and not row(known, SMALL).here
    assert known.looking == "Searching the models folders: 0 files so far."
    main.planning.begin()
    main.until(lambda: "3 files so far" in main.planning.known.looking)
    assert not row(main.planning.known, SMALL).here and main.told[-1] == main.planning.known
    gate.set()
    assert row(main.looked(), SMALL).here and main.told[-1].looking == ""


def test_plans_and_jobs_wait_for_the_first_look_in_their_order(models, gate, tmp_path):
    main, answers = Main(models), []
    main.planning.begin()
    main.planning.plan(wish(tmp_path, model=SMALL, width=832, height=480), answers.append)
    main.planning.start(wish(tmp_path, model=SMALL, width=832, height=480), answers.append)
    main.planning.plan(wish(tmp_path, length_frames=0), answers.append)
    main.until(lambda: row(main.planning.known, "embedded").here)
    assert answers == []
    gate.set()
    main.until(lambda: len(answers) == 3)
    plan, prepared, refused = answers
    assert isinstance(plan, Plan) and plan.problem is None and isinstance(prepared, Prepared)
    assert prepared.plan.model == SMALL and prepared.component_files["transformer"].name == "t2v.safetensors"
    assert refused.problem.kind == "bad_length"


def test_a_job_that_cannot_be_done_is_refused_with_its_problem(tmp_path):
    main = Main(tmp_path)
    main.planning.begin()
    for changes, kind in (({"length_frames": 0}, "bad_length"), ({"model": SMALL}, "model_missing")):
        refused = main.ask(main.planning.start, wish(tmp_path, **changes))
        assert isinstance(refused, Refusal) and refused.problem.kind == kind


def test_whatever_fails_while_it_is_planned_is_an_answer(tmp_path, monkeypatch):
    main = Main(tmp_path)
    main.planning.begin()
    main.looked()
    for error in (RuntimeError("loop"), MemoryError(), RecursionError(), UnicodeEncodeError("x", "y", 0, 1, "z")):
        with monkeypatch.context() as broken:

            def fail(*_, error=error):
                raise error

            broken.setattr(Planner, "plan", fail)
            for ask in (main.planning.plan, main.planning.start):
                answer = main.ask(ask, wish(tmp_path))
                assert isinstance(answer, ProtocolError) and answer.code == INTERNAL_ERROR
                assert type(error).__name__ in answer.message
    assert isinstance(main.ask(main.planning.plan, wish(tmp_path)), Plan)


def test_rows_that_cannot_be_made_end_the_look_all_the_same(tmp_path, monkeypatch):
    def fail(*_):
        raise OverflowError("1e999")

    monkeypatch.setattr(locate, "find", fail)
    main = Main(tmp_path)
    main.planning.begin()
    assert row(main.looked(), "embedded").here, "what was known stays known"
    assert isinstance(main.ask(main.planning.rows), ProtocolError)


def test_of_many_plans_that_wait_the_oldest_are_given_up_and_answered(models, gate, tmp_path):
    main, answers, jobs = Main(models), {}, []
    main.planning.begin()
    for number in range(MAX_WAITING_PLANS + 3):
        main.planning.plan(wish(tmp_path, seed=number), lambda answer, number=number: answers.update({number: answer}))
        main.planning.plan(wish(tmp_path), jobs.append, True)
    assert sorted(answers) == [0, 1, 2] and all(answer.problem.kind == "busy" for answer in answers.values())
    gate.set()
    main.until(lambda: len(answers) == MAX_WAITING_PLANS + 3 and len(jobs) == MAX_WAITING_PLANS + 3)
    assert all(isinstance(answer, Plan) for answer in [*jobs, *(answers[number] for number in range(3, 7))])


def test_another_look_is_told_only_where_it_found_something(models, gate):
    gate.set()
    main = Main(models)
    main.planning.begin()
    main.looked()
    told, looks = len(main.told), main.planner.library.refreshes
    main.planning.look()
    main.until(lambda: main.planner.library.refreshes > looks and main.ask(main.planning.rows))
    assert len(main.told) == told
    (models / "a" / "vae.safetensors").unlink()
    main.planning.look()
    main.until(lambda: not row(main.planning.known, SMALL).here)
    assert len(main.told) == told + 1


def test_a_look_that_is_asked_for_during_one_comes_after_it(models, gate, tmp_path):
    main = Main(models)
    main.planning.begin()
    main.planning.look()
    main.planning.look()
    gate.set()
    assert main.planner.library.wait(2, PATIENCE_SECONDS)


def test_a_listener_that_fails_is_not_the_end_of_all_looks(tmp_path):
    made = library_index.LibraryIndex([str(tmp_path)])

    def fail():
        raise RuntimeError

    made.on_refreshed = fail
    for looks in (1, 2):
        made.request_refresh()
        assert made.wait(looks, PATIENCE_SECONDS)


def test_what_the_doctor_asks_is_answered_though_a_disk_hangs(models, gate):
    main = Main(models)
    main.planning.begin()
    known, found = main.planning.search_again(0.2)
    assert row(known, "embedded").here and found is None
    gate.set()
    main.looked()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(main.planning.search_again(PATIENCE_SECONDS))).start()
    known, found = main.until(lambda: not answers.empty() and answers.get())
    assert row(known, SMALL).here and isinstance(found, survey.Survey)


def test_the_machine_is_that_of_the_time_of_planning(tmp_path):
    asked: list[str] = []
    main = Main(tmp_path, machine=lambda: asked.append(threading.current_thread().name))
    main.planning.begin()
    assert dataclasses.is_dataclass(main.ask(main.planning.plan, wish(tmp_path)))
    assert asked == ["planning"]


def test_what_a_transformer_is_said_to_be_counts_in_the_next_plan(tmp_path):
    models, memory = tmp_path / "models", tmp_path / "transformers.json"
    heads_only.write(models / "umt5.safetensors", heads_only.text_encoder())
    heads_only.write(models / "vae.safetensors", heads_only.vae())
    file = heads_only.write(models / "mine.safetensors", heads_only.transformer(5120, 40), "F16")
    main = Main(models, answers=TransformerAnswers(memory))
    main.planning.begin()
    asked = wish(tmp_path, model="wan2.1-t2v-14b", width=832, height=480)
    first = main.ask(main.planning.plan, asked)
    assert first.problem is not None and "no name says which" in first.problem.sentence
    main.planning.name_transformer(NameTransformerParams(str(file), TransformerPart.WHOLE))
    assert main.ask(main.planning.plan, asked).problem is None and memory.exists()
    main.planning.name_transformer(NameTransformerParams(str(file), TransformerPart.UNKNOWN))
    assert main.ask(main.planning.plan, asked).problem == first.problem
    memory.unlink()
    memory.mkdir()
    with pytest.raises(Refusal, match=r"The answer was not kept: .* can't be written"):
        main.planning.name_transformer(NameTransformerParams(str(file), TransformerPart.WHOLE))
