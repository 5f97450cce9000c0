"""What a server reports in pages and events, as the list of jobs has it."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest


class Child:
    """A server that answers from a list of jobs; stands in for ChildProcess."""

    def __init__(self, command, run_folder, name) -> None:
        self.jobs: list[dict] = []
        self.asked: list[str] = []
        self.exit_code: int | None = None
        self.pid, self.log_path = 7, run_folder / "server.log"
        self._said: list[dict] = []

    def send(self, line) -> None:
        call = json.loads(line)
        self.asked.append(call["method"])
        result = getattr(self, f"do_{call['method']}", lambda params: None)(call["params"])
        if result is not None:
            self.say(id=call["id"], result=result)

    def say(self, **message) -> None:
        self._said.append({"jsonrpc": "2.0", **message})

    def read(self) -> bytes:
        said, self._said = self._said, []
        return b"".join(json.dumps(message).encode() + b"\n" for message in said)

    def do_hello(self, params) -> dict:
        return {"protocol": params["protocol"], "version": "0", "tasks": [], "pid": 7, "state_folder": "/s", "log": ""}

    def do_list(self, params) -> dict:
        at = int(params["after"] or 0)
        end = at + params["most"]
        return {"jobs": self.jobs[at:end], "next": str(end) if end < len(self.jobs) else ""}

    def flush(self) -> None:
        pass

    def last_log_line(self) -> str:
        return ""

    def leave(self, by_force: bool = False) -> None:
        pass

    def has_ended(self) -> bool:
        return True


@pytest.fixture
def desk(addon, monkeypatch, tmp_path):
    return Desk(addon, monkeypatch, tmp_path)


class Desk:
    """The jobs' side of a server, with its child."""

    def __init__(self, addon, monkeypatch, tmp_path) -> None:
        connection, command = addon("backend.connection"), addon("backend.launch_command")
        self.children: list[Child] = []
        self.cards: list[dict] = []
        self.jobs_there: list[dict] = []

        def start(*arguments):
            self.children.append(Child(*arguments))
            self.children[-1].jobs = self.jobs_there
            self.children[-1].do_cards = lambda params: {"cards": self.cards}
            return self.children[-1]

        monkeypatch.setattr(connection, "ChildProcess", start)
        monkeypatch.setattr(connection, "find", lambda settings: command.BackendCommand(["python"], {}))
        self.changes, self.warm_up = 0, True
        self.jobs = addon("jobs.job_list").JobList()
        self.server = addon("jobs.server_proxy").ServerProxy(
            self.jobs, lambda: command.BackendSettings(tmp_path, tmp_path, warm_up=self.warm_up), self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    @property
    def child(self) -> Child:
        return self.children[-1]

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.server.tick(time.perf_counter() + 30)

    def has(self, to_json, *statuses) -> None:
        self.jobs_there = [to_json(status) for status in statuses]


@pytest.fixture
def to_json(addon):
    import importlib

    return importlib.import_module("wan_vse.wan_backend.protocol.conversion").to_json


def test_a_job_whose_sources_are_rendered_has_its_model_made_ready(desk, make_request) -> None:
    desk.server.warm(make_request())
    desk.server.start()
    desk.tick(2)
    assert "warm" not in desk.child.asked, "there was no server, and the job finds the model as it is"
    desk.server.warm(make_request())
    assert desk.child.asked[-1] == "warm"
    desk.warm_up = False
    desk.server.warm(make_request())
    assert desk.child.asked.count("warm") == 1


def test_the_first_page_is_there_at_once_and_the_list_is_whole_after_the_last(desk, to_json, make_status) -> None:
    desk.has(to_json, *(make_status(f"{n:032x}", created=float(-n)) for n in range(250)))
    desk.server.start()
    desk.tick(2)
    assert len(desk.jobs.all()) >= 100
    desk.tick(5)
    assert desk.server.listed and len(desk.jobs.all()) == 250
    assert desk.child.asked.count("list") == 3


def test_a_server_that_dies_between_two_pages_takes_no_job_with_it(desk, to_json, make_status) -> None:
    desk.has(to_json, *(make_status(f"{n:032x}") for n in range(150)))
    desk.server.start()
    desk.tick(5)
    desk.jobs_there = desk.jobs_there[:120]
    desk.server.stop()
    assert not desk.server.listed and len(desk.jobs.all()) == 150
    desk.server.start()
    desk.tick(5)
    assert desk.server.listed and len(desk.jobs.all()) == 120


def test_a_page_that_can_not_be_read_costs_that_page_alone(desk, make_status, to_json) -> None:
    desk.has(to_json, *(make_status(f"{n:032x}") for n in range(150)))
    desk.jobs_there[120] = {"job_id": 7}
    desk.server.start()
    desk.tick(5)
    assert desk.server.status.state == "ready" and desk.server.listed and len(desk.jobs.all()) == 100


def test_the_first_look_at_the_models_is_told_as_it_goes(desk) -> None:
    desk.server.start()
    desk.tick(2)
    desk.child.say(method="models", params={"models": [], "looking": "Looking through the models folder: 120 files."})
    desk.tick()
    assert desk.server.looking == "Looking through the models folder: 120 files."
    row = {"model": "m", "label": "M", "tasks": [], "here": True, "sentence": "", "frame_rate": {"fps": 16}}
    row = {**row, "max_frames": 81, "sizes": [], "licence": "", "download_bytes": 0}
    desk.child.say(method="models", params={"models": [row], "looking": ""})
    desk.tick()
    assert desk.server.looking == "" and [model.model for model in desk.server.models] == ["m"]


def test_a_plan_is_asked_for_again_when_the_models_are_others(desk, addon, monkeypatch, make_request) -> None:
    monkeypatch.setattr(addon("jobs.server_queries"), "QUIET_SECONDS", 0.0)
    desk.server.start()
    desk.tick(2)
    desk.server.plan_query.want(make_request())
    desk.tick(2)
    assert desk.child.asked.count("plan") == 1
    row = {"model": "m", "label": "M", "tasks": [], "here": True, "sentence": "", "frame_rate": {"fps": 16}}
    row = {**row, "max_frames": 81, "sizes": [], "licence": "", "download_bytes": 0}
    for _ in range(3):
        desk.child.say(method="models", params={"models": [row]})
        desk.tick(2)
    assert desk.child.asked.count("plan") == 2


def test_a_hundred_small_events_are_a_hundred_small_changes(desk, to_json, make_status) -> None:
    desk.has(to_json, make_status("a" * 32, "denoising"))
    desk.server.start()
    desk.tick(3)
    for step in range(100):
        desk.child.say(method="progress", params={"job_id": "a" * 32, "state": "denoising", "step": step})
    desk.tick()
    assert desk.jobs.get("a" * 32).step == 99
    assert "details" not in desk.child.asked, "nobody looks at it"
    desk.server.want_details("a" * 32)
    desk.server.want_details("b" * 32)
    desk.tick()
    assert desk.child.asked.count("details") == 1, "the server doesn't have the other one"


def test_what_a_transformer_is_said_to_be_is_passed_on_and_planned_with(desk, addon, make_request) -> None:
    part = addon("jobs.server_proxy").TransformerPart
    desk.server.name_transformer("/models/mine.safetensors", part.HIGH)
    desk.server.start()
    desk.tick(2)
    assert "name_transformer" not in desk.child.asked, "there was no server"
    given: list[dict] = []
    desk.child.do_name_transformer = lambda params: given.append(params) or {}
    desk.server.plan_query.want(make_request())
    desk.server.plan_query._wanted_since = 0.0
    desk.tick()
    assert desk.child.asked[-1] == "plan"
    desk.server.name_transformer("/models/mine.safetensors", part.HIGH)
    assert given == [{"file": "/models/mine.safetensors", "part": "high"}]
    desk.tick(2)
    assert desk.child.asked.count("plan") == 2 and "models" in desk.child.asked[-3:]


def test_an_answer_that_can_not_be_kept_is_said(desk, addon) -> None:
    desk.server.start()
    desk.tick(2)
    desk.server.name_transformer("/models/mine.safetensors", addon("jobs.server_proxy").TransformerPart.LOW)
    refusal = {"kind": "disk_full", "sentence": "The answer was not kept: the disk is full."}
    number = len(desk.child.asked)
    desk.child.say(id=number, error={"code": -32000, "message": refusal["sentence"], "data": refusal})
    before = desk.changes
    desk.tick(2)
    assert desk.changes > before and desk.server.plan_query.sentence == refusal["sentence"]


def test_each_worker_of_a_server_is_known_by_its_place(desk) -> None:
    desk.server.start()
    desk.tick(3)
    ready = {"state": "ready", "device": "cuda (NVIDIA L4)", "torch": "2.13"}
    desk.child.say(method="worker", params={**ready, "number": 1, "device_bytes": 24, "card": "GPU-2222"})
    desk.child.say(method="worker", params={**ready, "number": 0, "device_bytes": 8, "card": "GPU-1111"})
    desk.tick()
    assert [each.card for each in desk.server.workers] == ["GPU-1111", "GPU-2222"]
    assert desk.server.worker.device_bytes == 24 and desk.server.working_places == 2
    desk.child.say(method="worker", params={"state": "broken", "number": 1})
    desk.tick()
    assert [each.state for each in desk.server.workers] == ["ready", "broken"]
    assert desk.server.worker.device_bytes == 8 and desk.server.working_places == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_cards_are_a_choice_where_there_are_several(desk, count) -> None:
    row = {"name": "NVIDIA L4", "memory_bytes": 24, "used": True}
    desk.cards = [{"card": f"GPU-{n}000", **row} for n in range(count)]
    desk.server.start()
    desk.tick(4)
    assert len(desk.server.cards) == (count if count > 1 else 0)


def test_the_line_to_another_machine_is_known_until_the_relay_is_gone(desk, addon, monkeypatch, make_request) -> None:
    monkeypatch.setattr(addon("jobs.server_queries"), "QUIET_SECONDS", 0.0)
    desk.server.start()
    desk.tick(2)
    desk.child.say(method="link", params={"connected": False, "sentence": "box does not answer."})
    desk.server.plan_query.want(make_request())
    desk.tick(2)
    assert not desk.server.link.connected and desk.server.link.sentence == "box does not answer."
    assert desk.child.asked.count("plan") == 1
    desk.child.say(method="link", params={"connected": True, "done_bytes": 3, "total_bytes": 7})
    desk.tick(2)
    assert desk.child.asked.count("plan") == 2, "without a line there was no plan"
    assert desk.server.link.total_bytes == 7
    desk.server.stop()
    assert desk.server.link is None


def test_the_machine_that_makes_takes_is_known_before_it_greets(desk, addon) -> None:
    launch = addon("backend.launch_command")
    before, box = desk.server._settings, launch.Machine("box", "ssh box wan-backend serve")
    desk.server._settings = lambda: dataclasses.replace(before(), machine=box)
    assert desk.server.machine_name == ""
    desk.server.start()
    assert desk.server.machine_name == "box"
    desk.server.stop()
    desk.server._settings = before
    desk.server.start()
    assert desk.server.machine_name == ""
